"""The session: which frames there are, and who may send which of them when. Sans-IO, one table.

A client says hello, the server answers with its own; then requests go one way, replies and refusals the other, in
any order, and pings both ways. An illegal frame from the other side ends the session.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Any, ClassVar

from attrs import frozen

from ployz.errors import CleanupPending, Code, Corrupt, Failed, PloyzError, Refused, Unreachable, Usage
from ployz.ids import MachineId
from ployz.strict import Malformed, make_converter, structure
from ployz.wire.frames import FRAME_BYTES_MAX, HELLO_BYTES_MAX, BadFrame, Flaw, FrameDecoder, encode_frame

PROTOCOL_VERSION = 1
IN_FLIGHT_MAX = 128
"""Requests of one connection without an answer yet."""
FRAME_ITEMS_MAX = 32
"""Values in one frame: a map of a few fields. What a request asks is bytes here, and unpacked elsewhere."""
TEXT_LENGTH_MAX = 16_000
"""Characters of a refusal's text: room for every blocker of a plan, none for a program's whole output."""

# ---------------------------------------------------------------- frames


class Category(StrEnum):
    """Which branch of the error tree a refusal belongs to: decides its class, and so the exit code."""

    REFUSED = "refused"
    USAGE = "usage"
    FAILED = "failed"
    CLEANUP_PENDING = "cleanup-pending"
    UNREACHABLE = "unreachable"
    CORRUPT = "corrupt"


_CLASS_OF: dict[Category, type[PloyzError]] = {
    Category.REFUSED: Refused,
    Category.USAGE: Usage,
    Category.FAILED: Failed,
    Category.CLEANUP_PENDING: CleanupPending,
    Category.UNREACHABLE: Unreachable,
    Category.CORRUPT: Corrupt,
}


@frozen
class Hello:
    """The first frame of each side. A server checks who the client is; a client, that it found who it meant."""

    kind: ClassVar[str] = "hello"
    version: int
    cluster: str
    """Empty: none yet, or an operator, who talks to whatever node is there."""
    machine: str
    """Empty: an operator."""


@frozen
class Identity:
    """Who a node is, for its hellos. The cluster is empty until it founded or joined one."""

    machine: MachineId
    cluster: str

    def hello(self) -> Hello:
        return Hello(PROTOCOL_VERSION, self.cluster, self.machine)


@frozen
class Request:
    """Client to server. Ids rise and are never used twice."""

    kind: ClassVar[str] = "request"
    id: int
    to: str
    tag: str
    timeout_ms: int
    """How long the asker waits: an ask that is not begun by then is dropped."""
    body: bytes


@frozen
class Reply:
    """Server to client, once for each request, or a Refusal instead."""

    kind: ClassVar[str] = "reply"
    id: int
    body: bytes


@frozen
class Refusal:
    """Server to client: the answer to request `id`, or, with id 0, to the whole connection, which then ends."""

    kind: ClassVar[str] = "refusal"
    id: int
    category: Category
    code: Code
    text: str
    advice: str

    @classmethod
    def of(cls, request_id: int, error: PloyzError) -> Refusal:
        category = next(category for category, kind in _CLASS_OF.items() if isinstance(error, kind))
        return cls(request_id, category, error.code, _sendable(error.problem.text), _sendable(error.problem.advice))

    def to_error(self) -> PloyzError:
        return _CLASS_OF[self.category](self.code, self.text, self.advice)


@frozen
class Ping:
    """Either side, to learn whether the other one is still there."""

    kind: ClassVar[str] = "ping"


@frozen
class Pong:
    """The answer to a Ping."""

    kind: ClassVar[str] = "pong"


Frame = Hello | Request | Reply | Refusal | Ping | Pong

_FRAMES: dict[str, type[Frame]] = {cls.kind: cls for cls in (Hello, Request, Reply, Refusal, Ping, Pong)}

_converter = make_converter()

# ---------------------------------------------------------------- who may do what when


class Role(Enum):
    CLIENT = "client"
    SERVER = "server"


class State(Enum):
    START = "start"
    """No hello yet."""
    GREETED = "greeted"
    """The client's hello has gone over; the server's has not."""
    OPEN = "open"
    CLOSED = "closed"


_BY_CLIENT: dict[State, dict[type[Frame], State]] = {
    State.START: {Hello: State.GREETED},
    State.GREETED: {},
    State.OPEN: {Request: State.OPEN, Ping: State.OPEN, Pong: State.OPEN},
    State.CLOSED: {},
}
_BY_SERVER: dict[State, dict[type[Frame], State]] = {
    State.START: {Refusal: State.CLOSED},
    State.GREETED: {Hello: State.OPEN, Refusal: State.CLOSED},
    State.OPEN: {Reply: State.OPEN, Refusal: State.OPEN, Ping: State.OPEN, Pong: State.OPEN},
    State.CLOSED: {},
}
"""What a side may send in each state, and the state after it."""


class OutOfTurn(Refused):
    """A legal frame at a moment, or with an id, that the protocol does not allow."""

    def __init__(self, text: str) -> None:
        super().__init__(Code.MALFORMED_FRAME, text)


class Session:
    """One side of one connection. `send` gives the bytes to write; `feed` and `next_frame` take what was read.

    What this side sends wrongly is a bug and leaves the state unchanged. What the other side sends wrongly raises
    `BadFrame`, `OutOfTurn` or `Refused` with PROTOCOL_MISMATCH, and closes the session.
    """

    def __init__(self, role: Role) -> None:
        self.role = role
        self.state = State.START
        self._decoder = FrameDecoder(HELLO_BYTES_MAX, FRAME_ITEMS_MAX)
        self._in_flight: set[int] = set()
        self._in_flight_max = IN_FLIGHT_MAX
        self._last_id = 0

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    @property
    def buffered_bytes(self) -> int:
        """Of frames that are not whole."""
        return self._decoder.buffered_bytes

    def allow(self, frame_bytes_max: int, in_flight_max: int) -> None:
        """What the other side may send from here on: somebody has found out whose side that is."""
        self._decoder.limit_bytes = frame_bytes_max
        self._in_flight_max = in_flight_max

    @property
    def is_inside_frame(self) -> bool:
        return self._decoder.is_inside_frame

    def next_id(self) -> int:
        """For the client's next request. `Refused` with MAILBOX_FULL when too many are in flight."""
        if len(self._in_flight) >= IN_FLIGHT_MAX:
            text = f"{IN_FLIGHT_MAX} requests of this connection wait for their answers, and that is the limit"
            raise Refused(Code.MAILBOX_FULL, text, "Try again in a moment.")
        return self._last_id + 1

    def send(self, frame: Frame) -> bytes:
        data = encode_frame({"kind": frame.kind, **_converter.unstructure(frame)})
        try:
            after = self._step(self.role, frame)
        except OutOfTurn as error:
            raise AssertionError(f"this {self.role.value} sends out of turn: {error}") from error
        self.state = after
        return data

    def feed(self, data: bytes) -> None:
        self._decoder.feed(data)

    def end(self) -> None:
        """The other side closed. `BadFrame` when it did so in the middle of a frame."""
        self.state = State.CLOSED
        self._decoder.end()

    def next_frame(self) -> Frame | None:
        """The next frame from the other side, taken account of; None: feed more."""
        if self.state is State.CLOSED:
            raise OutOfTurn("the session is closed")
        try:
            content = self._decoder.next_frame()
            if content is None:
                return None
            frame = _parse(content)
            self.state = self._step(Role.SERVER if self.role is Role.CLIENT else Role.CLIENT, frame)
        except Refused:
            self.state = State.CLOSED
            raise
        if isinstance(frame, Hello) and self.role is Role.CLIENT:  # whom the client chose to ask
            self._decoder.limit_bytes = FRAME_BYTES_MAX
        return frame

    def _step(self, by: Role, frame: Frame) -> State:
        """The state after `frame`; the ids that it opens and closes."""
        table = _BY_CLIENT if by is Role.CLIENT else _BY_SERVER
        after = table[self.state].get(type(frame))
        if after is None:
            raise OutOfTurn(f"a {by.value} sends no {frame.kind} when the session is {self.state.value}")
        match frame:
            case Request(id=number):
                if number <= self._last_id:
                    raise OutOfTurn(f"request {number} comes after request {self._last_id}: ids rise")
                if len(self._in_flight) >= self._in_flight_max:
                    raise OutOfTurn(f"more than {self._in_flight_max} requests are in flight")
                self._last_id = number
                self._in_flight.add(number)
            case Reply(id=number) | Refusal(id=number):
                return self._answered(number, frame, after)
            case _:
                pass
        return after

    def _answered(self, number: int, frame: Reply | Refusal, after: State) -> State:
        if number == 0 and isinstance(frame, Refusal):
            return State.CLOSED
        if number not in self._in_flight:
            raise OutOfTurn(f"there is no request {number} that waits for a {frame.kind}")
        self._in_flight.remove(number)
        return after


def _sendable(text: str) -> str:
    """Programs' own words may hold anything; a refusal always gets through."""
    return text[:TEXT_LENGTH_MAX].encode(errors="replace").decode()


def _parse(content: dict[str, Any]) -> Frame:
    kind = content.pop("kind", None)
    cls = _FRAMES.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise BadFrame(Flaw.UNKNOWN_KIND, repr(kind)[:80])
    if cls is Hello:  # before its fields: another version's hello may have other ones
        _check_version(content.get("version"))
    try:
        return structure(_converter, content, cls)
    except Malformed as error:
        raise BadFrame(Flaw.WRONG_FIELDS, f"{kind}: {error}"[:400]) from error


def _check_version(version: object) -> None:
    if version != PROTOCOL_VERSION or isinstance(version, bool):
        raise Refused(
            Code.PROTOCOL_MISMATCH,
            f"the other side speaks version {version!r:.40} of the protocol, this one {PROTOCOL_VERSION}",
            "Run the same version of ployz on every machine, and restart ployzd after an upgrade.",
        )
