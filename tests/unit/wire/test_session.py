from __future__ import annotations

import pytest

from ployz.errors import CleanupPending, Code, Corrupt, Failed, PloyzError, Refused, Unreachable, Usage
from ployz.wire.frames import BadFrame, Flaw, encode_frame
from ployz.wire.session import (
    IN_FLIGHT_MAX,
    PROTOCOL_VERSION,
    Frame,
    Hello,
    OutOfTurn,
    Ping,
    Pong,
    Refusal,
    Reply,
    Request,
    Role,
    Session,
    State,
)

HELLO = Hello(PROTOCOL_VERSION, "prod", "machine-a")


def request(number: int) -> Request:
    return Request(number, "machine", "machine.probe", 1000, b"\x80")


def reply(number: int) -> Reply:
    return Reply(number, b"\x80")


def hand_over(frame: Frame, sender: Session, receiver: Session) -> Frame | None:
    receiver.feed(sender.send(frame))
    return receiver.next_frame()


def open_pair() -> tuple[Session, Session]:
    client, server = Session(Role.CLIENT), Session(Role.SERVER)
    assert hand_over(HELLO, client, server) == HELLO
    assert hand_over(HELLO, server, client) == HELLO
    assert client.state is server.state is State.OPEN
    return client, server


def test_requests_are_answered_in_any_order() -> None:
    client, server = open_pair()
    for number in (1, 2, 3):
        assert hand_over(request(client.next_id()), client, server) == request(number)
    assert hand_over(reply(2), server, client) == reply(2)
    refusal = Refusal.of(3, Refused(Code.UNKNOWN_ACTOR, "nobody", "Look."))
    assert hand_over(refusal, server, client) == refusal
    assert hand_over(reply(1), server, client) == reply(1)
    assert client.in_flight == server.in_flight == 0


@pytest.mark.parametrize("frame", [request(1), Ping(), Pong(), reply(1)])
def test_nothing_comes_before_the_hello(frame: Frame) -> None:
    server = Session(Role.SERVER)
    server.feed(_encoded(frame))
    with pytest.raises(OutOfTurn):
        server.next_frame()
    assert server.state is State.CLOSED


@pytest.mark.parametrize("frame", [HELLO, reply(1)])
def test_a_client_sends_no_server_frames_and_no_second_hello(frame: Frame) -> None:
    _, server = open_pair()
    server.feed(_encoded(frame))
    with pytest.raises(OutOfTurn):
        server.next_frame()


@pytest.mark.parametrize("number", [0, 1, 7, -3])
def test_a_request_id_is_used_once(number: int) -> None:
    client, server = open_pair()
    hand_over(request(7), client, server)
    server.feed(_encoded(request(number)))
    with pytest.raises(OutOfTurn, match="ids rise"):
        server.next_frame()


def test_an_answer_to_nothing_is_refused() -> None:
    client, server = open_pair()
    hand_over(request(1), client, server)
    hand_over(reply(1), server, client)
    client.feed(_encoded(reply(1)))
    with pytest.raises(OutOfTurn, match="no request 1"):
        client.next_frame()


def test_requests_in_flight_are_bounded_on_both_sides() -> None:
    client, server = open_pair()
    for _ in range(IN_FLIGHT_MAX):
        hand_over(request(client.next_id()), client, server)
    with pytest.raises(Refused) as caught:
        client.next_id()
    assert caught.value.code is Code.MAILBOX_FULL
    server.feed(_encoded(request(IN_FLIGHT_MAX + 1)))
    with pytest.raises(OutOfTurn, match="in flight"):
        server.next_frame()


@pytest.mark.parametrize("version", [0, 2, "1", None, True, {"major": 1}])
def test_another_version_is_a_mismatch_whatever_else_its_hello_says(version: object) -> None:
    server = Session(Role.SERVER)
    server.feed(encode_frame({"kind": "hello", "version": version, "colour": "blue"}))
    with pytest.raises(Refused) as caught:
        server.next_frame()
    assert caught.value.code is Code.PROTOCOL_MISMATCH
    assert server.state is State.CLOSED


