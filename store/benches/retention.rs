//! What does retention add to the time of a commit, and so to an acknowledgement?
//!
//! One file is filled with messages that have expired. Then blocks of commits without retention and with it take turns, so
//! that a machine whose speed drifts harms both alike; a commit begins no sooner than the interval after the last one began,
//! as in the node. Each commit's time (`Writer::work`: the transaction with its sync) is kept, and shown by percentiles, and so
//! is the processor time of the writing thread, which says more where others use the disk. Commits with retention count if
//! there was something to do. At the end the steps that are taken while nobody writes are timed in the same way, until nothing is left to go.
//! `cargo bench -p store --bench retention -- --help` has the choices.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::time::{ClockId, clock_gettime};
use store::{Options, Record, Retention, Writer};
use wire::{ClientMessageId, ConversationId, MessageId, UserId};

/// What to measure.
#[derive(Debug, Parser)]
struct Args {
    /// Where the file goes: a directory of the disk that is meant.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Messages in one commit.
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// Commits in a block.
    #[arg(long, default_value_t = 250)]
    commits: usize,
    /// Blocks of each kind.
    #[arg(long, default_value_t = 16)]
    blocks: usize,
    /// Time from one commit to the next at the least, in microseconds.
    #[arg(long, default_value_t = 2_000)]
    interval_us: u64,
    /// Messages that are there before, and have expired.
    #[arg(long, default_value_t = 400_000)]
    filled: u64,
    /// Conversations, each of two users of its own.
    #[arg(long, default_value_t = 5_000)]
    conversations: u64,
    /// Bytes of a text.
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Only run once, to see that it works.
    #[arg(long)]
    test: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

const NOW_MS: u64 = 1_800_000_000_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
const RETENTION: Retention = Retention { age_ms: Some(DAY_MS), bytes: None };
/// Messages of a commit while the file is filled.
const FILL_BATCH: usize = 2_000;

/// What a commit took: on the clock, and of the processor.
#[derive(Clone, Copy, Debug)]
struct Took {
    wall: Duration,
    cpu: Duration,
}

impl Took {
    fn by<T>(work: impl FnOnce() -> T) -> (T, Self) {
        let (begun, cpu) = (Instant::now(), cpu_time());
        let done = work();
        (done, Self { wall: begun.elapsed(), cpu: cpu_time().saturating_sub(cpu) })
    }
}

/// Processor time of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("below a second"))
}

/// A writer, and messages drawn from a seed.
struct Load {
    writer: Writer,
    random: fastrand::Rng,
    conversations: u64,
    body: Vec<u8>,
    said: u64,
}

impl Load {
    /// One commit; gives its time.
    fn commit(&mut self, count: usize, unix_ms: u64) -> Took {
        let records: Vec<Record<'_>> = (0..count)
            .map(|_| {
                self.said += 1;
                let lower = self.random.u64(0..self.conversations) * 2 + 1;
                Record {
                    conversation: ConversationId { first: lower, second: lower + 1 },
                    seq: None,
                    message_id: MessageId(self.said),
                    from: UserId(lower + self.random.u64(0..2)),
                    client_message_id: ClientMessageId(self.said),
                    unix_ms,
                    body: &self.body,
                }
            })
            .collect();
        let (results, took) = Took::by(|| self.writer.append_batch(&records));
        let results = results.expect("a disk that works");
        assert!(results.iter().all(|result| result.is_ok_and(|appended| !appended.is_retry)));
        took
    }

    /// A block of commits at their pace.
    fn block(&mut self, args: &Args, retention: Retention, times: &mut Vec<Took>) {
        self.writer.set_retention(retention);
        for _ in 0..args.commits {
            let begun = Instant::now();
            let steps = self.writer.trimmed().steps;
            let took = self.commit(args.batch, NOW_MS);
            if !retention.is_limited() || self.writer.trimmed().steps > steps {
                times.push(took);
            }
            let interval = Duration::from_micros(args.interval_us);
            std::thread::sleep(interval.saturating_sub(begun.elapsed()));
        }
    }
}

fn show(name: &str, took: &[Took]) {
    let of = |what: &str, each: fn(&Took) -> Duration| {
        let mut times: Vec<Duration> = took.iter().map(each).collect();
        times.sort_unstable();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        // In thousandths.
        let at = |part: usize| {
            times.get(times.len().saturating_sub(1) * part / 1_000).copied().map_or(0.0, ms)
        };
        let mean = ms(times.iter().sum()) / times.len().max(1) as f64;
        println!(
            "{name:<25} {what:<5} {:>6} {mean:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>9.3}",
            times.len(),
            at(500),
            at(900),
            at(990),
            at(999),
            at(1_000)
        );
    };
    of("clock", |took| took.wall);
    of("cpu", |took| took.cpu);
}

fn main() {
    let mut args = Args::parse();
    if args.test {
        (args.commits, args.blocks, args.filled) = (2, 2, 4_000);
    }
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let directory = tempfile::tempdir_in(parent).expect("a directory");
    let writer = Writer::open(&Options::messages(directory.path())).expect("a new file");
    let (random, body) = (fastrand::Rng::with_seed(7), vec![b'x'; args.size]);
    let mut load = Load { writer, random, conversations: args.conversations, body, said: 0 };
    while load.said < args.filled {
        load.commit(FILL_BATCH, NOW_MS - 2 * DAY_MS);
    }
    println!(
        "{} conversations, {} messages expired, texts of {} bytes, {} to a commit, {} us apart, {} blocks of {} commits each",
        args.conversations,
        args.filled,
        args.size,
        args.batch,
        args.interval_us,
        args.blocks,
        args.commits
    );
    println!(
        "{:<31} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "ms", "count", "mean", "p50", "p90", "p99", "p99.9", "max"
    );
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for block in 0..args.blocks {
        // Who goes first takes turns too.
        if block % 2 == 0 {
            load.block(&args, Retention::default(), &mut without);
            load.block(&args, RETENTION, &mut with);
        } else {
            load.block(&args, RETENTION, &mut with);
            load.block(&args, Retention::default(), &mut without);
        }
    }
    show("commit without retention", &without);
    show("commit with retention", &with);
    let gone = load.writer.trimmed();
    println!("{} messages went with {} commits that did some of it", gone.messages, gone.steps);
    load.writer.set_retention(RETENTION);
    let mut steps = Vec::new();
    loop {
        let (is_more, took) = Took::by(|| load.writer.trim(NOW_MS));
        steps.push(took);
        if !is_more.expect("a disk that works") {
            break;
        }
    }
    show("step while nobody writes", &steps);
    println!("{} messages have gone", load.writer.trimmed().messages);
}
