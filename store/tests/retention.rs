//! Stories about messages that leave: the oldest first, a few at a time, with everything that points at them.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::Connection;
use store::{Appended, Options, Reader, Record, Retention, Writer, limits};
use wire::{ClientMessageId, ConversationId, MessageId, Seq, UserId};

const NOW_MS: u64 = 1_800_000_000_000;
const AGE_MS: u64 = 10_000;
/// A clock that runs ahead of all others.
const AHEAD_MS: u64 = 1_000_000_000_000;

fn options(directory: &tempfile::TempDir, piece_messages: usize) -> Options {
    Options {
        busy_timeout: Duration::ZERO,
        piece_messages,
        retention: Retention { age_ms: Some(AGE_MS), bytes: None },
        ..Options::messages(directory.path())
    }
}

/// Instead of a number that another message has by now.
const TAKEN: u64 = u64::MAX >> 1;

/// What was said, in order of arrival.
#[derive(Clone, Copy, Debug)]
struct Said {
    from: u64,
    to: u64,
    number: u64,
    seq: u64,
    unix_ms: u64,
}

impl Said {
    const fn record(&self) -> Record<'static> {
        Record {
            conversation: self.conversation(),
            seq: None,
            message_id: MessageId(self.number),
            from: UserId(self.from),
            client_message_id: ClientMessageId(self.number),
            unix_ms: self.unix_ms,
            body: b"text",
        }
    }

    const fn conversation(&self) -> ConversationId {
        let (first, second) =
            if self.from < self.to { (self.from, self.to) } else { (self.to, self.from) };
        ConversationId { first, second }
    }
}

/// A store and what it must contain.
struct World {
    options: Options,
    writer: Writer,
    reader: Reader,
    random: fastrand::Rng,
    said: Vec<Said>,
    heads: HashMap<ConversationId, u64>,
    /// How many of what was said may have gone.
    doomed: usize,
    now_ms: u64,
    numbered: u64,
    _directory: tempfile::TempDir,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let directory = tempfile::tempdir().expect("a directory");
        let options = options(&directory, random.usize(1..40));
        let writer = Writer::open(&options).expect("a new file");
        let reader = Reader::open(&options).expect("a reader");
        let (said, heads) = (Vec::new(), HashMap::new());
        let (doomed, now_ms, numbered, _directory) = (0, NOW_MS, 0, directory);
        Self { options, writer, reader, random, said, heads, doomed, now_ms, numbered, _directory }
    }

    /// Whoever has reached their age goes, with those from the future before them.
    fn doom(&mut self) {
        let mut at = self.doomed;
        while at < self.said.len() {
            let unix_ms = self.said[at].unix_ms;
            at += 1;
            if unix_ms < self.now_ms - AGE_MS {
                self.doomed = at;
            } else if unix_ms <= self.now_ms {
                return;
            }
        }
    }

    fn say(&mut self) {
        let count = self.random.u64(1..30);
        let mut batch = Vec::new();
        for _ in 0..count {
            self.numbered += 1;
            let (from, to) = (self.random.u64(1..6), self.random.u64(1..6));
            let is_ahead = self.random.u8(0..32) == 0 && !batch.is_empty();
            let unix_ms = self.now_ms + if is_ahead { AHEAD_MS } else { 0 };
            batch.push(Said { from, to, number: self.numbered, seq: 0, unix_ms });
        }
        let mut records: Vec<Record<'_>> = batch.iter().map(Said::record).collect();
        // Now and then one has its place already, and leaves some free.
        let skips = if self.random.u8(0..4) == 0 { self.random.u64(1..4) } else { 0 };
        if skips > 0 {
            let head = self.heads.get(&records[0].conversation).copied().unwrap_or(0);
            records[0].seq = Some(Seq(head + skips));
        }
        let results = self.writer.append_batch(&records).expect("stored");
        for ((said, record), result) in batch.iter_mut().zip(&records).zip(results) {
            let appended = result.expect("appended");
            let head = self.heads.entry(record.conversation).or_default();
            *head = record.seq.map_or(*head + 1, |seq| seq.0);
            assert_eq!((appended.seq.0, appended.is_retry), (*head, false), "never goes back");
            said.seq = *head;
        }
        self.said.extend(batch);
        self.doom();
    }

    /// Steps until there is nothing left to do.
    fn trim(&mut self) {
        self.doom();
        while self.writer.trim(self.now_ms).expect("a healthy store") {}
    }

    /// What is shown of a conversation: places in order, all of what must be there, and nothing that must not.
    fn check(&mut self, is_at_rest: bool) {
        let mut late = Reader::open(&self.options).expect("a reader");
        for (conversation, head) in &self.heads {
            let of = |said: &&Said| said.conversation() == *conversation;
            let all: Vec<Said> = self.said.iter().filter(of).copied().collect();
            let gone = self.said[..self.doomed].iter().filter(of).map(|said| said.seq).max();
            let kept = |said: &&Said| said.seq > gone.unwrap_or(0);
            let must: Vec<u64> = all.iter().filter(kept).map(|said| said.seq).collect();
            for reader in [&mut self.reader, &mut late] {
                assert_eq!(reader.head(*conversation).expect("read"), Seq(*head));
                let page = reader.pull(*conversation, Seq(0), 10_000).expect("read");
                let there: Vec<u64> = page.messages.iter().map(|message| message.seq.0).collect();
                let places: Vec<u64> = all.iter().map(|said| said.seq).collect();
                assert!(places.ends_with(&there), "{there:?} of {places:?}");
                assert!(there.ends_with(&must), "{must:?} must be in {there:?}");
                assert!(!is_at_rest || there == must, "{there:?} is not {must:?}");
            }
        }
        let listed = late.conversations(UserId(1), ConversationId::default(), 99).expect("read");
        for (conversation, seq) in listed.heads {
            assert_eq!(self.heads[&conversation], seq.0);
        }
    }

    /// Whoever has no answer says it again: what is there is found, what has gone is new.
    fn say_again(&mut self) {
        let index = self.random.usize(0..self.said.len());
        if self.said[index].number == TAKEN {
            return;
        }
        let said = self.said[index];
        let again = Record { unix_ms: self.now_ms, ..said.record() };
        let result = self.writer.append_batch(&[again]).expect("stored")[0];
        let Appended { seq, is_retry, .. } = result.expect("never a conflict");
        if is_retry {
            assert_eq!(seq.0, said.seq);
        } else {
            assert!(index < self.doomed, "{said:?} was still to be kept");
            let head = self.heads.get_mut(&said.conversation()).expect("known");
            *head += 1;
            assert_eq!(seq.0, *head);
            self.said.push(Said { seq: seq.0, unix_ms: self.now_ms, ..said });
            self.said[index].number = TAKEN;
        }
    }

    fn count(&self, what: &str) -> i64 {
        let other = Connection::open(&self.options.path).expect("a look from outside");
        other
            .query_row(&format!("SELECT count(*) FROM {what}"), [], |row| row.get(0))
            .expect("a count")
    }
}

