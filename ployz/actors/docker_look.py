"""What this machine looks at again of Docker: containers, their networks, and the network that all of them are on.

What is wrong is plan/taken's word. A container is made again by settling alone, which asks facts and gate.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from anyio.abc import TaskGroup
from attrs import define, field

from ployz.actors.core import Home
from ployz.actors.messages.workload import Reconnect
from ployz.actors.parts import Parts
from ployz.config import EFFECT_TIMEOUT_S
from ployz.errors import PloyzError
from ployz.events.types import SlotPlacement
from ployz.ids import Namespace, SlotRef
from ployz.plan import committed, names, taken
from ployz.plan.addresses import Subnets
from ployz.plan.struggles import Wrong

_log = logging.getLogger("ployz.looking")


@define
class DockerLook:
    parts: Parts
    home: Home
    settled: Callable[[], set[Namespace]]
    """Those of which this machine had what the facts say, and nothing was decided since."""
    settle: Callable[[set[Namespace]], None]
    beside: TaskGroup = field(init=False)
    _missing: dict[str, SlotRef] = field(factory=dict, init=False)
    """Told of, and not back yet."""
    _reconnecting: set[str] = field(factory=set, init=False)

    async def look(self) -> Wrong:
        before = self.settled()
        census = await self.parts.docker.census()
        placed = self._placed()
        settled = before & self.settled()  # what was decided meanwhile was not looked for
        wanted = taken.expected(
            [(slot, each) for slot, each in placed if slot.service.namespace in settled or slot in self._told()],
            lambda namespace: committed.of_namespace(self.parts.view, namespace),
            fenced=self.parts.local.fences.keys(),
            exit_code_of=self._exit_code_of,
        )
        self._missing = {
            name: slot for name, slot in wanted.items() if name not in census.containers.keys() | self._reconnecting
        }
        everything = {names.container(slot, each.operation_id) for slot, each in placed}
        apart = wanted.keys() - self._reconnecting  # made anew by ployz itself, and gone for a moment
        wrong = taken.wrong_of_docker(census, apart, everything, self.parts.view.operations.status)
        cut_off = {*wrong.get(taken.CONNECTION, ()), *self._reconnecting}
        return {**wrong, taken.CONNECTION: tuple(sorted(cut_off))} if cut_off else wrong

    async def repair(self, kinds: frozenset[str]) -> frozenset[str]:
        wrong = await self.look()  # by now
        if taken.NETWORK in kinds and taken.NETWORK in wrong:
            await self.make_network()
        if taken.HOLDER in kinds:
            for name in wrong.get(taken.HOLDER, ()):
                await self.parts.docker.remove(name)
        if taken.CONNECTION in kinds:
            self._reconnect(wrong.get(taken.CONNECTION, ()))
        missing = {slot.service.namespace for slot in self._missing.values()}
        begun = missing & self.settled()
        if taken.CONTAINER in kinds:
            self.settle(begun)
        return kinds if begun else kinds - {taken.CONTAINER}

    async def make_network(self) -> None:
        cluster = self.parts.view.machines.cluster
        if cluster is not None:
            await self.parts.docker.ensure_network(Subnets.of_cluster(cluster).bridge(self.parts.config.bridge))

    def _reconnect(self, containers: Collection[str]) -> None:
        """Beside: who waits for this look may be the very actor that does it."""
        by_name = {names.container(slot, each.operation_id): slot for slot, each in self._placed()}
        for name in containers:
            if name not in self._reconnecting:
                self._reconnecting.add(name)
                self.beside.start_soon(self._reconnected, by_name[name].service.namespace, name)

    async def _reconnected(self, namespace: Namespace, name: str) -> None:
        try:
            await self.home.ref(f"workload/{namespace}").ask(Reconnect(name), timeout_s=EFFECT_TIMEOUT_S)
        except PloyzError as error:
            _log.error("%s is not back on its network yet: %s", name, error)
        finally:
            self._reconnecting.discard(name)

    def is_expected(self, slot: SlotRef, container: str) -> bool:
        """Ployz itself does not remove it: the facts place it here, and its gate is open."""
        placed = any(
            each == slot and names.container(each, at.operation_id) == container for each, at in self._placed()
        )
        return placed and slot.service not in self.parts.local.fences

    def _placed(self) -> list[tuple[SlotRef, SlotPlacement]]:
        if self.parts.is_removed:
            return []
        return [(slot, each) for slot, each in self.parts.view.placement.slots() if each.machine == self.parts.me]

    def _exit_code_of(self, container: str) -> int:
        ended_with = self.parts.local.ended_with(container)
        return taken.UNKNOWN_EXIT if ended_with is None else ended_with

    def _told(self) -> set[SlotRef]:
        return set(self._missing.values())
