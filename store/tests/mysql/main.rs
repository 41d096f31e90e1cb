//! Stories that only a database server can tell: it freezes, it is killed, two nodes write at once, somebody else's tables
//! are there, and what it keeps for its clients stays bounded.
#![allow(unreachable_pub, reason = "the modules of one test")]

#[path = "../ground/mod.rs"]
mod ground;

mod changes;
mod retain;
mod tls;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use store::{
    Accounts, AccountsService, Appended, Error, MessageReader, MessageWriter, MysqlOptions,
    MysqlReader, MysqlWriter, NewAccount, PrivateServer, Record, limits,
};
use wire::{ClientMessageId, ConversationId, MessageId, RoomId, Seq, UserId};

const NOW_MS: u64 = 1_000 * limits::RETRY_KEPT_MS;

/// Short, so that a server that stands still is found out soon.
const PATIENCE: Duration = Duration::from_millis(400);

fn text(conversation: ConversationId, from: u64, number: u64) -> Record<'static> {
    Record {
        conversation,
        seq: None,
        message_id: MessageId(from << 32 | number),
        from: UserId(from),
        client_message_id: ClientMessageId(number),
        unix_ms: NOW_MS,
        body: b"some words that are as long as people's words are on the whole",
    }
}

fn room(number: u64) -> ConversationId {
    ConversationId::room(RoomId(number))
}

/// A server of the story's own, with a database, where something is done to the server.
fn own_server() -> (PrivateServer, MysqlOptions) {
    let server = PrivateServer::start(&ground::directory()).expect("a database server");
    server.run("CREATE DATABASE story").expect("a database");
    let options = MysqlOptions::from_url(&server.url("story")).expect("a URL");
    (server, options.with_patience(PATIENCE))
}

fn signal(server: &PrivateServer, signal: Signal) {
    let pid = Pid::from_raw(server.pid().cast_signed()).expect("a process");
    kill_process(pid, signal).expect("a signal");
}

fn status(server: &PrivateServer, name: &str) -> u64 {
    let rows = server.query(&format!("SHOW GLOBAL STATUS LIKE '{name}'")).expect("a status");
    rows[0][1].parse().expect("a number")
}

/// A client that says one thing after another, and the same again until it is acknowledged.
struct Talker<'a> {
    busy: &'a AtomicU64,
    said: &'a AtomicU64,
    stop: &'a AtomicBool,
}

