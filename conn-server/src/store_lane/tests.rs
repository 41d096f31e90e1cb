//! Stories about the store's threads, on real files: a lock of another connection is the stalled disk, a byte limit the
//! full one.

use std::sync::Arc;
use std::time::Duration;

use chat::{Append, HeadOf, PullPage, StoreBatch, StoreFault, StoreRequest, Stored, Ticket};
use rusqlite::Connection;
use store::{MysqlOptions, Options, PrivateServer};
use wire::{ClientMessageId, ConversationId, MessageId, Seq, ShardId, UserId};

use super::{OpenStore, StoreMonitor, StorePace, StoreService};
use crate::clock::Clock;
use crate::mesh::{Inbox, Mesh, Message, StoreLane, StoreMail, StoreSender};

const SHARD: ShardId = ShardId(0);

/// One shard's end of the lane, and the store at the other.
struct World {
    directory: tempfile::TempDir,
    inbox: Inbox,
    sender: StoreSender,
    service: StoreService,
    monitor: StoreMonitor,
    answers: std::collections::VecDeque<(u32, Result<Stored, StoreFault>)>,
}

/// An append that has the numbers of its ticket.
fn text(number: u32) -> Append {
    Append {
        ticket: Ticket::new(number, 0),
        conversation: ConversationId::private(UserId(1), UserId(2)),
        seq: None,
        message_id: MessageId(u64::from(number) + 1_000),
        from: UserId(1),
        client_message_id: ClientMessageId(u64::from(number)),
        unix_ms: 1,
        body: 0..0,
    }
}

impl World {
    fn new(options: impl FnOnce(&mut Options)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = Options::messages(directory.path());
        options(&mut settings);
        Self::over(OpenStore::open(&settings).unwrap(), directory, Duration::ZERO)
    }

    fn over(open: OpenStore, directory: tempfile::TempDir, interval: Duration) -> Self {
        let mesh = Mesh::new(1).unwrap();
        let inbox = mesh.inbox(SHARD).unwrap();
        let (sender, lane) = StoreLane::new(&mesh);
        let service = open.serve(lane, Clock::start(), pace(interval)).unwrap();
        let monitor = service.monitor();
        Self { directory, inbox, sender, service, monitor, answers: Default::default() }
    }

    fn post(&self, requests: Vec<StoreRequest>, bytes: Vec<u8>) {
        let batch = StoreBatch { requests, bytes };
        self.sender.send(StoreMail { shard: SHARD, batch }).unwrap();
    }

    fn append(&self, append: Append, body: &[u8]) {
        let append = Append { body: 0..u32::try_from(body.len()).unwrap(), ..append };
        self.post(vec![StoreRequest::Append(append)], body.to_vec());
    }

    fn ask_head(&self, number: u32) {
        let conversation = text(0).conversation;
        let head = HeadOf { ticket: Ticket::new(number, 0), conversation, for_user: None };
        self.post(vec![StoreRequest::Head(head)], Vec::new());
    }

    /// The next answer; waits for it as a shard does.
    fn answer(&mut self) -> (u32, Result<Stored, StoreFault>) {
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return answer;
            }
            while let Some(message) = self.inbox.take() {
                let Message::Stored { outcomes, spare } = message else { panic!("{message:?}") };
                assert!(spare.is_empty() && spare.bytes.is_empty());
                for outcome in outcomes {
                    let number = (0..).find(|n| Ticket::new(*n, 0) == outcome.ticket).unwrap();
                    self.answers.push_back((number, outcome.result));
                }
            }
            if self.answers.is_empty() && self.inbox.may_sleep() {
                let wake = self.inbox.wake_fd();
                let mut ready = [rustix::event::PollFd::new(&wake, rustix::event::PollFlags::IN)];
                rustix::event::poll(&mut ready, None).unwrap();
                rustix::io::read(wake, &mut [0; 8]).unwrap();
                self.inbox.woke();
            }
        }
    }

    #[track_caller]
    fn check_appended(&mut self, number: u32, seq: u64) {
        let message_id = MessageId(u64::from(number) + 1_000);
        let stored = Stored::Appended { seq: Seq(seq), message_id, unix_ms: 1 };
        assert_eq!(self.answer(), (number, Ok(stored)));
    }

    /// Another connection to the same file, which holds the lock that writers need.
    fn lock(&self) -> Connection {
        let path = self.directory.path().join(store::MESSAGES_FILE);
        let other = Connection::open(path).unwrap();
        other.busy_timeout(Duration::from_secs(60)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        other
    }

    /// Waits until the store's threads have come to this.
    fn until(&self, is_so: impl Fn(&super::StoreReport) -> bool) {
        while !is_so(&self.monitor.report()) {
            std::thread::yield_now();
        }
    }

    /// Ends the shard and waits for the store.
    fn end(self) -> tempfile::TempDir {
        drop((self.sender, self.inbox));
        self.service.join();
        self.directory
    }
}

