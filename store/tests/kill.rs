//! kill -9 at any moment loses nothing that was acknowledged.
//!
//! The test runs itself again as a child that appends without end and says what was acknowledged; the child is killed in
//! the middle, and what it said is looked for.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use store::{Options, Reader, Record, Writer};
use wire::{ClientMessageId, ConversationId, MessageId, Seq, UserId};

const DATA: &str = "RINGLINE_TEST_KILL_DATA";
const ROUNDS: usize = 10;

/// What the child does, if this process is one; as a test of its own it does nothing.
#[test]
fn child() {
    let Ok(data) = std::env::var(DATA) else { return };
    let mut writer = Writer::open(&Options::messages(Path::new(&data))).expect("open");
    let base = writer.lease_id_blocks(1).expect("ids")[0];
    let mut random = fastrand::Rng::with_seed(base);
    let mut out = std::io::stdout().lock();
    let body = [b'x'; 200];
    for batch in 0.. {
        let records: Vec<Record<'_>> = (0..random.u64(1..100))
            .map(|index| Record {
                conversation: ConversationId::private(UserId(1), UserId(random.u64(2..40))),
                seq: None,
                message_id: MessageId(base + batch * 100 + index),
                from: UserId(1),
                client_message_id: ClientMessageId(base + batch * 100 + index),
                unix_ms: 1,
                body: &body,
            })
            .collect();
        let results = writer.append_batch(&records).expect("stored");
        for (record, result) in records.iter().zip(results) {
            let appended = result.expect("appended");
            let ConversationId { second, .. } = record.conversation;
            writeln!(out, "ack {second} {} {}", appended.seq.0, record.message_id.0)
                .expect("a parent that listens");
        }
        out.flush().expect("a parent that listens");
    }
}

fn start(data: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child", "--nocapture"])
        .env(DATA, data)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child")
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9_under_load() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut acknowledged: HashMap<(u64, u64), u64> = HashMap::new();
    for round in 0..ROUNDS {
        let mut child = start(directory.path());
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let enough = fastrand::Rng::with_seed(round as u64).usize(1..3_000);
        let mut said = 0;
        // Killed after some answers, wherever it is then; what is in the pipe was said before, so it counts.
        while let Some(Ok(line)) = lines.next() {
            let words: Vec<&str> = line.split(' ').collect();
            let ["ack", second, seq, id] = words[..] else { continue };
            let Ok(id) = id.parse() else { continue };
            let number = |text: &str| text.parse::<u64>().expect("a number");
            acknowledged.insert((number(second), number(seq)), id);
            said += 1;
            if said == enough {
                child.kill().expect("killed");
            }
        }
        child.wait().expect("dead");
        assert!(said >= enough);
        check(directory.path(), &acknowledged);
    }
}

fn check(data: &Path, acknowledged: &HashMap<(u64, u64), u64>) {
    let options = Options::messages(data);
    drop(Writer::open(&options).expect("opens again"));
    let mut reader = Reader::open(&options).expect("a reader");
    let mut found = 0;
    for second in 2..40 {
        let conversation = ConversationId { first: 1, second };
        let (mut after, mut is_complete) = (Seq(0), false);
        while !is_complete {
            let page = reader.pull(conversation, after, 1_000).expect("read");
            for message in &page.messages {
                assert_eq!(message.seq, Seq(after.0 + 1), "dense");
                after = message.seq;
                if let Some(id) = acknowledged.get(&(second, after.0)) {
                    assert_eq!(message.message_id, MessageId(*id));
                    found += 1;
                }
            }
            is_complete = page.is_complete;
        }
    }
    assert_eq!(found, acknowledged.len());
}