impl Talker<'_> {
    /// Gives what was acknowledged, in order.
    fn talk(&self, options: &MysqlOptions) -> Vec<(Record<'static>, Appended)> {
        let mut writer = MysqlWriter::open(options).expect("a writer");
        let (mut acknowledged, mut number) = (Vec::new(), 0);
        while !self.stop.load(Ordering::Relaxed) {
            let batch: Vec<Record<'_>> =
                (0..20).map(|index| text(room(index % 3 + 1), 1, number + index)).collect();
            let begun = Instant::now();
            match writer.append_batch(&batch) {
                Ok(results) => {
                    let results = results.into_iter().map(|result| result.expect("appended"));
                    acknowledged.extend(batch.into_iter().zip(results));
                    number += 20;
                    self.said.fetch_add(20, Ordering::Relaxed);
                }
                Err(error) => {
                    assert!(error.is_busy(), "{error}");
                    // What is refused because the server does not answer is refused in a time that is known.
                    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
                    self.busy.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
        acknowledged
    }
}

fn until(is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "it does not come to pass");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_server_that_freezes_and_one_that_is_killed_lose_nothing_that_was_acknowledged() {
    let (mut server, options) = own_server();
    let (busy, said, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let talker = Talker { busy: &busy, said: &said, stop: &stop };
    let acknowledged = std::thread::scope(|scope| {
        let talking = scope.spawn(|| talker.talk(&options));
        for round in 0..4 {
            let (before, busy_before) =
                (said.load(Ordering::Relaxed), busy.load(Ordering::Relaxed));
            until(|| said.load(Ordering::Relaxed) > before + 200);
            if round % 2 == 0 {
                signal(&server, Signal::STOP);
                until(|| busy.load(Ordering::Relaxed) > busy_before);
                signal(&server, Signal::CONT);
            } else {
                server.kill();
                until(|| busy.load(Ordering::Relaxed) > busy_before + 2);
                server.restart().expect("it starts again");
            }
            let before = said.load(Ordering::Relaxed);
            until(|| said.load(Ordering::Relaxed) > before + 200);
        }
        stop.store(true, Ordering::Relaxed);
        talking.join().expect("the talker")
    });
    assert!(acknowledged.len() > 1_600);
    let mut reader = MysqlReader::open(&options).expect("a reader");
    for conversation in (1..=3).map(room) {
        let mut wanted =
            acknowledged.iter().filter(|(record, _)| record.conversation == conversation);
        let mut after = Seq(0);
        loop {
            let page = reader.pull(conversation, after, 256).expect("read");
            for message in page.messages {
                assert_eq!(message.seq.0, after.0 + 1, "dense");
                after = message.seq;
                let (record, appended) = wanted.next().expect("no more than was acknowledged");
                assert_eq!((appended.seq, appended.message_id), (message.seq, message.message_id));
                assert_eq!(record.message_id, message.message_id, "once, in order");
            }
            if page.is_complete {
                break;
            }
        }
        assert!(wanted.next().is_none(), "nothing that was acknowledged is missing");
    }
}

#[test]
fn accounts_are_busy_while_the_server_is_away_and_come_back_by_themselves() {
    let (mut server, options) = own_server();
    let service = AccountsService::start_mysql(&options).expect("a service");
    let handle = service.handle();
    let register = |name: &str| {
        let (sender, answer) = std::sync::mpsc::channel();
        let account = NewAccount {
            username: name.to_owned(),
            email: format!("{name}@example.org"),
            phc: "$none".to_owned(),
            created_unix_ms: 1,
        };
        handle.register(account, move |made| drop(sender.send(made))).expect("room");
        answer.recv().expect("an answer")
    };
    register("ada").expect("store").expect("free");
    server.kill();
    assert!(register("bea").expect_err("away").is_busy());
    assert!(handle.fault().is_some_and(|error| error.is_busy()));
    server.restart().expect("it starts again");
    until(|| handle.fault().is_none());
    register("bea").expect("store").expect("free");
    for name in ["ada", "bea"] {
        let (sender, answer) = std::sync::mpsc::channel();
        handle.find(name.to_owned(), move |found| drop(sender.send(found))).expect("room");
        assert!(answer.recv().expect("an answer").expect("store").is_some(), "{name}");
    }
}

#[test]
fn a_gateway_may_ask_from_within_its_runtime() {
    let (options, _) = ground::database();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let service = AccountsService::start_mysql(&options).expect("a service");
        let (sender, answer) = tokio::sync::oneshot::channel();
        let reply = move |found| drop(sender.send(found));
        service.handle().find("nobody".to_owned(), reply).expect("room");
        assert_eq!(answer.await.expect("an answer").expect("store"), None);
        service.stop();
        let nowhere = MysqlOptions::from_url("mysql://root@127.0.0.1:1/nowhere").expect("a URL");
        assert!(AccountsService::start_mysql(&nowhere).expect_err("nobody there").is_busy());
    });
}

#[test]
fn a_connection_that_was_closed_for_being_idle_is_nobodys_trouble() {
    let (server, options) = own_server();
    let mut writer = MysqlWriter::open(&options).expect("a writer");
    let mut reader = MysqlReader::open(&options).expect("a reader");
    writer.append_batch(&[text(room(1), 1, 1)]).expect("stored");
    assert_eq!(reader.head(room(1)).expect("read"), Seq(1));
    for id in server
        .query("SELECT id FROM information_schema.processlist WHERE db = 'story'")
        .expect("connections")
        .concat()
    {
        server.run(&format!("KILL CONNECTION {id}")).expect("closed");
    }
    writer.append_batch(&[text(room(1), 1, 2)]).expect("stored over a new one");
    assert_eq!(reader.head(room(1)).expect("read over a new one"), Seq(2));
}

#[test]
fn two_nodes_that_get_the_same_messages_give_each_one_place() {
    const MESSAGES: u64 = 600;
    let (options, _) = ground::database();
    // Both get everything, in batches of different sizes, so that they meet in all ways.
    let node = |size: usize| {
        let mut writer = MysqlWriter::open(&options).expect("a writer");
        let records: Vec<Record<'_>> = (0..MESSAGES)
            .map(|number| text(room(number % 5 + 1), number % 2 + 1, number))
            .collect();
        let mut results = Vec::new();
        for batch in records.chunks(size) {
            let appended = loop {
                match writer.append_batch(batch) {
                    Ok(appended) => break appended,
                    Err(error) => assert!(error.is_busy(), "{error}"),
                }
            };
            results.extend(appended.into_iter().map(|result| result.expect("appended")));
        }
        results
    };
    let (one, two) = std::thread::scope(|scope| {
        let (one, two) = (scope.spawn(|| node(7)), scope.spawn(|| node(11)));
        (one.join().expect("a node"), two.join().expect("a node"))
    });
    let mut places: Vec<(u64, Seq)> = Vec::new();
    for (number, (one, two)) in (0..).zip(one.iter().zip(&two)) {
        assert_eq!((one.seq, one.message_id), (two.seq, two.message_id), "message {number}");
        assert!(one.is_retry != two.is_retry, "message {number}: the first one, and a retry");
        places.push((number % 5, one.seq));
    }
    places.sort_unstable();
    let expected = (0..5).flat_map(|room| (1..=MESSAGES / 5).map(move |seq| (room, Seq(seq))));
    assert!(places.into_iter().eq(expected), "dense");
}

#[test]
fn servers_that_start_at_once_make_the_tables_once() {
    let (options, name) = ground::database();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| MysqlWriter::open(&options).expect("a writer"));
        }
    });
    let versions = format!("SELECT version FROM {name}.ringline_migrations");
    assert_eq!(ground::server().query(&versions).expect("versions"), [["1"]]);
}

