//! The style rules that a machine can check, over the whole workspace. A list here may only get shorter.

use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 600;

/// The only files that may say `unsafe`: the kernel's interfaces, and what proves a thing by being raw.
const UNSAFE: &[&str] = &[
    "benches/src/heap.rs",
    "conn-server/chat/bare/src/lib.rs",
    "conn-server/src/driver/monoio/mod.rs",
    "conn-server/src/driver/tokio_uring/mod.rs",
    "conn-server/src/driver/uring/buffers.rs",
    "conn-server/src/driver/uring/ring.rs",
    "conn-server/src/driver/uring/send.rs",
    "conn-server/src/heap.rs",
    "conn-server/tests/conformance/ring_client.rs",
    "benches/src/bin/floor/server/buffers.rs",
    "benches/src/bin/floor/server/ring.rs",
    "loadgen/src/engine/pages.rs",
    "loadgen/src/engine/ring.rs",
    "loadgen/src/engine/rings.rs",
    "loadgen/src/engine/send_pool.rs",
    "loadgen/src/poller/sockets.rs",
    "conn-server/tests/stalled_disk/gate.rs",
    "store/tests/power_loss/vfs.rs",
];

/// The only files of the node that may have atomics: the mesh, and the tail that the kernel reads.
const ATOMICS: &[&str] = &["conn-server/src/driver/uring/buffers.rs", "conn-server/src/mesh.rs"];

/// The only file of the node that may read a clock: everything else is given the time.
const CLOCK: &[&str] = &["conn-server/src/clock.rs"];

/// Words that have no place in a source file.
fn banned() -> [String; 5] {
    // Put together here, so that this file does not contain them.
    [("TO", "DO"), ("FIX", "ME"), ("X", "XX"), ("todo", "!("), ("unimplemented", "!(")]
        .map(|(start, end)| format!("{start}{end}"))
}

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the workspace can be read") {
        let path = entry.expect("the workspace can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "reports" {
                sources(&path, out);
            }
        } else if name.ends_with(".rs") {
            out.push(path);
        }
    }
}

/// What is wrong with one file.
fn faults(name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |what: &str| faults.push(format!("{name}: {what}"));
    if text.lines().count() > LINES_MAX {
        fault("longer than 600 lines: find the seam inside it");
    }
    if !text.starts_with("//!") && !name.ends_with("build.rs") {
        fault("does not open with what it owns (`//!`)");
    }
    let has = |needle: &str| text.lines().any(|line| line.contains(needle));
    for word in banned() {
        if has(&word) {
            fault(&format!("contains {word}"));
        }
    }
    let code = |needle: &str| {
        text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(needle))
    };
    let is_tidy = name == "conn-server/tests/tidy.rs";
    if !is_tidy && (code("unsafe {") || code("unsafe impl")) && !UNSAFE.contains(&name) {
        fault("uses unsafe and is not in the list of those that may");
    }
    if name.starts_with("conn-server/src/") {
        if code("sync::atomic") && !ATOMICS.contains(&name) {
            fault("uses atomics: what crosses threads goes through mesh.rs");
        }
        if code("Instant::now") && !CLOCK.contains(&name) {
            fault("reads a clock: take the time as an argument");
        }
    }
    if ["wire/src/", "conn-server/chat/src/"].iter().any(|ring| name.starts_with(ring))
        && (code("std::") || code("unwrap()"))
        && !text.contains("#[cfg(test)]")
    {
        fault("the inner rings have no std, and unwrap nothing");
    }
    faults
}

#[test]
fn the_tree_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_path_buf();
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 100, "the walk found the workspace");
    let mut all = Vec::new();
    for path in &files {
        let name = path.strip_prefix(&root).expect("below the root").to_string_lossy();
        all.extend(faults(&name, &fs::read_to_string(path).expect("a source file is text")));
    }
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

#[test]
fn dependencies_point_inward() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let depends = |krate: &str, on: &str| {
        let manifest = fs::read_to_string(root.join(krate).join("Cargo.toml")).expect("a manifest");
        let own = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        own.lines()
            .any(|line| line.starts_with(&format!("{on}.")) || line.starts_with(&format!("{on} ")))
    };
    for (krate, outer) in [
        ("wire", &["chat", "conn-server", "store", "client", "balancer", "gateway"][..]),
        ("conn-server/chat", &["conn-server", "store", "client", "balancer", "gateway"]),
        ("client", &["chat", "conn-server", "store", "balancer", "gateway"]),
        ("store", &["chat", "conn-server", "client", "balancer", "gateway"]),
    ] {
        for other in outer {
            assert!(!depends(krate, other), "{krate} must not know {other}");
        }
    }
    assert!(depends("conn-server", "chat"), "the check can see a dependency");
}
