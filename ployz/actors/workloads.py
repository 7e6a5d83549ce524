"""The workloads actor: makes every namespace on this machine agree with the facts, at start and after each decision.

It also tells them of containers that end by themselves. The work itself is done by `workload/NAMESPACE`.
"""

from __future__ import annotations

import logging
from typing import Final

import anyio

from ployz.actors.containers import record_removed
from ployz.actors.core import Actor, handles
from ployz.actors.docker_look import DockerLook
from ployz.actors.hearsay import Heard, ask_around
from ployz.actors.looking import LookingAgain
from ployz.actors.messages.routing import AwaitPosition
from ployz.actors.messages.workload import ContainerDied, LookNow, Settle, Withdraw
from ployz.actors.parts import Parts
from ployz.actors.work import catch_up
from ployz.config import ALONE_START_S, ASK_TIMEOUT_S, EFFECT_TIMEOUT_S
from ployz.errors import PloyzError
from ployz.host.ports import ContainerEvent
from ployz.ids import InvalidName, Namespace, OperationId
from ployz.plan import names
from ployz.projections.operations import Status
from ployz.wire.message import Done

CATCH_UP_S: Final = 10.0
"""How long a start waits for the newest facts before it goes by those that it has. A volume leaves only after this
machine has closed its own gate, which its own log remembers; or by a takeover, for which see `_hold`."""
RETRY_S: Final = 5.0
ROUTING_FIRST_S: Final = 2.0
DOCKER_RETRY_S: Final = 1.0

_WHY_HELD: Final = {
    Heard.NOTHING: "no other machine answers, and a volume of theirs may have been taken over",
    Heard.NEWER: "another machine knows that a volume of theirs is not owned here any more",
}

_log = logging.getLogger("ployz.workloads")


