#!/usr/bin/env bash
# The story of two users, against a whole system of its own: a code from real mail, registration, login, friends, chat, being
# away and catching up, a group, a new password, and a second login that ends the first.
#
#   client/examples/story.sh            builds what it needs, plays, and says "the end" if all of it went as told
#
# Needs curl and Python 3; the mail server (aiosmtpd) is put into a Python environment under target/. With STORY_MAIL=files the mails
# are files and no mail server is needed.
set -euo pipefail
cd "$(dirname "$0")/../.."

here=$(mktemp -d)
pids=()
finish() {
    status=$?
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    [ $status = 0 ] || { echo "FAILED, see what the servers said:" >&2; tail -n 20 "$here"/*.log >&2; }
    rm -rf "$here"
}
trap finish EXIT

step() { printf '\n== %s\n' "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
# The value of a field of a JSON object.
field() { python3 -c 'import json,sys; print(json.load(sys.stdin).get(sys.argv[1], ""))' "$1"; }
# Starts a server whose first line says that it is ready, and prints that line.
serve() {
    local name=$1; shift
    mkfifo "$here/$name.ready"
    "$@" >"$here/$name.ready" 2>"$here/$name.log" &
    pids+=($!)
    exec {ready}<"$here/$name.ready"
    IFS= read -r -t 60 line <&"$ready" || fail "$name did not start"
    printf '%s' "$line" >"$here/$name.line"
}

step "build"
cargo build --quiet --release --package balancer --package gateway --package conn-server
cargo build --quiet --release --package client --example chat
bin=target/release

step "mail"
mkdir "$here/mail"
if [ "${STORY_MAIL:-smtp}" = smtp ]; then
    python=target/story-python
    [ -x "$python/bin/aiosmtpd" ] || { python3 -m venv "$python" && "$python/bin/pip" install --quiet aiosmtpd==1.4.6; }
    mail_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    "$python/bin/python" - "$mail_port" "$here/mail" <<'PYTHON' >"$here/smtp.log" 2>&1 &
import pathlib, sys, time
from aiosmtpd.controller import Controller

port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])

class Keep:
    count = 0

    async def handle_DATA(self, server, session, envelope):
        Keep.count += 1
        part = folder / f"part-{Keep.count}"
        part.write_bytes(envelope.content)
        part.rename(folder / f"{Keep.count:04}.eml")
        return "250 kept"

Controller(Keep(), hostname="127.0.0.1", port=port).start()
while True:
    time.sleep(3600)
PYTHON
    pids+=($!)
    for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$mail_port") 2>/dev/null && break; sleep 0.1; done
    mail_words=(--smtp "127.0.0.1:$mail_port" --smtp-tls none --mail-from codes@example.org)
else
    mail_words=(--mail-dir "$here/mail" --mail-from codes@example.org)
fi

step "a balancer, a node, a gateway"
(umask 077 && head -c 32 /dev/urandom >"$here/key")
serve balancer $bin/balancer --token-key-file "$here/key" --listen 127.0.0.1:0 --admin 127.0.0.1:0
balancer="http://$(field grpc <"$here/balancer.line")"
serve node $bin/conn-server --token-key-file "$here/key" --data "$here/data" --listen 127.0.0.1:0 --admin 127.0.0.1:0 \
    --shards 2 --balancer "$balancer"
serve gateway $bin/gateway --data "$here/data" --listen 127.0.0.1:0 --balancer "$balancer" \
    --unlimited 127.0.0.1 "${mail_words[@]}"
gateway="http://$(field http <"$here/gateway.line")"

# Asks the gateway; prints the answer, which must say that it was granted.
post() {
    local answer
    answer=$(curl --silent --show-error --max-time 20 -H 'content-type: application/json' -d "$2" "$gateway$1")
    [ "$(field error <<<"$answer")" = "${3:-0}" ] || fail "$1 $2 answered $answer"
    printf '%s' "$answer"
}
# Asks for a code and reads it out of the mail that arrives.
code_for() {
    local before mails answer
    before=$(find "$here/mail" -name '*.eml' | wc -l)
    # One code every 20 s for an address: the second one may have to wait.
    for _ in $(seq 25); do
        answer=$(curl --silent --show-error --max-time 20 -d "{\"email\":\"$1\"}" "$gateway/get_verification")
        case "$(field error <<<"$answer")" in 0) break ;; 2) sleep 1 ;; *) fail "no code for $1: $answer" ;; esac
    done
    for _ in $(seq 300); do
        mails=$(find "$here/mail" -name '*.eml' | sort)
        if [ "$(wc -l <<<"$mails")" -gt "$before" ] && [ -n "$mails" ]; then
            python3 - "$(tail -n 1 <<<"$mails")" <<'PYTHON'
import email, email.policy, re, sys
mail = email.message_from_binary_file(open(sys.argv[1], "rb"), policy=email.policy.default)
print(re.search(r"\b\d{6}\b", mail.get_body(("plain",)).get_content()).group())
PYTHON
            return
        fi
        sleep 0.1
    done
    fail "no mail for $1"
}
register() {
    local code
    code=$(code_for "$1@example.org")
    post /post_registration \
        "{\"username\":\"$1\",\"password\":\"$2\",\"email\":\"$1@example.org\",\"cpatcha\":\"$code\"}" | field uuid
}
# log_in NAME PASSWORD: a client as a coprocess, its pipes in ${NAME}_in and ${NAME}_out.
log_in() {
    local answer address token
    answer=$(post /trylogin_server "{\"username\":\"$1\",\"password\":\"$2\"}")
    address="$(field host <<<"$answer"):$(field port <<<"$answer")"
    token=$(field token <<<"$answer")
    mkfifo "$here/$3.in" "$here/$3.out"
    $bin/examples/chat "$address" "$token" <"$here/$3.in" >"$here/$3.out" 2>>"$here/clients.log" &
    pids+=($!)
    exec {writer}>"$here/$3.in"
    exec {reader}<"$here/$3.out"
    eval "$3_in=$writer; $3_out=$reader"
    expect "$3" "welcome"
}
tell() { local to="$1_in"; shift; echo "$*" >&"${!to}"; }
# Reads what a client prints until a line has these words; prints that line.
expect() {
    local from="$1_out" line
    while IFS= read -r -t 30 line <&"${!from}"; do
        case "$line" in *"$2"*) last=$line; echo "   $1: $line"; return ;; esac
    done
    fail "$1 was to say \"$2\""
}

step "two users register with codes from their mail"
alice=$(register alice 'a long enough password')
bob=$(register bob 'another long password')
post /post_registration '{"username":"alice","password":"a long enough password","email":"eve@example.org","cpatcha":"000000"}' 12 >/dev/null
echo "   alice is $alice, bob is $bob"

step "they log in, and become friends"
log_in alice 'a long enough password' a1
log_in bob 'another long password' b1
tell a1 find bo; expect a1 "profile $bob bob"
tell a1 request "$bob" "It is me, Alice"; expect a1 "done request"
expect b1 "requested by $alice alice: It is me, Alice"
tell b1 confirm "$alice"; expect b1 "befriended $alice alice"
expect a1 "befriended $bob bob"; expect a1 "text 2 from $bob"

step "they chat; one message is read, one is taken back"
tell a1 text "$bob" "Hello Bob"; expect a1 "acked $bob seq 3"
expect b1 "from $alice: Hello Bob"
tell b1 texts "$alice" "Hello Alice|How are you?"; expect a1 "from $bob: How are you?"
tell a1 read "$bob" 5; expect b1 "read by $alice up to 5"
tell a1 text "$bob" "oops"; expect b1 "oops"
tell a1 revoke "$bob" 6; expect b1 "revoked 6 by $alice"

step "Bob is away, and catches up"
tell b1 logout; expect b1 "goodbye logout"
tell a1 text "$bob" "Are you there?"; expect a1 "acked $bob seq 7"
tell a1 call "$bob" "ring"; expect a1 "rejected call"
log_in bob 'another long password' b2
tell b2 inbox; expect b2 "inbox alice head 7 unread"
tell b2 pull "$alice"; expect b2 "history 7 from $alice: Are you there?"
tell b2 friends; expect b2 "friend $alice alice"

step "a group"
tell a1 group "The two of us"; expect a1 "group"
group=$(cut -d' ' -f2 <<<"$last")
tell a1 join "$group"; expect a1 "joined $group"
tell b2 join "$group"; expect b2 "rejected join"
tell a1 add "$group" "$bob"; expect b2 "member $bob is in $group"
tell b2 join "$group"; expect b2 "joined $group"
tell b2 say "$group" "Hello group"; expect a1 "in $group: Hello group"

step "a second login ends the first"
log_in alice 'a long enough password' a2
expect a1 "goodbye replaced"

step "a new password ends every session"
code=$(code_for alice@example.org)
post /reset_password "{\"username\":\"alice\",\"email\":\"alice@example.org\",\"password\":\"a newer long password\",\"cpatcha\":\"$code\"}" >/dev/null
expect a2 "goodbye revoked"
post /trylogin_server '{"username":"alice","password":"a long enough password"}' 17 >/dev/null
log_in alice 'a newer long password' a3
tell a3 pull "$bob"; expect a3 "history 7"
tell a3 logout; expect a3 "goodbye logout"

step "the end"
