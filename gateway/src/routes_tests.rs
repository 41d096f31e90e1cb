//! The document against the routes: neither may know a path that the other does not.

use serde_json::Value;

use super::*;

#[test]
fn every_route_is_in_the_document_and_nothing_else() {
    let doc: Value = serde_json::from_str(OPENAPI).unwrap();
    let mut routed: Vec<(&str, &str)> = objects().iter().map(|it| (it.path, "post")).collect();
    let pages = pages(Arc::new(Page::default()));
    routed.extend(pages.iter().map(|it| (it.path, "get")));
    routed.sort_unstable();
    let mut documented = Vec::new();
    for (path, operations) in doc["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            documented.push((path.as_str(), method.as_str()));
        }
    }
    documented.sort_unstable();
    assert_eq!(routed, documented);
    assert_eq!(doc["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_number_that_an_answer_can_have_is_in_the_document() {
    let doc: Value = serde_json::from_str(OPENAPI).unwrap();
    let all = [
        Status::JsonParse,
        Status::TooLong,
        Status::TooSlow,
        Status::Busy,
        Status::TooMany(1),
        Status::BalancerUnreachable,
        Status::VerifierUnreachable,
        Status::NoChatNode,
        Status::CodeTooSoon(1),
        Status::NotDelivered,
        Status::CodeUnknown,
        Status::CodeWrong,
        Status::UsernameTaken,
        Status::EmailTaken,
        Status::StoreFault,
        Status::Invalid("rule"),
        Status::Mismatch,
        Status::Credentials,
        Status::Locked(1),
        Status::Overtaken,
    ];
    for (dialect, schema) in [(Dialect::Dims, "DimsRefused"), (Dialect::Chatter, "ChatterRefused")]
    {
        let known = doc["components"]["schemas"][schema]["properties"]["error"]["enum"].clone();
        let known: Vec<u64> = serde_json::from_value(known).unwrap();
        for status in all {
            let number = u64::from(status.number(dialect));
            assert!(known.contains(&number), "{status:?} is {number} and not in {schema}");
        }
    }
}
