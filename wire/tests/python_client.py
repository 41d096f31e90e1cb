#!/usr/bin/env python3
"""Ringline's protocol in Python, from the protocol page alone, with only the standard library.

Reads lines from standard input and answers each with one line:
    decode HEX                     -> CORRELATION KIND FIELD=VALUE ...
    encode CORRELATION KIND F=V .. -> HEX
    token KEY NODE USER EPOCH INCARNATION EXPIRES -> HEX
    home SHARDS ID                 -> USER_HOME ROOM_HOME
    page KIND                      -> yes, if the page has this program's offsets of that kind
"""

import hashlib
import hmac
import pathlib
import struct
import sys

HEADER = struct.Struct("<BBBBIQ")
POINTER = struct.Struct("<iI")
MASK = (1 << 64) - 1

PAGE = pathlib.Path(__file__).parent.parent / "README.md"

U8, U16, U32, U64, PAIR, BYTES = "B", "H", "I", "Q", "QQ", "bytes"
TYPE_NAMES = {U8: "u8", U16: "u16", U32: "u32", U64: "u64", PAIR: "PAIR", BYTES: "pointer"}

KINDS = {
    0x01: ("Login", [("token", BYTES)]),
    0x02: ("Logout", []),
    0x03: ("Heartbeat", []),
    0x04: ("SendText", [("to", U64), ("client_message_id", U64), ("body", BYTES)]),
    0x05: ("JoinRoom", [("room", U64)]),
    0x06: ("LeaveRoom", [("room", U64)]),
    0x07: ("SendRoom", [("room", U64), ("client_message_id", U64), ("body", BYTES)]),
    0x08: ("Pull", [("conversation", PAIR), ("after", U64), ("limit", U16)]),
    0x09: ("Conversations", [("after", PAIR), ("limit", U16)]),
    0x81: ("Welcome", [
        ("user", U64), ("epoch", U64), ("heartbeat_interval_ms", U32),
        ("heartbeat_timeout_ms", U32), ("body_bytes_max", U32), ("home_port", U16),
        ("previous_close", U8),
    ]),
    0x82: ("Acked", [
        ("conversation", PAIR), ("seq", U64), ("message_id", U64), ("client_message_id", U64),
    ]),
    0x83: ("Text", [
        ("conversation", PAIR), ("seq", U64), ("message_id", U64), ("from", U64),
        ("unix_ms", U64), ("body", BYTES),
    ]),
    0x84: ("Joined", [("room", U64), ("head", U64)]),
    0x85: ("Left", [("room", U64)]),
    0x86: ("Pulled", [("conversation", PAIR), ("next", U64), ("is_complete", U8)]),
    0x87: ("HeartbeatAck", []),
    0x88: ("Rejected", [
        ("reject", U8), ("kind", U8), ("retry_after_ms", U32), ("client_message_id", U64),
    ]),
    0x89: ("Goodbye", [("reason", U8), ("reconnect_after_ms", U32)]),
    0x8A: ("ConversationHead", [("conversation", PAIR), ("head", U64)]),
    0x8B: ("ConversationsEnd", [("next", PAIR), ("is_complete", U8)]),
    0x0A: ("SendTexts", [("to", U64), ("texts", BYTES)]),
    0x0B: ("SignalCall", [("to", U64), ("call", U64), ("signal", U8), ("body", BYTES)]),
    0x10: ("Me", []),
    0x11: ("GetProfile", [("user", U64)]),
    0x12: ("SetProfile", [("sex", U8), ("nickname", BYTES), ("description", BYTES), ("avatar", BYTES)]),
    0x13: ("FindUsers", [("after", U64), ("limit", U16), ("is_exact", U8), ("username", BYTES)]),
    0x14: ("Friends", [("after", U64), ("limit", U16)]),
    0x15: ("FriendRequests", [("after", U64), ("limit", U16)]),
    0x16: ("RequestFriend", [("to", U64), ("alias", BYTES), ("note", BYTES)]),
    0x17: ("ConfirmFriend", [("from", U64), ("alias", BYTES)]),
    0x18: ("DeclineFriend", [("from", U64)]),
    0x19: ("RemoveFriend", [("user", U64)]),
    0x1A: ("OpenPrivate", [("with", U64)]),
    0x1B: ("Inbox", [("after", PAIR), ("limit", U16)]),
    0x1C: ("MarkRead", [("conversation", PAIR), ("seq", U64)]),
    0x1D: ("Revoke", [("conversation", PAIR), ("seq", U64)]),
    0x1E: ("CreateGroup", [("name", BYTES)]),
    0x1F: ("AddMember", [("group", U64), ("user", U64), ("role", U8)]),
    0x20: ("RemoveMember", [("group", U64), ("user", U64)]),
    0x21: ("SetRole", [("group", U64), ("user", U64), ("role", U8)]),
    0x22: ("Members", [("group", U64), ("after", U64), ("limit", U16)]),
    0x90: ("Done", [("next", PAIR), ("is_complete", U8)]),
    0x91: ("Profile", [("user", U64), ("sex", U8), ("username", BYTES), ("nickname", BYTES), ("description", BYTES), ("avatar", BYTES)]),
    0x92: ("Friend", [("user", U64), ("sex", U8), ("username", BYTES), ("nickname", BYTES), ("description", BYTES), ("avatar", BYTES), ("alias", BYTES)]),
    0x93: ("FriendRequested", [("from", U64), ("unix_ms", U64), ("sex", U8), ("username", BYTES), ("nickname", BYTES), ("description", BYTES), ("avatar", BYTES), ("note", BYTES)]),
    0x94: ("Befriended", [("user", U64), ("conversation", PAIR), ("sex", U8), ("username", BYTES), ("nickname", BYTES), ("description", BYTES), ("avatar", BYTES), ("alias", BYTES)]),
    0x95: ("Unfriended", [("user", U64)]),
    0x96: ("InboxItem", [("conversation", PAIR), ("head", U64), ("read", U64), ("peer_read", U64), ("unread", U16), ("role", U8), ("name", BYTES)]),
    0x97: ("ReadUpTo", [("conversation", PAIR), ("user", U64), ("seq", U64)]),
    0x98: ("Revoked", [("conversation", PAIR), ("seq", U64), ("by", U64)]),
    0x99: ("Group", [("group", U64), ("head", U64), ("role", U8), ("name", BYTES)]),
    0x9A: ("Member", [("user", U64), ("role", U8), ("username", BYTES)]),
    0x9B: ("MemberChanged", [("group", U64), ("user", U64), ("by", U64), ("role", U8), ("is_member", U8), ("name", BYTES)]),
    0x9C: ("CallSignal", [("from", U64), ("call", U64), ("signal", U8), ("body", BYTES)]),
}
CODES = {name: code for code, (name, _) in KINDS.items()}


