//! The node's process: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    conn_server::operate()
        .unwrap_or_else(|| balancer::launch::end(conn_server::run(conn_server::Args::parse())))
}
