//! Stories about messages: dense, once, found again, and refused politely while the disk is in the way.
#![allow(unreachable_pub, reason = "the modules of one test")]

mod ground;

use std::time::Duration;

use rusqlite::Connection;
use store::{Appended, MessageWriter, Options, Reader, Record, RecordFault, Writer, limits};
use wire::{ClientMessageId, ConversationId, MessageId, RoomId, Seq, UserId};

use ground::{Ground, Kind};

const HOUR_MS: u64 = 60 * 60 * 1_000;

fn open(on: Kind) -> (Ground, Box<dyn MessageWriter>) {
    let ground = Ground::new(on);
    let writer = ground.writer();
    (ground, writer)
}

/// The same in a file, where something is done to the file.
fn open_file() -> (tempfile::TempDir, Options, Writer) {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options { busy_timeout: Duration::ZERO, ..Options::messages(directory.path()) };
    let writer = Writer::open(&options).expect("a new file");
    (directory, options, writer)
}

/// `from` says `body` to `to`; the client's number doubles as the message's id.
fn text(from: u64, to: u64, number: u64, body: &str) -> Record<'_> {
    Record {
        conversation: ConversationId::private(UserId(from), UserId(to)),
        seq: None,
        message_id: MessageId(from * 1_000_000 + number),
        from: UserId(from),
        client_message_id: ClientMessageId(number),
        unix_ms: 100 * HOUR_MS,
        body: body.as_bytes(),
    }
}

#[track_caller]
fn append(writer: &mut dyn MessageWriter, record: Record<'_>) -> Result<Appended, RecordFault> {
    writer.append_batch(&[record]).expect("a healthy store")[0]
}

#[track_caller]
fn check_seq(writer: &mut dyn MessageWriter, record: Record<'_>, seq: u64) {
    let appended = append(writer, record).expect("appended");
    assert_eq!((appended.seq, appended.is_retry), (Seq(seq), false));
}

fn seq_is_dense_per_conversation_across_batches_and_reopening(on: Kind) {
    let (ground, mut writer) = open(on);
    let batch = [text(1, 2, 1, "a"), text(3, 4, 1, "b"), text(2, 1, 1, "c"), text(1, 1, 2, "d")];
    let seqs: Vec<u64> = writer
        .append_batch(&batch)
        .expect("stored")
        .into_iter()
        .map(|result| result.expect("appended").seq.0)
        .collect();
    assert_eq!(seqs, [1, 1, 2, 1]);
    check_seq(&mut *writer, text(1, 2, 3, "e"), 3);
    drop(writer);
    let mut writer = ground.writer();
    check_seq(&mut *writer, text(2, 1, 2, "f"), 4);
    check_seq(&mut *writer, text(4, 3, 1, "g"), 2);
}

fn a_retry_gets_its_first_place_id_and_time_again(on: Kind) {
    let (ground, mut writer) = open(on);
    let first = append(&mut *writer, text(1, 2, 7, "hello")).expect("appended");
    let again =
        Record { message_id: MessageId(99), unix_ms: 101 * HOUR_MS, ..text(1, 2, 7, "hello") };
    for _ in 0..2 {
        let retried = append(&mut *writer, again).expect("known");
        assert_eq!(retried, Appended { is_retry: true, ..first });
        writer = ground.writer();
    }
    check_seq(&mut *writer, text(1, 2, 8, "next"), 2);
}

fn a_retry_within_one_batch_is_found_too(on: Kind) {
    let (_ground, mut writer) = open(on);
    let twice = [text(1, 2, 7, "hello"), text(1, 2, 7, "hello"), text(1, 2, 8, "bye")];
    let results = writer.append_batch(&twice).expect("stored");
    let seen: Vec<(u64, bool)> =
        results.iter().flatten().map(|appended| (appended.seq.0, appended.is_retry)).collect();
    assert_eq!(seen, [(1, false), (1, true), (2, false)]);
}

fn the_same_number_for_something_else_is_a_conflict_that_stops_nobody(on: Kind) {
    let (ground, mut writer) = open(on);
    append(&mut *writer, text(1, 2, 7, "hello")).expect("appended");
    let batch = [text(1, 2, 7, "other"), text(1, 3, 7, "hello"), text(2, 1, 7, "mine")];
    let results = writer.append_batch(&batch).expect("stored");
    assert_eq!(results[..2], [Err(RecordFault::Conflict); 2]);
    assert_eq!(results[2].expect("another sender's").seq, Seq(2));
    let mut reader = ground.reader();
    let nothing = reader.head(ConversationId::private(UserId(1), UserId(3))).expect("read");
    assert_eq!(nothing, Seq(0));
}