class WorkloadsActor(Actor):
    """`workloads`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._pending: set[Namespace] = set()
        self._held: set[Namespace] = set()
        """Not settled before it is known, as far as it can be, that their volumes were not taken over."""
        self._settled: set[Namespace] = set()
        """At least once, since this ployzd started."""

    async def started(self) -> None:
        self._docker = DockerLook(self._parts, self.system, self._agreeing, self._settle_again)
        self._looking = LookingAgain(self._parts, "docker", self._docker.look, self._docker.repair)

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch_docker)
            self._docker.beside = tasks
            await self._know_itself()
            tasks.start_soon(self._looking.run)
            if not await self._catch_up():
                self._held = self._with_volumes() | self._with_slots()
                tasks.start_soon(self._hold)
            await self._follow()

    # ------------------------------------------------------------ following decisions

    async def _know_itself(self) -> None:
        """Facts that do not name this machine yet place nothing here: by them, all that runs would be removed. A log
        that was lost begins so, until the authority is reached.
        """
        machines = self._parts.view.machines
        while machines.get(self._parts.me) is None and not machines.was_removed(self._parts.me):
            await self._parts.next_change()

    async def _catch_up(self) -> bool:
        with anyio.move_on_after(CATCH_UP_S):
            try:
                await catch_up(self._parts)
            except PloyzError as error:
                _log.warning("starting by the facts up to %d: %s", self._parts.view.position, error)
            else:
                return True
        return False

    async def _hold(self) -> None:
        """Until the authority or another machine confirms what the facts here say. Who knows better keeps them held;
        when there is nobody at all, it is the operator's word that a machine whose volume they took over stays off.
        What has no volume waits for no more than one question: where nobody is reached, nobody is misled by it.
        """
        since_s = anyio.current_time()
        while True:
            heard = await ask_around(self._parts, self.system)
            alone = heard.volumes is Heard.NOTHING and anyio.current_time() - since_s >= ALONE_START_S - CATCH_UP_S
            confirmed = heard.volumes is Heard.SAME or alone
            elsewhere = {each.service.namespace for each in heard.elsewhere}
            self._held = elsewhere | (set() if confirmed else self._with_volumes())
            self._parts.facts_changed()
            if not self._held:
                return
            if not confirmed:
                _log.warning("services with volumes wait: %s", _WHY_HELD[heard.volumes])
            if elsewhere:
                _log.warning("%s wait: another machine knows of newer facts about them", ", ".join(sorted(elsewhere)))
            await anyio.sleep(RETRY_S)
            if await self._catch_up():
                self._held = set()
                self._parts.facts_changed()
                return

    def _with_volumes(self) -> set[Namespace]:
        return {each.volume.namespace for each in self._parts.view.placement.volumes_on(self._parts.me)}

    def _with_slots(self) -> set[Namespace]:
        slots = self._parts.view.placement.slots()
        return {ref.service.namespace for ref, slot in slots if slot.machine == self._parts.me}

    async def _follow(self) -> None:
        self._pending = set(self._parts.view.operations.namespaces)
        self._pending |= {service.namespace for service in self._parts.local.fences}
        pool_was_read = False
        while True:
            pool_was_read = pool_was_read or await self._add_those_of_the_pool()
            self._pending |= self._parts.take_decided()
            if self._pending - self._held:
                await self._let_routing_pass()
                await self._settle(self._pending - self._held)
            with anyio.move_on_after(float("inf") if pool_was_read and not self._pending else RETRY_S):
                if not self._parts.has_decided:
                    await self._parts.next_change()

    async def _let_routing_pass(self) -> None:
        """Requests wait for the addresses of a commit, and nobody waits for what is cleaned up after it."""
        with anyio.move_on_after(ROUTING_FIRST_S):
            try:
                await self.system.ref("routing").ask(AwaitPosition(self._parts.view.position), timeout_s=ASK_TIMEOUT_S)
            except PloyzError as error:
                _log.warning("the overlay does not follow: %s", error)

    async def _settle(self, namespaces: set[Namespace]) -> None:
        for namespace in sorted(namespaces):
            try:
                await self.system.ref(f"workload/{namespace}").ask(
                    Settle(self._parts.view.position), timeout_s=EFFECT_TIMEOUT_S
                )
                self._pending.discard(namespace)
                self._settled.add(namespace)
            except PloyzError as error:
                _log.error("%s does not agree with the facts yet: %s", namespace, error)

    async def _add_those_of_the_pool(self) -> bool:
        """What an operation that never committed has left there, no fact names. False: the pool does not answer yet."""
        root = self._parts.config.root_dataset
        try:
            datasets = await self._parts.zfs.children(root)
        except PloyzError as error:
            _log.warning("what is left in %s is not known yet: %s", root, error)
            return False
        for dataset in datasets:
            name = dataset.removeprefix(f"{root}/").partition("/")[0]
            try:
                self._pending.add(Namespace(name))
            except InvalidName:
                _log.warning("dataset %s is not one of ployz's, and is left alone", dataset)
        return True

    # ------------------------------------------------------------ looking again

    def _agreeing(self) -> set[Namespace]:
        """With the facts, as far as is known. While something was just decided nothing is."""
        return set() if self._parts.has_decided else self._settled - self._pending - self._held

    def _settle_again(self, namespaces: set[Namespace]) -> None:
        self._pending |= namespaces
        for each in namespaces:
            self._parts.settle_again(each)

    @handles(LookNow)
    async def look_now(self, message: LookNow) -> Done:  # noqa: ARG002 - being asked is the question
        await self._looking.now()
        return Done()

    # ------------------------------------------------------------ candidates that must go

    @handles(Withdraw, concurrent=True)
    async def withdraw(self, message: Withdraw) -> Done:
        await self._parts.mirror.wait_for(message.position, ASK_TIMEOUT_S)
        if self._parts.view.operations.status(message.operation_id) is Status.ABORTED:
            for each in await self._parts.docker.containers({names.LABEL_OPERATION: message.operation_id}):
                slot = names.slot_of(each.labels)
                await self._parts.docker.remove(each.name)
                await self._parts.guards.release(each.name)
                await record_removed(self._parts, slot, each.name)
        return Done()

    # ------------------------------------------------------------ containers that end

    async def _watch_docker(self) -> None:
        """Docker going away disturbs no container: `live-restore`. What was missed, the next settling finds."""
        while True:
            try:
                async with self._parts.docker.events() as events:
                    async for event in events:
                        self._note(event)
                        if event.action == "die":
                            await self._tell(event)
            except PloyzError as error:
                _log.warning("Docker's events: %s", error)
            await anyio.sleep(DOCKER_RETRY_S)
            self._pending |= set(self._parts.view.placement.namespaces)
            self._parts.facts_changed()
            self._looking.soon()

    def _note(self, event: ContainerEvent) -> None:
        slot = names.slot_of(event.labels)
        container = names.container(slot, OperationId(event.labels[names.LABEL_OPERATION]))
        if event.action == "destroy" and self._docker.is_expected(slot, container):
            self._looking.soon()

    async def _tell(self, event: ContainerEvent) -> None:
        slot = names.slot_of(event.labels)
        container = names.container(slot, OperationId(event.labels[names.LABEL_OPERATION]))
        try:
            await self.system.ref(f"workload/{slot.service.namespace}").ask(
                ContainerDied(container, event.exit_code or 0), timeout_s=ASK_TIMEOUT_S
            )
        except PloyzError as error:
            _log.warning("%s ended, and could not be looked after yet: %s", container, error)