@pytest.mark.parametrize(
    ("content", "flaw"),
    [
        ({"kind": "shout"}, Flaw.UNKNOWN_KIND),
        ({"kind": ["hello"]}, Flaw.UNKNOWN_KIND),
        ({}, Flaw.UNKNOWN_KIND),
        ({"kind": "hello", "version": 1, "cluster": "c"}, Flaw.WRONG_FIELDS),
        ({"kind": "hello", "version": 1, "cluster": "c", "machine": 5}, Flaw.WRONG_FIELDS),
        ({"kind": "hello", "version": 1, "cluster": "c", "machine": "m", "root": True}, Flaw.WRONG_FIELDS),
    ],
)
def test_a_frame_of_no_known_kind_or_of_wrong_fields_is_refused(content: dict[str, object], flaw: Flaw) -> None:
    server = Session(Role.SERVER)
    server.feed(encode_frame(content))
    with pytest.raises(BadFrame) as caught:
        server.next_frame()
    assert caught.value.flaw is flaw


def test_before_the_hello_frames_are_small() -> None:
    server = Session(Role.SERVER)
    server.feed((100_000).to_bytes(4, "big"))
    with pytest.raises(BadFrame):
        server.next_frame()


def test_frames_are_longer_when_somebody_says_that_they_may_be() -> None:
    large = Request(1, "a", "a.b", 1, b"\0" * 1_000_000)
    client, server = open_pair()
    with pytest.raises(BadFrame):
        hand_over(large, client, server)
    client, server = open_pair()
    server.allow(2 << 20, 1)
    assert hand_over(large, client, server) == large
    with pytest.raises(OutOfTurn):
        hand_over(request(2), client, server)


def test_what_this_side_sends_out_of_turn_is_a_bug_and_changes_nothing() -> None:
    client, server = open_pair()
    with pytest.raises(AssertionError):
        server.send(reply(5))
    with pytest.raises(AssertionError):
        client.send(reply(5))
    assert hand_over(request(1), client, server) == request(1)
    assert hand_over(reply(1), server, client) == reply(1)


def test_a_refusal_of_the_connection_closes_it() -> None:
    client, server = Session(Role.CLIENT), Session(Role.SERVER)
    hand_over(HELLO, client, server)
    hand_over(Refusal.of(0, Refused(Code.NOT_A_MEMBER, "who?")), server, client)
    assert client.state is server.state is State.CLOSED
    with pytest.raises(OutOfTurn):
        client.next_frame()


@pytest.mark.parametrize("kind", [Refused, Usage, Failed, CleanupPending, Unreachable, Corrupt])
def test_a_refusal_becomes_the_class_that_it_was(kind: type[PloyzError]) -> None:
    error = Refusal.of(1, kind(Code.NO_SPACE, "full", "Make room.")).to_error()
    assert type(error) is kind
    assert error.problem == kind(Code.NO_SPACE, "full", "Make room.").problem


def test_a_refusal_gets_through_whatever_its_words_are() -> None:
    client, server = open_pair()
    hand_over(request(1), client, server)
    wild = Refused(Code.ZFS_FAILED, b"\xff words".decode(errors="surrogateescape") + "x" * 1_000_000)
    frame = hand_over(Refusal.of(1, wild), server, client)
    assert isinstance(frame, Refusal)
    assert frame.text.startswith("\\udcff words")


def _encoded(frame: Frame) -> bytes:
    """The bytes of a frame, by a side that keeps to no rule."""
    session = Session(Role.CLIENT if isinstance(frame, Hello | Request | Ping | Pong) else Role.SERVER)
    session.state = State.START if isinstance(frame, Hello) else State.OPEN
    if isinstance(frame, Reply | Refusal):
        session._in_flight.add(frame.id)
    if isinstance(frame, Request):
        session._last_id = frame.id - 1
    return session.send(frame)
