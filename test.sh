#!/usr/bin/env bash
# Everything that must pass before a change goes in, on a fresh Debian machine with Rust and cc. Fails at the first failure.
set -euo pipefail
cd "$(dirname "$0")"

step() { printf '\n== %s (after %d s)\n' "$*" "$SECONDS"; }

as_root=$([ "$(id -u)" = 0 ] || echo sudo)
# The store's tests start a database server of their own. The package has no service that would stay.
if ! command -v mariadbd /usr/sbin/mariadbd >/dev/null; then
    $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends mariadb-server-core
fi
# Several tests start a Redis of their own. The one that the package starts is not needed.
if ! command -v redis-server >/dev/null; then
    $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends redis-server
    $as_root systemctl disable --quiet --now redis-server 2>/dev/null || true
fi

step "formatting"
cargo fmt --all --check

step "lints"
cargo clippy --workspace --all-targets --locked -- -D warnings

# The gateway's tests run tools from the Python package index, in an environment of their own.
if ! python3 -c 'import ensurepip' 2>/dev/null; then
    $as_root apt-get update -qq && $as_root apt-get install -y -qq python3-venv || echo "no python3-venv: some tests will say SKIPPED"
fi

step "tests"
cargo test --workspace --locked --no-fail-fast

step "systemd units"
./packaging/check.sh

step "wire and chat link without std"
cargo build --quiet --locked --manifest-path conn-server/chat/bare/Cargo.toml --target-dir target/bare

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet

step "benchmarks still run"
cargo build --release --locked --package benches --package loadgen --bin counts --bin loadgen
cargo bench --package benches --package loadgen --bench work --bench frame --locked -- --test

step "instructions against the recorded ones"
if ! command -v valgrind >/dev/null; then
    $as_root apt-get update -qq && $as_root apt-get install -y -qq valgrind
fi
./target/release/counts check

step "the story of two users"
STORY_MAIL=files ./client/examples/story.sh

step "the whole system, small"
./target/release/loadgen selftest
for io in uring epoll; do
    ./target/release/loadgen local --io "$io" --connections 500 --ramp 500/s --rate 500/s --duration 3s --warmup 1s --quiet
    ./target/release/loadgen local --io "$io" --preset rooms --connections 500 --ramp 500/s --rate 20/s --duration 3s --warmup 1s --quiet
done
for io in monoio tokio_uring; do
    ./target/release/loadgen local --io "$io" --shards 2 --connections 500 --ramp 500/s --rate 500/s --duration 2s --warmup 1s --quiet
    NODE_IO=$io KILLS=1 MUTATED_FRAMES=20000 cargo test --quiet --locked --package conn-server --test process
done

step "all passed"