fn at_once(options: &mut Options) {
    options.busy_timeout = Duration::ZERO;
}

fn patiently(options: &mut Options) {
    options.busy_timeout = Duration::from_secs(60);
}

fn pace(commit_interval: Duration) -> StorePace {
    StorePace { commit_interval, revoke_window: Duration::from_mins(2) }
}

#[test]
fn appends_are_answered_in_order_and_read_back() {
    let mut world = World::new(|_| ());
    world.append(text(0), b"hello");
    let pull = PullPage {
        ticket: Ticket::new(9, 0),
        conversation: text(0).conversation,
        user: UserId(1),
        after: Seq(0),
        limit: 10,
    };
    let both =
        [text(1), text(2)].map(|append| StoreRequest::Append(Append { body: 0..5, ..append }));
    world.post(both.to_vec(), b"again".to_vec());
    for (number, seq) in [(0, 1), (1, 2), (2, 3)] {
        world.check_appended(number, seq);
    }
    world.post(vec![StoreRequest::Pull(pull)], Vec::new());
    let (9, Ok(Stored::Page { messages, is_complete: true })) = world.answer() else {
        panic!("a page")
    };
    let bodies: Vec<&[u8]> = messages.iter().map(|message| &*message.body).collect();
    assert_eq!(bodies, [b"hello", b"again", b"again"]);
}

#[test]
fn what_is_too_old_goes_while_nobody_writes_and_the_place_of_the_next_stays() {
    let mut world = World::new(|options| options.retention.age_ms = Some(24 * 60 * 60 * 1_000));
    for number in 0..5 {
        world.append(text(number), b"said in 1970");
        world.check_appended(number, u64::from(number) + 1);
    }
    world.until(|report| report.stats.trimmed.messages == 5);
    let trimmed = world.monitor.report().stats.trimmed;
    assert_eq!((trimmed.bytes, trimmed.steps > 0), (60, true));
    world.ask_head(99);
    assert_eq!(world.answer(), (99, Ok(Stored::Head(Seq(5)))));
    world.append(text(7), b"next");
    world.check_appended(7, 6);
}

#[test]
fn a_number_used_for_something_else_is_a_conflict() {
    let mut world = World::new(|_| ());
    world.append(text(0), b"hello");
    world.check_appended(0, 1);
    world.append(Append { ticket: Ticket::new(1, 0), ..text(0) }, b"other");
    assert_eq!(world.answer(), (1, Err(StoreFault::Conflict)));
    assert_eq!(world.monitor.report().stats.conflicts, 1);
}

#[test]
fn while_a_commit_stalls_reads_go_on_and_what_waits_becomes_one_commit() {
    let mut world = World::new(patiently);
    world.append(text(0), b"x");
    world.check_appended(0, 1);
    let lock = world.lock();
    world.append(text(1), b"x");
    world.until(|report| report.committing.is_some_and(|time| time > Duration::ZERO));
    for number in 2..12 {
        world.append(text(number), b"x");
    }
    world.ask_head(99);
    assert_eq!(world.answer(), (99, Ok(Stored::Head(Seq(1)))));
    let report = world.monitor.report();
    assert_eq!(report.reasons(Duration::ZERO).len(), 1, "{report:?}");
    assert!(report.reasons(Duration::from_secs(3_600)).is_empty());

    lock.execute_batch("ROLLBACK").unwrap();
    for number in 1..12 {
        world.check_appended(number, u64::from(number) + 1);
    }
    let stats = world.monitor.report().stats;
    assert_eq!((stats.commits, stats.group_high, stats.appended), (3, 10, 12));
    assert_eq!(stats.latency.count(), 12);
}