#[test]
fn after_any_steps_the_store_is_what_the_rule_says() {
    for seed in 0..24 {
        let mut world = World::new(seed);
        for _ in 0..60 {
            world.now_ms += world.random.u64(0..2_000);
            match world.random.u8(0..10) {
                0..6 => world.say(),
                6 => {
                    world.doom();
                    world.writer.trim(world.now_ms).expect("a healthy store");
                }
                7 => {
                    world.trim();
                    world.check(true);
                }
                8 => world.writer = Writer::open(&world.options).expect("open again"),
                _ => world.now_ms += AGE_MS / 4,
            }
            world.check(false);
        }
        world.now_ms += AHEAD_MS * 2;
        world.trim();
        world.check(true);
        assert_eq!(world.count("messages"), 0);
        assert_eq!((world.count("places"), world.count("retries")), (0, 0), "seed {seed}");
        // From nothing it goes on where it was, for whoever remembers and for whoever does not.
        if world.random.bool() {
            world.writer = Writer::open(&world.options).expect("open again");
        }
        world.say();
        world.say();
        world.check(true);
    }
}

#[test]
fn entries_go_with_their_messages_wherever_they_are() {
    for seed in 0..10 {
        let mut world = World::new(1_000 + seed);
        for _ in 0..40 {
            world.now_ms += world.random.u64(0..1_500);
            world.say();
            if world.random.u8(0..3) == 0 {
                world.trim();
                for index in ["places", "retries"] {
                    let dangling =
                        format!("{index} WHERE message NOT IN (SELECT id FROM messages)");
                    assert_eq!(world.count(&dangling), 0, "{index}, seed {seed}");
                }
            }
        }
    }
}

#[test]
fn a_retry_of_what_has_gone_is_a_new_message_and_one_of_what_is_there_is_not() {
    for seed in 0..10 {
        let mut world = World::new(2_000 + seed);
        for _ in 0..30 {
            world.now_ms += world.random.u64(0..1_500);
            world.say();
            world.say_again();
            if world.random.u8(0..4) == 0 {
                world.trim();
            }
        }
        world.trim();
        world.check(true);
    }
}

