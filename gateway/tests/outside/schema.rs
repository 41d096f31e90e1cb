//! The document at /openapi.json against what the gateway does, found by a fuzzer that reads the one and asks the other.

use tokio::process::Command;

use crate::python;
use crate::system::System;

#[tokio::test]
async fn a_fuzzer_finds_nothing_that_differs_from_the_document() {
    let Some(fuzzer) = python::program("schemathesis") else { return };
    // Nothing that is bounded for a client, which is one here: the fuzzer would soon see nothing else.
    let system = System::new().start(&["--development", "--unlimited", "127.0.0.1"]);
    system.node().await;
    let url = format!("http://{}/openapi.json", system.address);
    let config = python::folder().join("schemathesis.toml");
    let work = tempfile::tempdir().unwrap();
    let output = Command::new(fuzzer)
        .arg("--config-file")
        .arg(config)
        .args(["run", &url, "--checks", "all", "--mode", "all", "--max-examples", "60"])
        .args(["--generation-deterministic", "--no-color", "--suppress-health-check", "all"])
        .current_dir(work.path())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}\n{complained}", output.status);
    // Every operation of the document but the document's own.
    assert!(said.contains("Tested: 11"), "{said}");
    system.stop().await;
}
