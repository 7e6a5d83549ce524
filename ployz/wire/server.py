"""The server side of the wire: a unix socket for the operator, TCP on the overlay address for the other machines.

It finds out who the other side is, hands each request on, and writes the answer. No connection can disturb another.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import ByteStream, SocketStream, TaskStatus

from ployz.errors import Code, Failed, PloyzError, Refused
from ployz.ids import Certificate, InvalidName, MachineId
from ployz.wire.codec import decode_message, encode_reply
from ployz.wire.frames import BadFrame
from ployz.wire.local_groups import ROOT_ALONE, SOCKET_FOLDER_MODE, LocalGroups
from ployz.wire.message import Message, Newcomer, Peer, Sender
from ployz.wire.session import Frame, Hello, Identity, Ping, Pong, Refusal, Reply, Request, Role, Session, State
from ployz.wire.sockets import peer_credentials, raw_socket, watch_link
from ployz.wire.tls import GONE, MachineTls, in_words

HELLO_S = 5.0
"""For the TLS handshake, and again to the end of the hello."""
FRAME_S = 30.0
"""From the first byte of a frame to its last."""
WRITE_S = 20.0
"""One frame, to a side that reads slowly."""
PEER_SILENCE_S = 15.0
"""A client on another machine pings every few seconds: after this long it, or the link, is gone."""
CONNECTIONS_MAX = 512
"""Of one listener. Twice the largest cluster."""
READ_BYTES = 64 << 10
SOCKET_MODE = 0o660

_log = logging.getLogger("ployz.wire")


class Deliver(Protocol):
    """Where requests go: `ActorSystem.deliver`."""

    async def __call__(self, to: str, message: Message[Any], sender: Sender, *, timeout_s: float) -> Any: ...


Membership = Callable[[MachineId], str | None]
"""The overlay address of a machine by the committed facts; None: no member."""

Greet = Callable[[ByteStream, Hello], Sender]
"""Who the client is, or raises `Refused`."""


class WireServer:
    """Listeners that share one way to answer. Each `serve_…` runs until it is cancelled; `started()` is called with
    the address once clients can connect.
    """

    def __init__(
        self, identity: Callable[[], Identity], deliver: Deliver, membership: Membership, tls: MachineTls
    ) -> None:
        self._identity = identity
        self._deliver = deliver
        self._membership = membership
        self._tls = tls
        self._peers: dict[anyio.CancelScope, tuple[MachineId, Certificate]] = {}
        """Every connection of a machine that was let in."""

    async def serve_local(
        self, path: Path, groups: LocalGroups = ROOT_ALONE, *, task_status: TaskStatus[str] = TASK_STATUS_IGNORED
    ) -> None:
        """The operator's socket, 0660, for root and the readers' group. A folder that is not there is made, 0750, for
        the same; so becomes one that systemd made. Any other one may be anybody's, and stays as it is.

        Raises `Refused` with CONFLICT when a live daemon listens there. A dead one's socket file is replaced.
        """
        path.parent.mkdir(mode=SOCKET_FOLDER_MODE, parents=True, exist_ok=True)
        if _is_alive(path):
            text = f"another ployzd listens on {path}"
            raise Refused(Code.CONFLICT, text, "Stop it, or give this one another socket.")
        async with await anyio.create_unix_listener(path, mode=SOCKET_MODE) as listener:
            groups.open_to_readers(path)
            task_status.started(str(path))
            await listener.serve(self._bounded(partial(self._serve_operator, groups)))

    async def serve_peers(self, address: str, port: int, *, task_status: TaskStatus[int] = TASK_STATUS_IGNORED) -> None:
        """The other machines, on this machine's overlay address alone. Starts with the port (0: any)."""
        listener = await anyio.create_tcp_listener(local_host=address, local_port=port, reuse_port=False)
        async with listener:
            task_status.started(raw_socket(listener.listeners[0]).getsockname()[1])
            await listener.serve(self._bounded(self._serve_peer))

    async def serve_newcomers(self, port: int, *, task_status: TaskStatus[int] = TASK_STATUS_IGNORED) -> None:
        """Whoever holds an invitation, on every address of this machine: it is not on the overlay yet."""
        async with await anyio.create_tcp_listener(local_port=port, reuse_port=False) as listener:
            task_status.started(raw_socket(listener.listeners[0]).getsockname()[1])
            await listener.serve(self._bounded(self._serve_newcomer))

    def end_strangers(self) -> None:
        """Ends the connections of machines that were let in, and are no members with that key any more."""
        for scope, (machine, certificate) in list(self._peers.items()):
            if not self._tls.is_trusted(machine, certificate):
                _log.warning("machine %s is no member any more: its connection was ended", machine)
                scope.cancel()

    def _bounded(self, serve: Callable[[SocketStream], Awaitable[None]]) -> Callable[[SocketStream], Awaitable[None]]:
        open_now = 0

        async def handle(stream: SocketStream) -> None:
            nonlocal open_now
            async with stream:
                if open_now >= CONNECTIONS_MAX:
                    _log.warning("a connection was closed at once: %d are open", open_now)
                    return
                open_now += 1
                try:
                    await serve(stream)
                finally:
                    open_now -= 1

        return handle

    # ------------------------------------------------------------ who they are

    async def _serve_operator(self, groups: LocalGroups, stream: SocketStream) -> None:
        greet = partial(self._greet_operator, groups)
        await _Connection(self._identity, self._deliver, stream, greet, None).serve()

    def _greet_operator(self, groups: LocalGroups, stream: ByteStream, hello: Hello) -> Sender:
        if hello.machine:
            raise Refused(Code.NOT_ALLOWED, "machines connect over the overlay, not on the operator's socket")
        return groups.operator(peer_credentials(raw_socket(stream)))

    async def _serve_peer(self, stream: SocketStream) -> None:
        with anyio.CancelScope() as scope, _logged(_stranger(stream)):
            with anyio.fail_after(HELLO_S):
                secured, certificate = await self._tls.accept(stream)
            greet = partial(self._greet_peer, certificate, scope)
            try:
                await _Connection(self._identity, self._deliver, secured, greet, PEER_SILENCE_S).serve()
            finally:
                self._peers.pop(scope, None)

    async def _serve_newcomer(self, stream: SocketStream) -> None:
        with _logged(_stranger(stream)):
            with anyio.fail_after(HELLO_S):
                secured = await self._tls.receive(stream)
            await _Connection(self._identity, self._deliver, secured, self._greet_newcomer, PEER_SILENCE_S).serve()

    def _greet_newcomer(self, stream: ByteStream, hello: Hello) -> Sender:
        if hello.machine:
            raise Refused(Code.NOT_ALLOWED, "machines connect over the overlay, not where newcomers do")
        source = ip_address(raw_socket(stream).getpeername()[0].partition("%")[0])
        return Newcomer(str(getattr(source, "ipv4_mapped", None) or source))

    def _greet_peer(
        self, certificate: Certificate, scope: anyio.CancelScope, stream: ByteStream, hello: Hello
    ) -> Sender:
        raw = raw_socket(stream)
        source = raw.getpeername()[0].partition("%")[0]
        try:
            machine = MachineId(hello.machine)
        except InvalidName as error:
            raise Refused(Code.NOT_A_MEMBER, f"{source} does not say which machine it is: {error}") from None
        ours = self._identity().cluster
        if hello.cluster and ours and hello.cluster != ours:
            raise Refused(Code.NOT_A_MEMBER, f"{machine} is of cluster {hello.cluster[:80]}, this one is {ours}")
        address = self._membership(machine)
        if address is None:
            raise Refused(Code.NOT_A_MEMBER, f"{machine} is no machine of this cluster, as far as this one knows")
        if not self._tls.is_trusted(machine, certificate):
            raise Refused(Code.IDENTITY, f"{source} claims to be {machine}, and has another machine's key")
        if ip_address(source) != ip_address(address):
            text = f"{source} claims to be {machine}, whose overlay address is {address}"
            raise Refused(Code.WRONG_ADDRESS, text)
        watch_link(raw, give_up_s=PEER_SILENCE_S)
        self._peers[scope] = (machine, certificate)
        return Peer(machine)


