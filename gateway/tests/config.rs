//! The gateway's configuration: what is printed can be read back, and an operator's command is not in its way.

use balancer::config::Source;
use gateway::{Cli, VerifyArgs};

#[test]
fn what_is_printed_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    let words = ["gateway", "--balancer", "http://b:1", "--data", "/d", "--hash-threads", "3"];
    let words = words.into_iter().chain(["--unlimited", "10.0.0.1", "--unlimited", "::1/64"]);
    let first = Source::<Cli>::new(words);
    let page = first.page().unwrap();
    std::fs::write(&path, &page).unwrap();
    let again = Source::<Cli>::new(["gateway", "--config", path.to_str().unwrap()]);
    assert_eq!(again.page().unwrap(), page);
    let shown = |source: &Source<Cli>| format!("{:?}", source.read().unwrap().serve.unwrap());
    assert_eq!(shown(&again), shown(&first));
}

#[test]
fn what_does_not_go_together_is_refused_in_a_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    let refused = |text: &str| {
        let text = format!("balancer = \"http://b:1\"\ndata = \"d\"\n{text}");
        std::fs::write(&path, text).unwrap();
        let source = Source::<Cli>::new(["gateway", "--config", path.to_str().unwrap()]);
        source.read().unwrap_err().to_string()
    };
    assert!(refused("skip-verification = true").contains("--development"));
    assert!(refused("smtp = \"m:25\"\ncode-program = \"p\"").contains("--code-program"));
    assert!(refused("count = 5").contains("no option"));
}

#[test]
fn an_operators_command_reads_no_file() {
    let words = ["gateway", "provision", "--data", "d", "--count", "5", "--password", "p"];
    let cli = Source::<Cli>::new(words).read().unwrap();
    assert!(cli.command.is_some());
}

#[test]
fn the_verification_server_is_configured_in_the_same_ways() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("verify.toml");
    let words = ["verify-server", "--smtp", "mail.example.org:587", "--mail-from", "a@example.org"];
    let first = Source::<VerifyArgs>::new(words);
    let page = first.page().unwrap();
    std::fs::write(&path, &page).unwrap();
    let again = Source::<VerifyArgs>::new(["verify-server", "--config", path.to_str().unwrap()]);
    assert_eq!(again.page().unwrap(), page);
    assert_eq!(again.read().unwrap().mail.smtp.as_deref(), Some("mail.example.org:587"));
}

#[test]
fn the_password_of_a_redis_is_shown_nowhere() {
    let words = ["gateway", "--balancer", "http://b:1", "--data", "/d", "--code-key-file", "/k"];
    let words = words.into_iter().chain(["--redis", "redis://chat:geheim@r:1/2"]);
    let source = Source::<Cli>::new(words);
    let page = source.page().unwrap();
    assert!(page.contains("redis://chat:***@r:1/2") && !page.contains("geheim"), "{page}");
    let args = format!("{:?}", source.read().unwrap());
    assert!(args.contains("redis://r:1/2") && !args.contains("geheim"), "{args}");
}
