//! Stories about backups: taken while somebody writes, refused when they are not whole, and never half made.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use store::{
    ACCOUNTS_FILE, Accounts, Error, MESSAGES_FILE, Manifest, NewAccount, Options, Reader, Record,
    Writer, back_up, restore,
};
use wire::{ClientMessageId, ConversationId, MessageId, Seq, UserId};

const NOW_MS: u64 = 1_800_000_000_000;

/// A directory for data, backups and what is restored.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn back_up(&self) -> Result<Manifest, Error> {
        back_up(&self.at("data"), &self.at("backup"), NOW_MS, &mut |_| {})
    }

    fn restore(&self, to: &str, is_forced: bool) -> Result<Option<PathBuf>, Error> {
        restore(&self.at("backup"), &self.at(to), is_forced, NOW_MS, &mut |_| {})
    }

    /// What is in the directory, by name.
    fn entries(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(name)).expect("a directory");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        names.sort();
        names
    }
}

fn text(number: u64, body: &[u8]) -> Record<'_> {
    let to = 2 + number % 20;
    Record {
        conversation: ConversationId::private(UserId(1), UserId(to)),
        seq: None,
        message_id: MessageId(number),
        from: UserId(1),
        client_message_id: ClientMessageId(number),
        unix_ms: NOW_MS,
        body,
    }
}

fn say(data: &Path, numbers: std::ops::Range<u64>) -> Writer {
    let mut writer = Writer::open(&Options::messages(data)).expect("a writer");
    for number in numbers {
        writer.append_batch(&[text(number, b"text")]).expect("stored")[0].expect("appended");
    }
    writer
}

fn register(data: &Path, name: &str) -> UserId {
    let account = NewAccount {
        username: name.to_owned(),
        email: format!("{name}@example.org"),
        phc: "$none".to_owned(),
        created_unix_ms: NOW_MS,
    };
    let mut accounts = Accounts::open(&Options::accounts(data)).expect("accounts");
    accounts.register(&account).expect("registered").expect("a free name")
}

/// Everything that a directory has, by conversation and place.
fn stored(data: &Path) -> HashMap<(ConversationId, Seq), MessageId> {
    drop(Writer::open(&Options::messages(data)).expect("opens"));
    let mut reader = Reader::open(&Options::messages(data)).expect("a reader");
    let mut all = HashMap::new();
    for to in 2..22 {
        let conversation = ConversationId { first: 1, second: to };
        let (mut after, mut is_complete) = (Seq(0), false);
        while !is_complete {
            let page = reader.pull(conversation, after, 1_000).expect("read");
            for message in page.messages {
                assert_eq!(message.seq, Seq(after.0 + 1), "dense");
                after = message.seq;
                all.insert((conversation, after), message.message_id);
            }
            is_complete = page.is_complete;
        }
    }
    all
}

#[test]
fn what_was_acknowledged_before_a_backup_began_is_in_it_however_much_is_written_meanwhile() {
    let place = Place::new();
    let data = place.at("data");
    register(&data, "alice");
    let acknowledged = Mutex::new(HashMap::new());
    let is_over = AtomicBool::new(false);
    let body = vec![b'x'; 3_000];
    let mut writer = Writer::open(&Options::messages(&data)).expect("a writer");
    let mut write = |numbers: std::ops::Range<u64>| {
        let records: Vec<Record<'_>> = numbers.map(|number| text(number, &body)).collect();
        let results = writer.append_batch(&records).expect("stored");
        let mut acknowledged = acknowledged.lock().expect("nobody panicked");
        for (record, result) in records.iter().zip(results) {
            let seq = result.expect("appended").seq;
            acknowledged.insert((record.conversation, seq), record.message_id);
        }
    };
    (0..40).for_each(|batch| write(batch * 100..batch * 100 + 100));
    let (before, during) = std::thread::scope(|scope| {
        let is_over = &is_over;
        let load = scope.spawn(move || {
            let mut batch = 40;
            while !is_over.load(Ordering::Acquire) {
                write(batch * 100..batch * 100 + 20);
                batch += 1;
            }
        });
        while acknowledged.lock().expect("nobody panicked").len() < 4_100 {
            std::thread::yield_now();
        }
        let before = acknowledged.lock().expect("nobody panicked").clone();
        let mut steps = 0;
        let begun = back_up(&data, &place.at("backup"), NOW_MS, &mut |_| steps += 1);
        is_over.store(true, Ordering::Release);
        let during = acknowledged.lock().expect("nobody panicked").len() - before.len();
        load.join().expect("the load goes on");
        begun.expect("a backup");
        assert!(steps > 5, "{steps} steps");
        (before, during)
    });
    assert!(during > 20, "only {during} were written meanwhile");
    assert_eq!(place.restore("new", false), Ok(None));
    let restored = stored(&place.at("new"));
    let acknowledged = acknowledged.into_inner().expect("nobody panicked");
    assert!(before.iter().all(|(key, id)| restored.get(key) == Some(id)), "something is missing");
    // One state of the file: nothing that was not said, and of what was said meanwhile the first part.
    assert!(restored.iter().all(|(key, id)| acknowledged.get(key) == Some(id)));
    let mut accounts = Accounts::open(&Options::accounts(&place.at("new"))).expect("accounts");
    assert!(accounts.find("alice").expect("read").is_some());
}

