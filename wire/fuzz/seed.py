#!/usr/bin/env python3
"""Writes the golden frames of the protocol page into each target's corpus, so that fuzzing starts from valid bytes."""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))
sys.dont_write_bytecode = True
import python_client as wire  # noqa: E402

page = (HERE.parent / "README.md").read_text().splitlines()
frames = [bytes.fromhex(line) for line in page if line.startswith("    c501")]
names = [wire.decode(frame)[1] for frame in frames]
welcome = frames[names.index("Welcome")]


def text(first, second, seq, sender, correlation):
    values = {"conversation": (first, second), "seq": seq, "message_id": seq, "from": sender,
              "unix_ms": 1, "body": b"hello"}
    return wire.encode(correlation, "Text", values)


REPAIR = (1 << 63) | 2
pushes = [text(7, 9, seq, 9, 0) for seq in (1, 3, 2, 2, 5)]
answer = [text(7, 9, 4, 9, REPAIR)]
answer.append(wire.encode(REPAIR, "Pulled", {"conversation": (7, 9), "next": 4, "is_complete": 1}))
story = b"".join([welcome] + pushes + answer + frames[names.index("Acked"):])

cuts = [bytes([first]) + bytes([60] * 7) for first in (0, 1, 2)]
seeds = {
    "split": frames,
    "parse": [frame[16:] for frame in frames],
    "stream": [cuts[0] + frame for frame in frames] + [cuts[1] + story],
    "client_session": [cut + welcome + frame for cut in cuts for frame in frames]
    + [cut + story for cut in cuts],
}
for target, inputs in seeds.items():
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for index, content in enumerate(inputs):
        (folder / f"seed-{index}").write_bytes(content)
