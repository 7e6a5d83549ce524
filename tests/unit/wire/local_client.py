"""What a process of another user asks a node's local socket: the two messages of the test, and the process itself.

Nothing is made at import that has to be removed at exit: by then this process is no longer root.
"""

# ruff: noqa: T201 - the answer is read from standard output

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from attrs import frozen

from ployz.errors import PloyzError
from ployz.ids import MachineId, ServiceRef
from ployz.wire.local import ask
from ployz.wire.message import OPERATOR, READER, Message, message


@frozen
class Seen:
    who: str


@message("garden.look", senders=READER)
@frozen
class LookAround(Message[Seen]):
    pass


@message("garden.dig", senders=OPERATOR)
@frozen
class Dig(Message[Seen]):
    service: ServiceRef
    machine: MachineId
    manifest: str = "a secret = 1"


DIG = Dig(ServiceRef.parse("production/db"), MachineId("machine-b"))


def main(socket: str, asked: str, uid: int, groups: list[int]) -> None:
    """Becomes that user, the first group being its own, and prints how the question went."""
    os.setgroups(groups[1:])
    os.setgid(groups[0])
    os.setuid(uid)
    question = LookAround() if asked == "look" else DIG
    try:
        print(json.dumps(["ok", ask(Path(socket), "garden", question, timeout_s=20).who]))
    except PloyzError as error:
        print(json.dumps([error.code, error.problem.text, error.problem.advice, error.exit_code]))


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