#[test]
fn a_failing_disk_is_busy_and_red_and_comes_back_by_itself() {
    let mut world = World::new(at_once);
    let lock = world.lock();
    world.append(text(0), b"x");
    assert_eq!(world.answer(), (0, Err(StoreFault::Busy)));
    let reasons = world.monitor.report().reasons(Duration::from_secs(3_600));
    assert!(reasons[0].contains("another connection"), "{reasons:?}");
    // Nothing is tried before the pause is over: this one is answered without the disk.
    world.append(text(1), b"x");
    assert_eq!(world.answer(), (1, Err(StoreFault::Busy)));
    world.ask_head(99);
    assert_eq!(world.answer(), (99, Ok(Stored::Head(Seq(0)))));

    lock.execute_batch("ROLLBACK").unwrap();
    world.until(|report| report.write_fault.is_none());
    world.append(text(0), b"x");
    world.check_appended(0, 1);
}

#[test]
fn a_full_file_is_busy_and_red_until_there_is_room() {
    let mut world = World::new(|options| options.bytes_max = Some(1 << 20));
    let path = world.directory.path().join(store::MESSAGES_FILE);
    let other = Connection::open(path).unwrap();
    other
        .execute_batch("CREATE TABLE ballast (x); INSERT INTO ballast VALUES (zeroblob(600000));")
        .unwrap();
    let body = vec![b'x'; 30_000];
    let full_at = (0..)
        .find(|number| {
            world.append(text(*number), &body);
            match world.answer() {
                (_, Ok(Stored::Appended { seq, .. })) => {
                    assert_eq!(seq, Seq(u64::from(*number) + 1));
                    false
                }
                (_, result) => {
                    assert_eq!(result, Err(StoreFault::Busy));
                    true
                }
            }
        })
        .unwrap();
    let reasons = world.monitor.report().reasons(Duration::from_secs(3_600));
    assert!(reasons[0].contains("make room"), "{reasons:?}");
    world.ask_head(99);
    assert_eq!(world.answer(), (99, Ok(Stored::Head(Seq(u64::from(full_at))))));

    other.busy_timeout(Duration::from_secs(60)).unwrap();
    other.execute_batch("DROP TABLE ballast").unwrap();
    world.until(|report| report.write_fault.is_none());
    world.append(text(full_at), &body);
    world.check_appended(full_at, u64::from(full_at) + 1);
}

#[test]
fn what_was_shown_already_is_kept_until_the_disk_takes_it() {
    let mut world = World::new(at_once);
    let lock = world.lock();
    let shown = |number, seq| Append { seq: Some(Seq(seq)), ..text(number) };
    world.append(shown(0, 1), b"x");
    world.until(|report| report.stats.commit_faults >= 2);
    world.append(shown(1, 2), b"x");
    world.append(text(2), b"not shown");
    assert_eq!(world.answer(), (2, Err(StoreFault::Busy)));
    assert_eq!(world.monitor.report().stats.kept, 2);
    lock.execute_batch("ROLLBACK").unwrap();
    world.check_appended(0, 1);
    world.check_appended(1, 2);
    world.until(|report| report.write_fault.is_none());
    assert_eq!(world.monitor.report().stats.kept, 0);
}

#[test]
fn everything_posted_is_committed_before_the_threads_end() {
    let world = World::new(patiently);
    for number in 0..500 {
        world.append(text(number), b"x");
    }
    let directory = world.end();
    let options = Options::messages(directory.path());
    let mut reader = store::Reader::open(&options).unwrap();
    assert_eq!(reader.head(text(0).conversation).unwrap(), Seq(500));
}

#[test]
fn a_disk_that_refuses_to_the_end_does_not_hold_the_node() {
    let world = World::new(at_once);
    let _lock = world.lock();
    world.append(Append { seq: Some(Seq(1)), ..text(0) }, b"shown");
    world.until(|report| report.write_fault.is_some());
    drop(world.end());
}

#[test]
fn a_shard_that_has_ended_holds_nobody() {
    let mesh = Mesh::new(2).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (sender, lane) = StoreLane::new(&mesh);
    let open = OpenStore::open(&Options::messages(directory.path())).unwrap();
    let service = open.serve(lane, Clock::start(), pace(Duration::ZERO)).unwrap();
    drop(mesh.inbox(SHARD));
    let batch = StoreBatch { requests: vec![StoreRequest::Append(text(0))], bytes: Vec::new() };
    sender.send(StoreMail { shard: SHARD, batch }).unwrap();
    drop((sender, Arc::clone(&mesh)));
    service.join();
}

