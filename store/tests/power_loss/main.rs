//! The power goes at any moment, and nothing that was acknowledged is lost, doubled or out of order.
//!
//! Each seed runs a random load through the real `Writer` on a disk that forgets every write not yet synced, with syncs
//! and writes that fail and processes that are killed, cuts the power at a random operation, and looks at what is left.
//! kill -9 alone cannot show this: it leaves the page cache alone. In every third seed retention removes what is old
//! meanwhile: then what is left of a conversation is its end, whole, and no place is given twice.
//!
//! `SEED=n cargo test -p store --test power_loss` runs one seed alone; `SEEDS=n` changes how many are run.

mod disk;
mod vfs;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use disk::{Disk, Manners};
use store::{Options, Reader, Record, Retention, Writer};
use wire::{ClientMessageId, ConversationId, MessageId, Seq, UserId};

const SEEDS: u64 = 10_000;
const THREADS: u64 = 2;

/// A message of the load.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Text {
    from: u64,
    to: u64,
    number: u64,
    body: Vec<u8>,
}

impl Text {
    fn record(&self, now_ms: u64) -> Record<'_> {
        Record {
            conversation: ConversationId::private(UserId(self.from), UserId(self.to)),
            seq: None,
            message_id: MessageId(self.number),
            from: UserId(self.from),
            client_message_id: ClientMessageId(self.number),
            unix_ms: now_ms,
            body: &self.body,
        }
    }
}

/// What the clients of one seed know.
#[derive(Default)]
struct Clients {
    sent: Vec<Text>,
    /// The place of each text that was acknowledged, by its number, and its time.
    acknowledged: BTreeMap<u64, (Seq, u64)>,
    /// The last place that was acknowledged in each conversation, whatever became of the text.
    heads: HashMap<ConversationId, Seq>,
    now_ms: u64,
    /// How old a text must be to be gone.
    age_ms: Option<u64>,
}

impl Clients {
    /// Some new texts, and some old ones again: those without an answer, and now and then one with.
    fn batch(&mut self, random: &mut fastrand::Rng) -> Vec<Text> {
        let unanswered: Vec<Text> = self.unanswered().cloned().collect();
        let count = match random.u8(0..8) {
            0 => random.usize(20..60),
            // Nothing but old texts: a commit that writes nothing, and so syncs nothing.
            1..4 if !unanswered.is_empty() => 0,
            _ => random.usize(1..8),
        };
        let mut batch = Vec::new();
        for number in (self.sent.len() as u64..).take(count) {
            let longest = if random.u8(0..16) == 0 { 9_000 } else { 300 };
            let body = vec![random.u8(..); random.usize(0..longest)];
            batch.push(Text { from: random.u64(1..5), to: random.u64(1..5), number, body });
        }
        self.sent.extend(batch.iter().cloned());
        batch.extend(unanswered);
        if random.u8(0..4) == 0 {
            batch.push(self.sent[random.usize(0..self.sent.len())].clone());
        }
        batch
    }

    fn unanswered(&self) -> impl Iterator<Item = &Text> {
        self.sent.iter().filter(|text| !self.acknowledged.contains_key(&text.number))
    }

    /// Sends a batch and notes the answers; an answer that contradicts an earlier one is a failure.
    fn send(&mut self, writer: &mut Writer, batch: &[Text]) -> Result<(), String> {
        self.now_ms += 1;
        let now_ms = self.now_ms;
        let records: Vec<Record<'_>> = batch.iter().map(|text| text.record(now_ms)).collect();
        let Ok(results) = writer.append_batch(&records) else { return Ok(()) };
        for (text, result) in batch.iter().zip(results) {
            let appended = result.map_err(|fault| format!("{fault}: {text:?}"))?;
            let place = (appended.seq, appended.unix_ms);
            let known = self.acknowledged.insert(text.number, place);
            // What has gone is a new message when it is said again.
            let is_odd = known.is_some_and(|known| known != place && !self.may_be_gone(known.1));
            if is_odd || appended.message_id != MessageId(text.number) {
                return Err(format!("{appended:?} for {text:?}, known at {known:?}"));
            }
            let head = self.heads.entry(text.record(0).conversation).or_default();
            *head = appended.seq.max(*head);
        }
        Ok(())
    }

