//! Services that change something, very many of them and over several nodes at once.

use std::sync::atomic::{AtomicBool, Ordering};

use mysql_async::prelude::Queryable;
use store::{Accounts, Ask, MessageWriter, MysqlOptions, MysqlWriter, NewAccount, Record, limits};
use wire::{ConfirmFriend, CreateGroup, OpenPrivate, RemoveFriend, RequestFriend, Service, UserId};

use crate::{NOW_MS, own_server, room, status, text, until};

/// People of these names, and a way to ask for what changes something.
fn people(options: &MysqlOptions, count: u64) -> Vec<UserId> {
    let mut accounts = Accounts::open_mysql(options).expect("accounts");
    let register = |number: u64| {
        let account = NewAccount {
            username: format!("user{number}"),
            email: format!("user{number}@example.org"),
            phc: "$none".to_owned(),
            created_unix_ms: 1,
        };
        accounts.register(&account).expect("store").expect("a free name")
    };
    (0..count).map(register).collect()
}

const fn ask(user: UserId, service: Service<'_>) -> Ask<'_> {
    let unix_ms = NOW_MS;
    Ask { user, unix_ms, correlation: 7, message_ids: None, revoke_window_ms: 0, service }
}

#[test]
fn very_many_changes_are_some_transactions_and_each_is_answered_in_its_place() {
    let (server, options) = own_server();
    let options = options.with_patience(limits::MYSQL_PATIENCE);
    let users = people(&options, 5);
    let mut writer = MysqlWriter::open(&options).expect("a writer");
    let names: Vec<String> = (0..150).map(|number| format!("group {number}")).collect();
    let asks: Vec<Ask<'_>> = (0..)
        .zip(&names)
        .map(|(number, name)| {
            // Every third one is refused.
            let user = if number % 3 == 0 { UserId(99) } else { users[number % 5] };
            ask(user, Service::CreateGroup(CreateGroup { name: name.as_bytes() }))
        })
        .collect();
    let before = status(&server, "Com_commit");
    let (appended, served) = writer.work(&[text(room(1), 1, 1)], &asks).expect("worked");
    assert_eq!((appended.len(), served.len()), (1, 150));
    for ((number, served), name) in (0..).zip(&served).zip(&names) {
        assert_eq!(served.is_err(), number % 3 == 0, "{number}");
        let Ok(answer) = served else { continue };
        assert!(answer.frames.windows(name.len()).any(|part| part == name.as_bytes()));
    }
    let commits = status(&server, "Com_commit") - before;
    assert_eq!(commits, 150_u64.div_ceil(limits::MYSQL_CHANGES_MAX as u64));
}

#[test]
fn two_nodes_that_change_the_same_in_any_order_never_deadlock() {
    const ROUNDS: u64 = 60;
    let (server, options) = own_server();
    let options = options.with_patience(limits::MYSQL_PATIENCE);
    let users = people(&options, 12);
    // Whoever makes a conversation cannot have locked it before: here all of them are there.
    let mut first = MysqlWriter::open(&options).expect("a writer");
    let rooms: Vec<Record<'_>> = (1..6).map(|number| text(room(number), 9, number)).collect();
    let opens: Vec<Ask<'_>> = users
        .iter()
        .flat_map(|one| users.iter().map(|other| (*one, *other)))
        .map(|(one, with)| ask(one, Service::OpenPrivate(OpenPrivate { with })))
        .collect();
    first.work(&rooms, &opens).expect("worked");
    let node = |seed: u64| {
        let mut writer = MysqlWriter::open(&options).expect("a writer");
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 0..ROUNDS {
            let mut asks = Vec::new();
            for _ in 0..12 {
                let (one, other) = (random.choice(&users), random.choice(&users));
                let (Some(&one), Some(&other)) = (one, other) else { continue };
                let (to, from, user, with) = (other, other, other, other);
                let (alias, note) = (&b""[..], &b""[..]);
                asks.push(ask(
                    one,
                    match random.u8(0..4) {
                        0 => Service::RequestFriend(RequestFriend { to, alias, note }),
                        1 => Service::ConfirmFriend(ConfirmFriend { from, alias }),
                        2 => Service::OpenPrivate(OpenPrivate { with }),
                        _ => Service::RemoveFriend(RemoveFriend { user }),
                    },
                ));
            }
            let said = |number| text(room(random.u64(1..6)), seed, round * 4 + number);
            let records: Vec<Record<'_>> = (0..4).map(said).collect();
            writer.work(&records, &asks).expect("worked");
        }
        writer.links()
    };
    let nodes = std::thread::scope(|scope| {
        let nodes = [1, 2, 3].map(|seed| scope.spawn(move || node(seed)));
        nodes.map(|node| node.join().expect("a node"))
    });
    let deadlocks = status(&server, "Innodb_deadlocks");
    assert_eq!(deadlocks, 0, "{nodes:?}");
}

#[test]
fn a_batch_that_meets_anothers_lock_is_tried_again_and_counted() {
    let (server, options) = own_server();
    let options = options.with_patience(limits::MYSQL_PATIENCE);
    let users = people(&options, 1);
    let (sender, holding) = std::sync::mpsc::channel();
    let free = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Another node's transaction, which holds the user's row for longer than a lock is waited for.
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            let url = server.url("story");
            let mut other =
                runtime.block_on(mysql_async::Conn::from_url(url)).expect("a connection");
            let mut run = |statement| runtime.block_on(other.query_drop(statement)).expect("done");
            run("START TRANSACTION");
            run("SELECT * FROM accounts FOR UPDATE");
            sender.send(()).expect("somebody waits");
            until(|| free.load(Ordering::Relaxed));
            run("ROLLBACK");
        });
        holding.recv().expect("locked");
        let mut writer = MysqlWriter::open(&options).expect("a writer");
        let create = ask(users[0], Service::CreateGroup(CreateGroup { name: b"friends" }));
        let busy = writer.work(&[text(room(1), 1, 1)], &[create]).expect_err("it is locked");
        assert!(busy.is_busy(), "{busy}");
        assert_eq!(writer.links().retried, u64::from(limits::MYSQL_TRIES) - 1);
        free.store(true, Ordering::Relaxed);
        let (appended, served) = loop {
            match writer.work(&[text(room(1), 1, 1)], &[create]) {
                Ok(worked) => break worked,
                Err(error) => assert!(error.is_busy(), "{error}"),
            }
        };
        assert!(appended[0].is_ok_and(|one| !one.is_retry) && served[0].is_ok());
        assert_eq!(writer.links().broken, 0);
    });
}
