//! A gateway's process under very many requests: neither its descriptors nor its memory grow with them.
//!
//! 4,000 requests by default; `GATEWAY_REQUESTS=100000 cargo test -p gateway --test growth` for as many as one likes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gateway::{Provision, provision};
use procfs::process::Process;

const ACCOUNTS: u64 = 50;

struct Gateway {
    process: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Gateway {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        provision(&Provision {
            place: dir.path().to_owned().into(),
            count: ACCOUNTS,
            prefix: "load".to_owned(),
            first: 0,
            password: "load password".to_owned(),
            cheap_hash: true,
        })
        .unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(["--listen", "127.0.0.1:0", "--balancer", "http://127.0.0.1:1", "--development"])
            .args(["--unlimited", "127.0.0.1", "--hash-memory-kib", "8", "--hash-passes", "1"])
            .arg("--data")
            .arg(dir.path())
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        let address = ready["http"].as_str().unwrap().parse().unwrap();
        Self { process, address, _dir: dir }
    }

    fn descriptors(&self) -> usize {
        Process::new(self.process.id().cast_signed()).unwrap().fd_count().unwrap()
    }

    fn resident_kib(&self) -> u64 {
        let status = Process::new(self.process.id().cast_signed()).unwrap().status().unwrap();
        status.vmrss.unwrap()
    }

    /// How many descriptors it has once connections that have ended are gone: when the number has not changed for a while.
    fn settled_descriptors(&self) -> usize {
        let (mut last, mut since) = (self.descriptors(), Instant::now());
        while since.elapsed() < Duration::from_millis(500) {
            std::thread::yield_now();
            let now = self.descriptors();
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        last
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn request(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// One of the things that clients do: log in, mistype, ask for codes, send nonsense, go away in the middle.
fn nth(number: u64) -> Vec<u8> {
    let name = format!("load{}", number % ACCOUNTS);
    match number % 8 {
        0 | 1 => request("/login", &format!(r#"{{"user":"{name}","password":"load password"}}"#)),
        2 => request("/login", &format!(r#"{{"user":"{name}","password":"wrong password"}}"#)),
        3 => request("/get_verification", &format!(r#"{{"email":"{name}@example.org"}}"#)),
        4 => request("/check_accountexists", &format!(r#"{{"username":"{name}","email":"x"}}"#)),
        5 => request("/post_registration", r#"{"username":"#),
        6 => b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        _ => b"nonsense\r\n\r\n".to_vec(),
    }
}

/// Sends so many requests: most over a connection of their own, as the seed systems' clients do; some over one that is
/// kept; some go away before their answer.
fn send(gateway: &Gateway, count: u64) {
    let mut kept = TcpStream::connect(gateway.address).unwrap();
    let mut answer = [0; 8192];
    for number in 0..count {
        if number % 8 < 5 && number % 3 == 0 {
            kept.write_all(&nth(number)).unwrap();
            assert!(kept.read(&mut answer).unwrap() > 0);
            continue;
        }
        let mut stream = TcpStream::connect(gateway.address).unwrap();
        stream.write_all(&nth(number)).unwrap();
        if number % 16 != 9 {
            assert!(stream.read(&mut answer).unwrap() > 0, "{number}");
        }
    }
}

#[test]
fn neither_descriptors_nor_memory_grow_with_requests() {
    let count = std::env::var("GATEWAY_REQUESTS").map_or(4_000, |text| text.parse().unwrap());
    let gateway = Gateway::start();
    // What is made on first use is made; tables have every subject that there will be.
    send(&gateway, count / 4);
    let few = gateway.settled_descriptors();
    let resident = gateway.resident_kib();
    send(&gateway, count);
    let many = gateway.settled_descriptors();
    let grown_kib = gateway.resident_kib().saturating_sub(resident);
    assert!(many <= few, "{few} descriptors were open, {many} are after {count} requests");
    // An allocator's own slack; a seed system's gateway keeps 5 KiB of each request.
    assert!(grown_kib < 4 * 1024, "{grown_kib} KiB more after {count} requests");
}
