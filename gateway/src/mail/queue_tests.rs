//! The queue against a mail server that says what a test wants it to say.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::mail::letter;

const QUICK: Patience = Patience {
    first: Duration::from_millis(1),
    longest: Duration::from_millis(4),
    life: Duration::from_secs(60),
};

/// A mail server that answers the n-th recipient with the n-th of these lines and takes all further ones. Tells each
/// mail's recipient and its text once it has taken it.
async fn server(
    refusals: &'static [&'static str],
) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (taken, mails) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut refusals = refusals.iter();
        while let Ok((stream, _)) = listener.accept().await {
            converse(stream, &mut refusals, &taken).await;
        }
    });
    (address, mails)
}

async fn converse(
    stream: TcpStream,
    refusals: &mut std::slice::Iter<'_, &'static str>,
    taken: &mpsc::UnboundedSender<String>,
) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut mail = None::<String>;
    write.write_all(b"220 here\r\n").await.unwrap();
    while let Ok(Some(line)) = lines.next_line().await {
        let answer = match &mut mail {
            Some(text) if line == "." => {
                taken.send(std::mem::take(text)).unwrap();
                mail = None;
                "250 taken"
            }
            Some(text) => {
                text.push_str(&line);
                text.push('\n');
                continue;
            }
            None if line.starts_with("RCPT") => refusals.next().copied().unwrap_or("250 fine"),
            None if line == "DATA" => {
                mail = Some(String::new());
                "354 go on"
            }
            None if line == "QUIT" => "221 bye",
            None => "250 fine",
        };
        if write.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

fn queue(address: SocketAddr, patience: Patience) -> Queue {
    let transport = Transport::builder_dangerous(address.ip().to_string()).port(address.port());
    Queue::with_patience(transport.build(), patience)
}

fn post(queue: &Queue, email: &str, code: &str) -> anyhow::Result<()> {
    let from = "codes@example.org".parse().unwrap();
    queue.post(letter::letter(&from, email, code).unwrap())
}

fn ended(queue: &Queue, outcome: &'static str) -> u64 {
    queue.tally.mails.get_or_create(&[("outcome", outcome)]).get()
}

async fn until_empty(queue: &Queue) {
    let _ = queue.places.acquire_many(MAILS_MAX as u32).await.unwrap();
}

#[tokio::test]
async fn a_mail_server_that_has_no_time_is_asked_again_and_gets_the_mail_once() {
    let (address, mut mails) = server(&["451 later", "421 later still"]).await;
    let queue = queue(address, QUICK);
    post(&queue, "bob@example.org", "000042").unwrap();
    until_empty(&queue).await;
    let mail = mails.recv().await.unwrap();
    assert!(mail.contains("To: bob@example.org") && mail.contains("code is 000042"), "{mail}");
    assert!(mails.try_recv().is_err(), "once");
    assert_eq!((ended(&queue, "sent"), queue.tally.attempts_failed.get()), (1, 2));
    assert_eq!(queue.tally.failing.get(), 0);
}

#[tokio::test]
async fn what_is_refused_for_good_is_not_tried_again() {
    let (address, mut mails) = server(&["550 nobody here"]).await;
    let queue = queue(address, QUICK);
    post(&queue, "nobody@example.org", "1").unwrap();
    until_empty(&queue).await;
    assert_eq!((ended(&queue, "refused"), queue.tally.attempts_failed.get()), (1, 0));
    assert!(mails.try_recv().is_err());
}

#[tokio::test]
async fn a_mail_server_that_is_down_costs_nobody_any_time_and_a_mail_is_given_up_in_the_end() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let queue = queue(gone, Patience { life: Duration::from_millis(20), ..QUICK });
    post(&queue, "bob@example.org", "1").unwrap();
    assert_eq!(queue.tally.waiting.get(), 1, "nobody waited for it");
    until_empty(&queue).await;
    assert_eq!((ended(&queue, "too_late"), queue.tally.failing.get()), (1, 1));
    assert!(queue.tally.attempts_failed.get() > 1);
    assert_eq!(queue.tally.waiting.get(), 0);
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let long = Duration::from_secs(3600);
    let queue = queue(gone, Patience { first: long, longest: long, life: long * 2 });
    for _ in 0..MAILS_MAX {
        post(&queue, "bob@example.org", "1").unwrap();
    }
    assert!(post(&queue, "bob@example.org", "1").is_err());
    assert_eq!(ended(&queue, "refused_full"), 1);
}
