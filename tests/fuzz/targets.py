"""Everything that reads what others wrote, and what may become of any of it: a value, or one of its declared errors.

A check fails on any other exception, on a value that cannot be written again as it is, and on more processor time
than a reader may take for each byte.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgpack  # type: ignore[import-untyped]
from attrs import frozen
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from ployz.actors.messages.all import __all__ as every_message
from ployz.errors import Code, PloyzError
from ployz.events.codec import CODEC
from ployz.events.types import Event, vocabulary
from ployz.ids import ClusterName, InviteId
from ployz.manifest import Format, InvalidManifest, Manifest, parse, to_canonical_json
from ployz.strict import pack
from ployz.wire.codec import decode_message, encode
from ployz.wire.frames import FrameDecoder, encode_frame, unpack_checked
from ployz.wire.invitation import Invitation, from_token, to_token
from ployz.wire.message import registry
from ployz.wire.session import FRAME_ITEMS_MAX, Frame, Hello, Ping, Pong, Reply, Request, Role, Session, State
from ployz.wire.streams import Verdict, decode_verdict, encode_verdict
from tests.fuzz.strategies import MAPS, PLAIN, damaged, in_pieces, misspelled, over_and_over
from tests.golden.samples import samples
from tests.unit.manifest.any_manifest import manifests
from tests.unit.manifest.examples import DATABASE

assert every_message, "the registry is full"


T = TypeVar("T")

LONG_BYTES: Final = 64 << 10


COST_BASE_S: Final = 0.1
"""Processor time for a few bytes: a collection of garbage may fall into it."""
COST_S_PER_BYTE: Final = 10e-6
"""On the development machine the worst takes 2 µs. What grows with the square is beyond it at some 10 KiB."""


def in_time(size_bytes: int, reader: Callable[..., T], *given: Any) -> T:
    """What `reader` returns or raises, and a failure if it computed for longer than that many bytes are worth."""
    began_s = time.thread_time()
    try:
        return reader(*given)
    finally:
        took_s = time.thread_time() - began_s
        allowed_s = COST_BASE_S + size_bytes * COST_S_PER_BYTE
        assert took_s <= allowed_s, f"{took_s:.3f} s of processor time for {size_bytes} bytes; {allowed_s:.3f} s may be"


@frozen
class Target:
    name: str
    anything: st.SearchStrategy[Any]
    check: Callable[[Any], None]

    def play(self, examples: int, number: int) -> None:
        """The same number tries the same. A failure is made small, and raised with what it was."""
        bounds = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
            print_blob=False,
        )

        @seed(number)
        @bounds
        @given(self.anything)
        def play(anything: Any) -> None:
            self.check(anything)

        play()


def read(reader: Callable[..., T], *given: Any, may: Code | tuple[Code, ...]) -> T | PloyzError:
    """What it is read as, or the error that the reader may refuse it with. Any other one is a failure."""
    try:
        return reader(*given)
    except PloyzError as error:
        if error.code not in (may if isinstance(may, tuple) else (may,)):
            raise
        return error


# ---------------------------------------------------------------- frames


def _frames(pieces: list[bytes]) -> None:
    read(_decode_all, pieces, may=Code.MALFORMED_FRAME)


def _decode_all(pieces: list[bytes]) -> None:
    decoder = FrameDecoder()
    for piece in pieces:
        decoder.feed(piece)
        while (content := decoder.next_frame()) is not None:
            again = FrameDecoder()
            again.feed(encode_frame(content))
            assert repr(again.next_frame()) == repr(content)
    decoder.end()


def _shape(payload: bytes) -> None:
    """What the shape lets through is what msgpack reads, all of it."""
    value = read(unpack_checked, payload, may=Code.MALFORMED_FRAME)
    if not isinstance(value, PloyzError):
        assert repr(unpack_checked(msgpack.packb(value))) == repr(value)


def _long_frame(payload: bytes) -> None:
    """Of a session, as long as it may be before the hello."""
    decoder = FrameDecoder(len(payload), FRAME_ITEMS_MAX)
    decoder.feed(len(payload).to_bytes(4, "big") + payload)
    read(in_time, 0, decoder.next_frame, may=Code.MALFORMED_FRAME)


GOOD_FRAMES: Final = st.lists(MAPS.map(encode_frame), min_size=1, max_size=3).map(b"".join)

# ---------------------------------------------------------------- the session

HELLO: Final = Hello(1, "home", "machine-a")
_MOVES: Final = st.sampled_from(
    [
        HELLO,
        Hello(2, "home", "machine-a"),
        *(Request(number, "machine", "machine.ping", 1000, b"\x80") for number in (1, 2, 9)),
        *(Reply(number, b"\x80") for number in (1, 2)),
        Ping(),
        Pong(),
    ]
)
STEPS: Final = st.lists(_MOVES | st.binary(max_size=40) | MAPS.map(encode_frame), max_size=12)


def _session(of: tuple[Role, list[Frame | bytes]]) -> None:
    role, steps = of
    session = Session(role)
    if role is Role.CLIENT:
        session.send(HELLO)
    ended = read(_go_through, session, steps, may=(Code.MALFORMED_FRAME, Code.PROTOCOL_MISMATCH))
    assert ended is None or session.state is State.CLOSED


def _go_through(session: Session, steps: list[Frame | bytes]) -> None:
    for step in steps:
        session.feed(step if isinstance(step, bytes) else written(step))
        while (frame := session.next_frame()) is not None:
            if isinstance(frame, Hello):
                session.send(HELLO if session.role is Role.SERVER else Request(session.next_id(), "a", "b.c", 1, b""))
            if isinstance(frame, Request):
                session.send(Reply(frame.id, b""))


def written(frame: Frame) -> bytes:
    """By a side that keeps to no rule."""
    fields = {name: getattr(frame, name) for name in frame.__annotations__ if name != "kind"}
    return encode_frame({"kind": frame.kind, **fields})


# ---------------------------------------------------------------- messages

_TAGS: Final = sorted(registry())
_REFUSALS: Final = (Code.MALFORMED_FRAME, Code.UNKNOWN_MESSAGE, Code.UNKNOWN_EVENT, Code.MALFORMED_EVENT)


@st.composite
def _bodies(draw: st.DrawFn) -> tuple[str, bytes]:
    """With the fields of its class, which hold anything, or with anything at all."""
    tag = draw(st.sampled_from(_TAGS) | st.text(max_size=20))
    cls = registry().get(tag)
    if cls is None or draw(st.booleans()):
        return tag, draw(damaged(PLAIN.map(pack)))
    fields = {name: draw(PLAIN) for name in vars(cls).get("__annotations__", {})}
    return tag, pack(fields)


def _message(of: tuple[str, bytes]) -> None:
    message = read(in_time, len(of[1]), decode_message, *of, may=_REFUSALS)
    if not isinstance(message, PloyzError):
        assert decode_message(of[0], encode(message)) == message


def _long_message(of: tuple[str, list[Any]]) -> None:
    """The fields of a message hold one thing, as often as 64 KiB have room for it."""
    tag, item = of
    cls = registry()[tag]
    fill = item * (LONG_BYTES // len(pack(item)))
    body = pack(dict.fromkeys(vars(cls).get("__annotations__", {}), fill) | {"unknown": fill})
    read(in_time, len(body), decode_message, tag, body, may=_REFUSALS)


def _verdict(content: bytes) -> None:
    verdict = read(decode_verdict, content, may=Code.STREAM_FAILED)
    if not isinstance(verdict, PloyzError):
        assert decode_verdict(encode_verdict(verdict)) == verdict


_VERDICTS: Final = st.builds(Verdict, st.integers(0, 1 << 40), st.integers(-64, 255), st.text(), st.text())

# ---------------------------------------------------------------- events


def _event(of: tuple[tuple[str, int], bytes]) -> None:
    (name, version), payload = of
    event = read(CODEC.decode, name, version, payload, may=(Code.MALFORMED_EVENT, Code.UNKNOWN_EVENT))
    if not isinstance(event, PloyzError):
        assert CODEC.encode(event).event == event


_KINDS: Final = st.sampled_from(sorted(vocabulary())) | st.tuples(st.text(max_size=20), st.integers(-1, 9))


@st.composite
def _changed_events(draw: st.DrawFn) -> tuple[tuple[str, int], bytes]:
    """One field of a good event holds anything, or its bytes are damaged."""
    event: Event = draw(st.sampled_from(samples()))
    kind = (event.event_name, event.event_version)
    fields = dict(CODEC.fields(event))
    if draw(st.booleans()):
        fields[draw(st.sampled_from(sorted(fields)))] = draw(PLAIN)
        return kind, pack(fields)
    return kind, draw(damaged(st.just(pack(fields))))


# ---------------------------------------------------------------- tokens

TOKEN: Final = to_token(
    Invitation(InviteId("inv-06bqk8v1h2c4000abcd"), ClusterName("home"), "192.0.2.7:51820", "ab" * 32, bytes(range(32)))
)


def _token(text: str) -> None:
    """What is refused is not repeated: it may be a secret with one letter missing."""
    invitation = read(from_token, text, may=Code.INVITE)
    if isinstance(invitation, PloyzError):
        assert TOKEN[40:60] not in invitation.problem.text
    else:
        assert from_token(to_token(invitation)) == invitation


_TOKENS: Final = st.text() | st.text().map("ployz1-{}".format) | misspelled(TOKEN, [*"abcXYZ019-_=+/ ", ""])

# ---------------------------------------------------------------- manifests

WORDS: Final = sorted({word.strip("\"',=[]{}") for word in DATABASE.split()} - {""})
_MARKS: Final = ['"', "{", "}", "[", "]", "=", ".", ",", ":", "#", "\\", "'", "\n", '"""', "''", "[[", "]]"]
_ODD: Final = ["nan", "-1", "0", "1e999", "null", "\0", "\x7f", "\ud800"]
TOKENS_OF_MANIFESTS: Final = [*WORDS, *_MARKS, *_ODD]
_VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(), inner, max_size=5),
    max_leaves=25,
)
_TABLES: Final = ("namespace", "volumes", "services", "intent")
_TREES: Final = st.fixed_dictionaries({}, optional=dict.fromkeys(_TABLES, _VALUES))


