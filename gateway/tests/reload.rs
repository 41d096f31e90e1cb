//! SIGHUP at a gateway: its limits change while it serves, and a bad file changes nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

struct Gateway {
    process: Child,
    log: BufReader<ChildStderr>,
    http: String,
}

impl Gateway {
    fn start(config: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_gateway"))
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
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        Self { process, log, http: ready["http"].as_str().unwrap().to_owned() }
    }

    /// SIGHUP, and what the log says until it has this.
    fn hang_up(&mut self, until: &str) -> String {
        kill_process(Pid::from_child(&self.process), Signal::HUP).unwrap();
        let mut said = String::new();
        loop {
            let begun = said.len();
            assert!(self.log.read_line(&mut said).unwrap() > 0, "{until} was not said: {said}");
            if said[begun..].contains(until) {
                return said;
            }
        }
    }

    /// The status of so many questions whether an account exists.
    fn ask(&self, times: usize) -> Vec<u16> {
        (0..times).map(|_| self.ask_once()).collect()
    }

    fn ask_once(&self) -> u16 {
        let body = "{\"username\":\"nobody\",\"email\":\"nobody@example.org\"}";
        let mut stream = TcpStream::connect(&self.http).unwrap();
        write!(
            stream,
            "POST /check_accountexists HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn limits_change_while_it_serves_and_a_bad_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gateway.toml");
    let write = |more: &str| {
        let data = folder.path();
        let text = format!(
            "listen = \"127.0.0.1:0\"\nbalancer = \"http://127.0.0.1:1\"\ndata = {data:?}\n{more}\n"
        );
        std::fs::write(&config, text).unwrap();
    };
    write("limit = [\"lookups_per_client=2/1000m\"]");
    let mut gateway = Gateway::start(&config);
    assert_eq!(gateway.ask(3), [200, 200, 429]);

    for (bad, why) in [
        ("limit = [\"lookups=2/1s\"]", "lookups_per_client"),
        ("limit = [\"lookups_per_client=0/1s\"]", "at once"),
    ] {
        write(bad);
        let said = gateway.hang_up("stays as it was");
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(gateway.ask(1), [429]);

    write("limit = [\"lookups_per_client=4/1000m\"]");
    let said = gateway.hang_up("changed");
    assert!(said.contains("option=\"limit\""), "{said}");
    assert_eq!(gateway.ask(3), [200, 200, 429], "two of the four were used before");

    write("");
    gateway.hang_up("changed");
    assert_eq!(
        gateway.ask(1),
        [429],
        "a usual interval is shorter, but what was taken is remembered"
    );
    kill_process(Pid::from_child(&gateway.process), Signal::TERM).unwrap();
    assert_eq!(gateway.process.wait().unwrap().code(), Some(0));
}