def size(field_type):
    return POINTER.size if field_type == BYTES else struct.calcsize("<" + field_type)


def encode(correlation, name, values):
    """One frame; `values` by field name."""
    code = CODES[name]
    fields = KINDS[code][1]
    tail = b"".join(values[field] for field, kind in fields if kind == BYTES)
    root = b""
    body = 0
    for field, kind in fields:
        value = values[field]
        if kind == BYTES:
            root += POINTER.pack(body - (len(tail) + len(root)), len(value))
            body += len(value)
        elif kind == PAIR:
            root += struct.pack("<QQ", *value)
        else:
            root += struct.pack("<" + kind, value)
    payload = tail + root
    return HEADER.pack(0xC5, 1, 0, code, len(payload), correlation) + payload


def decode(frame):
    """The correlation id, the kind's name and the values of one whole frame."""
    magic, version, flags, code, length, correlation = HEADER.unpack_from(frame)
    if (magic, version, flags) != (0xC5, 1, 0) or code not in KINDS or length > 65520:
        raise ValueError("not a frame")
    payload = frame[HEADER.size:]
    if len(payload) != length:
        raise ValueError("not one whole frame")
    name, fields = KINDS[code]
    at = length - sum(size(kind) for _, kind in fields)
    if at < 0:
        raise ValueError("shorter than its root")
    tail, body = at, 0
    values = {}
    for field, kind in fields:
        if kind == BYTES:
            offset, count = POINTER.unpack_from(payload, at)
            if at + offset != body or body + count > tail:
                raise ValueError("not the canonical form")
            values[field] = payload[body:body + count]
            body += count
        elif kind == PAIR:
            values[field] = struct.unpack_from("<QQ", payload, at)
        else:
            (values[field],) = struct.unpack_from("<" + kind, payload, at)
        at += size(kind)
    if tail != body:
        raise ValueError("bytes that belong to no field")
    return correlation, name, values


def mint(key, node, user, epoch, incarnation, expires_ms):
    body = struct.pack("<BQQQQ", 1, user, epoch, incarnation, expires_ms)
    text = b"ringline login token 1\0" + body + node.encode()
    return body + hmac.new(key, text, hashlib.sha256).digest()


def mix(value):
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def home(value, shards):
    return ((mix(value & MASK) >> 32) * shards) >> 32


def show(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return "%d:%d" % value
    return str(value)


def read(kind, text):
    if kind == BYTES:
        return bytes.fromhex(text)
    if kind == PAIR:
        return tuple(int(number) for number in text.split(":"))
    return int(text)


def answer(line):
    verb, *words = line.split()
    if verb == "decode":
        correlation, name, values = decode(bytes.fromhex(words[0]))
        shown = ["%s=%s" % (field, show(value)) for field, value in values.items()]
        return " ".join([str(correlation), name] + shown)
    if verb == "encode":
        correlation, name, *pairs = words
        types = dict(KINDS[CODES[name]][1])
        values = dict(pair.split("=", 1) for pair in pairs)
        values = {field: read(types[field], text) for field, text in values.items()}
        return encode(int(correlation), name, values).hex()
    if verb == "token":
        key, node, *numbers = words
        return mint(bytes.fromhex(key), node, *map(int, numbers)).hex()
    if verb == "home":
        shards, number = map(int, words)
        return "%d %d" % (home(number, shards), home(number + 0x524F4F4D53414C54, shards))
    if verb == "page":
        name, fields = KINDS[int(words[0])]
        at, listed = 0, []
        for field, kind in fields:
            listed.append("%d %s `%s`" % (at, TYPE_NAMES[kind], field))
            at += size(kind)
        row = "| %d bytes | %s |" % (at, ", ".join(listed) or "no payload")
        rows = [text for text in PAGE.read_text().splitlines() if "| %s |" % name in text]
        return "yes" if any(text.endswith(row) for text in rows) else "no: " + row
    raise ValueError("no such request: " + verb)


if __name__ == "__main__":
    for line in sys.stdin:
        print(answer(line))
