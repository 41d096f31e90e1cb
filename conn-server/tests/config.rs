//! The node's configuration: what is printed can be read back.

use balancer::config::Source;
use conn_server::Args;

fn shown(source: &Source<Args>) -> String {
    format!("{:?}", source.read().unwrap())
}

#[test]
fn what_is_printed_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    for words in [
        &["node", "--token-key-file", "k"][..],
        &["node", "--token-key-file", "k", "--heartbeat-interval", "45s", "--cpus", "0,2-3"],
        &["node", "--token-key-file", "k", "--commit-interval", "500us", "--shards", "3"],
        &["node", "--token-key-file", "k", "--durability", "relaxed", "--store", "sqlite"],
    ] {
        let first = Source::<Args>::new(words.iter().copied());
        let page = first.page().unwrap();
        std::fs::write(&path, &page).unwrap();
        let again = Source::<Args>::new(["node", "--config", path.to_str().unwrap()]);
        assert_eq!(again.page().unwrap(), page, "{words:?}");
        assert_eq!(shown(&again), shown(&first), "{words:?}");
    }
}

#[test]
fn a_key_of_the_file_gives_way_to_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    std::fs::write(&path, "token-key-file = \"k\"\nconnections = 7\nshards = 2\n").unwrap();
    let path = path.to_str().unwrap();
    let args = Source::<Args>::new(["node", "--config", path, "--connections", "9"]).read();
    let args = args.unwrap();
    assert_eq!(args.connections, 9);
    assert_eq!(format!("{:?}", args.shards), "Fixed(2)");
}
