"""Places, bytes and silence: what somebody gets who has proven little, on real sockets, and what is left for others."""

from __future__ import annotations

import logging
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from anyio import to_thread

from ployz.actors.messages.machine import Ping, Pong
from ployz.errors import Code, Refused, Unreachable
from ployz.ids import ClusterName, MachineId
from ployz.wire import server as server_module
from ployz.wire.admission import (
    NEWCOMERS,
    OPERATORS,
    Admission,
    Bounds,
    Budget,
    allowance_of,
    neighbourhood,
)
from ployz.wire.frames import FRAME_BYTES_MAX, HELLO_BYTES_MAX
from ployz.wire.local import LocalNode
from ployz.wire.local_groups import LocalGroups
from ployz.wire.message import Message, Newcomer, Operator, Peer, Sender
from ployz.wire.repeats import EVERY_S, KINDS_MAX, Repeats
from ployz.wire.server import WireServer
from ployz.wire.session import PROTOCOL_VERSION, Hello, Identity, Request, Role, Session
from tests.identities import tls

A = MachineId("machine-a")
MIB = 1 << 20
HELLO = Session(Role.CLIENT).send(Hello(PROTOCOL_VERSION, "", ""))
USER, READERS = 60_000, 60_001

# ---------------------------------------------------------------- counted


def test_one_source_gets_its_share_and_what_is_kept_is_for_root() -> None:
    admission = Admission(Bounds(connections_max=5, per_source_max=2, kept=1))
    with ExitStack() as open_now:
        for source in ("user 1", "user 1", "user 2", "user 3"):
            open_now.enter_context(admission.place(source))
        for source in ("user 1", "user 4"):
            with pytest.raises(Refused) as refused, admission.place(source):
                pass
            assert refused.value.code is Code.MAILBOX_FULL
        open_now.enter_context(admission.place("user 0", is_root=True))
        with pytest.raises(Refused), admission.place("user 0", is_root=True):
            pass
    with admission.place("user 4"):
        pass


def test_a_budget_is_shared_and_given_back() -> None:
    budget = Budget(10)
    budget.hold("a", 6)
    budget.hold("b", 4)
    with pytest.raises(Refused):
        budget.hold("b", 5)
    budget.hold("c", 4)
    budget.hold("a", 0)
    budget.hold("b", 6)


def test_what_a_connection_may_send_follows_from_whose_it_is() -> None:
    newcomer, reader = allowance_of(Newcomer("192.0.2.1")), allowance_of(Operator(1, USER, may_change=False))
    assert (newcomer.frame_bytes_max, newcomer.in_flight_max, newcomer.requests_max) == (HELLO_BYTES_MAX, 1, 1)
    assert HELLO_BYTES_MAX < reader.frame_bytes_max < FRAME_BYTES_MAX
    for trusted in (Peer(A), Operator(1, 0)):
        assert allowance_of(trusted).frame_bytes_max == FRAME_BYTES_MAX


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
    ],
)
def test_who_has_a_network_is_one_source(one: str, other: str, same: bool) -> None:
    assert (neighbourhood(one) == neighbourhood(other)) is same


def test_a_warning_that_repeats_is_a_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    repeats = Repeats(logging.getLogger("repeats"), lambda: now_s)
    for _ in range(1000):
        repeats.warn("places", "a connection was closed")
        now_s += 0.1
    assert [record.getMessage() for record in caplog.records] == [
        "a connection was closed",
        "a connection was closed (and 599 more like it since)",
    ]


