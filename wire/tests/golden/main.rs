//! The bytes of every kind, written out. A difference here is a new protocol version, never a fix of this file.
//!
//! Each frame is a list of fields, in the order of the stream: what it is, and its bytes in hex. Numbers are little-endian.
//! The same frames, as one line of text each, are given to a Python program that was written from the protocol page alone: it
//! must read the same values, and write the same bytes.

mod cases;
mod mutations;
mod news_cases;
mod service_cases;

use std::io::Write as _;
use std::process::{Command as Process, Stdio};

use cases::{CORRELATION, all, hex, unhex};
use wire::token::{Token, TokenKey};
use wire::{Epoch, FrameView, Kind, RoomId, UserId, home_of_room, home_of_user, split_frame};

#[test]
fn every_kind_has_the_bytes_that_are_written_here() {
    for golden in all() {
        let mut encoded = Vec::new();
        assert!(golden.message.append_to(CORRELATION, &mut encoded));
        assert_eq!(hex(&encoded), hex(&golden.bytes()), "{}", golden.line);
        assert_eq!(encoded.len(), golden.message.encoded_len(), "{}", golden.line);
    }
}

#[test]
fn the_bytes_that_are_written_here_are_read_as_every_kind() {
    for golden in all() {
        let bytes = golden.bytes();
        let (frame, rest) = split_frame(&bytes).unwrap().unwrap();
        let view = FrameView::parse(frame).unwrap();
        assert_eq!(view.message(), golden.message);
        assert_eq!(view.correlation(), CORRELATION);
        assert!(rest.is_empty());
    }
}

#[test]
fn no_kind_is_missing_here() {
    let all = all();
    for kind in Kind::ALL {
        assert!(all.iter().any(|golden| golden.message.kind() == *kind), "{kind:?} has no golden");
    }
}

/// A key, a node, and the token of user 7 for it.
const KEY: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const NODE: &str = "n1";
const TOKEN: Token =
    Token { user: UserId(7), epoch: Epoch(3), incarnation: 0x0a0b, expires_ms: 60_000 };
const TOKEN_FIELDS: &[(&str, &str)] = &[
    ("version", "01"),
    ("user", "0700000000000000"),
    ("epoch", "0300000000000000"),
    ("incarnation", "0b0a000000000000"),
    ("expires ms", "60ea000000000000"),
    ("MAC", "fddc8c7497b54ffe2f18890f9a8c3fab9fb19f52b7810f87b54940e3bff0176e"),
];

fn token_bytes() -> Vec<u8> {
    TOKEN_FIELDS.iter().flat_map(|(_, hex)| unhex(hex)).collect()
}

#[test]
fn a_token_has_the_bytes_that_are_written_here() {
    let key = TokenKey::new(KEY).unwrap();
    assert_eq!(hex(&key.mint(&TOKEN, NODE)), hex(&token_bytes()));
    assert_eq!(key.verify(&token_bytes(), NODE, TOKEN.incarnation, 59_999), Ok(TOKEN));
}

/// Runs the Python program on lines of input, and compares its lines of output.
fn python_agrees(input: &[String], expected: &[String]) {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python_client.py");
    let spawned = Process::new("python3")
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            eprintln!("SKIPPED: the Python client was not run, python3 cannot be started: {error}");
            return;
        }
    };
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.join("\n").as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the Python client failed: {:?}", output.status);
    let lines: Vec<&str> = core::str::from_utf8(&output.stdout).unwrap().lines().collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_client_written_from_the_page_reads_and_writes_the_same() {
    let mut input = Vec::new();
    let mut expected = Vec::new();
    for golden in all() {
        input.push(format!("decode {}", hex(&golden.bytes())));
        expected.push(format!("{CORRELATION} {}", golden.line));
        input.push(format!("encode {CORRELATION} {}", golden.line));
        expected.push(hex(&golden.bytes()));
    }
    for kind in Kind::ALL {
        input.push(format!("page {}", *kind as u8));
        expected.push("yes".to_owned()); // the page's table of offsets is the program's
    }
    input.push(format!("token {} {NODE} 7 3 2571 60000", hex(KEY)));
    expected.push(hex(&token_bytes()));
    for (shards, id) in home_cases() {
        input.push(format!("home {shards} {id}"));
        let (user, room) = (home_of_user(UserId(id), shards), home_of_room(RoomId(id), shards));
        expected.push(format!("{} {}", user.0, room.0));
    }
    python_agrees(&input, &expected);
}

fn home_cases() -> impl Iterator<Item = (u16, u64)> {
    let ids = [1, 2, 3, 7, 1_000, 1 << 32, u64::MAX];
    [1, 2, 7, 64, 65_535].into_iter().flat_map(move |shards| ids.map(|id| (shards, id)))
}

/// The page's numbers are these: whoever changes one of them is told which line of the page is wrong now.
#[test]
fn the_page_says_the_same() {
    let page = include_str!("../../README.md");
    let mut lines: Vec<String> = Vec::new();
    for kind in Kind::ALL {
        lines.push(format!("| `{:#04x}` | {kind:?} |", *kind as u8));
    }
    let code = |code: u8, label: &str| format!("| {code} | `{label}` |");
    lines.extend(wire::FrameError::ALL.iter().map(|error| code(error.code(), error.label())));
    lines.extend(wire::CloseReason::ALL.iter().map(|close| code(close.code(), close.label())));
    for reject in wire::Reject::ALL {
        let retry = if reject.is_retryable() { "yes" } else { "no" };
        lines.push(format!("| {} | `{}` | {retry} |", reject.code(), reject.label()));
    }
    for (shards, id) in home_cases().filter(|(shards, _)| [2, 64].contains(shards)) {
        let (user, room) = (home_of_user(UserId(id), shards), home_of_room(RoomId(id), shards));
        lines.push(format!("| {id} | {shards} | {} | {} |", user.0, room.0));
    }
    use wire::limits::{
        BODY_BYTES_MAX, FRAME_BYTES_MAX, PAGE_ITEMS_MAX, PAYLOAD_BYTES_MAX, TOKEN_BYTES_MAX,
    };
    lines.push(format!("| a frame, header included | {FRAME_BYTES_MAX} bytes |"));
    lines.push(format!("| a payload | {PAYLOAD_BYTES_MAX} bytes |"));
    lines.push(format!("| a text's body | {BODY_BYTES_MAX} bytes |"));
    lines.push(format!("| a login token | {TOKEN_BYTES_MAX} bytes |"));
    lines.push(format!("| a page | {PAGE_ITEMS_MAX} items |"));
    lines.push(hex(&token_bytes()));
    for golden in all() {
        lines.push(hex(&golden.bytes()));
    }
    let missing: Vec<&String> = lines.iter().filter(|line| !page.contains(line.as_str())).collect();
    assert!(missing.is_empty(), "the page lacks: {missing:#?}");
}
