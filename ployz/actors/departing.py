"""Services leave this machine: gate, stop, unmount, last snapshot, vote.

What writes to a volume has ended long before Docker has taken the container's network down, and the cut-over waits for
the first of the two only. The rest goes on beside it, and is awaited before anything else happens in the namespace.
"""

from __future__ import annotations

from functools import partial

import anyio
from anyio.abc import TaskGroup

from ployz.actors.containers import Containers
from ployz.actors.core import Home
from ployz.actors.gate import Gate
from ployz.actors.messages.storage import TakeSnapshots
from ployz.actors.messages.workload import Fence, FencedReport
from ployz.actors.parts import Parts
from ployz.actors.together import together
from ployz.config import EFFECT_TIMEOUT_S
from ployz.errors import Code, PloyzError, Refused
from ployz.events.types import SnapshotTaken, VoteCast
from ployz.facts.keys import Vote
from ployz.facts.port import Conflict
from ployz.facts.transactions import cast_vote
from ployz.host.ports import Container
from ployz.ids import OperationId, SlotRef
from ployz.plan import names


class TakeDown:
    """One container on its way out: stopped, then removed, unless it has volumes of its own: then that waits for the
    decision.
    """

    def __init__(self, containers: Containers, slot: SlotRef, found: Container, operation_id: OperationId) -> None:
        self._containers = containers
        self._slot = slot
        self._name = found.name
        self._stays = bool(found.volumes)
        self._operation_id = operation_id
        self._failure: PloyzError | None = None
        self.done = anyio.Event()

    async def run(self) -> None:
        try:
            await self._containers.stop(self._slot, self._name, self._operation_id)
            if not self._stays:  # else an abort needs it as it is
                await self._containers.remove(self._slot, self._name, has_volumes=False)
        except PloyzError as error:
            self._failure = error
        finally:
            self.done.set()

    async def ended(self, parts: Parts) -> None:
        """Until nothing of it writes any more. Raises why it could not be stopped."""
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                await self.done.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            await parts.docker.ended(self._name)
            tasks.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure


class Departure:
    """Of one namespace. `run` holds what is still being taken down."""

    def __init__(self, parts: Parts, home: Home, containers: Containers, gate: Gate) -> None:
        self._parts = parts
        self._home = home
        self._containers = containers
        self._gate = gate
        self._leaving: list[TakeDown] = []

    async def fence(self, message: Fence, beside: TaskGroup) -> FencedReport:
        """From its first effect on, nothing starts here again before the operation is decided. What is still being
        taken down when it returns goes on in `beside`.
        """
        operation = await self._parts.in_operation(message.operation_id, message.position)
        await self._gate.close(sorted({slot.service for slot in message.slots}), operation.operation_id)
        began_s = anyio.current_time()
        leaving = await self._take_down(message, beside)
        await together(*(partial(each.ended, self._parts) for each in leaving))
        ended_s = anyio.current_time()
        await together(*(partial(self._containers.unmount, volume, message.operation_id) for volume in message.volumes))
        unmounted_s = anyio.current_time()
        snapshots = await self._last_snapshots(message)
        return FencedReport(
            snapshots=snapshots,
            stop_ms=_ms(ended_s - began_s),
            unmount_ms=_ms(unmounted_s - ended_s),
            snapshot_ms=_ms(anyio.current_time() - unmounted_s),
        )

    async def _take_down(self, message: Fence, beside: TaskGroup) -> list[TakeDown]:
        """Everything that fills these slots, but a container of this operation itself, and what has ended for good: of
        that nothing writes, and it must not look as if ployz had stopped it.
        """
        leaving = [
            TakeDown(self._containers, slot, each, message.operation_id)
            for service in sorted({slot.service for slot in message.slots})
            for slot, each in await self._containers.found(service)
            if slot in message.slots
            and each.labels[names.LABEL_OPERATION] != message.operation_id
            and not self._containers.has_ended(slot, each)
        ]
        for each in leaving:
            beside.start_soon(each.run)
        self._leaving += leaving
        return leaving

    async def finish(self) -> None:
        """Until everything that was leaving is gone, or has said that it cannot be."""
        for each in self._leaving:
            await each.done.wait()
        self._leaving.clear()

    async def _last_snapshots(self, message: Fence) -> tuple[SnapshotTaken, ...]:
        if not message.volumes:
            return ()
        taking = TakeSnapshots(message.operation_id, message.position, message.round, message.volumes)
        taken = await self._home.ref("storage").ask(taking, timeout_s=EFFECT_TIMEOUT_S)
        await self.vote(message.operation_id, taken.snapshots)
        return taken.snapshots

    async def vote(self, operation_id: OperationId, snapshots: tuple[SnapshotTaken, ...]) -> None:
        outcome = await self._parts.facts.transact(cast_vote(operation_id, self._parts.me, Vote(snapshots)))
        if isinstance(outcome, Conflict):
            raise Refused(Code.DECIDED, f"operation {operation_id} is decided: {self._parts.me} does not vote any more")
        await self._parts.journal.record(
            f"operation/{operation_id}", VoteCast(snapshots), operation_id=operation_id, step=names.step("vote", "own")
        )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