def _manifest(of: tuple[str | bytes, Format | None]) -> None:
    """Every mistake in it, at once."""
    manifest = read(in_time, len(of[0]), parse, *of, may=Code.INVALID_MANIFEST)
    if isinstance(manifest, InvalidManifest):
        assert manifest.mistakes
    else:
        assert isinstance(manifest, Manifest)
        assert parse(to_canonical_json(manifest)) == manifest


def _long_manifest(text: str) -> None:
    read(in_time, len(text), parse, text, may=Code.INVALID_MANIFEST)


_HEADS: Final = st.sampled_from(["", "{", '{"services":[', '{"volumes":[', "a = [", "[[services]]\n", f"{DATABASE}\n"])
_UNITS: Final = st.lists(st.sampled_from([*TOKENS_OF_MANIFESTS, "a", "{}", '"a":1', "[[a]]\n"]), min_size=1, max_size=6)
_LONG_TEXTS: Final = st.builds(
    lambda head, unit, apart: head + over_and_over(apart.join([*unit, ""]) or "a", LONG_BYTES),
    _HEADS,
    _UNITS,
    st.sampled_from(["", " ", ",", "\n"]),
)
_TEXTS: Final = (
    st.text()
    | st.binary()
    | st.lists(st.sampled_from(TOKENS_OF_MANIFESTS)).map(" ".join)
    | misspelled(DATABASE, TOKENS_OF_MANIFESTS)
    | _TREES.map(json.dumps)
    | damaged(manifests().map(lambda each: to_canonical_json(each).encode()))
)