#[test]
fn what_cannot_work_is_refused_with_advice_and_without_the_password() {
    let (server, options) = own_server();
    server.run("CREATE USER chat@localhost IDENTIFIED BY 'other'").expect("a user");
    let url = server.url("story").replace("root@", "chat:s3cret@");
    let missing = server.url("nowhere");
    for (url, advice) in [(url, "rights"), (missing, "CREATE DATABASE")] {
        let options = MysqlOptions::from_url(&url).expect("a URL");
        let error = MysqlWriter::open(&options).expect_err("no way in");
        let words = error.to_string();
        assert!(matches!(error, Error::Refused(_)) && words.contains(advice), "{words}");
        assert!(!words.contains("s3cret"), "{words}");
    }
    let nobody = MysqlOptions::from_url("mysql://chat:s3cret@127.0.0.1:1/story").expect("a URL");
    let error = MysqlWriter::open(&nobody).expect_err("nobody there");
    assert!(error.is_busy() && error.to_string().contains("127.0.0.1:1/story"), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");

    server.run("CREATE TABLE story.accounts (id INT)").expect("a table");
    let error = MysqlWriter::open(&options).expect_err("somebody else's tables");
    assert!(error.to_string().contains("not Ringline's"), "{error}");
    server.run("DROP TABLE story.accounts").expect("gone");

    server.run("SET GLOBAL innodb_flush_log_at_trx_commit = 2").expect("a setting");
    let error = MysqlWriter::open(&options).expect_err("not durable");
    assert!(error.to_string().contains("set it to 1"), "{error}");
    server.run("SET GLOBAL innodb_flush_log_at_trx_commit = 1").expect("a setting");

    drop(MysqlWriter::open(&options).expect("now it works"));
    server.run("INSERT INTO story.ringline_migrations VALUES (99)").expect("a newer version");
    let error = MysqlWriter::open(&options).expect_err("too new");
    assert!(error.to_string().contains("use the newer program"), "{error}");
}

#[test]
fn a_hundred_thousand_messages_leave_few_statements_and_read_few_rows() {
    let (server, options) = own_server();
    let mut writer = MysqlWriter::open(&options.clone().with_patience(limits::MYSQL_PATIENCE))
        .expect("a writer");
    let (mut number, mut most, mut random) = (0, 0, fastrand::Rng::with_seed(5));
    let begun = Instant::now();
    let (mut batches, mut batch) = (0, Vec::new());
    while number < 100_000 {
        batch.clear();
        for _ in 0..random.u64(1..600) {
            batch.push(text(room(random.u64(1..2_000)), random.u64(1..1_000), number));
            number += 1;
        }
        let results = writer.append_batch(&batch).expect("stored");
        assert!(results.iter().all(|result| result.is_ok_and(|one| !one.is_retry)));
        batches += 1;
        if batches % 20 == 0 {
            most = most.max(status(&server, "Prepared_stmt_count"));
        }
    }
    println!("{number} messages in {batches} commits took {:?}", begun.elapsed());
    assert!(most > 10 && most <= limits::MYSQL_STATEMENTS_MAX as u64, "{most} statements");

    // Every look-up is by an index: what a batch reads depends on the batch, not on what is there.
    for _ in 0..2 {
        let read_before = status(&server, "Rows_read");
        let results = writer.append_batch(&batch).expect("stored");
        assert!(results.iter().all(|result| result.is_ok_and(|one| one.is_retry)));
        let read = status(&server, "Rows_read") - read_before;
        assert!(read < 20 * batch.len() as u64 + 2_000, "{read} rows for {}", batch.len());
    }
    let mut reader = MysqlReader::open(&options).expect("a reader");
    let read_before = status(&server, "Rows_read");
    assert_eq!(reader.pull(room(7), Seq(0), 20).expect("read").messages.len(), 20);
    let read = status(&server, "Rows_read") - read_before;
    assert!(read < 200, "{read} rows for a page of 20");
}

#[test]
fn numbers_that_have_expired_are_removed_a_few_at_a_time() {
    let (options, name) = ground::database();
    let kept = || {
        let rows = ground::server().query(&format!("SELECT COUNT(*) FROM {name}.retries"));
        rows.expect("a count")[0][0].parse::<u64>().expect("a number")
    };
    let mut writer = MysqlWriter::open(&options).expect("a writer");
    let mut say = |count: u64, from: u64, day: u64| {
        let unix_ms = NOW_MS + day * (limits::RETRY_KEPT_MS + 1);
        let records: Vec<Record<'_>> =
            (0..count).map(|number| Record { unix_ms, ..text(room(1), from, number) }).collect();
        for batch in records.chunks(500) {
            writer.append_batch(batch).expect("stored");
        }
    };
    say(5_000, 1, 0);
    assert_eq!(kept(), 5_000);
    say(2_000, 2, 1);
    assert!(kept() < 5_000, "some are gone: {}", kept());
    say(5_000, 3, 1);
    assert_eq!(kept(), 7_000, "all of the first day");
}

#[test]
fn accounts_of_two_gateways_have_names_of_their_own() {
    let (options, _) = ground::database();
    let gateway = || {
        let mut accounts = Accounts::open_mysql(&options).expect("accounts");
        let new = |number: u64| NewAccount {
            username: format!("user{number}"),
            email: format!("user{number}@example.org"),
            phc: "$none".to_owned(),
            created_unix_ms: 1,
        };
        let made = (0..200).filter(|number| {
            let made = loop {
                match accounts.register(&new(*number)) {
                    Ok(made) => break made,
                    Err(error) => assert!(error.is_busy(), "{error}"),
                }
            };
            made.is_ok()
        });
        made.count()
    };
    let (one, two) = std::thread::scope(|scope| {
        let (one, two) = (scope.spawn(gateway), scope.spawn(gateway));
        (one.join().expect("a gateway"), two.join().expect("a gateway"))
    });
    assert_eq!(one + two, 200);
    assert_eq!(Accounts::open_mysql(&options).expect("accounts").count().expect("store"), 200);
}
