//! What does one appended message cost, and which schema, page size and pragmas make it cheapest?
//!
//! Every variant is measured against the first one in pairs whose order alternates, on files of their own that are
//! filled alike, so that a machine whose speed drifts harms both alike. Reported per message: processor time of the
//! writing thread (system calls included), write calls and bytes, and the time on the clock; each with the ratio to the
//! first variant. `cargo bench -p store --bench append -- --help` has the choices.

mod load;
mod measure;
mod product;
mod raw;
mod variant;

use std::path::PathBuf;

use clap::Parser;

/// What to compare.
#[derive(Debug, Parser)]
struct Args {
    /// Variants to measure, by name or its beginning; the first one is what the others are compared with. All of them
    /// if none is named.
    variants: Vec<String>,
    /// Where the files go: a directory of the disk that is meant.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Messages in one transaction.
    #[arg(long, default_value_t = 250)]
    batch: usize,
    /// Transactions in one half of a pair.
    #[arg(long, default_value_t = 270)]
    batches: usize,
    /// Pairs.
    #[arg(long, default_value_t = 10)]
    pairs: usize,
    /// Messages that are there before.
    #[arg(long, default_value_t = 400_000)]
    filled: u64,
    /// Conversations, each of two users of its own.
    #[arg(long, default_value_t = 5_000)]
    conversations: u64,
    /// Bytes of a text.
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Clients number their messages at random instead of one after another.
    #[arg(long)]
    random_numbers: bool,
    /// What is there before was said more than a day ago: its numbers are forgotten meanwhile.
    #[arg(long)]
    expired: bool,
    /// Only run each once, to see that it works.
    #[arg(long)]
    test: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let mut args = Args::parse();
    if args.test {
        (args.pairs, args.batches, args.filled) = (1, 2, 1_000);
    }
    let chosen: Vec<variant::Variant> = if args.variants.is_empty() {
        variant::all()
    } else {
        let of =
            |name| variant::all().into_iter().filter(|variant| variant.is_named(name)).collect();
        args.variants.iter().map(String::as_str).flat_map::<Vec<_>, _>(of).collect()
    };
    let Some((baseline, others)) = chosen.split_first() else {
        eprintln!("no such variant; there are:");
        variant::all()
            .iter()
            .for_each(|variant| eprintln!("  {:<28} {}", variant.name, variant.about));
        std::process::exit(2);
    };
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    println!(
        "{} conversations, {} messages there before{}, texts of {} bytes, {} to a transaction, {} pairs of {} transactions",
        args.conversations,
        args.filled,
        if args.expired { " (expired)" } else { "" },
        args.size,
        args.batch,
        args.pairs,
        args.batches
    );
    println!("{}", measure::heading());
    let alone = [*baseline];
    // Alone, the first variant is compared with itself: the spread of its ratio is the noise.
    let others = if others.is_empty() { &alone[..] } else { others };
    for other in others {
        let (first, second) = measure::pair(&args, &parent, *baseline, *other);
        println!("{first}\n{second}");
    }
}
