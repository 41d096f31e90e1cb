//! The node's process: arguments in, exit code out.

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    conn_server::run(conn_server::Args::parse())
}
