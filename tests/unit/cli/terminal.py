"""ployzctl as an operator meets it: run in this process, against a node that answers over a real socket."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread
from anyio.abc import TaskStatus
from attrs import field, frozen

from ployz.cli.main import run
from ployz.errors import PloyzError
from ployz.ids import MachineId
from ployz.wire.message import Message, Sender
from ployz.wire.server import WireServer
from ployz.wire.session import Identity
from tests.identities import tls

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "cli"


class GoAway(Exception):
    """Raised by an answer: the node dies instead of answering."""


Answer = object | PloyzError | Callable[[Any], Any]
"""A reply, a refusal, or a function from the message to one of them."""


@frozen
class Ended:
    exit_code: int
    out: str
    err: str
    asked: tuple[tuple[str, Message[Any]], ...]

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


class Keyboard(io.StringIO):
    """Somebody sits there and types this."""

    def isatty(self) -> bool:
        return True


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


class CtrlC(io.StringIO):
    """An operator who presses Ctrl-C when `seen` appears."""

    def __init__(self, seen: str) -> None:
        super().__init__()
        self._seen = seen

    def write(self, text: str) -> int:
        written = super().write(text)
        if self._seen in text:
            raise KeyboardInterrupt
        return written


@frozen
class Node:
    answers: Mapping[type[Message[Any]], Answer]
    asked: list[tuple[str, Message[Any]]] = field(factory=list)
    gone: anyio.Event = field(factory=anyio.Event)

    async def deliver(self, to: str, message: Message[Any], sender: Sender, *, timeout_s: float) -> Any:
        self.asked.append((to, message))
        answer = self.answers[type(message)]
        try:
            reply = answer(message) if callable(answer) else answer
        except GoAway:
            self.gone.set()
            await anyio.sleep_forever()
        if isinstance(reply, PloyzError):
            raise reply
        return reply


def ployzctl(
    *argv: str,
    answers: Mapping[type[Message[Any]], Answer] | None = None,
    stdin: io.StringIO | None = None,
    stdout: io.StringIO | None = None,
) -> Ended:
    """Runs one command line. Without `answers` there is no node."""
    out, err = stdout or io.StringIO(), io.StringIO()
    folder = Path(tempfile.mkdtemp(prefix="ployz-cli-"))
    path = folder / "run" / "node.sock"
    node = None

    def command() -> int:
        return run(["--socket", str(path), *argv], stdin or io.StringIO(), out, err)

    async def beside_a_node(answers: Mapping[type[Message[Any]], Answer]) -> tuple[int, Node]:
        node = Node(answers)
        server = WireServer(
            lambda: Identity(MachineId("machine-a"), "home"), node.deliver, lambda _: None, tls("machine-a", [])
        )
        exit_code = None
        async with anyio.create_task_group() as tasks:
            serving = anyio.CancelScope()

            async def serve(*, task_status: TaskStatus[str]) -> None:
                with serving:
                    await server.serve_local(path, task_status=task_status)

            async def die() -> None:
                await node.gone.wait()
                serving.cancel()

            await tasks.start(serve)
            tasks.start_soon(die)
            exit_code = await to_thread.run_sync(command)
            tasks.cancel_scope.cancel()
        assert exit_code is not None
        return exit_code, node

    try:
        if answers is None:
            exit_code = command()
        else:
            exit_code, node = anyio.run(beside_a_node, answers, backend="trio")
    finally:
        shutil.rmtree(folder)
    return Ended(exit_code, out.getvalue(), err.getvalue(), tuple(node.asked) if node else ())


def golden(name: str, text: str) -> None:
    """The text is what tests/golden/cli holds. PLOYZ_WRITE_GOLDEN=1 writes it, for somebody to read and commit."""
    path = GOLDEN / name
    if os.environ.get("PLOYZ_WRITE_GOLDEN") == "1":
        path.write_text(text)
    assert text == path.read_text()


def pages(*pages: Any) -> Callable[[Any], Any]:
    """One answer after the other."""
    left = iter(pages)

    def answer(_: Any) -> Any:
        page = next(left)
        if page is GoAway:
            raise GoAway
        return page

    return answer
