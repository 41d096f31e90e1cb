//! The document at /openapi.json: what it says of each request is what happens.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::system::{OPEN, System};

/// The fields of an object.
fn fields(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn its_examples_are_taken_and_answered_as_it_says() {
    let system = System::new().start(OPEN);
    system.node().await;
    let mut browser = system.connect().await;
    let served = browser.send("GET", "/openapi.json", vec![]).await;
    assert_eq!(served.status, 200);
    let doc = served.json();
    // In an order in which each can be granted; the codes of the examples are not those that were sent.
    for (path, refusal) in [
        ("/get_verification", None),
        ("/post_registration", None),
        ("/check_accountexists", None),
        ("/trylogin_server", None),
        ("/reset_password", Some(13)),
        ("/get_varifycode", None),
        ("/get_verifycode", Some(1002)),
        ("/register", None),
        ("/login", None),
    ] {
        let post = &doc["paths"][path]["post"];
        let asked = &post["requestBody"]["content"]["application/json"]["example"];
        let said = &post["responses"]["200"]["content"]["application/json"]["example"];
        let answer = browser.post(path, asked.clone()).await;
        if let Some(refusal) = refusal {
            assert_eq!(answer["error"], refusal, "{path}: {answer}");
            assert_eq!(fields(&answer), BTreeSet::from(["error", "message"]), "{path}");
        } else {
            assert_eq!(answer["error"], 0, "{path}: {answer}");
            let mut fields = fields(&answer);
            // Only ever there in development, so not in the example.
            if path == "/get_verification" {
                fields.remove("code");
            }
            assert_eq!(fields, self::fields(said), "{path}");
        }
    }
    for path in doc["paths"].as_object().unwrap().keys() {
        let wrong_method = browser.send("DELETE", path, vec![]).await;
        assert_eq!(wrong_method.status, 405, "{path}");
    }
    assert_eq!(browser.post("/login", json!({})).await["error"], 1001);
    system.stop().await;
}
