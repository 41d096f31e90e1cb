//! SIGHUP at a node: limits change while it serves, a bad file changes nothing, and the log says which.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

struct Node {
    process: Child,
    log: BufReader<ChildStderr>,
    ready: Value,
}

impl Node {
    fn start(config: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_conn-server"))
            .arg("--config")
            .arg(config)
            .env_clear()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        Self { process, log, ready: serde_json::from_str(&line).unwrap() }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// SIGHUP, and what the log says until it has this.
    fn hang_up(&mut self, until: &str) -> Vec<String> {
        self.signal(Signal::HUP);
        let mut said = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "{until} was not said: {said:?}");
            said.push(line);
            if said.last().unwrap().contains(until) {
                return said;
            }
        }
    }

    fn info(&self) -> Value {
        let mut stream = TcpStream::connect(self.ready["admin"].as_str().unwrap()).unwrap();
        write!(stream, "GET /info HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write(path: &Path, key: &Path, more: &str) {
    let text = format!(
        "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nio = \"epoll\"\nstore = \"memory\"\ncpus = \"none\"\n\
         connections = 100\ntoken-key-file = {key:?}\n{more}"
    );
    std::fs::write(path, text).unwrap();
}

#[test]
fn limits_change_while_it_serves_and_a_bad_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (config, key) = (folder.path().join("node.toml"), folder.path().join("key"));
    balancer::key::create(&key).unwrap();
    write(&config, &key, "body-bytes-max = 1000\nshards = 1\n");
    let mut node = Node::start(&config);
    assert_eq!(node.info()["body_bytes_max"], 1000);

    write(&config, &key, "body-bytes-max = 2000\nheartbeat-interval = \"20s\"\nshards = 2\n");
    let said = node.hang_up("restart it").concat();
    assert!(said.contains("option=\"body-bytes-max\" old=\"1000\" new=\"2000\""), "{said}");
    assert!(said.contains("option=\"shards\" old=\"1\" new=\"2\""), "{said}");
    let info = node.info();
    assert_eq!((&info["body_bytes_max"], &info["shards"]), (&2000.into(), &1.into()));
    assert_eq!(info["heartbeat_interval_ms"], 20_000);

    for (bad, why) in [
        ("body-bytes-max = 99999999\n", "--body-bytes-max must be"),
        ("body-byte-max = 5\n", "is body-bytes-max meant?"),
        ("heartbeat-interval = \"2h\"\n", "--heartbeat-interval"),
    ] {
        write(&config, &key, bad);
        let said = node.hang_up("stays as it was").concat();
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(node.info()["body_bytes_max"], 2000);

    node.signal(Signal::TERM);
    assert_eq!(node.process.wait().unwrap().code(), Some(0));
}
