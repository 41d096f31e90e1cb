//! The verification server's process: arguments in, exit code out.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    balancer::launch::end(gateway::run_verify(balancer::config::load::<gateway::VerifyArgs>()))
}
