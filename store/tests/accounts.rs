//! Stories about accounts: made once, counted per login, never half made.
#![allow(unreachable_pub, reason = "the modules of one test")]

mod ground;

use std::sync::mpsc;

use store::{Accounts, AccountsService, Error, NewAccount, Options, Taken};
use wire::{Epoch, UserId};

use ground::{Ground, Kind};

fn new(name: &str) -> NewAccount {
    NewAccount {
        username: name.to_owned(),
        email: format!("{name}@example.org"),
        phc: format!("$argon2id$of-{name}"),
        created_unix_ms: 1_000,
    }
}

fn room() -> (tempfile::TempDir, Options) {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options::accounts(directory.path());
    (directory, options)
}

fn a_registered_account_is_found_after_reopening(on: Kind) {
    let ground = Ground::new(on);
    let mut accounts = ground.accounts();
    let user = accounts.register(&new("Ada")).expect("store").expect("free");
    assert_eq!(user, UserId(1));
    drop(accounts);

    let mut accounts = ground.accounts();
    let found = accounts.find("Ada").expect("store").expect("there");
    assert_eq!((found.user, found.epoch, found.created_unix_ms), (user, Epoch(0), 1_000));
    assert_eq!((found.username.as_str(), found.phc.as_str()), ("Ada", "$argon2id$of-Ada"));
    assert_eq!(accounts.find_by_email("ada@EXAMPLE.org").expect("store"), Some(found));
    assert!(accounts.exists(user).expect("store"));
    assert!(!accounts.exists(UserId(2)).expect("store"));
    assert_eq!(accounts.find("nobody").expect("store"), None);
}

fn a_name_or_address_that_is_taken_is_said_and_nothing_is_made(on: Kind) {
    let ground = Ground::new(on);
    let mut accounts = ground.accounts();
    accounts.register(&new("ada")).expect("store").expect("free");

    let same_name = NewAccount { email: "other@example.org".into(), ..new("ADA") };
    assert_eq!(accounts.register(&same_name).expect("store"), Err(Taken::Username));
    let same_email = NewAccount { email: "Ada@Example.org".into(), ..new("bea") };
    assert_eq!(accounts.register(&same_email).expect("store"), Err(Taken::Email));
    assert_eq!(accounts.taken("Ada", "x@y").expect("store"), Some(Taken::Username));
    assert_eq!(accounts.taken("x", "ada@example.org").expect("store"), Some(Taken::Email));
    assert_eq!(accounts.taken("x", "x@y").expect("store"), None);
    assert_eq!(accounts.count().expect("store"), 1);
}

fn an_epoch_rises_only_under_the_password_that_was_checked(on: Kind) {
    let ground = Ground::new(on);
    let mut accounts = ground.accounts();
    let user = accounts.register(&new("ada")).expect("store").expect("free");
    let phc = "$argon2id$of-ada";
    assert_eq!(accounts.raise_epoch(user, phc).expect("store"), Some(Epoch(1)));
    assert_eq!(accounts.raise_epoch(user, "$argon2id$older").expect("store"), None);
    assert_eq!(accounts.raise_epoch(UserId(99), phc).expect("store"), None);
    assert_eq!(accounts.raise_epoch(user, phc).expect("store"), Some(Epoch(2)));
}

fn ten_thousand_accounts_are_provisioned_and_again_found_taken(on: Kind) {
    let ground = Ground::new(on);
    let mut accounts = ground.accounts();
    let wanted: Vec<NewAccount> = (0..10_000).map(|index| new(&format!("load-{index}"))).collect();
    let made = accounts.provision(&wanted).expect("store");
    assert!(made.iter().zip(1..).all(|(result, number)| *result == Ok(UserId(number))));
    let again = accounts.provision(&wanted).expect("store");
    assert!(again.iter().all(|result| *result == Err(Taken::Username)));
    assert_eq!(accounts.count().expect("store"), 10_000);
}

