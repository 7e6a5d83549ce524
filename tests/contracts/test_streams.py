"""Streams over loopback between real programs: what arrives, what is agreed on, and how each failure is told."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio
import pytest
from attrs import evolve, frozen

from ployz.errors import Code, Failed, PloyzError, Refused, Unreachable
from ployz.wire import packing, stream_receive
from ployz.wire.pacing import Pace
from ployz.wire.sockets import raw_socket
from ployz.wire.stream_receive import Expectation, StreamServer
from ployz.wire.stream_send import Sender
from ployz.wire.streams import MAGIC, NOT_ACCEPTED, Received, Sent, Ticket
from tests.identities import from_here

STALL_S = 1.5
PATIENCE_S = 1.5
MIB = 1 << 20


def shell(script: str) -> Sequence[str]:
    return ["sh", "-c", script]


async def send(
    ticket: Ticket,
    argv: Sequence[str],
    *,
    stall_s: float = STALL_S,
    on_progress: Callable[[int], None] | None = None,
    on_lost: Callable[[str], None] | None = None,
    bytes_per_s: int | None = None,
) -> Sent:
    sender = Sender(stall_s, PATIENCE_S, [Pace(lambda: bytes_per_s)])
    return await sender.send(ticket, argv, on_progress=on_progress, on_lost=on_lost)


SWALLOW = ["cat"]
ENDLESS = ["cat", "/dev/zero"]


def run(body: Callable[[StreamServer], Awaitable[None]]) -> None:
    async def main() -> None:
        server = StreamServer(stall_s=STALL_S, patience_s=PATIENCE_S)
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                await tasks.start(server.serve, "::1", 0, from_here)
                await body(server)
                tasks.cancel_scope.cancel()

    anyio.run(main, backend="trio")


@frozen
class Both:
    """How it ended at each end."""

    sent: Sent | PloyzError
    received: Received | PloyzError


async def outcome_of(waiting: Awaitable[Sent]) -> Sent | PloyzError:
    try:
        return await waiting
    except PloyzError as error:
        return error


async def result_of(expectation: Expectation) -> Received | PloyzError:
    try:
        return await expectation.result()
    except PloyzError as error:
        return error


async def stream(
    expectation: Expectation, source: Sequence[str], *, ticket: Ticket | None = None, stall_s: float = STALL_S
) -> Both:
    received: list[Received | PloyzError] = []

    async def wait() -> None:
        received.append(await result_of(expectation))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        sent = await outcome_of(send(ticket or expectation.ticket, source, stall_s=stall_s))
    return Both(sent, received[0])


def text_of(outcome: Sent | Received | PloyzError, kind: type[PloyzError] = Failed) -> str:
    assert isinstance(outcome, kind)
    return outcome.problem.text


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# ---------------------------------------------------------------- what arrives


def test_every_byte_arrives_and_both_ends_agree_on_how_many(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(os.urandom(MIB) * 64)
    arrived = tmp_path / "arrived"

    async def body(server: StreamServer) -> None:
        expectation = server.expect("receiving x", shell(f"cat > {arrived}"), deadline_s=5)
        seen: list[int] = []
        received: list[Received] = []

        async def wait() -> None:
            received.append(await expectation.result())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            sent = await send(expectation.ticket, ["cat", str(content)], stall_s=STALL_S, on_progress=seen.append)
        assert sent.bytes_count == received[0].bytes_count == 64 * MIB
        assert seen[-1] == 64 * MIB
        assert seen == sorted(seen)

    run(body)
    with arrived.open("rb") as got, content.open("rb") as meant:
        assert hashlib.file_digest(got, "sha256").digest() == hashlib.file_digest(meant, "sha256").digest()


def test_what_is_packed_arrives_as_it_was_and_is_counted_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "pays", lambda _: True)
    content, arrived = tmp_path / "content", tmp_path / "arrived"
    content.write_bytes(b"".join(f"line {number} of a text\n".encode() for number in range(3_000_000)))
    size = content.stat().st_size

    async def body(server: StreamServer) -> None:
        expectation = server.expect("receiving x", shell(f"cat > {arrived}"), deadline_s=5)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(expectation.result)
            sent = await send(expectation.ticket, ["cat", str(content)])
        assert sent.bytes_count == size
        assert 24 * MIB < sent.link_bytes < 24 * MIB + (size - 24 * MIB) / 2

    run(body)
    assert arrived.read_bytes() == content.read_bytes()


def test_what_does_not_shrink_goes_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "pays", lambda _: True)

    async def body(server: StreamServer) -> None:
        expectation = server.expect("receiving x", SWALLOW, deadline_s=5)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(expectation.result)
            sent = await send(expectation.ticket, ["head", "-c", str(32 * MIB), "/dev/urandom"])
        assert sent.bytes_count == sent.link_bytes == 32 * MIB

    run(body)


@pytest.mark.parametrize("count", [0, 1, 65_537])
def test_small_streams_are_counted_to_the_byte(count: int) -> None:
    async def body(server: StreamServer) -> None:
        expectation = server.expect("receiving x", shell("wc -c >&2"), deadline_s=5)
        both = await stream(expectation, ["head", "-c", str(count), "/dev/zero"])
        assert isinstance(both.sent, Sent)
        assert both.sent.bytes_count == count
        assert both.received == Received(count, str(count))

    run(body)


def test_a_sink_that_stops_at_an_end_of_its_own_lets_padding_through() -> None:
    async def body(server: StreamServer) -> None:
        expectation = server.expect("receiving x", ["head", "-c", "10"], deadline_s=5)
        both = await stream(expectation, ["head", "-c", "100000", "/dev/zero"])
        assert isinstance(both.sent, Sent)
        assert both.sent.bytes_count == 100_000
        assert both.received == Received(100_000, "")

    run(body)


def test_a_limited_stream_still_arrives_whole() -> None:
    async def body(server: StreamServer) -> None:
        expectation = server.expect("receiving x", SWALLOW, deadline_s=5)
        sent = await send(
            expectation.ticket, ["head", "-c", str(MIB), "/dev/zero"], stall_s=STALL_S, bytes_per_s=8 * MIB
        )
        assert sent.bytes_count == MIB
        assert (await expectation.result()).bytes_count == MIB

    run(body)


# ---------------------------------------------------------------- an end that fails


def test_a_source_that_fails_is_not_taken_for_a_short_stream() -> None:
    async def body(server: StreamServer) -> None:
        expectation = server.expect("receiving x", SWALLOW, deadline_s=5)
        both = await stream(expectation, shell("head -c 1000000 /dev/zero; echo no such snapshot >&2; exit 1"))
        assert "ended with 1: no such snapshot" in text_of(both.sent)
        assert "receiving x: the sender broke it off" in text_of(both.received)

    run(body)


def test_a_sink_that_ignores_a_broken_stream_is_not_believed() -> None:
    async def body(server: StreamServer) -> None:
        expectation = server.expect("receiving x", shell("cat; exit 0"), deadline_s=5)
        both = await stream(expectation, shell("head -c 1000000 /dev/zero; exit 1"))
        assert "ended with 1" in text_of(both.sent)
        assert "the sender broke it off" in text_of(both.received)

    run(body)


def test_the_words_of_a_sink_that_fails_reach_the_sender() -> None:
    async def body(server: StreamServer) -> None:
        expectation = server.expect(
            "receiving x", shell("head -c 1000 >&-; echo out of space >&2; exit 3"), deadline_s=5
        )
        both = await stream(expectation, ENDLESS)
        assert "bytes: the receiver failed: " in text_of(both.sent)
        assert "ended with 3: " in text_of(both.sent)
        assert "out of space" in text_of(both.sent)
        assert "out of space" in text_of(both.received)

    run(body)


def test_a_sink_that_fails_after_the_last_byte_fails_the_stream() -> None:
    async def body(server: StreamServer) -> None:
        expectation = server.expect("receiving x", shell("cat; echo checksum mismatch >&2; exit 1"), deadline_s=5)
        both = await stream(expectation, ["echo", "hello"])
        assert "checksum mismatch" in text_of(both.sent)
        assert "checksum mismatch" in text_of(both.received)

    run(body)


def test_a_sink_that_stops_reading_in_the_middle_fails_the_stream() -> None:
    async def body(server: StreamServer) -> None:
        expectation = server.expect("receiving x", ["head", "-c", "10"], deadline_s=5)
        both = await stream(expectation, ["head", "-c", str(64 * MIB), "/dev/zero"])
        assert "stopped reading" in text_of(both.sent)
        assert "stopped reading" in text_of(both.received)

    run(body)


def test_a_program_that_is_not_installed_is_named_at_both_ends() -> None:
    async def body(server: StreamServer) -> None:
        both = await stream(server.expect("receiving x", ["no-such-sink"], deadline_s=5), ENDLESS)
        assert "'no-such-sink' could not be started" in text_of(both.sent)
        assert "'no-such-sink' could not be started" in text_of(both.received)
        both = await stream(server.expect("receiving x", SWALLOW, deadline_s=5), ["no-such-source"])
        assert "'no-such-source' could not be started" in text_of(both.sent)
        assert "broke it off" in text_of(both.received)

    run(body)


# ---------------------------------------------------------------- a program that stalls


def test_a_source_that_says_nothing_is_killed() -> None:
    async def body(server: StreamServer) -> None:
        both = await stream(server.expect("receiving x", SWALLOW, deadline_s=5), ["sleep", "600"], stall_s=0.5)
        assert text_of(both.sent) == "the stream failed after 0 bytes: its source wrote nothing for 1 s"
        assert "broke it off" in text_of(both.received)

    run(body)


def test_a_sink_that_takes_nothing_is_killed() -> None:
    async def body(server: StreamServer) -> None:
        both = await stream(server.expect("receiving x", ["sleep", "600"], deadline_s=5), ENDLESS, stall_s=30)
        assert "the receiver failed: the receiving program took nothing for 2 s" in text_of(both.sent)
        assert "the receiving program took nothing for 2 s" in text_of(both.received)

    run(body)


# ---------------------------------------------------------------- tickets


def test_a_ticket_is_good_once() -> None:
    async def body(server: StreamServer) -> None:
        expectation = server.expect("receiving x", SWALLOW, deadline_s=5)
        assert isinstance((await stream(expectation, ["echo", "one"])).sent, Sent)
        with pytest.raises(Failed, match="does not take this ticket"):
            await send(expectation.ticket, ["echo", "two"], stall_s=STALL_S)

    run(body)


def test_a_wrong_token_takes_nothing_from_the_one_who_has_the_right_one() -> None:
    async def body(server: StreamServer) -> None:
        expectation = server.expect("receiving x", SWALLOW, deadline_s=5)
        with pytest.raises(Failed, match="does not take this ticket"):
            await send(evolve(expectation.ticket, token=b"\0" * 32), ["echo", "one"], stall_s=STALL_S)
        assert isinstance((await stream(expectation, ["echo", "one"])).sent, Sent)

    run(body)


def test_an_expired_ticket_is_not_taken() -> None:
    async def body(server: StreamServer) -> None:
        expectation = server.expect("receiving x", SWALLOW, deadline_s=0)
        with pytest.raises(Failed, match="does not take this ticket"):
            await send(expectation.ticket, ["echo", "one"], stall_s=STALL_S)
        with pytest.raises(Failed, match="receiving x: the sender did not come in time"):
            await expectation.result()

    run(body)


def test_a_cancelled_ticket_is_not_taken() -> None:
    async def body(server: StreamServer) -> None:
        expectation = server.expect("receiving x", SWALLOW, deadline_s=5)
        expectation.cancel()
        with pytest.raises(Failed, match="does not take this ticket"):
            await send(expectation.ticket, ["echo", "one"], stall_s=STALL_S)
        with pytest.raises(Failed, match="cancelled"):
            await expectation.result()

    run(body)


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\nHost: machine-b\r\n" + b"\r\n" * 5, b"\0" * 40, MAGIC + b"\xff" * 32]
)
def test_a_header_that_is_no_ticket_is_turned_away(data: bytes) -> None:
    async def body(server: StreamServer) -> None:
        expectation = server.expect("receiving x", SWALLOW, deadline_s=5)
        async with await anyio.connect_tcp(expectation.ticket.address, expectation.ticket.port) as stranger:
            await stranger.send(data[:40])
            assert await stranger.receive() == NOT_ACCEPTED
        assert isinstance((await stream(expectation, ["echo", "one"])).sent, Sent)

    run(body)


def test_a_connection_that_shows_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_receive, "HEADER_S", 0.2)

    async def body(server: StreamServer) -> None:
        expectation = server.expect("receiving x", SWALLOW, deadline_s=5)
        for data in (b"", MAGIC):
            async with await anyio.connect_tcp(expectation.ticket.address, expectation.ticket.port) as stranger:
                if data:
                    await stranger.send(data)
                with pytest.raises(anyio.EndOfStream):
                    await stranger.receive()
        assert isinstance((await stream(expectation, ["echo", "one"])).sent, Sent)

    run(body)


def test_awaited_streams_are_bounded() -> None:
    async def body(server: StreamServer) -> None:
        for _ in range(stream_receive.EXPECTATIONS_MAX):
            server.expect("receiving x", SWALLOW, deadline_s=5)
        with pytest.raises(Refused, match="awaited already"):
            server.expect("receiving x", SWALLOW, deadline_s=5)

    run(body)


def test_nobody_listening_is_unreachable() -> None:
    async def main() -> None:
        async with await anyio.create_tcp_listener(local_host="::1") as listener:
            port = raw_socket(listener.listeners[0]).getsockname()[1]
        with pytest.raises(Unreachable) as caught:
            await send(Ticket("::1", port, b"\0" * 32), ["echo"], stall_s=STALL_S)
        assert caught.value.code is Code.MACHINE_UNREACHABLE

    anyio.run(main, backend="trio")


def test_a_ticket_is_printed_without_its_secret() -> None:
    assert "secret" not in repr(Ticket("::1", 1, b"secret" * 5 + b"!!"))


# ---------------------------------------------------------------- giving up


async def pid_in(path: Path) -> int:
    while not (path.exists() and path.read_text().endswith("\n")):  # noqa: ASYNC110, ASYNC240 - a program writes it
        await anyio.sleep(0.01)
    return int(path.read_text())  # noqa: ASYNC240 - one short line


def test_cancelling_the_send_kills_both_programs(tmp_path: Path) -> None:
    async def body(server: StreamServer) -> None:
        source, sink = tmp_path / "source", tmp_path / "sink"
        expectation = server.expect("receiving x", shell(f"echo $$ > {sink}; exec cat"), deadline_s=5)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                lambda: send(expectation.ticket, shell(f"echo $$ > {source}; exec {' '.join(ENDLESS)}"), stall_s=30)
            )
            pids = [await pid_in(source), await pid_in(sink)]
            tasks.cancel_scope.cancel()
        assert "broke it off" in text_of(await result_of(expectation))
        assert [is_alive(pid) for pid in pids] == [False, False]

    run(body)


def test_cancelling_the_receipt_kills_both_programs(tmp_path: Path) -> None:
    async def body(server: StreamServer) -> None:
        source, sink = tmp_path / "source", tmp_path / "sink"
        expectation = server.expect("receiving x", shell(f"echo $$ > {sink}; exec cat"), deadline_s=5)
        sent: list[Sent | PloyzError] = []

        async def do_send() -> None:
            argv = shell(f"echo $$ > {source}; exec {' '.join(ENDLESS)}")
            sent.append(await outcome_of(send(expectation.ticket, argv, stall_s=30)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(do_send)
            pids = [await pid_in(source), await pid_in(sink)]
            expectation.cancel()
        assert isinstance(sent[0], Failed)
        assert "cancelled" in text_of(await result_of(expectation))
        assert [is_alive(pid) for pid in pids] == [False, False]

    run(body)


def test_a_server_that_stops_fails_what_it_received(tmp_path: Path) -> None:
    async def main() -> None:
        server = StreamServer(stall_s=STALL_S, patience_s=PATIENCE_S)
        source, sink = tmp_path / "source", tmp_path / "sink"
        sent: list[Sent | PloyzError] = []
        with anyio.fail_after(30):
            async with anyio.create_task_group() as senders, anyio.create_task_group() as tasks:
                await tasks.start(server.serve, "::1", 0, from_here)
                expectation = server.expect("receiving x", shell(f"echo $$ > {sink}; exec cat"), deadline_s=5)

                async def do_send() -> None:
                    argv = shell(f"echo $$ > {source}; exec {' '.join(ENDLESS)}")
                    sent.append(await outcome_of(send(expectation.ticket, argv, stall_s=30)))

                senders.start_soon(do_send)
                pids = [await pid_in(source), await pid_in(sink)]
                tasks.cancel_scope.cancel()
            assert isinstance(sent[0], Failed)
            assert isinstance(await result_of(expectation), Failed)
        assert [is_alive(pid) for pid in pids] == [False, False]

    anyio.run(main, backend="trio")