#[test]
fn ids_that_the_lost_future_gave_are_not_given_again() {
    let place = Place::new();
    let data = place.at("data");
    let mut given = say(&data, 0..10).lease_id_blocks(4).expect("the first start");
    place.back_up().expect("a backup");
    let mut lease = |data: &Path| {
        let mut writer = Writer::open(&Options::messages(data)).expect("a writer");
        given.extend(writer.lease_id_blocks(4).expect("a start"));
    };
    // What came after the backup, and is lost; then two lives of a restored directory, and a restore of the same again.
    (0..50).for_each(|_| lease(&data));
    place.restore("one", false).expect("restored");
    (0..50).for_each(|_| lease(&place.at("one")));
    place.restore("two", false).expect("restored");
    (0..50).for_each(|_| lease(&place.at("two")));
    given.sort_unstable();
    // An hour of a million ids a second fits between any two.
    assert!(given.windows(2).all(|pair| pair[1] - pair[0] > 3_600_000_000));
    assert!(given.iter().all(|base| i64::try_from(base + (1 << 41)).is_ok()));
}

#[test]
fn a_damaged_backup_is_refused_and_nothing_is_made() {
    let place = Place::new();
    register(&place.at("data"), "alice");
    drop(say(&place.at("data"), 0..200));
    place.back_up().expect("a backup");
    let mut random = fastrand::Rng::with_seed(1);
    for name in [MESSAGES_FILE, ACCOUNTS_FILE, "manifest"] {
        let path = place.at("backup").join(name);
        let whole = fs::read(&path).expect("a file");
        let mut damaged = vec![whole[..whole.len() - 1].to_vec(), Vec::new()];
        for _ in 0..10 {
            let mut changed = whole.clone();
            changed[random.usize(0..whole.len())] ^= 1 << random.u8(0..8);
            damaged.push(changed);
        }
        for bytes in damaged {
            fs::write(&path, bytes).expect("written");
            let error = place.restore("new", false).expect_err("damaged");
            let is_clear = error.to_string().contains("damaged: use another backup")
                || error.to_string().contains("is no backup");
            assert!(!error.is_busy() && is_clear, "{error}");
            assert!(!place.at("new").exists());
        }
        fs::remove_file(&path).expect("removed");
        assert!(!place.restore("new", false).expect_err("missing").is_busy());
        fs::write(&path, whole).expect("as it was");
    }
    place.restore("new", false).expect("whole again");
}

