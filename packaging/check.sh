#!/usr/bin/env bash
# Checks the systemd units: that systemd understands every line, that io_uring is among the calls that the node may make,
# and that none is more exposed than it has to be. Without systemd there is nothing to check them with.
set -euo pipefail
cd "$(dirname "$0")/systemd"

if ! command -v systemd-analyze >/dev/null; then
    echo "no systemd-analyze here: the units are not checked"
    exit 0
fi

folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
for unit in *.service; do
    # The binaries need not be installed to check how they would be started; nor the server that comes before.
    sed 's,^ExecStart=/usr/bin/[a-z-]*,ExecStart=/bin/true,' "$unit" >"$folder/$unit"
    mkdir -p "$folder/$unit.d"
    cp tls.conf "$folder/$unit.d/tls.conf"
done
for unit in *.service; do
    said=$(systemd-analyze verify --man=no --recursive-errors=one "$folder/$unit" 2>&1) || {
        printf '%s is refused:\n%s\n' "$unit" "$said"
        exit 1
    }
    if grep -q "$unit" <<<"$said"; then
        printf 'systemd does not take all of %s:\n%s\n' "$unit" "$said"
        exit 1
    fi
    # 10 is a service without any protection; 2.0 and below are called "OK" to "safe".
    systemd-analyze security --offline=true --threshold=20 --no-pager "$folder/$unit" >"$folder/said" || {
        tail -n 1 "$folder/said"
        exit 1
    }
    echo "$unit: $(tail -n 1 "$folder/said" | sed 's/^[^:]*: *//')"
done
for call in io_uring_setup io_uring_enter io_uring_register; do
    grep -q "SystemCallFilter=.*\b$call\b" ringline-node.service || { echo "the node may not call $call"; exit 1; }
done
echo "all units passed"
