//! The node's process: arguments in, exit code out.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    balancer::launch::end(conn_server::run(balancer::config::load::<conn_server::Args>()))
}