#[test]
fn a_store_that_cannot_be_opened_is_busy_and_red_until_it_can() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = Options::messages(directory.path());
    settings.busy_timeout = Duration::ZERO;
    drop(store::Writer::open(&settings).unwrap());
    let lock = Connection::open(&settings.path).unwrap();
    lock.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let mut open = OpenStore::open(&settings).unwrap();
    let drawn = open.lease_id_blocks(2).unwrap();
    let mut world = World::over(open, directory, Duration::ZERO);
    assert!(!world.monitor.report().reasons(Duration::from_secs(3_600)).is_empty());
    world.append(text(0), b"x");
    assert_eq!(world.answer(), (0, Err(StoreFault::Busy)));
    world.ask_head(99);
    assert_eq!(world.answer(), (99, Err(StoreFault::Busy)));

    drop(lock);
    world.until(|report| report.write_fault.is_none());
    world.append(text(0), b"x");
    world.check_appended(0, 1);
    world.ask_head(99);
    assert_eq!(world.answer(), (99, Ok(Stored::Head(Seq(1)))));
    // The next start leases as if nothing had been.
    let directory = world.end();
    let mut open = OpenStore::open(&Options::messages(directory.path())).unwrap();
    let leased = open.lease_id_blocks(2).unwrap();
    assert!(leased.iter().all(|base| drawn.iter().all(|drawn| drawn > base)));
}

#[test]
fn a_store_that_was_never_made_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    assert!(OpenStore::open(&Options::messages(&file)).is_err());
}

#[test]
fn a_database_that_goes_away_is_busy_and_red_and_comes_back_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = PrivateServer::start(&directory.path().join("server")).unwrap();
    server.run("CREATE DATABASE ringline").unwrap();
    let options = MysqlOptions::from_url(&server.url("ringline")).unwrap();
    let mut open = OpenStore::open(&options).unwrap();
    assert_eq!(open.lease_id_blocks(2).unwrap().len(), 2);
    let mut world = World::over(open, directory, Duration::ZERO);
    world.append(text(0), b"x");
    world.check_appended(0, 1);
    world.ask_head(99);
    assert_eq!(world.answer(), (99, Ok(Stored::Head(Seq(1)))));

    server.kill();
    world.append(text(1), b"x");
    assert_eq!(world.answer(), (1, Err(StoreFault::Busy)));
    world.ask_head(99);
    assert_eq!(world.answer(), (99, Err(StoreFault::Busy)));
    let reasons = world.monitor.report().reasons(Duration::from_secs(3_600));
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    // What was shown already is kept.
    world.append(Append { seq: Some(Seq(2)), ..text(2) }, b"shown");
    server.restart().unwrap();
    world.check_appended(2, 2);
    world.append(text(1), b"x");
    world.check_appended(1, 3);
    // A read that is refused says nothing of the next one.
    loop {
        world.ask_head(99);
        match world.answer() {
            (99, Ok(Stored::Head(seq))) => break assert_eq!(seq, Seq(3)),
            (99, Err(StoreFault::Busy)) => std::thread::yield_now(),
            other => panic!("{other:?}"),
        }
    }
    let stats = world.monitor.report().stats;
    for links in [stats.write_links, stats.read_links] {
        assert!(links.broken >= 1 && links.made >= 2 && links.refused >= 1, "{links:?}");
    }
    let world = world.end();
    assert!(OpenStore::open(&options).is_ok());
    drop((server, world));
    assert!(OpenStore::open(&options).is_err_and(|error| error.to_string().contains("ringline")));
}

#[test]
fn what_comes_soon_after_a_commit_shares_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let open = OpenStore::open(&Options::messages(directory.path())).unwrap();
    let mut world = World::over(open, directory, Duration::from_secs(1));
    for number in 0..11 {
        world.append(text(number), b"x");
        if number == 0 {
            // It waits for nobody.
            world.check_appended(0, 1);
        }
    }
    for number in 1..11 {
        world.check_appended(number, u64::from(number) + 1);
    }
    let stats = world.monitor.report().stats;
    assert_eq!((stats.commits, stats.group_high), (2, 10));
}
