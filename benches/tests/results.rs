//! What is published is what was measured: every result says how and where, and README's table says nothing else.

use std::fs;

use benches::facts::results_folder;
use benches::headline::{put_into, read_results, readme, table};

#[test]
fn every_result_names_its_command_its_commit_and_its_machine() {
    for result in read_results().expect("results are as they should be") {
        let told = result.whole.to_string();
        for secret in ["/home/", "/root/", "/work/", "/tmp/"] {
            assert!(
                !told.contains(secret),
                "{}.json tells a path of a machine: {secret}",
                result.name
            );
        }
    }
}

/// A page `NAME.md` stands beside `NAME.json` or `NAME-….json`; one without says itself that it is preliminary.
#[test]
fn every_page_of_figures_has_its_raw_data_beside_it() {
    let results = read_results().expect("results are as they should be");
    for entry in fs::read_dir(results_folder()).expect("there are results") {
        let path = entry.expect("there are results").path();
        let is_page = path.extension().is_some_and(|ending| ending == "md" || ending == "svg");
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if !is_page || name == "README" {
            continue;
        }
        let has_data = results.iter().any(|result| {
            result.name == *name
                || result.name.strip_prefix(&*name).is_some_and(|rest| rest.starts_with('-'))
        });
        let page = fs::read_to_string(&path).expect("a page is text");
        assert!(
            has_data || page.contains("**Preliminary:**"),
            "{} has no raw data",
            path.display()
        );
    }
}

#[test]
fn what_is_timed_still_does_what_it_did() {
    let results = read_results().expect("results are as they should be");
    let timings = results.iter().find(|result| result.name == "timings");
    let recorded = timings.map(|timings| timings.whole["data"]["result_hash"].clone());
    let hash = format!("{:08x}", benches::frames::result_hash());
    assert!(
        recorded.is_none_or(|recorded| recorded == hash.as_str()),
        "the frames are others now ({hash}): cargo run --release -p benches --bin timings"
    );
}

#[test]
fn the_readme_shows_what_the_results_say() {
    let page = fs::read_to_string(readme()).expect("there is a README");
    let table = table(&read_results().expect("results are as they should be")).expect("a table");
    // Not `assert_eq`: two whole pages say less than the command.
    assert!(
        put_into(&page, &table).expect("the README has a place for it") == page,
        "README's figures are not those of benches/results: cargo run -p benches --bin headline"
    );
}
