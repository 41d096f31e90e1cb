//! Stories about indexes that lag behind the messages: nobody sees it, whatever is indexed already and whatever is not.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::Connection;
use store::{Options, Reader, Record, RecordFault, Writer, limits};
use wire::{ClientMessageId, ConversationId, MessageId, Seq, UserId};

const NOW_MS: u64 = 1_000 * limits::RETRY_KEPT_MS;

fn options(directory: &tempfile::TempDir, piece_messages: usize) -> Options {
    Options { busy_timeout: Duration::ZERO, piece_messages, ..Options::messages(directory.path()) }
}

fn text(from: u64, to: u64, number: u64, body: &str) -> Record<'_> {
    Record {
        conversation: ConversationId::private(UserId(from), UserId(to)),
        seq: None,
        message_id: MessageId(from * 1_000_000 + number),
        from: UserId(from),
        client_message_id: ClientMessageId(number),
        unix_ms: NOW_MS,
        body: body.as_bytes(),
    }
}

fn count(options: &Options, what: &str) -> i64 {
    let other = Connection::open(&options.path).expect("a look from outside");
    other.query_row(&format!("SELECT count(*) FROM {what}"), [], |row| row.get(0)).expect("a count")
}

#[test]
fn entries_are_written_in_pieces_and_readers_never_notice() {
    for piece_messages in [1, 2, 7, 50, 10_000] {
        let directory = tempfile::tempdir().expect("a directory");
        let options = options(&directory, piece_messages);
        let mut writer = Writer::open(&options).expect("a new file");
        let mut reader = Reader::open(&options).expect("a reader");
        let mut random = fastrand::Rng::with_seed(3);
        let mut heads: HashMap<ConversationId, u64> = HashMap::new();
        for batch in 0..40 {
            let records: Vec<Record<'_>> = (0..random.u64(1..12))
                .map(|index| text(random.u64(1..5), random.u64(1..5), batch * 100 + index, "x"))
                .collect();
            for (record, result) in
                records.iter().zip(writer.append_batch(&records).expect("stored"))
            {
                let head = heads.entry(record.conversation).or_default();
                *head += 1;
                assert_eq!(result.expect("appended").seq, Seq(*head));
            }
            // One that has followed, and one that comes anew.
            let mut late = Reader::open(&options).expect("a reader");
            for reader in [&mut reader, &mut late] {
                for (conversation, head) in &heads {
                    let after = random.u64(0..=*head);
                    let page = reader.pull(*conversation, Seq(after), 1_000).expect("read");
                    assert!(
                        page.messages.iter().map(|message| message.seq.0).eq(after + 1..=*head)
                    );
                    assert_eq!(reader.head(*conversation).expect("read"), Seq(*head));
                }
                let listed = reader.conversations(UserId(1), ConversationId::default(), 99);
                let listed = listed.expect("read").heads;
                assert!(listed.iter().all(|(conversation, seq)| heads[conversation] == seq.0));
                assert_eq!(listed.len(), heads.keys().filter(|c| c.first == 1).count());
            }
            if random.u8(0..8) == 0 {
                writer = Writer::open(&options).expect("open again");
            }
        }
        let said: u64 = heads.values().sum();
        assert_eq!(count(&options, "messages").unsigned_abs(), said);
        for index in ["places", "retries"] {
            // It lags by a piece that is being written and one that is being filled.
            let indexed = count(&options, index).unsigned_abs();
            let lag = said - indexed;
            assert!(lag <= 2 * piece_messages as u64 + 12, "{lag} of {said} with {piece_messages}");
            assert_eq!(indexed > 0, piece_messages < 10_000);
        }
    }
}

