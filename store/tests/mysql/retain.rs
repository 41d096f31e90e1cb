//! Retention: what is too old goes, in bounded steps, on one node of several.

use store::{
    Backend, MessageReader, MessageWriter, MysqlOptions, MysqlReader, Record, Retention, limits,
};
use wire::Seq;

use crate::{NOW_MS, ground, room, text};

/// A node that keeps messages for so long.
fn keeping(options: &MysqlOptions, age_ms: u64) -> Box<dyn MessageWriter> {
    let mut backend = Backend::from(options);
    assert!(backend.set_retention(Retention { age_ms: Some(age_ms), bytes: None }));
    backend.writer().expect("a writer")
}

#[test]
fn what_is_too_old_goes_in_bounded_steps_and_the_rest_of_each_conversation_is_whole() {
    const AGE_MS: u64 = 10 * 60_000;
    let (options, _) = ground::database();
    let mut writer = keeping(&options, AGE_MS);
    let mut reader = MysqlReader::open(&options).expect("a reader");
    // One long conversation and very many short ones, half of them old.
    let at = |conversation, number, unix_ms| Record { unix_ms, ..text(conversation, 1, number) };
    let (long, long_len) = (room(1), limits::MYSQL_TRIM_ROWS + 500);
    let mut records: Vec<Record<'_>> =
        (0..long_len).map(|number| at(long, number, NOW_MS - AGE_MS - 1)).collect();
    records.extend((0..5).map(|number| at(long, 100_000 + number, NOW_MS)));
    let rooms = u64::from(limits::MYSQL_TRIM_LOOKS) + 100;
    records.extend((0..rooms).flat_map(|number| {
        let old = NOW_MS - AGE_MS - 1 + number % 2;
        [
            at(room(10 + number), 200_000 + number, old),
            at(room(10 + number), 300_000 + number, NOW_MS),
        ]
    }));
    for batch in records.chunks(1_000) {
        assert!(writer.append_batch(batch).expect("written").iter().all(Result::is_ok));
    }
    let mut other = keeping(&options, AGE_MS);
    let (mut steps, mut before) = (1, 0);
    while writer.trim(NOW_MS).expect("trimmed") {
        steps += 1;
        let gone = writer.trimmed().messages;
        assert!(gone - before <= limits::MYSQL_TRIM_ROWS, "a step is bounded");
        before = gone;
        assert!(!other.trim(NOW_MS).expect("looked"), "the round is the first one's");
    }
    assert!(steps >= 3, "{steps}");
    assert_eq!(writer.trimmed().messages, long_len + rooms.div_ceil(2));
    assert_eq!(other.trimmed().messages, 0);
    assert_eq!(writer.trimmed().bytes, writer.trimmed().messages * records[0].body.len() as u64);
    let seqs = |reader: &mut MysqlReader, conversation| {
        let page = reader.pull(conversation, Seq(0), 1_000).expect("read");
        page.messages.iter().map(|message| message.seq.0).collect::<Vec<_>>()
    };
    assert_eq!(seqs(&mut reader, long), (long_len + 1..=long_len + 5).collect::<Vec<_>>());
    assert_eq!(seqs(&mut reader, room(10)), [2]);
    assert_eq!(seqs(&mut reader, room(11)), [1, 2]);
    // Whoever says again what has gone says something new; what is there is found.
    let again = writer.append_batch(&[at(long, 3, NOW_MS), at(long, 100_003, NOW_MS)]);
    let again = again.expect("written");
    assert!(again[0].is_ok_and(|one| !one.is_retry && one.seq.0 == long_len + 6), "{again:?}");
    assert!(again[1].is_ok_and(|one| one.is_retry), "{again:?}");
    // All of it goes with time, and no place is given twice.
    let later = NOW_MS + 2 * AGE_MS;
    while other.trim(later).expect("trimmed") {}
    assert_eq!(other.trimmed().messages, 6 + rooms + rooms / 2);
    assert!(seqs(&mut reader, long).is_empty());
    assert_eq!(reader.head(long).expect("a head"), Seq(long_len + 6));
    let next = writer.append_batch(&[at(long, 900_000, later)]).expect("written");
    assert!(next[0].is_ok_and(|one| one.seq.0 == long_len + 7));
}

#[test]
fn a_busy_node_removes_what_is_too_old_between_its_batches() {
    const AGE_MS: u64 = 30 * limits::RETRY_KEPT_MS;
    let (options, _) = ground::database();
    let mut writer = keeping(&options, AGE_MS);
    let unix_ms = NOW_MS - AGE_MS - 1;
    let old: Vec<Record<'_>> =
        (0..100).map(|number| Record { unix_ms, ..text(room(1), 1, number) }).collect();
    writer.append_batch(&old).expect("written");
    for first in (1_000..10_000).step_by(500) {
        let batch: Vec<Record<'_>> =
            (first..first + 500).map(|number| text(room(2), 2, number)).collect();
        writer.append_batch(&batch).expect("written");
    }
    assert_eq!(writer.trimmed().messages, 100);
}

#[test]
fn a_size_is_not_what_a_database_server_can_keep_to() {
    let options = MysqlOptions::from_url("mysql://root@127.0.0.1/story").expect("a URL");
    let mut backend = Backend::from(&options);
    assert!(!backend.set_retention(Retention { age_ms: None, bytes: Some(1 << 30) }));
    assert!(backend.set_retention(Retention::default()));
}