class _Connection:
    def __init__(
        self,
        identity: Callable[[], Identity],
        deliver: Deliver,
        stream: ByteStream,
        greet: Greet,
        silence_s: float | None,
    ) -> None:
        self._identity = identity
        self._deliver = deliver
        self._stream = stream
        self._greet = greet
        self._silence_s = silence_s
        self._session = Session(Role.SERVER)
        self._writing = anyio.Lock()

    async def serve(self) -> None:
        """Until the client goes, or must go. What its requests began in an actor goes on without it."""
        sender: Sender | None = None
        with _logged(_stranger(self._stream)):
            sender = await self._hello()
        if sender is None:
            return
        async with anyio.create_task_group() as requests:
            with _logged(str(sender)):
                while (frame := await self._next_frame()) is not None:
                    match frame:
                        case Request():
                            requests.start_soon(self._answer, frame, sender)
                        case Ping():
                            await self._send(Pong())
                        case _:
                            pass
            requests.cancel_scope.cancel()

    async def _hello(self) -> Sender | None:
        try:
            with anyio.fail_after(HELLO_S):
                hello = await self._next_frame()
            if not isinstance(hello, Hello):
                return None
            sender = self._greet(self._stream, hello)
        except BadFrame:
            raise  # whoever this is speaks something else
        except Refused as error:
            if self._session.state is State.CLOSED:  # by a hello of another version, say: it may still be told
                self._session = Session(Role.SERVER)
            await self._send(Refusal.of(0, error))
            raise
        await self._send(self._identity().hello())
        return sender

    async def _next_frame(self) -> Frame | None:
        """None: the client closed. TimeoutError: it stalled. What it sent wrongly raises `Refused`."""
        frame_began_s: float | None = None
        while (frame := self._session.next_frame()) is None:
            deadline_s = float("inf") if self._silence_s is None else anyio.current_time() + self._silence_s
            if self._session.is_inside_frame:
                frame_began_s = anyio.current_time() if frame_began_s is None else frame_began_s
                deadline_s = min(deadline_s, frame_began_s + FRAME_S)
            with anyio.fail_after(deadline_s - anyio.current_time()):
                try:
                    self._session.feed(await self._stream.receive(READ_BYTES))
                except anyio.EndOfStream:
                    self._session.end()
                    return None
        return frame

    async def _answer(self, request: Request, sender: Sender) -> None:
        answer: Reply | Refusal
        try:
            message = decode_message(request.tag, request.body)
            reply = await self._deliver(request.to, message, sender, timeout_s=request.timeout_ms / 1000)
            answer = Reply(request.id, encode_reply(reply))
        except PloyzError as error:
            answer = Refusal.of(request.id, error)
        except Exception as error:  # noqa: BLE001 - whatever is behind `deliver`, the other connections go on
            _log.error("%s for %s met a bug", request.tag, sender, exc_info=error)
            answer = Refusal.of(request.id, Failed(Code.BUG, f"{request.tag}: {type(error).__name__}: {error}"))
        await self._send(answer)

    async def _send(self, frame: Frame) -> None:
        """One frame, whole. A client that does not take it is cut off, and the reading side sees that."""
        async with self._writing:
            if self._session.state is State.CLOSED:
                return
            try:
                data = self._session.send(frame)
            except Refused as error:  # a reply that is longer than a frame may be
                if not isinstance(frame, Reply):
                    raise
                data = self._session.send(Refusal.of(frame.id, Failed(error.code, error.problem.text)))
            try:
                with anyio.fail_after(WRITE_S):
                    await self._stream.send(data)
            except (TimeoutError, *GONE):
                await anyio.aclose_forcefully(self._stream)


@contextmanager
def _logged(who: str) -> Iterator[None]:
    """What ends one connection is told to the log, and to nobody else."""
    try:
        yield
    except TimeoutError:
        _log.warning("%s was dropped: it stalled", who)
    except ssl.SSLError as error:
        _log.warning("%s was dropped: %s", who, in_words(error))
    except (*GONE, OSError):
        _log.debug("%s went away in the middle of something", who)
    except Refused as error:
        _log.warning("%s was dropped: %s", who, error)


def _stranger(stream: ByteStream) -> str:
    """The log's only trace of a client that was never let in."""
    try:
        name = raw_socket(stream).getpeername()
    except OSError:
        return "a client that is gone, and was not let in,"
    where = f"at {name[0]}" if isinstance(name, tuple) else "of the operator's socket"
    return f"a client {where}, which was not let in,"


def _is_alive(path: Path) -> bool:
    if not path.exists():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
