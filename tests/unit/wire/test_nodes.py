"""Server, peer client and local client against each other over loopback and a unix socket."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from anyio.streams.tls import TLSStream
from attrs import frozen

from ployz.errors import Code, Failed, PloyzError, Refused, Unreachable
from ployz.ids import MachineId
from ployz.wire import client as client_module
from ployz.wire import connection as connection_module
from ployz.wire import server as server_module
from ployz.wire.admission import Bounds
from ployz.wire.client import PeerClient
from ployz.wire.local import LocalNode, ask
from ployz.wire.message import OPERATOR, PEER, Message, Sender, message
from ployz.wire.server import WireServer
from ployz.wire.session import Hello, Identity, Request, Role, Session
from ployz.wire.sockets import raw_socket
from ployz.wire.tls import GONE, MachineTls
from tests.identities import certificate, from_here, identity, tls

A, B, C = MachineId("machine-a"), MachineId("machine-b"), MachineId("machine-c")


@frozen
class Heard:
    text: str
    sender: str


@message("echo.say", senders=PEER | OPERATOR)
@frozen
class Say(Message[Heard]):
    text: str


class Node:
    """What a daemon would deliver to: echoes, refuses, or never answers."""

    def __init__(self) -> None:
        self.hold = anyio.Event()
        self.begun = anyio.Event()

    async def deliver(self, to: str, message: Message[Any], sender: Sender, *, timeout_s: float) -> Any:
        assert isinstance(message, Say)
        match to:
            case "echo":
                return Heard(message.text, str(sender))
            case "refuse":
                raise Failed(Code.NO_SPACE, "the pool is full", "Make room.")
            case "much":
                return Heard("x" * (10 << 20), "")
            case "broken":
                raise KeyError("oops")
            case "flood":
                return Heard("x" * (20 << 20), "")
            case _:
                self.begun.set()
                await self.hold.wait()
                return Heard("late", "")


@frozen(eq=False)
class Running:
    node: Node
    server: WireServer
    path: Path
    port: int


@asynccontextmanager
async def running(path: Path, members: dict[MachineId, str], cluster: str = "prod") -> AsyncIterator[Running]:
    """Machine b, with its two listeners."""
    node = Node()
    server = WireServer(lambda: Identity(B, cluster), node.deliver, members.get, tls(B, members))
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            await tasks.start(server.serve_local, path)
            port = await tasks.start(server.serve_peers, "::1", 0, from_here)
            yield Running(node, server, path, port)
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def peers_of_a(port: int, cluster: str = "prod", me: MachineId = A) -> AsyncIterator[PeerClient]:
    places = {B: ("::1", port), C: ("::1", port)}
    async with PeerClient(lambda: Identity(me, cluster), places.get, tls(me, places)) as peers:
        yield peers


def run(body: Callable[[Path], Awaitable[None]], folder: Path) -> None:
    async def main() -> None:
        await body(folder / "node" / "ployzd.sock")

    anyio.run(main, backend="trio")


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def problem_of(ask: Awaitable[object]) -> PloyzError:
    with pytest.raises(PloyzError) as caught:
        await ask
    return caught.value


async def raw_peer(port: int) -> TLSStream:
    """Machine a, after the handshake, and before its hello."""
    stream, _ = await tls(A, [B]).connect(await anyio.connect_tcp("::1", port), B)
    return stream


async def assert_still_serving(port: int) -> None:
    async with peers_of_a(port) as peers:
        assert (await peers.ask(B, "echo", Say("still"), timeout_s=5)).text == "still"


# ---------------------------------------------------------------- the operator


def test_the_operator_asks_and_is_known_by_the_kernel(tmp_path: Path) -> None:
    async def body(path: Path) -> None:
        async with running(path, {}):
            heard = await to_thread.run_sync(lambda: ask(path, "echo", Say("hi"), timeout_s=5))
            assert heard.text == "hi"
            assert heard.sender.startswith("process ")
            assert [mode_of(path.parent), mode_of(path)] == [0o750, 0o660]

    run(body, tmp_path)


def test_one_local_connection_carries_many_asks_and_refusals(tmp_path: Path) -> None:
    def talk(path: Path) -> None:
        with LocalNode(path) as node:
            assert node.machine == "machine-b"
            for text in ("one", "two"):
                assert node.ask("echo", Say(text), timeout_s=5).text == text
            with pytest.raises(Failed) as caught:
                node.ask("refuse", Say(""), timeout_s=5)
            assert caught.value.problem.advice == "Make room."
            with pytest.raises(Failed, match="limit"):
                node.ask("flood", Say(""), timeout_s=20)
            assert node.ask("echo", Say("three"), timeout_s=5).text == "three"

    async def body(path: Path) -> None:
        async with running(path, {}):
            await to_thread.run_sync(talk, path)

    run(body, tmp_path)


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    async def body(path: Path) -> None:
        path.parent.mkdir()
        path.parent.chmod(0o755)
        async with running(path, {}):
            assert mode_of(path.parent) == 0o755

    run(body, tmp_path)


def test_without_a_daemon_the_operator_is_told_what_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(Unreachable) as caught:
        ask(tmp_path / "none.sock", "echo", Say(""), timeout_s=1)
    assert caught.value.code is Code.NODE_UNREACHABLE
    assert "systemctl status ployzd" in caught.value.problem.advice


def test_a_dead_daemons_socket_is_replaced_and_a_live_ones_is_not(tmp_path: Path) -> None:
    async def body(path: Path) -> None:
        path.parent.mkdir()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        async with running(path, {}) as first:
            server = WireServer(lambda: Identity(A, ""), first.node.deliver, lambda _: None, tls(A, []))
            error = await problem_of(server.serve_local(path))
            assert error.code is Code.CONFLICT
            assert (await to_thread.run_sync(lambda: ask(path, "echo", Say("hi"), timeout_s=5))).text == "hi"

    run(body, tmp_path)


def test_a_node_that_goes_away_in_the_middle_leaves_an_unknown_outcome(tmp_path: Path) -> None:
    async def body(path: Path) -> None:
        errors: list[PloyzError] = []

        async def wait() -> None:
            errors.append(await problem_of(to_thread.run_sync(lambda: ask(path, "hold", Say(""), timeout_s=20))))

        async with anyio.create_task_group() as tasks, running(path, {}) as there:
            tasks.start_soon(wait)
            await there.node.begun.wait()
        assert [error.code for error in errors] == [Code.OUTCOME_UNKNOWN]

    run(body, tmp_path)


# ---------------------------------------------------------------- the other machines


def test_a_member_at_its_own_address_is_served(tmp_path: Path) -> None:
    async def body(path: Path) -> None:
        async with running(path, {A: "::1"}) as there, peers_of_a(there.port) as peers:
            assert await peers.ask(B, "echo", Say("hi"), timeout_s=5) == Heard("hi", "machine machine-a")
            error = await problem_of(peers.ask(B, "refuse", Say(""), timeout_s=5))
            assert type(error) is Failed
            assert error.problem.text == "the pool is full"

    run(body, tmp_path)


def test_a_bug_behind_the_server_is_told_and_disturbs_nobody(tmp_path: Path) -> None:
    async def body(path: Path) -> None:
        async with running(path, {A: "::1"}) as there, peers_of_a(there.port) as peers:
            error = await problem_of(peers.ask(B, "broken", Say(""), timeout_s=5))
            assert isinstance(error, Failed)
            assert error.code is Code.BUG
            assert (await peers.ask(B, "echo", Say("hi"), timeout_s=5)).text == "hi"

    run(body, tmp_path)


def test_many_asks_share_one_connection(tmp_path: Path) -> None:
    async def body(path: Path) -> None:
        heard: list[str] = []
        async with running(path, {A: "::1"}) as there, peers_of_a(there.port) as peers:

            async def say(text: str) -> None:
                heard.append((await peers.ask(B, "echo", Say(text), timeout_s=5)).text)

            async with anyio.create_task_group() as tasks:
                for number in range(50):
                    tasks.start_soon(say, str(number))
            assert sorted(heard, key=int) == [str(number) for number in range(50)]
            assert len(peers._links) == 1

    run(body, tmp_path)


@pytest.mark.parametrize(
    ("members", "me", "key_of", "cluster", "code"),
    [
        ({}, A, A, "prod", Code.MACHINE_UNREACHABLE),
        ({A: "::1"}, C, C, "prod", Code.MACHINE_UNREACHABLE),
        ({A: "::1"}, A, C, "prod", Code.MACHINE_UNREACHABLE),
        ({A: "::1", C: "::1"}, A, C, "prod", Code.IDENTITY),
        ({A: "::1"}, C, A, "prod", Code.NOT_A_MEMBER),
        ({A: "fd00::1"}, A, A, "prod", Code.WRONG_ADDRESS),
        ({A: "::1"}, A, A, "other", Code.NOT_A_MEMBER),
    ],
)
def test_who_is_not_the_machine_it_claims_to_be_is_refused(
    tmp_path: Path, members: dict[MachineId, str], me: MachineId, key_of: MachineId, cluster: str, code: Code
) -> None:
    async def body(path: Path) -> None:
        async with (
            running(path, members) as there,
            PeerClient(lambda: Identity(me, cluster), {B: ("::1", there.port)}.get, tls(key_of, [B])) as peers,
        ):
            error = await problem_of(peers.ask(B, "echo", Say(""), timeout_s=5))
            assert error.code is code

    run(body, tmp_path)


def test_a_machine_that_knows_no_cluster_yet_may_talk_to_its_founder(tmp_path: Path) -> None:
    async def body(path: Path) -> None:
        async with running(path, {A: "::1"}) as there, peers_of_a(there.port, cluster="") as peers:
            assert (await peers.ask(B, "echo", Say("hi"), timeout_s=5)).text == "hi"

    run(body, tmp_path)


def test_another_machine_at_the_address_is_not_talked_to(tmp_path: Path) -> None:
    async def body(path: Path) -> None:
        async with running(path, {A: "::1"}) as there, peers_of_a(there.port) as peers:
            error = await problem_of(peers.ask(C, "echo", Say(""), timeout_s=5))
            assert error.code is Code.MACHINE_UNREACHABLE
            assert "not the one that the facts name" in error.problem.text

    run(body, tmp_path)


def test_a_machine_that_is_not_there_is_unreachable_and_the_way_back_is_found(tmp_path: Path) -> None:
    async def body(path: Path) -> None:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as free:
            port = free.getsockname()[1]
        places = {B: ("::1", port)}
        async with PeerClient(lambda: Identity(A, "prod"), places.get, tls(A, [B])) as peers:
            assert (await problem_of(peers.ask(C, "echo", Say(""), timeout_s=5))).code is Code.UNKNOWN_MACHINE
            error = await problem_of(peers.ask(B, "echo", Say(""), timeout_s=5))
            assert isinstance(error, Unreachable)
            assert error.code is Code.MACHINE_UNREACHABLE
            async with running(path, {A: "::1"}) as there:
                places[B] = ("::1", there.port)
                await anyio.sleep(client_module.RETRY_MIN_S)
                assert (await peers.ask(B, "echo", Say("hi"), timeout_s=5)).text == "hi"

    run(body, tmp_path)


def test_a_lost_connection_leaves_pending_asks_unknown_and_the_next_ask_connects_again(tmp_path: Path) -> None:
    async def body(path: Path) -> None:
        errors: list[PloyzError] = []
        async with running(path, {A: "::1"}) as there, peers_of_a(there.port) as peers:

            async def wait() -> None:
                errors.append(await problem_of(peers.ask(B, "hold", Say(""), timeout_s=20)))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await there.node.begun.wait()
                connection = peers._links[B].connection
                assert connection is not None
                raw_socket(connection._stream).shutdown(socket.SHUT_RDWR)
            assert [(type(error), error.code) for error in errors] == [(Unreachable, Code.OUTCOME_UNKNOWN)]
            assert (await peers.ask(B, "echo", Say("again"), timeout_s=5)).text == "again"

    run(body, tmp_path)


@pytest.mark.parametrize("error", GONE)
def test_a_connection_that_ends_under_a_write_is_lost_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    async def ends(_: bytes) -> None:
        raise error

    async def body(path: Path) -> None:
        async with running(path, {A: "::1"}) as there, peers_of_a(there.port) as peers:
            assert (await peers.ask(B, "echo", Say("hi"), timeout_s=5)).text == "hi"
            connection = peers._links[B].connection
            assert connection is not None
            monkeypatch.setattr(connection._stream, "send", ends)
            problem = await problem_of(peers.ask(B, "echo", Say(""), timeout_s=5))
            assert (type(problem), problem.code) == (Unreachable, Code.OUTCOME_UNKNOWN)
            assert (await peers.ask(B, "echo", Say("again"), timeout_s=5)).text == "again"

    run(body, tmp_path)


def test_an_ask_that_is_not_answered_in_time_is_unknown_and_disturbs_nobody(tmp_path: Path) -> None:
    async def body(path: Path) -> None:
        async with running(path, {A: "::1"}) as there, peers_of_a(there.port) as peers:
            error = await problem_of(peers.ask(B, "hold", Say(""), timeout_s=0.2))
            assert isinstance(error, Unreachable)
            assert error.code is Code.TIMED_OUT
            there.node.hold.set()
            assert (await peers.ask(B, "echo", Say("hi"), timeout_s=5)).text == "hi"

    run(body, tmp_path)


def test_a_server_that_falls_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SILENCE_S", 0.5)

    async def silent(raw: anyio.abc.SocketStream) -> None:
        session = Session(Role.SERVER)
        stream, _ = await tls(B, [A]).accept(raw)
        async with stream:
            while session.next_frame() is None:
                session.feed(await stream.receive())
            await stream.send(session.send(Hello(1, "prod", "machine-b")))
            await anyio.sleep_forever()

    async def body(path: Path) -> None:
        async with await anyio.create_tcp_listener(local_host="::1") as listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, silent)
            port = raw_socket(listener.listeners[0]).getsockname()[1]
            async with peers_of_a(port) as peers:
                error = await problem_of(peers.ask(B, "echo", Say(""), timeout_s=20))
                assert error.code is Code.OUTCOME_UNKNOWN
                assert "nothing came" in error.problem.text
            tasks.cancel_scope.cancel()

    run(body, tmp_path)


# ---------------------------------------------------------------- who is no member any more


def test_a_machine_that_was_removed_loses_its_connections_and_gets_no_new_one(tmp_path: Path) -> None:
    async def body(path: Path) -> None:
        trusted = {A: certificate(A)}
        server = WireServer(
            lambda: Identity(B, "prod"), Node().deliver, {A: "::1"}.get, MachineTls(identity(B), lambda: trusted)
        )
        async with anyio.create_task_group() as tasks:
            port = await tasks.start(server.serve_peers, "::1", 0, from_here)
            async with peers_of_a(port) as peers:
                assert (await peers.ask(B, "echo", Say("hi"), timeout_s=5)).text == "hi"
                server.end_strangers()
                assert (await peers.ask(B, "echo", Say("still"), timeout_s=5)).text == "still"
                waiting = anyio.Event()
                errors: list[PloyzError] = []

                async def wait() -> None:
                    waiting.set()
                    errors.append(await problem_of(peers.ask(B, "hold", Say(""), timeout_s=20)))

                async with anyio.create_task_group() as asking:
                    asking.start_soon(wait)
                    await waiting.wait()
                    trusted.clear()
                    server.end_strangers()
                assert [error.code for error in errors] == [Code.OUTCOME_UNKNOWN]
                assert (await problem_of(peers.ask(B, "echo", Say(""), timeout_s=5))).code is Code.MACHINE_UNREACHABLE
            tasks.cancel_scope.cancel()

    run(body, tmp_path)


def test_a_machine_talks_no_longer_to_one_that_was_removed(tmp_path: Path) -> None:
    async def body(path: Path) -> None:
        trusted = {B: certificate(B)}
        async with running(path, {A: "::1"}) as there:
            side = MachineTls(identity(A), lambda: trusted)
            async with PeerClient(lambda: Identity(A, "prod"), {B: ("::1", there.port)}.get, side) as peers:
                assert (await peers.ask(B, "echo", Say("hi"), timeout_s=5)).text == "hi"
                trusted[B] = certificate(B, key="-new")
                peers.end_strangers()
                await anyio.wait_all_tasks_blocked()
                error = await problem_of(peers.ask(B, "echo", Say(""), timeout_s=5))
                assert "not the one that the facts name" in error.problem.text

    run(body, tmp_path)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\0\0\0\x02\x80\x80",
        b"\0\0\0\x01\x90",
        (70_000).to_bytes(4, "big") + b"\x91" * 70_000,
    ],
)
def test_bytes_that_are_no_hello_end_that_connection_alone(tmp_path: Path, data: bytes) -> None:
    async def body(path: Path) -> None:
        async with running(path, {A: "::1"}) as there, await raw_peer(there.port) as stream:
            await stream.send(data)
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()
            await assert_still_serving(there.port)

    run(body, tmp_path)


def test_who_speaks_no_tls_is_dropped(tmp_path: Path) -> None:
    async def body(path: Path) -> None:
        async with running(path, {A: "::1"}) as there, await anyio.connect_tcp("::1", there.port) as stream:
            await stream.send(b"GET / HTTP/1.1\r\n\r\n")
            with suppress(anyio.BrokenResourceError):
                assert b"hello" not in b"".join([chunk async for chunk in stream])
            await assert_still_serving(there.port)

    run(body, tmp_path)


def test_another_version_is_told_so(tmp_path: Path) -> None:
    async def body(path: Path) -> None:
        async with running(path, {A: "::1"}) as there, await raw_peer(there.port) as stream:
            data = Session(Role.CLIENT).send(Hello(2, "prod", "machine-a"))
            await stream.send(data)
            answer = b"".join([chunk async for chunk in stream])
            assert b"protocol-mismatch" in answer
            await assert_still_serving(there.port)

    run(body, tmp_path)


def test_a_peer_that_stalls_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (server_module, connection_module):
        monkeypatch.setattr(module, "HELLO_S", 0.2)
    monkeypatch.setattr(connection_module, "FRAME_S", 0.2)

    async def body(path: Path) -> None:
        async with running(path, {A: "::1"}) as there:
            async with await raw_peer(there.port) as mute:
                with pytest.raises(anyio.EndOfStream):
                    await mute.receive()
            session = Session(Role.CLIENT)
            async with await raw_peer(there.port) as halting:
                await halting.send(session.send(Hello(1, "prod", "machine-a")))
                while session.next_frame() is None:
                    session.feed(await halting.receive())
                await halting.send(session.send(Request(1, "echo", "echo.say", 1000, b"\x80"))[:-1])
                with pytest.raises(anyio.EndOfStream):
                    await halting.receive()
            await assert_still_serving(there.port)

    run(body, tmp_path)


def test_a_peer_that_falls_silent_between_frames_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "PEER_SILENCE_S", 0.2)

    async def body(path: Path) -> None:
        async with running(path, {A: "::1"}) as there, await raw_peer(there.port) as silent:
            await silent.send(Session(Role.CLIENT).send(Hello(1, "prod", "machine-a")))
            assert await silent.receive()
            with pytest.raises(anyio.EndOfStream):
                await silent.receive()
            await assert_still_serving(there.port)

    run(body, tmp_path)


def test_a_peer_that_reads_nothing_loses_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "WRITE_S", 0.2)
    monkeypatch.setattr(server_module, "PEERS", Bounds(connections_max=1, per_source_max=1))

    async def body(path: Path) -> None:
        async with (
            running(path, {A: "::1"}) as there,
            await raw_peer(there.port) as greedy,
            peers_of_a(there.port) as peers,
        ):
            session = Session(Role.CLIENT)
            await greedy.send(session.send(Hello(1, "prod", "machine-a")))
            while session.next_frame() is None:
                session.feed(await greedy.receive())
            for _ in range(4):
                number = session.next_id()
                await greedy.send(session.send(Request(number, "much", "echo.say", 9000, b"\x81\xa4text\xa0")))
            assert (await problem_of(peers.ask(B, "echo", Say(""), timeout_s=5))).code is Code.MACHINE_UNREACHABLE
            served = False
            while not served:  # within the deadline of `running`
                with suppress(Unreachable):
                    served = (await peers.ask(B, "echo", Say("hi"), timeout_s=5)).text == "hi"
                await anyio.sleep(0.02)

    run(body, tmp_path)


def test_connections_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "PEERS", Bounds(connections_max=1, per_source_max=1))

    async def body(path: Path) -> None:
        async with (
            running(path, {A: "::1"}) as there,
            await raw_peer(there.port) as first,
            await anyio.connect_tcp("::1", there.port) as second,
        ):
            with pytest.raises(anyio.EndOfStream):
                await second.receive()
            await first.send(Session(Role.CLIENT).send(Hello(1, "prod", "machine-a")))
            assert await first.receive()

    run(body, tmp_path)


@pytest.mark.parametrize(
    ("tag", "body", "code"),
    [
        ("echo.shout", b"\x80", Code.UNKNOWN_MESSAGE),
        ("echo.say", b"\x80", Code.MALFORMED_FRAME),
        ("echo.say", b"\x81\xa4text\x05", Code.MALFORMED_FRAME),
        ("echo.say", b"\x82\xa4text\xa1a\xa1b\x00", Code.MALFORMED_FRAME),
        ("echo.say", b"\x91" * 1000, Code.MALFORMED_FRAME),
        ("echo.say", b"\xdd\xff\xff\xff\xff", Code.MALFORMED_FRAME),
        ("echo.say", b"", Code.MALFORMED_FRAME),
    ],
)
def test_a_bad_body_is_refused_and_the_connection_goes_on(tmp_path: Path, tag: str, body: bytes, code: Code) -> None:
    async def main(path: Path) -> None:
        async with running(path, {A: "::1"}) as there, peers_of_a(there.port) as peers:
            await peers.ask(B, "echo", Say("connected"), timeout_s=5)
            connection = peers._links[B].connection
            assert connection is not None
            error = await problem_of(connection.request("echo", tag, body, 5))
            assert isinstance(error, Refused)
            assert error.code is code
            assert (await peers.ask(B, "echo", Say("hi"), timeout_s=5)).text == "hi"
            assert peers._links[B].connection is connection

    run(main, tmp_path)
