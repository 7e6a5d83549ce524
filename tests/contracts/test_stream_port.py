"""What the actors rely on of a machine's streams: the same over TCP with programs, and in memory with fakes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

import anyio
import pytest
from attrs import define, field

from ployz.errors import Code, Failed
from ployz.wire.fake_streams import StreamLinks
from ployz.wire.streams import Limit, Received, Sent, Streams
from ployz.wire.tcp_streams import TcpStreams
from tests.identities import from_here

CONTENT = b"0123456789" * 10_000
FOREVER_S = 60.0
PATIENCE_S = 5.0


class Bench(Protocol):
    """Two machines, and programs to run on them."""

    source: Streams
    target: Streams

    def writes(self, content: bytes) -> Sequence[str]: ...

    def fails_to_write(self) -> Sequence[str]: ...

    def writes_for_ever(self) -> Sequence[str]: ...

    def reads(self) -> Sequence[str]: ...

    def fails_to_read(self) -> Sequence[str]: ...

    def was_read(self) -> bytes: ...


@define
class TcpBench:
    source: Streams
    target: Streams
    folder: Path

    def writes(self, content: bytes) -> Sequence[str]:
        (self.folder / "content").write_bytes(content)
        return ["cat", str(self.folder / "content")]

    def fails_to_write(self) -> Sequence[str]:
        return ["sh", "-c", "echo broken >&2; exit 3"]

    def writes_for_ever(self) -> Sequence[str]:
        return ["cat", "/dev/zero"]

    def reads(self) -> Sequence[str]:
        return ["sh", "-c", f"cat >{self.folder}/read"]

    def fails_to_read(self) -> Sequence[str]:
        return ["sh", "-c", "cat >/dev/null; echo broken >&2; exit 3"]

    def was_read(self) -> bytes:
        return (self.folder / "read").read_bytes()


@define
class FakePrograms:
    read: list[bytes] = field(factory=list)
    contents: dict[str, bytes] = field(factory=dict)

    def output_of(self, argv: Sequence[str]) -> bytes:
        if argv[0] == "broken":
            raise Failed(Code.PART_FAILED, "broken")
        return self.contents[argv[0]]

    def give(self, argv: Sequence[str], content: bytes) -> None:
        if argv[0] == "broken":
            raise Failed(Code.PART_FAILED, "broken")
        self.read.append(content)

    def cut(self, argv: Sequence[str], beginning: bytes) -> None:
        """These keep nothing."""


@define
class FakeBench:
    source: Streams
    target: Streams
    programs: FakePrograms

    def writes(self, content: bytes) -> Sequence[str]:
        self.programs.contents["some"] = content
        return ["some"]

    def fails_to_write(self) -> Sequence[str]:
        return ["broken"]

    def writes_for_ever(self) -> Sequence[str]:
        self.programs.contents["much"] = bytes(100 << 20)
        return ["much"]

    def reads(self) -> Sequence[str]:
        return ["takes"]

    def fails_to_read(self) -> Sequence[str]:
        return ["broken"]

    def was_read(self) -> bytes:
        return self.programs.read[-1]


Run = Callable[[Callable[[Bench], Awaitable[None]]], None]


@pytest.fixture(params=["tcp", "fake"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    async def on_tcp(body: Callable[[Bench], Awaitable[None]]) -> None:
        source, target = TcpStreams(stall_s=5.0, patience_s=PATIENCE_S), TcpStreams(stall_s=5.0, patience_s=PATIENCE_S)
        with anyio.fail_after(FOREVER_S):
            async with anyio.create_task_group() as tasks:
                await tasks.start(target.serve, "::1", 0, from_here)
                await body(TcpBench(source, target, tmp_path))
                tasks.cancel_scope.cancel()

    async def on_fakes(body: Callable[[Bench], Awaitable[None]]) -> None:
        programs = FakePrograms()
        links = StreamLinks(lambda _a, _b: True)
        with anyio.fail_after(FOREVER_S):
            await body(FakeBench(links.at("machine-a", programs), links.at("machine-b", programs), programs))

    def run_on(body: Callable[[Bench], Awaitable[None]]) -> None:
        anyio.run(on_tcp if request.param == "tcp" else on_fakes, body, backend="trio")

    return run_on


async def both(bench: Bench, source: Sequence[str], target: Sequence[str]) -> tuple[Sent | Failed, Received | Failed]:
    expectation = bench.target.expect("a test", target, deadline_s=10)
    received: list[Received | Failed] = []

    async def wait() -> None:
        try:
            received.append(await expectation.result())
        except Failed as error:
            received.append(error)

    sent: Sent | Failed
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        try:
            sent = await bench.source.send(expectation.ticket, source, patience_s=PATIENCE_S)
        except Failed as error:
            sent = error
    return sent, received[0]


def test_the_content_arrives_and_both_count_the_same(run: Run) -> None:
    async def body(bench: Bench) -> None:
        sent, received = await both(bench, bench.writes(CONTENT), bench.reads())
        assert isinstance(sent, Sent)
        assert isinstance(received, Received)
        assert sent.bytes_count == received.bytes_count == len(CONTENT)
        assert bench.was_read() == CONTENT

    run(body)


def test_a_limited_stream_still_arrives_whole(run: Run) -> None:
    async def body(bench: Bench) -> None:
        expectation = bench.target.expect("a test", bench.reads(), deadline_s=10)
        limit = Limit("an operation", 256 << 10)
        sent = await bench.source.send(expectation.ticket, bench.writes(CONTENT), patience_s=PATIENCE_S, limit=limit)
        assert sent.bytes_count == len(CONTENT)
        assert bench.was_read() == CONTENT

    run(body)


def test_progress_ends_at_everything(run: Run) -> None:
    async def body(bench: Bench) -> None:
        expectation = bench.target.expect("a test", bench.reads(), deadline_s=10)
        told: list[int] = []
        await bench.source.send(
            expectation.ticket, bench.writes(CONTENT), on_progress=told.append, patience_s=PATIENCE_S
        )
        assert told == sorted(told)
        assert told[-1] == len(CONTENT)

    run(body)


def test_a_source_that_fails_fails_both_ends(run: Run) -> None:
    async def body(bench: Bench) -> None:
        for outcome in await both(bench, bench.fails_to_write(), bench.reads()):
            assert isinstance(outcome, Failed)
        sent, _ = await both(bench, bench.fails_to_write(), bench.reads())
        assert "broken" in str(sent)

    run(body)


def test_a_target_that_fails_fails_both_ends_with_its_words(run: Run) -> None:
    async def body(bench: Bench) -> None:
        for outcome in await both(bench, bench.writes(CONTENT), bench.fails_to_read()):
            assert isinstance(outcome, Failed)
            assert outcome.code == Code.STREAM_FAILED
            assert "broken" in outcome.problem.text

    run(body)


def test_a_ticket_opens_one_stream_once(run: Run) -> None:
    async def body(bench: Bench) -> None:
        expectation = bench.target.expect("a test", bench.reads(), deadline_s=10)
        await bench.source.send(expectation.ticket, bench.writes(CONTENT), patience_s=PATIENCE_S)
        with pytest.raises(Failed, match="ticket"):
            await bench.source.send(expectation.ticket, bench.writes(b"again"), patience_s=PATIENCE_S)
        assert bench.was_read() == CONTENT

    run(body)


def test_a_sender_that_does_not_come_in_time_is_not_awaited(run: Run) -> None:
    async def body(bench: Bench) -> None:
        expectation = bench.target.expect("a test", bench.reads(), deadline_s=0.05)
        with pytest.raises(Failed, match="did not come in time"):
            await expectation.result()
        with pytest.raises(Failed, match="ticket"):
            await bench.source.send(expectation.ticket, bench.writes(CONTENT), patience_s=PATIENCE_S)

    run(body)


def test_a_receiver_that_cancels_fails_the_sender(run: Run) -> None:
    async def body(bench: Bench) -> None:
        expectation = bench.target.expect("a test", bench.reads(), deadline_s=10)

        async def send() -> None:
            with pytest.raises(Failed):
                await bench.source.send(
                    expectation.ticket,
                    bench.writes_for_ever(),
                    on_progress=lambda _: begun.set(),
                    patience_s=PATIENCE_S,
                )

        begun = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            await begun.wait()
            expectation.cancel()
        with pytest.raises(Failed, match="cancelled"):
            await expectation.result()

    run(body)


def test_a_sender_that_is_cancelled_fails_the_receiver(run: Run) -> None:
    async def body(bench: Bench) -> None:
        expectation = bench.target.expect("a test", bench.reads(), deadline_s=10)
        begun = anyio.Event()

        async def send() -> None:
            await bench.source.send(
                expectation.ticket, bench.writes_for_ever(), on_progress=lambda _: begun.set(), patience_s=PATIENCE_S
            )

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            await begun.wait()
            tasks.cancel_scope.cancel()
        with pytest.raises(Failed, match="broke it off"):
            await expectation.result()

    run(body)