    fn may_be_gone(&self, unix_ms: u64) -> bool {
        self.age_ms.is_some_and(|age| unix_ms + age < self.now_ms)
    }

    /// Whether the store tells the same story: all that was acknowledged, in its place; nothing twice; no gap; nothing
    /// that was never said.
    fn check(&self, options: &Options) -> Result<(), String> {
        let mut reader = Reader::open(options).map_err(|error| error.to_string())?;
        let mut places: HashMap<u64, Seq> = HashMap::new();
        for first in 1..5 {
            for second in first..5 {
                let conversation = ConversationId { first, second };
                let page = reader
                    .pull(conversation, Seq(0), u16::MAX)
                    .map_err(|error| error.to_string())?;
                let head = reader.head(conversation).map_err(|error| error.to_string())?;
                let known = self.heads.get(&conversation).copied().unwrap_or_default();
                if head < known || page.messages.last().is_some_and(|last| last.seq != head) {
                    return Err(format!(
                        "{conversation:?} ends at {head:?}, {known:?} was acknowledged"
                    ));
                }
                let from = match page.messages.first() {
                    Some(first) if self.age_ms.is_some() => first.seq.0,
                    Some(_) | None => 1,
                };
                for (message, seq) in page.messages.iter().zip(from..) {
                    let number = message.message_id.0;
                    let said = usize::try_from(number).ok().and_then(|index| self.sent.get(index));
                    let is_said = said.is_some_and(|text| {
                        text.record(0).conversation == conversation
                            && text.from == message.from.0
                            && text.body == message.body
                    });
                    if message.seq != Seq(seq) || !is_said {
                        return Err(format!("{conversation:?} has {message:?} at place {seq}"));
                    }
                    if places.insert(number, message.seq).is_some() {
                        return Err(format!("message {number} is there twice"));
                    }
                }
            }
        }
        for (number, (seq, unix_ms)) in &self.acknowledged {
            // What has gone may have been said again since, without an answer.
            if places.get(number) != Some(seq) && !self.may_be_gone(*unix_ms) {
                return Err(format!(
                    "{number} was acknowledged at {seq:?}, is at {:?}",
                    places.get(number)
                ));
            }
        }
        Ok(())
    }
}

/// What one seed came to.
#[derive(Clone, Copy, Debug, Default)]
struct Story {
    acknowledged: usize,
    was_cut: bool,
    trimmed: u64,
}