# ---------------------------------------------------------------- all of them


_TARGETS: Final = (
    Target("frames: any bytes", st.lists(st.binary(max_size=64), max_size=8), _frames),
    Target("frames: damaged", in_pieces(damaged(GOOD_FRAMES)), _frames),
    Target("frames: shape of any bytes", st.binary(max_size=200), _shape),
    Target("frames: shape of damaged values", damaged(PLAIN.map(pack)), _shape),
    Target("session", st.tuples(st.sampled_from(Role), STEPS), _session),
    Target("messages", _bodies(), _message),
    Target("verdicts of streams", damaged(_VERDICTS.map(encode_verdict)) | st.binary(max_size=100), _verdict),
    Target("events: any bytes", st.tuples(_KINDS, st.binary(max_size=200)), _event),
    Target("events: damaged", _changed_events(), _event),
    Target("tokens", _TOKENS, _token),
    Target("manifests", st.tuples(_TEXTS, st.sampled_from([None, *Format])), _manifest),
)
LONG: Final = (
    Target(
        "long frames", st.binary(min_size=1, max_size=4).map(lambda unit: over_and_over(unit, 1 << 20)), _long_frame
    ),
    Target("long messages", st.tuples(st.sampled_from(_TAGS), PLAIN.map(lambda each: [each])), _long_message),
    Target("long manifests", _LONG_TEXTS, _long_manifest),
)
"""What is slow is told from what is quick by its size alone: each of these takes a hundred times as long."""
TARGETS: Final[Mapping[str, Target]] = {each.name: each for each in (*_TARGETS, *LONG)}
