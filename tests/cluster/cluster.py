"""A whole cluster in one process: real actors on fake parts, in virtual time, from one seed.

    def test_something() -> None:
        async def body(cluster: Cluster) -> None:
            outcome = await cluster.run(A, ApplyDeploy(MANIFEST))

        simulate(body, machines=3, seed=1)

What must always hold is checked at the end of `simulate`, and whenever a container starts.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup
from attrs import define, field, frozen

from ployz.actors.messages.invites import MakeInvite, UseInvite, Welcome
from ployz.actors.messages.operations import (
    Accepted,
    ApplyDeploy,
    ApplyMigration,
    Progress,
    RemoveService,
    Result,
    WatchOperation,
)
from ployz.config import Config, Founding
from ployz.facts.memory import MemoryFactLog
from ployz.host.fakes.overlay import made_up_key
from ployz.ids import ClusterName, Endpoint, MachineId, OperationId
from ployz.wire.fake_streams import StreamLinks
from ployz.wire.invitation import from_token
from ployz.wire.message import Message, Newcomer, Operator, Sender
from tests.cluster.effects import Effects
from tests.cluster.machine import Life, Machine, Shared, certificate, endpoint, new_machine
from tests.cluster.network import Network, ask_as_operator
from tests.cluster.virtual_time import VirtualClock, run_seeded
from tests.cluster.world import World

CLUSTER = ClusterName("sim")
PREFIX = "fd00:5eed::/48"
OPERATOR = Operator(pid=1, uid=0)
ASK_S = 60.0

R = TypeVar("R")


@frozen
class Outcome:
    """An operation as its operator saw it."""

    operation_id: OperationId
    progress: tuple[Progress, ...]
    result: Result

    @property
    def exit_code(self) -> int:
        return self.result.exit_code

    @property
    def text(self) -> str:
        return self.result.problem.text if self.result.problem else ""


@define(eq=False)
class Cluster:
    shared: Shared
    world: World
    tasks: TaskGroup
    machines: dict[MachineId, Machine] = field(factory=dict, init=False)

    @property
    def network(self) -> Network:
        return self.shared.network

    @property
    def effects(self) -> Effects:
        return self.shared.effects

    def __getitem__(self, machine: MachineId) -> Machine:
        return self.machines[machine]

    # ------------------------------------------------------------ machines

    async def found(self, name: MachineId) -> None:
        founding = Founding(PREFIX)
        await self._add(Config(name, endpoint(1), cluster=CLUSTER, founding=founding))

    async def admit(self, name: MachineId) -> None:
        founder = next(iter(self.machines))
        place = endpoint(len(self.machines) + 1)
        welcome = await self.invite(founder, name, place)
        await self._add(Config(name, place, cluster=CLUSTER, join=welcome.way))

    async def invite(self, by: MachineId, name: MachineId, place: Endpoint) -> Welcome:
        """Made there, and used at once."""
        invited = from_token((await self.ask(by, "invites", MakeInvite(900.0))).token)
        asked = UseInvite(invited.invite, invited.secret, name, place, made_up_key(name), certificate(name))
        return await self.ask_as(Newcomer(place), by, "invites", asked)

    async def _add(self, config: Config) -> None:
        machine = new_machine(config.machine, config, self.shared)
        self.world.attach(machine.name, machine.docker, machine.zfs)
        self.machines[machine.name] = machine
        self.tasks.start_soon(machine.guards.run)
        await self.start(machine.name)
        await self.agreed()

    async def start(self, name: MachineId) -> None:
        """ployzd starts, on whatever the machine has."""
        machine = self.machines[name]
        assert machine.life is None, f"{name} runs already"
        machine.life = Life(machine)
        await self.tasks.start(machine.life.live)

    def begin_life(self, name: MachineId) -> None:
        """As `start`, without waiting until it is up: it may be killed before."""
        machine = self.machines[name]
        assert machine.life is None, f"{name} runs already"
        machine.life = Life(machine)
        self.tasks.start_soon(machine.life.live)

    def kill(self, name: MachineId) -> None:
        """ployzd dies alone: containers and mounts stay. Nothing that it does from here on has any effect."""
        machine = self.machines[name]
        if machine.life is None:
            return
        life, machine.life = machine.life, None
        life.is_on = False
        self.network.leave(name)
        machine.disk.log = machine.disk.log.crash()
        life.scope.cancel()

    def crash(self, name: MachineId) -> None:
        """The power goes."""
        machine = self.machines[name]
        self.kill(name)
        machine.guards.power_cut()
        machine.docker.power_cut()
        machine.zfs.power_cut()
        machine.gateway.power_cut()
        machine.names.power_cut()
        machine.secret_files.power_cut()
        machine.overlay = machine.overlay.after_power_cut()

    async def boot(self, name: MachineId) -> None:
        """After a crash: the engine, then ployzd."""
        self.machines[name].docker.boot()
        await self.start(name)

    # ------------------------------------------------------------ operators

    async def ask(self, machine: MachineId, to: str, message: Message[R], *, timeout_s: float = ASK_S) -> R:
        """As an operator on that machine."""
        return await self.ask_as(OPERATOR, machine, to, message, timeout_s=timeout_s)

    async def ask_as(
        self, sender: Sender, machine: MachineId, to: str, message: Message[R], *, timeout_s: float = ASK_S
    ) -> R:
        """As whoever may ask without being a member."""
        return await ask_as_operator(self.machines[machine].system.deliver, to, message, sender, timeout_s=timeout_s)

    async def begin(self, machine: MachineId, message: Message[Accepted]) -> OperationId:
        return (await self.ask(machine, "operations", message)).operation_id

    async def watch(self, machine: MachineId, operation_id: OperationId) -> Outcome:
        """All of its progress, up to its result."""
        progress: list[Progress] = []
        while True:
            after = progress[-1].seq if progress else 0
            page = await self.ask(machine, "operations", WatchOperation(operation_id, after, 10.0))
            progress += page.progress
            if page.result is not None and not page.progress:
                return Outcome(operation_id, tuple(progress), page.result)

    async def run(self, machine: MachineId, message: ApplyDeploy | ApplyMigration | RemoveService) -> Outcome:
        return await self.watch(machine, await self.begin(machine, message))

    # ------------------------------------------------------------ waiting

    async def until(self, holds: Callable[[], bool], *, within_s: float, what: str = "") -> None:
        """In virtual time; looks often enough for tests, and fails when it does not come to hold."""
        ends_s = anyio.current_time() + within_s
        while not holds():
            assert anyio.current_time() < ends_s, f"not within {within_s:g} s: {what}"
            await anyio.sleep(0.05)

    async def agreed(self, *, within_s: float = 30.0) -> None:
        """Until every machine that is on has all facts."""

        def have_all() -> bool:
            return all(each.parts.view.position == self.head for each in self.machines.values() if each.life)

        await self.until(have_all, within_s=within_s, what="all machines have all facts")

    @property
    def head(self) -> int:
        """Of the fact log."""
        return self.shared.facts.position

    def check(self) -> None:
        """What must hold at every end."""
        assert not self.world.violations, "\n".join(self.world.violations)


def simulate(body: Callable[[Cluster], Awaitable[None]], *, machines: int = 3, seed: int = 0) -> None:
    """`machine-a` founds the cluster, and all machines are up and active when `body` begins."""

    async def main(dice: random.Random) -> None:
        clock = VirtualClock()
        network = Network(dice)
        links = StreamLinks(lambda a, b: network.passes(MachineId(a), MachineId(b)))
        shared = Shared(dice, clock, network, links, Effects(), MemoryFactLog(clock))
        async with anyio.create_task_group() as tasks:
            cluster = Cluster(shared, World(), tasks)
            names = [MachineId(f"machine-{chr(ord('a') + index)}") for index in range(machines)]
            await cluster.found(names[0])
            for name in names[1:]:
                await cluster.admit(name)
            await body(cluster)
            cluster.check()
            tasks.cancel_scope.cancel()

    with _no_bugs():
        run_seeded(main, seed)


@contextmanager
def _no_bugs() -> Iterator[None]:
    """An actor that breaks is started again, which would hide it: here it is a failure."""
    bugs = _Bugs()
    logger = logging.getLogger("ployz.actors")
    logger.addHandler(bugs)
    try:
        yield
    finally:
        logger.removeHandler(bugs)
    if bugs.found:
        raise AssertionError("actors broke: " + "; ".join(bugs.found)) from bugs.first


class _Bugs(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []
        self.first: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.found.append(f"{record.getMessage()} ({error!r})")
        self.first = self.first or error