#[test]
fn a_place_below_the_floor_is_answered_as_gone() {
    let mut world = World::new(1);
    let text = Said { from: 1, to: 2, number: 1, seq: 0, unix_ms: NOW_MS };
    world.writer.append_batch(&[text.record()]).expect("stored")[0].expect("appended");
    world.now_ms += AGE_MS + 1;
    while world.writer.trim(world.now_ms).expect("a healthy store") {}
    let late = Record { seq: Some(Seq(1)), unix_ms: world.now_ms, ..text.record() };
    let answer = world.writer.append_batch(&[late]).expect("stored")[0].expect("an answer");
    assert_eq!((answer.seq, answer.is_retry), (Seq(1), true));
    let next = Record { unix_ms: world.now_ms, ..Said { number: 2, ..text }.record() };
    let next = world.writer.append_batch(&[next]).expect("stored")[0].expect("appended");
    assert_eq!(next.seq, Seq(2));
}

/// Says `count` texts of `bytes` each, in batches.
fn fill(writer: &mut Writer, from: u64, count: u64, bytes: usize) {
    let body = vec![b'x'; bytes];
    let numbers: Vec<u64> = (from..from + count).collect();
    for numbers in numbers.chunks(50) {
        let records: Vec<Record<'_>> = numbers
            .iter()
            .map(|number| Record {
                body: &body,
                ..Said { from: 1 + number % 7, to: 9, number: *number, seq: 0, unix_ms: NOW_MS }
                    .record()
            })
            .collect();
        writer.append_batch(&records).expect("stored");
    }
}

fn file_bytes(options: &Options) -> (u64, u64) {
    let other = Connection::open(&options.path).expect("a look from outside");
    let pragma = |name: &str| -> u64 {
        let read = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        other.query_row(&format!("PRAGMA {name}"), [], read).expect("a number").unsigned_abs()
    };
    let pages = pragma("page_count");
    (pages * limits::PAGE_BYTES, (pages - pragma("freelist_count")) * limits::PAGE_BYTES)
}

#[test]
fn by_size_the_oldest_go_and_the_room_is_used_again() {
    const LIMIT: u64 = 4 << 20;
    let directory = tempfile::tempdir().expect("a directory");
    let retention = Retention { age_ms: None, bytes: Some(LIMIT) };
    let options = Options { retention, ..options(&directory, 200) };
    let mut writer = Writer::open(&options).expect("a new file");
    let mut most = 0;
    for round in 0..20 {
        // Half of them have pages of their own.
        fill(&mut writer, round * 1_000, 500, 300);
        fill(&mut writer, round * 1_000 + 500, 500, 3_000);
        let (file, used) = file_bytes(&options);
        most = most.max(file);
        assert!(used < LIMIT + (1 << 20), "{used} bytes are used in round {round}");
    }
    assert!(most < LIMIT + (2 << 20), "the file has {most} bytes: its room is not used again");
    while writer.trim(NOW_MS).expect("a healthy store") {}
    assert!(file_bytes(&options).1 <= LIMIT);
    // What is left are the newest.
    let mut reader = Reader::open(&options).expect("a reader");
    let page = reader.pull(ConversationId { first: 1, second: 9 }, Seq(0), 10_000).expect("read");
    assert!(!page.messages.is_empty());
    let head = reader.head(ConversationId { first: 1, second: 9 }).expect("read");
    assert_eq!(page.messages.last().expect("some").seq, head);
    let trimmed = writer.trimmed();
    assert!(trimmed.messages > 10_000 && trimmed.bytes > 10_000_000 && trimmed.steps > 100);
}

#[test]
fn one_commit_removes_a_bounded_number() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = options(&directory, 100_000);
    let mut writer = Writer::open(&options).expect("a new file");
    fill(&mut writer, 0, 10_000, 10);
    let before = writer.trimmed();
    assert_eq!(before.messages, 0);
    let later = NOW_MS + AGE_MS + 1;
    let mut number = 1_000_000;
    let mut last = 0;
    // A piece that is never full is begun while nobody writes, and may be finished by those who do.
    while writer.trim(later).expect("a healthy store") && writer.trimmed().steps < 2 {}
    for _ in 0..600 {
        number += 1;
        let record = Record {
            unix_ms: later,
            ..Said { from: 1, to: 2, number, seq: 0, unix_ms: 0 }.record()
        };
        writer.append_batch(&[record]).expect("stored");
        let gone = writer.trimmed().messages - last;
        assert!(gone <= limits::TRIMMED_PER_COMMIT as u64, "{gone} at once");
        last += gone;
    }
    assert_eq!(writer.trimmed().messages, 10_000);
}

#[test]
fn without_a_limit_nothing_ever_goes() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options { retention: Retention::default(), ..options(&directory, 10) };
    let mut writer = Writer::open(&options).expect("a new file");
    fill(&mut writer, 0, 500, 10);
    assert!(!writer.trim(u64::MAX).expect("a healthy store"));
    assert_eq!((writer.trimmed().messages, writer.trimmed().steps), (0, 0));
}
