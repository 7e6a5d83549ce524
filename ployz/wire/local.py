"""The command line's side of the operator's socket: plain blocking sockets, so that no event loop is imported.

One connection, one request at a time.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from ployz.errors import Code, Refused, Unreachable
from ployz.wire import last_words
from ployz.wire.codec import decode_reply, encode
from ployz.wire.message import Message
from ployz.wire.session import PROTOCOL_VERSION, Frame, Hello, Pong, Refusal, Reply, Request, Role, Session

CONNECT_S = 5.0
ANSWER_GRACE_S = 1.0
"""On top of an ask's own timeout: the node answers TIMED_OUT itself, and that answer has a way to go."""
READ_BYTES = 64 << 10
ADVICE = "Is ployzd running? See `systemctl status ployzd`. Another socket is given with --socket."
WHO_MAY = (
    "Root may, and members of the group ployz may look: usermod -aG ployz USER, and log in anew. "
    "Those of ployz-admin as well may change things."
)

R = TypeVar("R")


class Conversation:
    """One connected socket, one request at a time. `who`: the other side, in words. The socket is closed elsewhere."""

    def __init__(self, connected: socket.socket, who: str) -> None:
        self._socket = connected
        self._who = who
        self._session = Session(Role.CLIENT)

    def greet(self) -> str:
        """The name of the machine that answers. OSError, or `Unreachable`: it does not."""
        with suppress(BrokenPipeError):  # it said why it closed before it was greeted
            self._socket.sendall(self._session.send(Hello(PROTOCOL_VERSION, "", "")))
        hello = self._next_frame("it closed the connection at once")
        if isinstance(hello, Refusal):
            raise hello.to_error()
        return hello.machine if isinstance(hello, Hello) else ""

    def ask(self, to: str, message: Message[R], *, timeout_s: float) -> R:
        number = self._session.next_id()
        request = Request(number, to, message.tag, int(timeout_s * 1000), encode(message))
        lost = f"{self._who} went away before it answered {message.tag}: it may or may not be done"
        self._socket.settimeout(timeout_s + ANSWER_GRACE_S)
        try:
            self._socket.sendall(self._session.send(request))
            answer = self._next_frame(lost)
        except TimeoutError:
            text = f"{to} did not answer {message.tag} within {timeout_s:g} s: it may or may not be done"
            raise Unreachable(Code.TIMED_OUT, text) from None
        except OSError as error:
            raise Unreachable(Code.OUTCOME_UNKNOWN, f"{lost} ({error.strerror})") from None
        match answer:
            case Reply():
                return decode_reply(message, answer.body)
            case Refusal():
                raise answer.to_error()
            case _:
                raise AssertionError(f"the session lets no {answer.kind} through here")

    def _next_frame(self, lost: str) -> Frame:
        """The next frame that is no ping. `Unreachable` with `lost` when the connection ends first."""
        while True:
            frame = self._session.next_frame()
            if frame is None:
                data = self._socket.recv(READ_BYTES)
                if not data:
                    raise Unreachable(Code.OUTCOME_UNKNOWN, lost)
                self._session.feed(data)
            elif not isinstance(frame, Pong):
                return frame


class LocalNode:
    """`with LocalNode(path) as node: node.ask("machine", message, timeout_s=10)`.

    Raises what the actor refused with, as `Ref.ask` does; `Refused` with NOT_ALLOWED for a user who may not use
    the socket; and `Unreachable`: NODE_UNREACHABLE when no daemon takes the connection, OUTCOME_UNKNOWN when it went
    away in the middle, TIMED_OUT.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._conversation = Conversation(self._socket, "the node")
        self.machine = ""
        """Whose node this is, once connected."""

    def __enter__(self) -> Self:
        try:
            self._connect()
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, to: str, message: Message[R], *, timeout_s: float) -> R:
        return self._conversation.ask(to, message, timeout_s=timeout_s)

    def _connect(self) -> None:
        self._socket.settimeout(CONNECT_S)
        try:
            self._socket.connect(str(self._path))
            self.machine = self._conversation.greet()
        except PermissionError:
            text = f"user {os.geteuid()} may not use {self._path}"
            raise Refused(Code.NOT_ALLOWED, text, WHO_MAY) from None
        except (OSError, Unreachable) as error:
            words = error.problem.text if isinstance(error, Unreachable) else error.strerror or str(error)
            raise _nobody_answers(self._path, words) from None


def _nobody_answers(path: Path, words: str) -> Unreachable:
    """With ployzd's own words, where it left any: why it ended, or what it waits for."""
    last = last_words.read(path)
    if last is None:
        return Unreachable(Code.NODE_UNREACHABLE, f"no node answers on {path}: {words}", ADVICE)
    text = f"no node answers on {path}: {words}. At {last.at} ployzd said: {last.text}"
    return Unreachable(Code.NODE_UNREACHABLE, text, last.advice or ADVICE)


def ask(path: Path, to: str, message: Message[R], *, timeout_s: float) -> R:
    """One ask on a connection of its own."""
    with LocalNode(path) as node:
        return node.ask(to, message, timeout_s=timeout_s)