#[test]
fn what_is_there_is_refused_or_put_aside_and_what_is_in_use_is_refused_always() {
    let place = Place::new();
    register(&place.at("data"), "alice");
    drop(say(&place.at("data"), 0..10));
    place.back_up().expect("a backup");
    let writer = say(&place.at("other"), 0..50);
    let before = place.entries("other");
    let error = place.restore("other", false).expect_err("not empty");
    assert!(error.to_string().contains("--force"), "{error}");
    let error = place.restore("other", true).expect_err("in use");
    assert!(!error.is_busy() && error.to_string().contains("in use"), "{error}");
    assert_eq!(place.entries("other"), before);
    drop(writer);
    // A reader alone holds it too.
    let reader = Reader::open(&Options::messages(&place.at("other"))).expect("a reader");
    assert!(place.restore("other", true).is_err());
    drop(reader);
    fs::write(place.at("other").join("key"), "another's").expect("a file");
    let aside = place.restore("other", true).expect("restored").expect("something was there");
    assert_eq!(stored(&place.at("other")).len(), 10);
    assert_eq!(stored(&aside).len(), 50);
    assert!(place.entries("other").contains(&"key".to_owned()));
    // One that is no database any more is replaced too.
    fs::write(place.at("other").join(MESSAGES_FILE), "x".repeat(10_000)).expect("damaged");
    fs::remove_dir_all(aside).expect("removed");
    place.restore("other", true).expect("restored");
    assert_eq!(stored(&place.at("other")).len(), 10);
}

#[test]
fn a_backup_that_fails_leaves_nothing_and_one_that_is_there_is_kept() {
    let place = Place::new();
    let error = place.back_up().expect_err("no data");
    assert!(!error.is_busy() && error.to_string().contains("there is no"), "{error}");
    drop(say(&place.at("data"), 0..200));
    // A file that is damaged in the middle.
    drop(say(&place.at("other"), 0..2_000));
    let path = place.at("other").join(MESSAGES_FILE);
    let mut bytes = fs::read(&path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8_192].fill(0xa5);
    fs::write(&path, bytes).expect("damaged");
    let error = back_up(&place.at("other"), &place.at("backup"), NOW_MS, &mut |_| {});
    assert!(!error.expect_err("damaged").is_busy());
    assert_eq!(place.entries(""), ["data", "other"]);
    let manifest = place.back_up().expect("a backup");
    assert_eq!(Manifest::read(&place.at("backup")), Ok(manifest));
    assert_eq!(place.entries("backup"), ["manifest", MESSAGES_FILE]);
    assert!(place.back_up().expect_err("there already").to_string().contains("is there"));
    let mode = |path: PathBuf| path.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(place.at("backup")), 0o700);
    assert_eq!(mode(place.at("backup").join(MESSAGES_FILE)) & 0o077, 0);
}

#[test]
fn a_file_of_an_older_version_is_backed_up_and_restored_as_a_newer_one() {
    let place = Place::new();
    fs::create_dir(place.at("data")).expect("a directory");
    let old = Connection::open(place.at("data").join(MESSAGES_FILE)).expect("a file");
    old.execute_batch(include_str!("version_1.sql")).expect("made as the first version made it");
    drop(old);
    place.back_up().expect("a backup");
    place.restore("new", false).expect("restored");
    let mut reader = Reader::open(&Options::messages(&place.at("new"))).expect("a reader");
    let head = reader.head(ConversationId { first: 1, second: 2 }).expect("read");
    assert_eq!(head, Seq(2));
}

const FULL: &str = "RINGLINE_TEST_FULL_PLACE";

/// What the child does, if this process is one: a backup and a restore where files cannot grow. As a test of its own it does
/// nothing.
#[test]
fn child() {
    let Ok(place) = std::env::var(FULL) else { return };
    let at = |name: &str| Path::new(&place).join(name);
    let error = back_up(&at("data"), &at("backup"), NOW_MS, &mut |_| {}).expect_err("full");
    assert!(error.is_busy(), "{error}");
    let error = restore(&at("whole"), &at("new"), false, NOW_MS, &mut |_| {}).expect_err("full");
    assert!(error.is_busy(), "{error}");
}

#[test]
fn a_full_disk_leaves_nothing_half_made_behind() {
    let place = Place::new();
    register(&place.at("data"), "alice");
    drop(say(&place.at("data"), 0..2_000));
    back_up(&place.at("data"), &place.at("whole"), NOW_MS, &mut |_| {}).expect("there is room");
    // A limit to the size of files is what a process can have of a full disk for itself alone.
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" --exact child --nocapture"])
        .arg(std::env::current_exe().expect("this program"))
        .env(FULL, place.0.path())
        // The limit holds for whatever its output is written to as well.
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("a shell");
    assert!(status.success(), "{status}");
    assert_eq!(place.entries(""), ["data", "whole"]);
    place.back_up().expect("there is room again");
}
