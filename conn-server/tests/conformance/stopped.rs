//! A shard's thread that stands still: its peers serve their own, the store serves them, and the node ends in time.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use chat::{Durability, StoreOutcome, StoreRequest, Stored};
use conn_server::driver::DriverKind;
use conn_server::limits::INBOX_MESSAGES_MAX;
use conn_server::mesh::StoreLane;
use conn_server::server::{NodeError, NodeHandle, Outcome, ServerConfig};
use conn_server::sizing::ShardCount;
use wire::{CloseReason, Event, Seq, ShardId, UserId, home_of_user};

use crate::node::{TestNode, settings};
use crate::peer::{Peer, text};

/// The shard that stands still.
const STILL: u16 = 1;
/// A body, so that a few hundred texts are all the credit that a shard has at another.
const BODY: usize = 30_000;

fn two_shards(driver: DriverKind) -> ServerConfig {
    let mut config = settings(driver);
    config.shards = ShardCount::Fixed(2);
    config.body_bytes_max = 32 * 1024;
    config
}

/// The `n`th user who lives at a shard of two.
fn user(home: u16, n: usize) -> u64 {
    (1..).filter(|user| home_of_user(UserId(*user), 2).0 == home).nth(n).unwrap()
}

/// Keeps a shard's thread where it is, between two turns, until this is dropped.
struct Still(#[allow(dead_code, reason = "dropping it lets the shard go on")] mpsc::Sender<()>);

impl Still {
    /// A snapshot is taken on the shard's own thread: one that does not return stops it.
    fn new(handle: &NodeHandle, with_full_inbox: bool) -> Self {
        let (release, released) = mpsc::channel::<()>();
        let (say, said) = mpsc::channel();
        // Each shard has its own: only the one that is meant waits for it.
        let released = std::sync::Arc::new(std::sync::Mutex::new(released));
        handle.request_snapshots(move |snapshot| {
            if snapshot.shard == ShardId(STILL) {
                say.send(()).unwrap();
                let _ = released.lock().unwrap().recv();
            }
        });
        said.recv().expect("the shard stands still");
        if with_full_inbox {
            // Questions that it will answer when it goes on.
            for _ in 0..=INBOX_MESSAGES_MAX {
                handle.request_snapshots(|_| {});
            }
        }
        Self(release)
    }
}

/// A counter of the shard that runs.
fn paused(node: &TestNode) -> u64 {
    let (say, said) = mpsc::channel();
    node.handle().request_snapshots(move |snapshot| {
        if snapshot.shard != ShardId(STILL) {
            let _ = say.send(snapshot.chat.paused);
        }
    });
    said.recv().expect("the other shard answers")
}

/// So many texts to somebody, without waiting for anything; a thread of their own, since the node may stop reading.
fn flood(peer: &Peer, to: u64, count: u64) -> thread::JoinHandle<()> {
    let mut writer = peer.stream.try_clone().unwrap();
    thread::spawn(move || {
        for id in 1..=count {
            std::io::Write::write_all(&mut writer, &text(to, id, &[b'x'; BODY])).unwrap();
        }
    })
}

pub(crate) fn the_others_go_on_and_nothing_is_lost(driver: DriverKind) {
    // So many that no reader's own queue comes near its bound when the shard catches up.
    const READERS: usize = 8;
    const TEXTS: u64 = 40;
    let node = TestNode::with(&two_shards(driver));
    let at = |shard, user| node.login_at(node.shard_address(shard), user);
    let readers: Vec<u64> = (0..READERS).map(|n| user(STILL, n)).collect();
    let mut to: Vec<Peer> = readers.iter().map(|reader| at(STILL, *reader)).collect();
    let mut from: Vec<Peer> = (0..READERS).map(|n| at(0, user(0, 10 + n))).collect();
    let (mut a, mut b) = (at(0, user(0, 1)), at(0, user(0, 2)));
    let still = Still::new(node.handle(), false);
    let writing: Vec<_> =
        from.iter().zip(&readers).map(|(from, to)| flood(from, *to, TEXTS)).collect();
    // Out of credit there, writers wait; two others talk, and a third comes.
    node.until_that("writers are held back", || paused(&node) > 0);
    for id in 1..=100 {
        a.write(&text(user(0, 2), id, b"hello"));
        assert_eq!(a.expect_acked().client_message_id.0, id);
        assert_eq!(b.expect_text().body, b"hello");
    }
    let mut c = at(0, user(0, 3));
    c.check_alive(user(0, 3), 1);
    drop(still);
    for (from, to) in from.iter_mut().zip(&mut to) {
        let mut acked = 0;
        for _ in 0..TEXTS {
            from.event(|event| match event {
                Event::Acked(_) => acked += 1,
                Event::Rejected(_) => {}
                other => panic!("no answer but {other:?}"),
            });
        }
        // What was acknowledged has arrived, each once, in order.
        for seq in 1..=acked {
            assert_eq!(to.expect_text().seq, Seq(seq));
        }
    }
    writing.into_iter().for_each(|writing| writing.join().unwrap());
    drop((a, b, c, from, to));
    node.stop();
}

/// Answers appends as a store would, each in its turn.
fn serve(lane: &StoreLane) {
    while let Some(mail) = lane.recv() {
        let outcomes = mail.batch.requests.iter().map(|request| {
            let StoreRequest::Append(append) = request else { panic!("only texts are sent") };
            let appended = Stored::Appended {
                seq: Seq(append.client_message_id.0),
                message_id: append.message_id,
                unix_ms: append.unix_ms,
            };
            StoreOutcome { ticket: append.ticket, result: Ok(appended) }
        });
        lane.answer(mail.shard, outcomes.collect(), mail.batch);
    }
}

pub(crate) fn the_store_answers_the_others(driver: DriverKind) {
    let mut config = two_shards(driver);
    config.durability = Durability::Commit;
    config.store_stall = Duration::from_secs(600);
    let mut node = TestNode::with(&config);
    let lane = node.take_store();
    let (a, b) = (user(0, 1), user(1, 1));
    let mut here = node.login_at(node.shard_address(0), a);
    let mut there = node.login_at(node.shard_address(STILL), b);
    there.write(&text(b, 1, b"a note"));
    // The store has its request when it stops, and an inbox that takes nothing more.
    let first = lane.recv().expect("a request");
    assert_eq!(first.shard, ShardId(STILL));
    let still = Still::new(node.handle(), true);
    let StoreRequest::Append(append) = &first.batch.requests[0] else { panic!("a text") };
    let appended =
        Stored::Appended { seq: Seq(1), message_id: append.message_id, unix_ms: append.unix_ms };
    let outcome = StoreOutcome { ticket: append.ticket, result: Ok(appended) };
    assert!(lane.answer(first.shard, vec![outcome], first.batch), "without waiting");
    let store = thread::spawn(move || serve(&lane));
    for id in 1..=100 {
        here.check_alive(a, id);
    }
    drop(still);
    assert_eq!(there.expect_acked().client_message_id.0, 1);
    there.check_alive(b, 2);
    drop((here, there));
    node.stop();
    store.join().unwrap();
}

pub(crate) fn a_drain_ends_without_it(driver: DriverKind) {
    let mut config = two_shards(driver);
    config.drain_timeout = Duration::from_secs(1);
    let mut node = TestNode::with(&config);
    let mut here = node.login_at(node.shard_address(0), user(0, 0));
    let there = node.login_at(node.shard_address(STILL), user(1, 0));
    let still = Still::new(node.handle(), true);
    node.handle().drain();
    here.expect_goodbye(CloseReason::Shutdown);
    drop(here);
    let ended = node.try_join();
    assert!(matches!(&ended, Err(NodeError::Stuck(shards)) if shards == &[STILL]), "{ended:?}");
    drop((still, there));
}

pub(crate) fn an_abort_ends_without_it(driver: DriverKind) {
    let mut node = TestNode::with(&two_shards(driver));
    let still = Still::new(node.handle(), true);
    node.handle().abort();
    let ended = node.try_join();
    assert!(matches!(&ended, Err(NodeError::Stuck(shards)) if shards == &[STILL]), "{ended:?}");
    drop(still);
    // One that hears of it later ends well, too.
    let mut node = TestNode::with(&two_shards(driver));
    let still = Still::new(node.handle(), true);
    node.handle().drain();
    node.handle().abort();
    drop(still);
    assert_eq!(node.join(), Outcome::Aborted);
}

pub(crate) fn much_behind_a_login_waits_for_the_home(driver: DriverKind) {
    const TEXTS: u64 = 100;
    let node = TestNode::with(&two_shards(driver));
    let still = Still::new(node.handle(), false);
    let stray = user(STILL, 0);
    let mut peer = node.peer_at(node.shard_address(0));
    let login = crate::peer::login(&node.token(stray, 1));
    peer.write(&login);
    // Three megabytes to itself: no spill holds that.
    let writing = flood(&peer, stray, TEXTS);
    node.until_that("the socket is left alone", || paused(&node) > 0);
    drop(still);
    peer.event(|event| assert!(matches!(event, Event::Welcome(_)), "no welcome but {event:?}"));
    peer.expect_all_acked(1, TEXTS);
    writing.join().unwrap();
    drop(peer);
    node.stop();
}
