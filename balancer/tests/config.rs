//! The balancer's configuration as an operator has it: the file, the environment, the line, and the page that shows
//! what results.

use std::path::PathBuf;
use std::process::{Command, Output};

use balancer::Args;
use balancer::config::Source;
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = self.0.path().join("balancer.toml");
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// The balancer's binary with a clean environment.
fn balancer(words: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_balancer"))
        .args(words)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn printed(words: &[&str], environment: &[(&str, &str)]) -> String {
    let output = balancer(&[words, &["--print-config"]].concat(), environment);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn has_line(page: &str, line: &str) {
    assert!(page.lines().any(|has| has == line), "{line} is not in\n{page}");
}

#[test]
fn what_is_printed_can_be_read_back() {
    let folder = Folder::new();
    let words = ["balancer", "--token-key-file", "a \"key\"", "--lease-ms", "7000", "--insecure"];
    let first = Source::<Args>::new(words);
    let page = first.page().unwrap();
    let path = folder.file(&page);
    let again = Source::<Args>::new(["balancer", "--config", path.to_str().unwrap()]);
    assert_eq!(again.page().unwrap(), page);
    let shown = |source: &Source<Args>| format!("{:?}", source.read().unwrap());
    assert_eq!(shown(&again), shown(&first));
}

#[test]
fn the_line_counts_more_than_the_environment_and_that_more_than_the_file() {
    let folder = Folder::new();
    let path = folder.file("token-key-file = \"file\"\nlease-ms = 4000\ngrace-ms = 1\n");
    let config = ["--config", path.to_str().unwrap()];
    let page = printed(&config, &[]);
    has_line(&page, "lease-ms = 4000");
    has_line(&page, "token-key-file = \"file\"");
    has_line(&page, "token-ttl-ms = 30000");
    let environment = [("RINGLINE_LEASE_MS", "5000"), ("RINGLINE_INSECURE", "true")];
    let page = printed(&config, &environment);
    has_line(&page, "lease-ms = 5000");
    has_line(&page, "insecure = true");
    has_line(&page, "grace-ms = 1");
    let line = [&config[..], &["--lease-ms", "6000"]].concat();
    has_line(&printed(&line, &environment), "lease-ms = 6000");
    // The environment can name the file, too.
    let by_environment = printed(&[], &[("RINGLINE_CONFIG", config[1])]);
    has_line(&by_environment, "lease-ms = 4000");
}

#[test]
fn an_example_needs_nothing() {
    let page = printed(&[], &[]);
    has_line(&page, "# token-key-file = \"FILE\"");
    has_line(&page, "insecure = false");
    assert!(page.contains("# A node that has not reported for so long is gone"));
    assert!(page.contains("Environment: RINGLINE_LEASE_MS. Default: 5000."));
}

#[test]
fn a_bad_file_is_refused_with_what_would_be_right() {
    let folder = Folder::new();
    for (text, advice) in [
        ("leas-ms = 5", "is lease-ms meant?"),
        ("lease-ms = \"soon\"", "--lease-ms <MS>"),
        ("lease-ms", "line 1"),
    ] {
        let path = folder.file(text);
        let output = balancer(&["--config", path.to_str().unwrap()], &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(advice) && said.contains("balancer.toml"), "{said}");
    }
    let output = balancer(&["--config", "/nowhere/balancer.toml"], &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("/nowhere/balancer.toml: cannot be read"), "{said}");
}

#[test]
fn help_lists_the_environment_of_every_option() {
    let output = balancer(&["--help"], &[("RINGLINE_TOKEN_KEY_FILE", "/a/secret/path")]);
    let help = String::from_utf8(output.stdout).unwrap();
    for name in ["LISTEN", "ADMIN", "TOKEN_KEY_FILE", "LEASE_MS", "INSECURE", "CONFIG"] {
        assert!(help.contains(&format!("[env: RINGLINE_{name}]")), "{name} is not in\n{help}");
    }
    assert!(!help.contains("/a/secret/path"));
}
