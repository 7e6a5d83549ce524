"""The server side of the wire: a unix socket for the operator, TCP on the overlay address for the other machines.

It finds out who the other side is, hands each request on, and writes the answer. No connection can disturb another.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import ByteStream, SocketStream, TaskStatus

from ployz.errors import Code, Refused
from ployz.ids import Certificate, InvalidName, MachineId
from ployz.wire.admission import NEWCOMERS, OPERATORS, PEERS, Admission, Bounds, neighbourhood
from ployz.wire.aside import ThreadAside
from ployz.wire.connection import HELLO_S, Connection, Deliver, Manner, logged, stranger, turn_away
from ployz.wire.local_groups import ROOT_ALONE, SOCKET_FOLDER_MODE, LocalGroups
from ployz.wire.message import Newcomer, Peer, Sender
from ployz.wire.repeats import Repeats
from ployz.wire.session import Hello, Identity
from ployz.wire.sockets import IsMembers, comes_from, peer_credentials, raw_socket, watch_link
from ployz.wire.tls import MachineTls

PEER_SILENCE_S = 15.0
"""A client on another machine pings every few seconds: after this long it, or the link, is gone."""
OPERATOR_SILENCE_S = 15.0
"""Nobody at the operator's socket has a reason to be silent: ployzctl asks as soon as it is connected. While it waits
for an answer it may be.
"""
NEWCOMER_S = 60.0
"""All that somebody with an invitation may take: one handshake, one request, one answer."""
SOCKET_MODE = 0o660

_log = logging.getLogger("ployz.wire")

Membership = Callable[[MachineId], str | None]
"""The overlay address of a machine by the committed facts; None: no member."""

Secure = Callable[[SocketStream], Awaitable[tuple[ByteStream, Certificate | None]]]
Greet = Callable[[Certificate | None, ByteStream, Hello], Sender]


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
        self._aside = ThreadAside()
        self._warnings = Repeats(_log)
        self._peers: dict[anyio.CancelScope, tuple[MachineId, Certificate]] = {}
        """Every connection of a machine that was let in."""

    async def serve_local(
        self, path: Path, groups: LocalGroups = ROOT_ALONE, *, task_status: TaskStatus[str] = TASK_STATUS_IGNORED
    ) -> None:
        """The operator's socket, 0660, for root and the readers' group. A folder that is not there is made, 0750, for
        the same; so becomes one that systemd made. Any other one may be anybody's, and stays as it is.

        Raises `Refused` with CONFLICT when a live daemon listens there. A dead one's socket file is replaced.
        """
        with suppress(FileExistsError):
            path.parent.mkdir(parents=True)
            path.parent.chmod(SOCKET_FOLDER_MODE)  # whatever ployzd's umask is: readers go through it
        if _is_alive(path):
            text = f"another ployzd listens on {path}"
            raise Refused(Code.CONFLICT, text, "Stop it, or give this one another socket.")
        async with await anyio.create_unix_listener(path, mode=SOCKET_MODE) as listener:
            groups.open_to_readers(path)
            task_status.started(str(path))
            manner = self._manner(OPERATORS, OPERATOR_SILENCE_S, silent_while_waiting=True)
            await listener.serve(partial(self._serve_operator, manner, groups))

    async def serve_peers(
        self, address: str, port: int, is_members: IsMembers, *, task_status: TaskStatus[int] = TASK_STATUS_IGNORED
    ) -> None:
        """The other machines, on this machine's overlay address alone. Starts with the port (0: any)."""
        listener = await anyio.create_tcp_listener(local_host=address, local_port=port, reuse_port=False)
        async with listener:
            task_status.started(raw_socket(listener.listeners[0]).getsockname()[1])
            await listener.serve(partial(self._serve_peer, self._manner(PEERS, PEER_SILENCE_S), is_members))

    async def serve_newcomers(self, port: int, *, task_status: TaskStatus[int] = TASK_STATUS_IGNORED) -> None:
        """Whoever holds an invitation, on every address of this machine: it is not on the overlay yet."""
        async with await anyio.create_tcp_listener(local_port=port, reuse_port=False) as listener:
            task_status.started(raw_socket(listener.listeners[0]).getsockname()[1])
            await listener.serve(partial(self._serve_newcomer, self._manner(NEWCOMERS, PEER_SILENCE_S)))

    def end_strangers(self) -> None:
        """Ends the connections of machines that were let in, and are no members with that key any more."""
        for scope, (machine, certificate) in list(self._peers.items()):
            if not self._tls.is_trusted(machine, certificate):
                _log.warning("machine %s is no member any more: its connection was ended", machine)
                scope.cancel()

    def _manner(self, bounds: Bounds, silence_s: float, *, silent_while_waiting: bool = False) -> Manner:
        admission = Admission(bounds)
        return Manner(
            self._identity, self._deliver, self._aside, admission, self._warnings, silence_s, silent_while_waiting
        )

    # ------------------------------------------------------------ who they are

    async def _serve_operator(self, manner: Manner, groups: LocalGroups, stream: SocketStream) -> None:
        async with stream:
            try:
                uid = peer_credentials(raw_socket(stream)).uid
                with manner.admission.place(f"user {uid}", is_root=uid in {0, os.geteuid()}):
                    await Connection(manner, stream, partial(self._greet_operator, groups)).serve()
            except Refused as error:
                self._warnings.warn(
                    "places for operators", f"a connection to the operator's socket was closed: {error}"
                )
                await turn_away(stream, error)
            except OSError:
                return  # it is gone, and the kernel knows no more who it was

    def _greet_operator(self, groups: LocalGroups, stream: ByteStream, hello: Hello) -> Sender:
        if hello.machine:
            raise Refused(Code.NOT_ALLOWED, "machines connect over the overlay, not on the operator's socket")
        return groups.operator(peer_credentials(raw_socket(stream)))

    async def _serve_peer(self, manner: Manner, is_members: IsMembers, stream: SocketStream) -> None:
        if not comes_from(is_members, stream):
            self._warnings.warn("no member's address", f"{stranger(stream)} has no member's address")
            await anyio.aclose_forcefully(stream)
            return
        with anyio.CancelScope() as scope:
            greet = partial(self._greet_peer, scope)
            try:
                await self._serve_outside(manner, stream, _address_of(stream), self._accept, greet)
            finally:
                self._peers.pop(scope, None)

    async def _serve_newcomer(self, manner: Manner, stream: SocketStream) -> None:
        with anyio.move_on_after(NEWCOMER_S):
            await self._serve_outside(
                manner, stream, neighbourhood(_address_of(stream)), self._receive, self._greet_newcomer
            )

    async def _serve_outside(
        self, manner: Manner, stream: SocketStream, source: str, secure: Secure, greet: Greet
    ) -> None:
        """Whose address is not a member's, where that is asked for, and who has enough connections, costs no TLS."""
        async with stream:
            with logged(self._warnings, stranger(stream)), manner.admission.place(source):
                with anyio.fail_after(HELLO_S):
                    secured, certificate = await secure(stream)
                await Connection(manner, secured, partial(greet, certificate)).serve()

    async def _accept(self, stream: SocketStream) -> tuple[ByteStream, Certificate | None]:
        return await self._tls.accept(stream)

    async def _receive(self, stream: SocketStream) -> tuple[ByteStream, Certificate | None]:
        return await self._tls.receive(stream), None

    def _greet_newcomer(self, _: Certificate | None, stream: ByteStream, hello: Hello) -> Sender:
        if hello.machine:
            raise Refused(Code.NOT_ALLOWED, "machines connect over the overlay, not where newcomers do")
        source = ip_address(raw_socket(stream).getpeername()[0].partition("%")[0])
        return Newcomer(str(getattr(source, "ipv4_mapped", None) or source))

    def _greet_peer(
        self, scope: anyio.CancelScope, certificate: Certificate | None, stream: ByteStream, hello: Hello
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
        if certificate is None or not self._tls.is_trusted(machine, certificate):
            raise Refused(Code.IDENTITY, f"{source} claims to be {machine}, and has another machine's key")
        if ip_address(source) != ip_address(address):
            text = f"{source} claims to be {machine}, whose overlay address is {address}"
            raise Refused(Code.WRONG_ADDRESS, text)
        watch_link(raw, give_up_s=PEER_SILENCE_S)
        self._peers[scope] = (machine, certificate)
        return Peer(machine)


def _address_of(stream: SocketStream) -> str:
    """Empty: it is gone already."""
    try:
        address: str = raw_socket(stream).getpeername()[0]
    except OSError:
        return ""
    return address.partition("%")[0]


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
