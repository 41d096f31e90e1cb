#!/usr/bin/env bash
# uring against epoll, alternating, so that a host whose speed drifts slows both alike: messages acknowledged and delivered
# per second of the node's processor time, closed loop, memory only. The first argument is the number of pairs (default
# 5); everything after it goes to `loadgen local`, in place of the default load.
set -euo pipefail
cd "$(dirname "$0")/.."
pairs=${1:-5}
shift || true
load=("$@")
[ ${#load[@]} -gt 0 ] || load=(--closed 256 --connections 1000 --store memory --durability none --shards 1 --duration 5s --warmup 1s)
cargo build --release --locked --quiet --package loadgen
reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT

figure() { # driver, pair
    ./target/release/loadgen local --quiet --io "$1" "${load[@]}" --report "$reports/$1-$2" >"$reports/$1-$2.txt" ||
        { cat "$reports/$1-$2.txt" >&2; exit 1; }
    sed -n 's/.*"delivered_per_cpu_s": *\([0-9.]*\).*/\1/p' "$reports/$1-$2/run.json" | head -n 1
}

echo "pair  uring/cpu-s  epoll/cpu-s  ratio"
for pair in $(seq "$pairs"); do
    uring=$(figure uring "$pair")
    epoll=$(figure epoll "$pair")
    awk -v p="$pair" -v u="$uring" -v e="$epoll" 'BEGIN { printf "%4d  %11.0f  %11.0f  %5.3f\n", p, u, e, u / e }'
done | tee "$reports/table"
median() { # column
    awk -v c="$1" '{ print $c }' "$reports/table" | sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'
}
printf 'median  %9.0f  %11.0f  %5.3f\n' "$(median 2)" "$(median 3)" "$(median 4)"