fn run_seed(seed: u64, is_syncing: bool, options: &Options) -> Result<Story, String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let latest = [100, 240, 840][random.usize(0..3)];
    let manners = Manners {
        cut_at: random.u64(1..latest),
        is_syncing,
        fault_in: if random.bool() { 0 } else { random.u32(20..200) },
    };
    let options = Options {
        wal_pages: random.u32(4..64),
        piece_messages: random.usize(1..40),
        retention: Retention {
            age_ms: seed.is_multiple_of(3).then(|| random.u64(0..5)),
            bytes: None,
        },
        ..options.clone()
    };
    vfs::insert(Disk::new(random.u64(..), manners));

    let age_ms = options.retention.age_ms;
    let mut clients = Clients { now_ms: 1_000, age_ms, ..Clients::default() };
    let mut trimmed = 0;
    let mut writer = Writer::open(&options).ok();
    // Before the power goes, the process may be killed some times.
    let mut kills = if manners.fault_in == 0 { random.u8(0..3) } else { 0 };
    // A writer that never opens (a fault at every attempt) must not hold the test for ever.
    for _ in 0..400 {
        if vfs::with(|disk| disk.is_off()) {
            if kills == 0 {
                break;
            }
            kills -= 1;
            drop(writer.take());
            let operations = random.u64(1..latest / 2);
            vfs::with(|disk| disk.restart(operations));
        }
        match &mut writer {
            Some(open) if random.u8(0..16) > 0 => {
                let batch = clients.batch(&mut random);
                clients.send(open, &batch)?;
                if random.bool() {
                    // As when nobody writes. What fails is done again.
                    let _ = open.trim(clients.now_ms);
                }
                trimmed += open.trimmed().messages;
            }
            Some(_) | None => {
                drop(writer.take());
                writer = Writer::open(&options).ok();
            }
        }
    }
    let was_cut = vfs::with(|disk| disk.is_off());
    vfs::with(Disk::cut);
    drop(writer);
    vfs::with(Disk::power_on);

    let acknowledged = clients.acknowledged.len();
    let mut writer = Writer::open(&options).map_err(|error| format!("after the cut: {error}"))?;
    clients.check(&options)?;
    // The clients say again whatever they have no answer for, and something new.
    let batch = clients.batch(&mut random);
    clients.send(&mut writer, &batch)?;
    if clients.unanswered().next().is_some() {
        return Err("the store does not work after the cut".into());
    }
    clients.check(&options)?;
    drop(writer);
    check_integrity(&options)?;
    Ok(Story { acknowledged, was_cut, trimmed })
}

fn check_integrity(options: &Options) -> Result<(), String> {
    let verdict: rusqlite::Result<String> = rusqlite::Connection::open(&options.path)
        .and_then(|sql| sql.query_row("PRAGMA integrity_check", [], |row| row.get(0)));
    match verdict {
        Ok(verdict) if verdict == "ok" => Ok(()),
        Ok(verdict) => Err(verdict),
        Err(error) => Err(error.to_string()),
    }
}

/// Runs seeds on all threads; gives the stories, and the failures with their seeds.
fn run(seeds: std::ops::Range<u64>, is_syncing: bool) -> (Vec<Story>, Vec<(u64, String)>) {
    vfs::register();
    let next = AtomicU64::new(seeds.start);
    let (mut stories, mut failures) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let directory = tempfile::tempdir().expect("a directory");
                    let options = Options::messages(directory.path());
                    let mut results = Vec::new();
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds.end {
                            return results;
                        }
                        results.push((seed, run_seed(seed, is_syncing, &options)));
                    }
                })
            })
            .collect();
        for worker in workers {
            for (seed, result) in worker.join().expect("a worker that does not panic") {
                match result {
                    Ok(story) => stories.push(story),
                    Err(failure) => failures.push((seed, failure)),
                }
            }
        }
    });
    (stories, failures)
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn what_was_acknowledged_survives_a_power_failure_at_any_moment() {
    let seeds = match number_from("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number_from("SEEDS").unwrap_or(SEEDS),
    };
    let is_whole = seeds.end - seeds.start > 100;
    let (stories, failures) = run(seeds, true);
    for (seed, failure) in failures.iter().take(10) {
        eprintln!("SEED={seed} cargo test -p store --test power_loss: {failure}");
    }
    assert!(failures.is_empty(), "{} seeds failed", failures.len());
    // The load means something: most seeds were cut in the middle, and had something to lose.
    let cut = stories.iter().filter(|story| story.was_cut && story.acknowledged > 0).count();
    assert!(!is_whole || cut * 2 > stories.len(), "{cut} of {} were cut", stories.len());
    let trimmed = stories.iter().filter(|story| story.trimmed > 0).count();
    assert!(!is_whole || trimmed * 10 > stories.len(), "{trimmed} had messages that went");
}

#[test]
fn without_syncing_the_same_load_loses_something() {
    let (_, failures) = run(0..400, false);
    let lost = failures.iter().filter(|(_, failure)| failure.contains("was acknowledged")).count();
    assert!(lost > 100, "the test saw {lost} losses and {} failures", failures.len());
}
