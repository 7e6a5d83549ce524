"""The actor system: who lives where, and how a message reaches them, from this node or from the wire.

Addresses are paths: `machine`, `volume/production/pgdata`, `operation/op-…`. A prefix with a spawner makes its
actors on demand, when the first message for one arrives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, TypeVar, cast

import anyio
from anyio.abc import TaskGroup
from attrs import field, frozen

from ployz.actors.cell import Cell, Make
from ployz.actors.mailbox import Letter
from ployz.actors.ref import Peers, Ref, RemoteRef
from ployz.errors import Code, Refused, Unreachable
from ployz.ids import InvalidName, MachineId
from ployz.wire.message import Local, Message, Peer, Sender

MAILBOX_SIZE = 64
ADDRESS_LENGTH_MAX = 255

R = TypeVar("R")

Spawner = Callable[[str], Make]
"""Given an address below its prefix: how to make the actor. Raises `Refused` for one that must not exist."""

_ADDRESS = re.compile(r"[a-z0-9-]+(?:/[a-z0-9-]+)*\Z")


class ActorSystem:
    """`async with ActorSystem(machine, peers, spawners) as system:`. At the end every actor is stopped."""

    def __init__(
        self,
        machine: MachineId,
        peers: Peers | None = None,
        spawners: Mapping[str, Spawner] | None = None,
        *,
        mailbox_size: int = MAILBOX_SIZE,
    ) -> None:
        self.machine = machine
        self._peers = peers
        self._spawners = dict(spawners or {})
        self._mailbox_size = mailbox_size
        self._cells: dict[str, Cell] = {}
        self._heard_at_s: dict[MachineId, float] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        return await self._stack.__aexit__(kind, error, trace)

    def spawn(self, address: str, make: Make) -> Ref:
        """Starts an actor. `make` is called again after a bug, so it must give a fresh instance each time."""
        return self._spawn_into(self._tasks, address, make)

    def spawn_on_demand(self, prefix: str, spawner: Spawner) -> None:
        """From here on the first message to an address below `prefix` makes its actor."""
        self._spawners[prefix] = spawner

    def ref(self, address: str) -> Ref:
        """An actor of this node. Whether it exists is found out by asking: UNKNOWN_ACTOR."""
        return LocalRef(address, self)

    def remote(self, machine: MachineId, address: str) -> Ref:
        """An actor of any machine; of this one, without the wire."""
        if machine == self.machine:
            return self.ref(address)
        if self._peers is None:
            raise AssertionError("this system was made without peers")
        return RemoteRef(machine, address, self._peers)

    def silent_s(self, machine: MachineId) -> float | None:
        """How long ago a message of that machine last arrived here; 0 for this one, None: none did."""
        if machine == self.machine:
            return 0.0
        heard_at_s = self._heard_at_s.get(machine)
        return None if heard_at_s is None else anyio.current_time() - heard_at_s

    async def stop(self, address: str) -> None:
        """Cancels what the actor does, answers everyone, and returns when it is gone. Gone already is done."""
        cell = self._cells.get(address)
        if cell is not None:
            cell.stop()
            await cell.gone.wait()

    async def deliver(self, to: str, message: Message[R], sender: Sender, *, timeout_s: float) -> R:
        """A message from anywhere to an actor of this node. Errors as `Ref.ask`, and NOT_ALLOWED."""
        if sender.origin not in message.senders:
            raise Refused(Code.NOT_ALLOWED, f"{message.tag} is not taken from {sender}")
        if isinstance(sender, Peer):
            self._heard_at_s[sender.machine] = anyio.current_time()
        letter = Letter(message, sender)
        mailbox = self._cell(to).mailbox
        mailbox.put(letter)
        try:
            with anyio.fail_after(timeout_s):
                return cast("R", await letter.wait())
        except TimeoutError:
            text = f"{to} did not answer {message.tag} within {timeout_s:g} s: it may or may not be done"
            raise Unreachable(Code.TIMED_OUT, text) from None
        finally:
            mailbox.drop(letter)

    def _cell(self, address: str) -> Cell:
        cell = self._cells.get(address)
        if cell is not None:
            return cell
        spawner = self._spawners.get(address.partition("/")[0])
        if spawner is None or not _is_address(address):
            raise Refused(Code.UNKNOWN_ACTOR, f"there is no actor {address[:ADDRESS_LENGTH_MAX]!r} on {self.machine}")
        try:
            make = spawner(address)
        except InvalidName as error:
            raise Refused(Code.UNKNOWN_ACTOR, f"there is no actor {address!r}: {error}") from None
        self._spawn_into(self._tasks, address, make)
        return self._cells[address]

    def _spawn_into(self, tasks: TaskGroup, address: str, make: Make) -> Ref:
        if not _is_address(address):
            raise AssertionError(f"{address!r} is no actor address")
        there = self._cells.get(address)
        if there is not None and not there.gave_up:
            raise AssertionError(f"{address} was spawned twice")
        cell = Cell(address, make, self, self._mailbox_size, self._spawn_into)
        self._cells[address] = cell
        tasks.start_soon(self._serve, cell, name=address)
        return self.ref(address)

    async def _serve(self, cell: Cell) -> None:
        try:
            await cell.serve()
        finally:
            if not cell.gave_up and self._cells.get(cell.address) is cell:
                del self._cells[cell.address]


@frozen
class LocalRef:
    """An actor of this node."""

    address: str
    _system: ActorSystem = field(repr=False)

    async def ask(self, message: Message[R], *, timeout_s: float) -> R:
        return await self._system.deliver(self.address, message, Local(), timeout_s=timeout_s)


def _is_address(text: str) -> bool:
    return len(text) <= ADDRESS_LENGTH_MAX and _ADDRESS.match(text) is not None