fn one_clock_that_runs_ahead_forgets_nothing_early(on: Kind) {
    let (_ground, mut writer) = open(on);
    append(&mut *writer, text(1, 2, 1, "hello")).expect("appended");
    let ahead = Record { unix_ms: 10_000 * HOUR_MS, ..text(3, 4, 1, "x") };
    writer.append_batch(&[ahead, text(5, 6, 1, "y")]).expect("stored");
    assert!(append(&mut *writer, text(1, 2, 1, "hello")).expect("known").is_retry);
}

fn a_place_that_was_given_is_kept_even_for_a_known_number(on: Kind) {
    let (ground, mut writer) = open(on);
    let at = |seq, record| Record { seq: Some(Seq(seq)), ..record };
    check_seq(&mut *writer, at(1, text(1, 2, 7, "hello")), 1);
    check_seq(&mut *writer, at(2, text(1, 2, 7, "hello")), 2);
    // The very same record again, as after a commit whose end nobody saw, changes nothing.
    let again = append(&mut *writer, at(2, text(1, 2, 7, "hello"))).expect("there");
    assert_eq!((again.seq, again.is_retry), (Seq(2), true));
    assert_eq!(append(&mut *writer, at(2, text(2, 1, 1, "no"))), Err(RecordFault::Refused));
    check_seq(&mut *writer, at(4, text(2, 1, 2, "later")), 4);
    check_seq(&mut *writer, at(3, text(2, 1, 3, "between")), 3);
    check_seq(&mut *writer, text(2, 1, 4, "next"), 5);
    let mut reader = ground.reader();
    let page = reader.pull(text(1, 2, 0, "").conversation, Seq(0), 10).expect("read");
    assert!(page.messages.iter().map(|message| message.seq.0).eq(1..=5));
}

fn impossible_records_are_refused_alone(on: Kind) {
    let (_ground, mut writer) = open(on);
    let odd = |first, second| Record {
        conversation: ConversationId { first, second },
        ..text(1, 2, 1, "x")
    };
    let batch = [
        odd(0, 0),
        odd(5, 4),
        odd(1, u64::MAX),
        odd(u64::MAX, u64::MAX),
        Record { seq: Some(Seq(0)), ..text(1, 2, 1, "x") },
        Record { seq: Some(Seq(u64::MAX)), ..text(1, 2, 1, "x") },
    ];
    let results = writer.append_batch(&batch).expect("stored");
    assert!(results.iter().all(|result| *result == Err(RecordFault::Refused)));
    check_seq(&mut *writer, text(1, 2, 1, "x"), 1);
}

fn pages_follow_one_another_and_end_by_count_or_by_bytes(on: Kind) {
    let (ground, mut writer) = open(on);
    let long = "l".repeat(limits::PAGE_TEXT_BYTES_MAX / 2);
    for number in 1..=7 {
        append(&mut *writer, text(1, 2, number, if number > 4 { &long } else { "short" }))
            .expect("appended");
    }
    let mut reader = ground.reader();
    let conversation = ConversationId::private(UserId(2), UserId(1));
    let mut page = |after, limit| {
        let page = reader.pull(conversation, Seq(after), limit).expect("read");
        (page.messages.iter().map(|message| message.seq.0).collect::<Vec<_>>(), page.is_complete)
    };
    assert_eq!(page(0, 3), (vec![1, 2, 3], false));
    assert_eq!(page(3, 256), (vec![4, 5, 6], false));
    assert_eq!(page(6, 256), (vec![7], true));
    assert_eq!(page(0, 7), (vec![1, 2, 3, 4, 5, 6], false));
    assert_eq!(page(4, 3), (vec![5, 6], false));
    assert_eq!(page(5, 2), (vec![6, 7], true));
    assert_eq!(page(7, 256), (vec![], true));
    assert_eq!(page(u64::MAX, 256), (vec![], true));
    assert_eq!(reader.head(conversation).expect("read"), Seq(7));
    let nobody = ConversationId::room(RoomId(u64::MAX));
    assert!(reader.pull(nobody, Seq(0), 9).expect("read").is_complete);
    assert_eq!(reader.head(nobody).expect("read"), Seq(0));
}

fn a_message_comes_back_as_it_was_given(on: Kind) {
    let (ground, mut writer) = open(on);
    let record = Record {
        // A group's number: only what has its place is written there without members.
        conversation: ConversationId::room(RoomId(u64::MAX)),
        seq: Some(Seq(1)),
        message_id: MessageId(u64::MAX - 1),
        from: UserId(u64::MAX - 2),
        client_message_id: ClientMessageId(u64::MAX),
        unix_ms: u64::MAX,
        ..text(9, 9, 1, "grüß\0dich")
    };
    check_seq(&mut *writer, record, 1);
    let mut reader = ground.reader();
    let message = reader.pull(record.conversation, Seq(0), 1).expect("read").messages.remove(0);
    assert_eq!(message.body, record.body);
    assert_eq!(
        (message.message_id, message.from, message.unix_ms),
        (record.message_id, record.from, record.unix_ms)
    );
}

