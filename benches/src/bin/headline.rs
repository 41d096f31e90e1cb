//! Writes README's table of figures anew from the files in `benches/results`; with `--check`, only says whether it is so.

use std::fs;
use std::process::ExitCode;

use anyhow::Context as _;
use benches::headline::{put_into, read_results, readme, table};
use clap::Parser;

/// Writes README's table of figures anew from benches/results.
#[derive(Parser)]
struct Args {
    /// Change nothing; fail if the table is not what the results say.
    #[arg(long)]
    check: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let page = fs::read_to_string(readme()).context("reading README.md")?;
    let new = put_into(&page, &table(&read_results()?)?)?;
    if !args.check {
        fs::write(readme(), new).context("writing README.md")?;
    } else if new != page {
        eprintln!(
            "README's figures are not those of benches/results: cargo run -p benches --bin headline"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
