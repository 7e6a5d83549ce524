"""Streams whose link is cut: they go on where they stopped, over another connection, and send little twice."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream
from attrs import define, evolve, field

from ployz.errors import Code, Failed, PloyzError
from ployz.wire import stream_link
from ployz.wire.packing import Packing
from ployz.wire.sockets import raw_socket
from ployz.wire.stream_receive import StreamServer
from ployz.wire.stream_send import Sender
from ployz.wire.stream_window import WINDOW_BYTES
from ployz.wire.streams import MAGIC, Received, Sent, Ticket
from tests.identities import from_here

MIB = 1 << 20
SIZE = 64 * MIB
PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_link, "SILENT_S", 2.5)


@define(eq=False)
class Link:
    """Passes bytes on both ways. At each of `cuts`, counted over all connections, those that are open fall silent, or
    are reset; new ones pass when it is `healed`.
    """

    target: Ticket
    cuts: list[int]
    is_silent: bool = True
    heals_after_s: float = 0.0
    passed: int = field(default=0, init=False)
    accepted: int = field(default=0, init=False)
    _heals_at_s: float = field(default=0.0, init=False)
    _generation: int = field(default=0, init=False)

    async def serve(self, client: SocketStream) -> None:
        async with client:
            self.accepted += 1
            generation = self._generation
            await anyio.sleep_until(self._heals_at_s)
            server = await anyio.connect_tcp(self.target.address, self.target.port)
            async with server, anyio.create_task_group() as tasks:

                async def pass_on(read: SocketStream, write: SocketStream) -> None:
                    try:
                        while generation == self._generation:
                            chunk = await read.receive()
                            self.passed += len(chunk)
                            if self.cuts and self.passed >= self.cuts[0]:
                                self._cut()
                            else:
                                await write.send(chunk)
                        if self.is_silent:
                            await anyio.sleep_forever()
                    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                        pass
                    tasks.cancel_scope.cancel()

                tasks.start_soon(pass_on, client, server)
                await pass_on(server, client)

    def _cut(self) -> None:
        self.cuts.pop(0)
        self._generation += 1
        self._heals_at_s = anyio.current_time() + self.heals_after_s


@asynccontextmanager
async def through(link: Link) -> AsyncIterator[Ticket]:
    async with await anyio.create_tcp_listener(local_host="::1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, link.serve)
        yield evolve(link.target, port=raw_socket(listener.listeners[0]).getsockname()[1])
        tasks.cancel_scope.cancel()


@define
class Ends:
    sent: Sent | PloyzError
    received: Received | PloyzError
    lost: list[str]


async def send_over(
    cuts: Sequence[int],
    source: Sequence[str],
    sink: Sequence[str],
    *,
    is_silent: bool = True,
    heals_after_s: float = 0.0,
    patience_s: float = PATIENCE_S,
    packs: bool = False,
) -> Ends:
    server = StreamServer(stall_s=5.0, patience_s=patience_s)
    received: list[Received | PloyzError] = []
    lost: list[str] = []
    with anyio.fail_after(120):
        async with anyio.create_task_group() as tasks:
            await tasks.start(server.serve, "::1", 0, from_here)
            expectation = server.expect("receiving x", sink, deadline_s=5)

            async def wait() -> None:
                try:
                    received.append(await expectation.result())
                except PloyzError as error:
                    received.append(error)

            sent: Sent | PloyzError
            async with anyio.create_task_group() as waiting:
                waiting.start_soon(wait)
                link = Link(expectation.ticket, list(cuts), is_silent, heals_after_s)
                async with through(link) as ticket:
                    try:
                        packing = Packing(is_on=packs, left_bytes=2 * SIZE)
                        sent = await Sender(5.0, patience_s, packing=packing).send(ticket, source, on_lost=lost.append)
                    except PloyzError as error:
                        sent = error
            tasks.cancel_scope.cancel()
    return Ends(sent, received[0], lost)


def content(folder: Path) -> Path:
    path = folder / "content"
    path.write_bytes(os.urandom(MIB) * (SIZE // MIB))
    return path


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.parametrize("is_silent", [True, False])
@pytest.mark.parametrize("cuts", [[10], [50], [90], [30, 60]], ids=str)
def test_a_stream_goes_on_where_its_link_was_cut(tmp_path: Path, cuts: list[int], is_silent: bool) -> None:
    source, sink = content(tmp_path), tmp_path / "arrived"
    where = [SIZE * percent // 100 for percent in cuts]

    async def main() -> None:
        ends = await send_over(where, ["cat", str(source)], ["sh", "-c", f"cat > {sink}"], is_silent=is_silent)
        assert isinstance(ends.sent, Sent), ends
        assert isinstance(ends.received, Received)
        assert ends.sent.bytes_count == ends.received.bytes_count == SIZE
        assert ends.sent.links_lost == len(ends.lost) == len(cuts)
        assert ends.sent.again_bytes <= WINDOW_BYTES * len(cuts)

    anyio.run(main, backend="trio")
    assert digest(sink) == digest(source)


@pytest.mark.parametrize("is_silent", [True, False])
def test_a_packed_stream_goes_on_where_its_link_was_cut(tmp_path: Path, is_silent: bool) -> None:
    source, sink = tmp_path / "content", tmp_path / "arrived"
    source.write_bytes((os.urandom(256 << 10) + bytes(256 << 10)) * (SIZE // (512 << 10)))

    async def main() -> None:
        into = ["sh", "-c", f"cat > {sink}"]
        ends = await send_over([SIZE // 8, SIZE // 4], ["cat", str(source)], into, is_silent=is_silent, packs=True)
        assert isinstance(ends.sent, Sent), ends
        assert isinstance(ends.received, Received)
        assert ends.sent.bytes_count == ends.received.bytes_count == SIZE
        assert ends.sent.links_lost == 2
        assert ends.sent.link_bytes < SIZE * 3 / 4 + ends.sent.again_bytes

    anyio.run(main, backend="trio")
    assert digest(sink) == digest(source)


def test_a_link_that_is_healed_late_is_waited_for(tmp_path: Path) -> None:
    source, sink = content(tmp_path), tmp_path / "arrived"

    async def main() -> None:
        ends = await send_over([SIZE // 2], ["cat", str(source)], ["sh", "-c", f"cat > {sink}"], heals_after_s=8.0)
        assert isinstance(ends.sent, Sent), ends

    anyio.run(main, backend="trio")
    assert digest(sink) == digest(source)


def test_a_link_that_does_not_come_back_ends_the_stream_at_both_ends() -> None:
    async def main() -> None:
        ends = await send_over([8 * MIB], ["cat", "/dev/zero"], ["cat"], heals_after_s=3600, patience_s=3.0)
        assert isinstance(ends.sent, Failed)
        assert ends.sent.code is Code.LINK_LOST
        assert "nothing moved for 3 s" in ends.sent.problem.text
        assert isinstance(ends.received, Failed)
        assert "the sender was gone for 3 s" in ends.received.problem.text

    anyio.run(main, backend="trio")


def test_a_verdict_that_was_lost_is_given_again() -> None:
    """The link is cut by the very bytes that carry it: a success must not look like a failure."""

    async def main() -> None:
        source, sink = ["head", "-c", "100000", "/dev/zero"], ["sh", "-c", "cat >/dev/null; sleep 0.5"]
        ends = await send_over([100_000 + 40 + 5 + 13 + 40], source, sink, is_silent=False)
        assert isinstance(ends.sent, Sent), ends
        assert isinstance(ends.received, Received)
        assert ends.sent.links_lost == 1

    anyio.run(main, backend="trio")


def test_a_source_that_fails_while_the_link_is_cut_is_not_taken_for_a_short_stream() -> None:
    async def main() -> None:
        source = ["sh", "-c", "head -c 3000000 /dev/zero; sleep 1; echo no such snapshot >&2; exit 1"]
        ends = await send_over([2 * MIB], source, ["cat"], heals_after_s=4.0)
        assert isinstance(ends.sent, Failed)
        assert "no such snapshot" in ends.sent.problem.text
        assert isinstance(ends.received, Failed)

    anyio.run(main, backend="trio")


def test_a_new_sender_of_the_same_stream_goes_on_where_the_one_that_died_stopped(tmp_path: Path) -> None:
    """A program that writes the same bytes again (zfs send of a snapshot does) need not send them all again."""
    source, sink = content(tmp_path), tmp_path / "arrived"

    async def main() -> None:
        server = StreamServer(stall_s=5.0, patience_s=PATIENCE_S)
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                await tasks.start(server.serve, "::1", 0, from_here)
                expectation = server.expect("receiving x", ["sh", "-c", f"cat > {sink}"], deadline_s=5)
                async with await anyio.connect_tcp(expectation.ticket.address, expectation.ticket.port) as dying:
                    await dying.send(MAGIC + expectation.ticket.token)
                    with source.open("rb") as file:
                        await dying.send(bytes([1, 0, 0, 0, 200]) + file.read(200))
                    await anyio.sleep(0.2)
                sent = await Sender(5.0, PATIENCE_S).send(expectation.ticket, ["cat", str(source)])
                assert sent.bytes_count == SIZE
                assert (await expectation.result()).bytes_count == SIZE
                tasks.cancel_scope.cancel()

    anyio.run(main, backend="trio")
    assert digest(sink) == digest(source)