fn a_users_conversations_are_listed_in_order_whichever_side_they_are_on(on: Kind) {
    let (ground, mut writer) = open(on);
    // User 50 with lower, equal and higher peers, a room of the same number, and strangers.
    let mut expected: Vec<ConversationId> = [3, 49, 50, 51, 7, 1_000]
        .map(|peer| ConversationId::private(UserId(50), UserId(peer)))
        .to_vec();
    for (conversation, number) in expected.iter().zip(1..) {
        let record = Record { conversation: *conversation, ..text(50, 1, number, "x") };
        check_seq(&mut *writer, record, 1);
    }
    let room = Record { conversation: ConversationId::room(RoomId(50)), ..text(50, 1, 90, "x") };
    writer.append_batch(&[room, text(3, 51, 1, "x"), text(3, 50, 2, "second")]).expect("stored");

    expected.sort_unstable();
    let mut reader = ground.reader();
    for limit in 1..=7 {
        let (mut seen, mut after) = (Vec::new(), ConversationId::default());
        loop {
            let page = reader.conversations(UserId(50), after, limit).expect("read");
            assert!(page.heads.len() <= usize::from(limit));
            seen.extend(&page.heads);
            if page.is_complete {
                break;
            }
            after = page.heads.last().expect("an unfinished page has something").0;
        }
        assert!(seen.iter().map(|(conversation, _)| *conversation).eq(expected.iter().copied()));
        assert_eq!(seen[0], (ConversationId { first: 3, second: 50 }, Seq(2)));
    }
    for stranger in [0, 4, u64::MAX] {
        let page =
            reader.conversations(UserId(stranger), ConversationId::default(), 9).expect("read");
        assert!(page.heads.is_empty() && page.is_complete);
    }
}

fn blocks_of_ids_are_never_given_twice(on: Kind) {
    let (ground, mut writer) = open(on);
    let mut bases = writer.lease_id_blocks(2).expect("two shards");
    drop(writer);
    let mut writer = ground.writer();
    bases.extend(writer.lease_id_blocks(3).expect("three shards"));
    let expected: Vec<u64> = (1..=5).map(|block| block << limits::ID_BLOCK_BITS).collect();
    assert_eq!(bases, expected);
}

#[test]
fn a_full_file_is_busy_keeps_what_it_has_and_takes_more_when_there_is_room() {
    let (_directory, options, mut writer) = open_file();
    writer.set_bytes_max(Some(256 * 1024)).expect("a limit");
    let body = "b".repeat(1_000);
    let mut number = 0;
    let error = loop {
        match writer.append_batch(&[text(1, 2, number, &body), text(3, 4, number, &body)]) {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
    };
    assert!(error.is_busy() && number > 10, "{error} after {number}");
    let again = [text(1, 2, number, &body), text(3, 4, number, &body)];
    assert!(writer.append_batch(&again).expect_err("still full").is_busy());
    assert!(writer.probe().expect_err("a probe meets the same").is_busy());

    let mut reader = Reader::open(&options).expect("reads go on");
    assert_eq!(reader.head(text(1, 2, 0, "").conversation).expect("read"), Seq(number));
    assert_eq!(reader.head(text(3, 4, 0, "").conversation).expect("read"), Seq(number));

    writer.set_bytes_max(None).expect("more room");
    writer.probe().expect("a probe finds it");
    check_seq(&mut writer, text(1, 2, number, &body), number + 1);
    check_seq(&mut writer, text(3, 4, number, &body), number + 1);
}

#[test]
fn room_that_somebody_else_makes_is_used() {
    let (_directory, options, mut writer) = open_file();
    let other = Connection::open(&options.path).expect("another connection");
    other
        .execute_batch("CREATE TABLE ballast (x); INSERT INTO ballast VALUES (zeroblob(200000));")
        .expect("it fills the file");
    writer.set_bytes_max(Some(256 * 1024)).expect("a limit");
    let body = "b".repeat(30_000);
    let mut number = 0;
    while writer.append_batch(&[text(1, 2, number, &body)]).is_ok() {
        number += 1;
    }
    other.execute_batch("DROP TABLE ballast").expect("it makes room");
    check_seq(&mut writer, text(1, 2, number, &body), number + 1);
}

#[test]
fn a_lock_of_another_connection_is_busy_reads_go_on_and_it_passes() {
    let (_directory, options, mut writer) = open_file();
    check_seq(&mut writer, text(1, 2, 1, "before"), 1);
    let other = Connection::open(&options.path).expect("another connection");
    other.execute_batch("BEGIN EXCLUSIVE").expect("its lock");
    assert!(writer.append_batch(&[text(1, 2, 2, "x")]).expect_err("locked").is_busy());
    let mut reader = Reader::open(&options).expect("a reader");
    assert_eq!(reader.head(text(1, 2, 0, "").conversation).expect("read"), Seq(1));
    other.execute_batch("ROLLBACK").expect("its end");
    check_seq(&mut writer, text(1, 2, 2, "x"), 2);
}

fn two_writers_never_give_a_place_twice(on: Kind) {
    let (ground, mut one) = open(on);
    let mut two = ground.writer();
    for round in 0..5 {
        check_seq(&mut *one, text(1, 2, round, "x"), 2 * round + 1);
        check_seq(&mut *two, text(2, 1, round, "y"), 2 * round + 2);
    }
}

#[test]
fn a_file_that_is_no_database_is_refused_with_advice() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options::messages(directory.path());
    std::fs::write(&options.path, "x".repeat(10_000)).expect("a file");
    let error = Writer::open(&options).expect_err("not a database");
    assert!(!error.is_busy() && error.to_string().contains("restore a backup"), "{error}");
}