fn absurd_texts_are_refused(on: Kind) {
    let ground = Ground::new(on);
    let mut accounts = ground.accounts();
    let absurd = NewAccount { phc: "x".repeat(10_000), ..new("ada") };
    assert!(matches!(accounts.register(&absurd), Err(Error::Refused(_))));
    assert_eq!(accounts.count().expect("store"), 0);
}

#[test]
fn a_lock_held_by_another_connection_is_busy_and_passes() {
    let (_directory, mut options) = room();
    options.busy_timeout = std::time::Duration::ZERO;
    let mut accounts = Accounts::open(&options).expect("open");
    let other = rusqlite::Connection::open(&options.path).expect("another connection");
    other.execute_batch("BEGIN IMMEDIATE").expect("its lock");
    assert!(accounts.register(&new("ada")).expect_err("locked").is_busy());
    assert_eq!(accounts.find("ada").expect("reads go on"), None);
    other.execute_batch("ROLLBACK").expect("its end");
    accounts.register(&new("ada")).expect("store").expect("free");
}

fn the_service_answers_every_login_of_a_burst_with_epochs_of_its_own(on: Kind) {
    let ground = Ground::new(on);
    let user = ground.accounts().register(&new("ada")).expect("store").expect("free");
    let service = ground.accounts_service();
    let (sender, answers) = mpsc::channel();
    for _ in 0..1_000 {
        let sender = sender.clone();
        let reply = move |epoch| sender.send(epoch).expect("the test listens");
        service
            .handle()
            .raise_epoch(user, "$argon2id$of-ada".into(), reply)
            .expect("room in the queue");
    }
    drop(sender);
    let mut epochs: Vec<Epoch> =
        answers.iter().map(|answer| answer.expect("store").expect("the same password")).collect();
    epochs.sort_unstable();
    assert_eq!(epochs, (1..=1_000).map(Epoch).collect::<Vec<_>>());

    let (sender, answers) = mpsc::channel();
    service.handle().find("ada".into(), move |found| drop(sender.send(found))).expect("room");
    let found = answers.recv().expect("an answer").expect("store").expect("there");
    assert_eq!(found.epoch, Epoch(1_000));
}