#[test]
fn a_retry_is_found_wherever_its_number_is_by_then() {
    for piece_messages in [1, 3, 10_000] {
        let directory = tempfile::tempdir().expect("a directory");
        let options = options(&directory, piece_messages);
        let mut writer = Writer::open(&options).expect("a new file");
        for number in 0..30 {
            // Downwards, so that no number is beyond the highest one that is known.
            let record = text(1, 2, 1_000 - number, "x");
            let first = writer.append_batch(&[record]).expect("stored")[0].expect("appended");
            assert_eq!((first.seq, first.is_retry), (Seq(number + 1), false));
            for earlier in 0..=number {
                let again = text(1, 2, 1_000 - earlier, "x");
                let again = writer.append_batch(&[again]).expect("stored")[0].expect("known");
                assert_eq!((again.seq, again.is_retry), (Seq(earlier + 1), true));
                let other = text(1, 2, 1_000 - earlier, "y");
                let results = writer.append_batch(&[other]).expect("stored");
                assert_eq!(results, [Err(RecordFault::Conflict)]);
            }
            if number % 7 == 0 {
                writer = Writer::open(&options).expect("open again");
            }
        }
        assert_eq!(count(&options, "messages"), 30);
    }
}

#[test]
fn a_number_is_free_after_a_day_to_the_millisecond() {
    for piece_messages in [1, 2, 10_000] {
        let directory = tempfile::tempdir().expect("a directory");
        let options = options(&directory, piece_messages);
        let mut writer = Writer::open(&options).expect("a new file");
        let mut at = |ms: u64, number: u64, body| {
            let record = Record { unix_ms: NOW_MS + ms, ..text(1, 2, number, body) };
            writer.append_batch(&[record]).expect("stored")[0]
        };
        assert_eq!(at(0, 7, "first").expect("appended").seq, Seq(1));
        assert_eq!(at(0, 8, "x").expect("appended").seq, Seq(2));
        let day = limits::RETRY_KEPT_MS;
        assert!(at(day, 7, "first").expect("known").is_retry);
        assert_eq!(at(day, 7, "second"), Err(RecordFault::Conflict));
        assert_eq!(at(day + 1, 7, "second").expect("appended").seq, Seq(3));
        // From here on it is the second one's.
        for number in 100..110 {
            assert!(!at(day + 1, number, "x").expect("appended").is_retry);
            let again = at(2 * day + 1, 7, "second").expect("known");
            assert_eq!((again.seq, again.is_retry), (Seq(3), true));
        }
        assert_eq!(at(2 * day + 2, 7, "third").expect("appended").seq, Seq(14));
    }
}

#[test]
fn expired_numbers_are_removed_as_fast_as_new_ones_come() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = options(&directory, 10);
    let mut writer = Writer::open(&options).expect("a new file");
    let mut number = 0;
    let mut say = |writer: &mut Writer, unix_ms, count| {
        for _ in 0..count {
            number += 1;
            let record = Record { unix_ms, ..text(1, 2, number, "x") };
            writer.append_batch(&[record]).expect("stored")[0].expect("appended");
        }
    };
    say(&mut writer, NOW_MS, 500);
    let full = count(&options, "retries");
    assert!(full > 450, "{full}");
    let later = NOW_MS + limits::RETRY_KEPT_MS + 1;
    say(&mut writer, later, 250);
    drop(writer);
    let mut writer = Writer::open(&options).expect("open again");
    say(&mut writer, later, 250);
    // What is left is of the last 500, but for what is under way.
    let left = count(&options, "retries");
    let expired = count(&options, "retries WHERE message <= 500");
    assert!(left <= 530 && expired <= 30, "{left} left, {expired} of them expired");
}

#[test]
fn a_file_of_the_first_version_is_taken_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = options(&directory, 4);
    let old = Connection::open(&options.path).expect("a file");
    old.execute_batch(include_str!("version_1.sql")).expect("made as the first version made it");
    drop(old);
    let mut writer = Writer::open(&options).expect("migrated");
    let retry = writer.append_batch(&[text(1, 2, 2, "two")]).expect("stored")[0].expect("known");
    assert_eq!((retry.seq, retry.is_retry), (Seq(2), true));
    let next = writer.append_batch(&[text(2, 1, 1, "three")]).expect("stored")[0];
    assert_eq!(next.expect("appended").seq, Seq(3));
    let mut reader = Reader::open(&options).expect("a reader");
    let page = reader.pull(text(1, 2, 0, "").conversation, Seq(0), 9).expect("read");
    let bodies: Vec<&[u8]> = page.messages.iter().map(|message| &*message.body).collect();
    assert_eq!(bodies, [&b"one"[..], b"two", b"three"]);
    assert_eq!(reader.head(text(3, 4, 0, "").conversation).expect("read"), Seq(1));
}