fn a_conflict_leaves_no_conversation_behind(on: Kind) {
    let (ground, mut writer) = open(on);
    check_seq(&mut *writer, text(1, 2, 7, "hello"), 1);
    assert_eq!(append(&mut *writer, text(1, 3, 7, "hello")), Err(RecordFault::Conflict));
    let listed = ground.reader().conversations(UserId(1), ConversationId::default(), 9);
    let listed = listed.expect("read");
    assert_eq!(listed.heads, [(ConversationId::private(UserId(1), UserId(2)), Seq(1))]);
    check_seq(&mut *writer, text(1, 3, 8, "now"), 1);
}

fn a_number_is_free_again_after_a_day(on: Kind) {
    let (_ground, mut writer) = open(on);
    let later = |record: Record<'static>| Record {
        message_id: MessageId(99),
        unix_ms: record.unix_ms + limits::RETRY_KEPT_MS + 1,
        ..record
    };
    check_seq(&mut *writer, text(1, 2, 7, "hello"), 1);
    check_seq(&mut *writer, later(text(1, 2, 7, "something else")), 2);
    let again = append(&mut *writer, later(text(1, 2, 7, "something else"))).expect("known");
    assert_eq!((again.seq, again.message_id, again.is_retry), (Seq(2), MessageId(99), true));
}

fn a_large_batch_is_as_many_small_ones(on: Kind) {
    let (ground, mut writer) = open(on);
    let records: Vec<Record<'_>> =
        (0..1_500).map(|number| text(number % 7 + 1, number % 311 + 1, number, "x")).collect();
    let results = writer.append_batch(&records).expect("stored");
    let mut heads = std::collections::HashMap::new();
    for (record, result) in records.iter().zip(results) {
        let head = heads.entry(record.conversation).or_insert(0);
        *head += 1;
        let appended = result.expect("appended");
        assert_eq!((appended.seq, appended.message_id), (Seq(*head), record.message_id));
    }
    // All of it again, with something new in the middle.
    let mut again = records.clone();
    again.insert(700, text(1, 2, 5_000, "new"));
    let results = writer.append_batch(&again).expect("stored");
    let fresh = results.iter().filter(|result| result.is_ok_and(|one| !one.is_retry)).count();
    assert_eq!((results.len(), fresh), (1_501, 1));
    let mut reader = ground.reader();
    *heads.entry(text(1, 2, 0, "").conversation).or_insert(0) += 1;
    for (conversation, head) in heads {
        let page = reader.pull(conversation, Seq(0), 1_000).expect("read");
        assert!(page.messages.iter().map(|message| message.seq.0).eq(1..=head));
    }
}

crate::on_every_backend!(
    seq_is_dense_per_conversation_across_batches_and_reopening,
    a_retry_gets_its_first_place_id_and_time_again,
    a_retry_within_one_batch_is_found_too,
    the_same_number_for_something_else_is_a_conflict_that_stops_nobody,
    one_clock_that_runs_ahead_forgets_nothing_early,
    a_place_that_was_given_is_kept_even_for_a_known_number,
    impossible_records_are_refused_alone,
    pages_follow_one_another_and_end_by_count_or_by_bytes,
    a_message_comes_back_as_it_was_given,
    a_users_conversations_are_listed_in_order_whichever_side_they_are_on,
    blocks_of_ids_are_never_given_twice,
    two_writers_never_give_a_place_twice,
    a_conflict_leaves_no_conversation_behind,
    a_number_is_free_again_after_a_day,
    a_large_batch_is_as_many_small_ones,
);