fn a_full_queue_is_busy_at_once_and_a_stop_answers_what_was_taken(on: Kind) {
    let ground = Ground::new(on);
    drop(ground.accounts());
    let service = ground.accounts_service();
    let handle = service.handle();
    let (sender, answers) = mpsc::channel();
    // The first reply holds the thread, so that the queue behind it fills.
    let (release, held) = mpsc::channel::<()>();
    let first = sender.clone();
    handle
        .register(new("first"), move |made| {
            drop(first.send(made));
            let _ = held.recv(); // Until the test drops its end.
        })
        .expect("room");
    answers.recv().expect("an answer").expect("store").expect("free");

    let mut taken = 0;
    let refused = loop {
        let sender = sender.clone();
        let reply = move |made| drop(sender.send(made));
        match handle.register(new(&format!("user-{taken}")), reply) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(refused.is_busy());
    assert_eq!(taken, store::limits::ACCOUNT_REQUESTS_MAX);

    drop(release);
    service.stop();
    drop(sender);
    assert_eq!(answers.iter().filter(|made| matches!(made, Ok(Ok(_)))).count(), taken);
    let late = handle.find("first".into(), |_| unreachable!("the service has stopped"));
    assert!(late.expect_err("stopped").is_busy());
    assert_eq!(ground.accounts().count().expect("store"), taken as u64 + 1);
}

#[test]
fn a_full_file_is_busy_for_all_of_the_group_and_half_of_nothing_is_made() {
    let (_directory, mut options) = room();
    drop(Accounts::open(&options).expect("made"));
    options.bytes_max = Some(128 * 1024);
    let service = AccountsService::start(&options).expect("start");
    let handle = service.handle();
    let mut made = 0_u64;
    let error = loop {
        let (sender, answer) = mpsc::channel();
        let reply = move |made| drop(sender.send(made));
        let account = NewAccount { phc: "p".repeat(500), ..new(&format!("user-{made}")) };
        handle.register(account, reply).expect("room in the queue");
        match answer.recv().expect("an answer") {
            Ok(result) => assert_eq!(
                result,
                Ok(UserId({
                    made += 1;
                    made
                }))
            ),
            Err(error) => break error,
        }
    };
    assert!(error.is_busy());
    assert_eq!(handle.fault(), Some(error));
    service.stop();
    let mut accounts =
        Accounts::open(&Options { bytes_max: None, ..options }).expect("with a higher limit");
    assert_eq!(accounts.count().expect("store"), made);
    accounts.register(&new("ada")).expect("room again").expect("free");
}

#[test]
fn a_fault_is_over_when_the_disk_works_again_without_anybody_asking_for_anything() {
    let (_directory, options) = room();
    let options = Options { busy_timeout: std::time::Duration::ZERO, ..options };
    let service = AccountsService::start(&options).expect("start");
    let handle = service.handle();
    let other = rusqlite::Connection::open(&options.path).expect("another connection");
    other.execute_batch("BEGIN IMMEDIATE").expect("its lock");
    let (sender, answers) = mpsc::channel();
    handle.register(new("ada"), move |made| drop(sender.send(made))).expect("room in the queue");
    assert!(answers.recv().expect("an answer").expect_err("locked").is_busy());
    assert!(handle.fault().is_some_and(|error| error.is_busy()));
    other.execute_batch("ROLLBACK").expect("its end");
    while handle.fault().is_some() {
        std::thread::yield_now();
    }
}

fn a_new_password_ends_logins_that_checked_the_old_one(on: Kind) {
    let ground = Ground::new(on);
    let mut accounts = ground.accounts();
    let (old, newer) = ("$argon2id$of-ada", "$argon2id$newer");
    let user = accounts.register(&new("ada")).expect("store").expect("free");
    accounts.register(&new("bea")).expect("store").expect("free");
    assert_eq!(accounts.raise_epoch(user, old).expect("store"), Some(Epoch(1)));
    assert_eq!(accounts.set_password(user, newer).expect("store"), Some(Epoch(2)));
    assert_eq!(accounts.raise_epoch(user, old).expect("store"), None);
    assert_eq!(accounts.raise_epoch(user, newer).expect("store"), Some(Epoch(3)));
    assert_eq!(accounts.set_password(UserId(99), newer).expect("store"), None);
    let absurd = accounts.set_password(user, &"x".repeat(10_000));
    assert!(matches!(absurd, Err(Error::Refused(_))));
    let other = accounts.find("bea").expect("store").expect("there");
    assert_eq!(other.epoch, Epoch(0), "nobody else is touched");
}

fn twins_in_one_provision_are_made_once(on: Kind) {
    let ground = Ground::new(on);
    let mut accounts = ground.accounts();
    let twin = NewAccount { email: "other@example.org".into(), ..new("ADA") };
    let same_email = NewAccount { email: "BEA@example.org".into(), ..new("cleo") };
    let made = accounts.provision(&[new("ada"), twin, new("bea"), same_email]).expect("store");
    assert!(made[0].is_ok() && made[2].is_ok());
    assert_eq!((made[1], made[3]), (Err(Taken::Username), Err(Taken::Email)));
    assert_eq!(accounts.count().expect("store"), 2);
}

crate::on_every_backend!(
    a_registered_account_is_found_after_reopening,
    a_name_or_address_that_is_taken_is_said_and_nothing_is_made,
    an_epoch_rises_only_under_the_password_that_was_checked,
    ten_thousand_accounts_are_provisioned_and_again_found_taken,
    absurd_texts_are_refused,
    the_service_answers_every_login_of_a_burst_with_epochs_of_its_own,
    a_full_queue_is_busy_at_once_and_a_stop_answers_what_was_taken,
    a_new_password_ends_logins_that_checked_the_old_one,
    twins_in_one_provision_are_made_once,
);
