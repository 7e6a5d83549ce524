"""Looks at the containers that run here, all the time: is each as ready as its manifest says? Told when that changes.

What a look means is plan/health's word. What is done about lost readiness is the manifest's `on_unready`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import anyio
from attrs import define, field

from ployz.actors.containers import Containers
from ployz.actors.gate import Gate
from ployz.actors.parts import Parts
from ployz.actors.together import together
from ployz.actors.waiting import look
from ployz.errors import PloyzError
from ployz.events.types import ContainerReady, ContainerUnready, SlotPlacement
from ployz.ids import OperationId, SlotRef
from ployz.manifest.model import Service
from ployz.plan import committed, names
from ployz.plan.health import Health, answered, failed, look_every_s

AT_ONCE_MAX: Final = 16
"""Looks of one namespace that go on side by side."""
IDLE_S: Final = 30.0
"""How soon a namespace without anything to look at is looked through again, if nothing is told of it."""

Restart = Callable[[SlotRef, str, str], Awaitable[None]]
"""(slot, container, why): stopped, and started again after its pause."""

_log = logging.getLogger("ployz.workloads")


@define
class HealthWatch:
    """One namespace's containers. `run` is a background task of the actor that owns it."""

    _parts: Parts
    _containers: Containers
    _gate: Gate
    _restart: Restart
    _known: dict[str, Health] = field(factory=dict, init=False)
    """By container."""
    _due_s: dict[str, float] = field(factory=dict, init=False)

    def of(self, container: str) -> Health:
        return self._known.get(container, Health())

    def forget(self, container: str) -> None:
        """It is started again: what was known of it is of the run before."""
        self._known.pop(container, None)

    async def run(self) -> None:
        while True:
            watched = self._watched()
            now_s = anyio.current_time()
            due = [each for each in watched if self._due_s.get(each, 0.0) <= now_s]
            for name in due[:AT_ONCE_MAX]:
                _, _, service = watched[name]
                assert service.readiness is not None  # noqa: S101 - else it is not watched
                self._due_s[name] = now_s + look_every_s(service.readiness)
            await together(*(partial(self._look, name, *watched[name]) for name in due[:AT_ONCE_MAX]))
            next_s = min((self._due_s[each] for each in watched if each in self._due_s), default=now_s + IDLE_S)
            with anyio.CancelScope(deadline=next_s):
                await self._parts.next_change()

    def _watched(self) -> dict[str, tuple[SlotRef, SlotPlacement, Service]]:
        """By container: those of slots that the facts place here, which a manifest says how to look at."""
        found = {}
        for slot, placement in self._containers.placed():
            service = committed.service(self._parts.view, slot.service)
            if service is not None and service.readiness is not None:
                found[names.container(slot, placement.operation_id)] = (slot, placement, service)
        for gone in self._due_s.keys() - found.keys():
            self._due_s.pop(gone)
            self._known.pop(gone, None)
        return found

    async def _look(self, name: str, slot: SlotRef, placement: SlotPlacement, service: Service) -> None:
        try:
            why = await look(self._parts.docker, self._parts.looks, service, name, placement.ipv4)
            if why is None:
                await self._take(slot, name, placement.operation_id, answered(self.of(name), self._now_ms()))
            else:
                await self._failed(slot, name, placement.operation_id, service, why)
        except PloyzError as error:
            _log.warning("%s could not be looked at: %s", name, error)

    async def _failed(self, slot: SlotRef, name: str, operation_id: OperationId, service: Service, why: str) -> None:
        assert service.readiness is not None  # noqa: S101 - else it is not watched
        there = await self._parts.docker.inspect(name)
        if there is None or not there.running:
            self._known.pop(name, None)  # what that means is settling's and restarting's
            return
        before = self.of(name)
        health = failed(before, service.readiness, why, there.changed_ms, self._now_ms())
        await self._take(slot, name, operation_id, health)
        may_restart = not there.paused and not self._is_in_other_hands(slot)
        if before.ready is not False and health.ready is False and service.on_unready == "restart" and may_restart:
            self._known.pop(name, None)
            await self._restart(slot, name, health.why)

    def _is_in_other_hands(self, slot: SlotRef) -> bool:
        """An operation stops and starts what is of its namespace, and a closed gate starts nothing."""
        namespace = slot.service.namespace
        undecided = any(each.namespace == namespace for each in self._parts.view.operations.undecided())
        return undecided or self._gate.closed_by(slot.service) is not None

    async def _take(self, slot: SlotRef, name: str, operation_id: OperationId, health: Health) -> None:
        before = self.of(name)
        self._known[name] = health
        if health.ready is False and before.ready is not False:
            await self._containers.record(slot, ContainerUnready(slot, name, health.why), operation_id)
        elif health.ready and before.ready is False:
            await self._containers.record(slot, ContainerReady(slot, name, before.failures + 1), operation_id)

    def _now_ms(self) -> int:
        return self._parts.clock.wall_ms()