def test_strangers_of_many_addresses_are_told_of_in_bounded_lines(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    repeats = Repeats(logging.getLogger("repeats"), lambda: now_s)
    for number in range(10_000):
        repeats.warn(f"kind {number}", "it was dropped")
    assert len(caplog.records) == KINDS_MAX + 1
    now_s += 2 * EVERY_S
    repeats.warn("later", "it was dropped")
    assert f"{10_000 - KINDS_MAX - 1} more like the last one" in caplog.text


# ---------------------------------------------------------------- at the door of newcomers


async def answer(to: str, message: Message[Any], sender: Sender, *, timeout_s: float) -> Any:
    assert isinstance(message, Ping)
    return Pong(A, 0, "0")


@asynccontextmanager
async def serving() -> AsyncIterator[WireServer]:
    yield WireServer(lambda: Identity(A, ClusterName("home")), answer, lambda _: None, tls(A, []))


def stranger() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def promise(port: int, promised_bytes: int) -> bool:
    """Says hello, promises a frame, sends as much of it as is taken for 2 s at most. Whether it was let in at all."""
    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", port), timeout=8) as raw,
        stranger().wrap_socket(raw, do_handshake_on_connect=False) as secured,
    ):
        secured.do_handshake()  # in here, so that it is closed when it fails
        secured.sendall(HELLO)
        if b"hello" not in secured.recv(4096):
            return False
        with suppress(OSError):
            secured.sendall(promised_bytes.to_bytes(4, "big"))
            for _ in range(promised_bytes // 65536):
                secured.sendall(bytes(65536))
            secured.recv(1)
        return True
    return False


def resident_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def test_sixty_strangers_with_an_open_invitation_get_four_places_and_no_memory() -> None:
    async def body() -> None:
        let_in: list[bool] = []

        async def knock(port: int) -> None:
            let_in.append(await to_thread.run_sync(promise, port, FRAME_BYTES_MAX))

        async with serving() as server, anyio.create_task_group() as tasks:
            port = await tasks.start(server.serve_newcomers, 0)
            before = resident_bytes()
            with anyio.fail_after(30):
                async with anyio.create_task_group() as strangers:
                    for _ in range(60):
                        strangers.start_soon(knock, port)
            assert resident_bytes() - before < 40 * MIB
            assert len(let_in) == 60
            assert await to_thread.run_sync(promise, port, 0)
            tasks.cancel_scope.cancel()

    anyio.run(body, backend="trio")


def test_of_one_address_that_only_waits_four_are_let_in_and_soon_put_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HELLO_S", 1.0)

    async def body() -> None:
        async with serving() as server, anyio.create_task_group() as tasks:
            port = await tasks.start(server.serve_newcomers, 0)
            waiting = [await anyio.connect_tcp("127.0.0.1", port) for _ in range(10)]
            began_s = time.monotonic()
            ended_s = []
            for stream in waiting:
                with anyio.fail_after(10), suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                    await stream.receive()
                await stream.aclose()
                ended_s.append(time.monotonic() - began_s)
            assert sum(each > 0.5 for each in ended_s) >= NEWCOMERS.per_source_max
            assert max(ended_s) < 5
            tasks.cancel_scope.cancel()

    anyio.run(body, backend="trio")


# ---------------------------------------------------------------- at the operator's socket

CROWD = f"""
import os, socket, sys
os.setgroups([]); os.setgid({READERS}); os.setuid({USER})
path, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
kept, told = [], set()
for _ in range(count):
    s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(path)
    try:
        if size >= 0:
            s.sendall({HELLO!r})
            first = s.recv(4096)
            if b"hello" not in first:
                told.add("refused" if b"mailbox-full" in first else "closed")
                continue
            if size:
                s.sendall(size.to_bytes(4, "big") + bytes(size - 1))
        kept.append(s)
    except OSError as error:
        told.add(type(error).__name__)
print(len(kept), *sorted(told), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def crowded() -> Iterator[Path]:
    """A folder that everybody may enter."""
    with TemporaryDirectory(prefix="ployz-crowd-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "node.sock"


class Crowd(LocalGroups):
    """Whoever is not root may look."""

    def operator(self, credentials: Any) -> Operator:
        return Operator(credentials.pid, credentials.uid, may_change=credentials.uid == 0)


class Readers(LocalGroups):
    """Whoever comes may look, root too."""

    def operator(self, credentials: Any) -> Operator:
        return Operator(credentials.pid, credentials.uid, may_change=False)


async def crowd(path: Path, count: int, size: int) -> tuple[subprocess.Popen[bytes], list[str]]:
    argv = [sys.executable, "-I", "-c", CROWD, str(path), str(count), str(size)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: ASYNC220
    assert process.stdout is not None
    line = await to_thread.run_sync(process.stdout.readline)
    return process, line.decode().split()


def root_is_answered(path: Path) -> None:
    with LocalNode(path) as node:
        assert node.ask("machine", Ping(), timeout_s=5).machine == A


@pytest.mark.parametrize("size", [-1, 0, 4 * MIB], ids=["silent", "greeted", "in the middle of 4 MiB"])
def test_a_reader_with_a_hundred_connections_takes_neither_roots_place_nor_memory(crowded: Path, size: int) -> None:
    async def body() -> None:
        async with serving() as server, anyio.create_task_group() as tasks:
            await tasks.start(server.serve_local, crowded, Crowd(None, None))
            crowded.chmod(0o666)  # noqa: ASYNC240
            before = resident_bytes()
            process, said = await crowd(crowded, 100, size)
            with process:
                await to_thread.run_sync(root_is_answered, crowded)
                assert resident_bytes() - before < 60 * MIB
                if size == 0:
                    assert int(said[0]) == OPERATORS.per_source_max
                    assert said[1:]
            tasks.cancel_scope.cancel()

    anyio.run(body, backend="trio")


def test_who_says_nothing_more_is_put_out_and_who_waits_for_an_answer_is_not(
    crowded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "OPERATOR_SILENCE_S", 0.3)

    async def slow(to: str, message: Message[Any], sender: Sender, *, timeout_s: float) -> Any:
        await anyio.sleep(1.0)
        return Pong(A, 0, "0")

    def silent() -> float:
        with LocalNode(crowded) as node:
            assert node.ask("machine", Ping(), timeout_s=5).machine == A
            began_s = time.monotonic()
            assert node._socket.recv(1) == b""
            return time.monotonic() - began_s

    async def body() -> None:
        server = WireServer(lambda: Identity(A, ClusterName("home")), slow, lambda _: None, tls(A, []))
        async with anyio.create_task_group() as tasks:
            await tasks.start(server.serve_local, crowded, Crowd(None, None))
            with anyio.fail_after(10):
                assert await to_thread.run_sync(silent) < 2.0
            tasks.cancel_scope.cancel()

    anyio.run(body, backend="trio")


# ---------------------------------------------------------------- at the port for members


def test_seven_hundred_connections_from_no_members_address_are_closed_before_tls(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def body() -> None:
        async with serving() as server, anyio.create_task_group() as tasks:
            port = await tasks.start(server.serve_peers, "127.0.0.1", 0, lambda address: address == "127.0.0.7")
            with anyio.fail_after(20):
                for _ in range(700):
                    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                            await stream.receive()
                async with await anyio.connect_tcp("127.0.0.1", port, local_host="127.0.0.7") as member:
                    await member.send(b"no TLS")
                    with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                        await member.receive()
            tasks.cancel_scope.cancel()

    anyio.run(body, backend="trio")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) <= 3
    assert "at 127.0.0.7, which was not let in, was dropped: no TLS" in lines[-1]


def test_who_gets_no_place_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "OPERATORS", Bounds(connections_max=0, per_source_max=1))

    def refused() -> Code:
        with pytest.raises(Refused) as refusal, LocalNode(tmp_path / "node.sock"):
            pass
        return refusal.value.code

    async def body() -> None:
        async with serving() as server, anyio.create_task_group() as tasks:
            await tasks.start(server.serve_local, tmp_path / "node.sock")
            assert await to_thread.run_sync(refused) is Code.MAILBOX_FULL
            tasks.cancel_scope.cancel()

    anyio.run(body, backend="trio")


def test_readers_that_fill_their_budget_with_requests_end_no_listener(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they hold until it is answered counts, and who holds too much is put out while answers are on their way."""
    bounds = Bounds(connections_max=64, per_source_max=64, strangers_bytes_max=1 * MIB)
    monkeypatch.setattr(server_module, "OPERATORS", bounds)
    path = tmp_path / "node.sock"

    async def slow(to: str, message: Message[Any], sender: Sender, *, timeout_s: float) -> Any:
        await anyio.sleep(0.05)
        return Pong(A, 0, "0")

    def flood() -> None:
        with suppress(Refused, Unreachable, OSError), LocalNode(path) as node:
            session, raw = node._conversation._session, node._socket
            raw.settimeout(5)
            for number in range(1, 9):
                raw.sendall(session.send(Request(number, "machine", Ping.tag, 5000, bytes(200_000))))
            while raw.recv(65536):
                pass

    async def body() -> None:
        server = WireServer(lambda: Identity(A, ClusterName("home")), slow, lambda _: None, tls(A, []))
        async with anyio.create_task_group() as tasks:
            await tasks.start(server.serve_local, path, Readers(None, None))
            with anyio.fail_after(60):
                async with anyio.create_task_group() as readers:
                    for _ in range(12):
                        readers.start_soon(to_thread.run_sync, flood)
                await to_thread.run_sync(root_is_answered, path)
            tasks.cancel_scope.cancel()

    anyio.run(body, backend="trio")
