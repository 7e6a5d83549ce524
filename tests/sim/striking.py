"""Carries out the faults of a scenario: counts effects, and strikes when the moment of a fault has come."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
from attrs import define, field

from ployz.actors.looking import JITTER_S, LOOK_EVERY_S
from ployz.errors import Code, Failed, PloyzError
from ployz.facts import keys
from ployz.facts.keys import LockHolder
from ployz.facts.port import Transaction
from ployz.ids import MachineId, OperationId
from tests.cluster.cluster import Cluster
from tests.cluster.effects import Effect
from tests.cluster.endings import commit_of
from tests.cluster.manifests import PRODUCTION
from tests.cluster.network import Packet
from tests.sim.faults import (
    Crash,
    Cut,
    DiskFull,
    EngineRestart,
    Fault,
    Late,
    LockLost,
    Lost,
    Meddled,
    Moment,
    PoolFull,
    Refusing,
    SlowDisk,
    Twice,
)
from tests.sim.history import History
from tests.sim.orders import Abort
from tests.sim.scenario import Scenario

SUPERVISOR_S = 1.0
"""From ployzd's end to its next start."""
STOLEN_S = 8.0
LATE_S = 1.0
"""The message that it strikes may still have to be sent."""
Blow = Fault | Abort
_SLOW = ("zfs.", "log.", "streams.")


@define(eq=False)
class _Coming:
    """A moment that is waited for."""

    moment: Moment
    begins_at: int | None
    """The count of effects from which it is counted; None: the fault before has not struck yet."""
    seen: int = 0

    def comes(self, effect: Effect, step: int) -> bool:
        if self.begins_at is None or step <= self.begins_at:
            return False
        if self.moment.effect not in ("", effect.name) or self.moment.done not in (None, effect.done):
            return False
        self.seen += 1
        return self.seen >= self.moment.nth


@define(eq=False)
class Armed:
    """What is still to strike in one scenario, and when its other operator aborts."""

    _coming: list[tuple[_Coming, Blow]]

    @classmethod
    def of(cls, scenario: Scenario, step: int) -> Armed:
        """From this count of effects on."""
        aborts = [(_Coming(each.when, step), each) for each in scenario.orders if isinstance(each, Abort)]
        faults = [(_Coming(each.at, None if each.at.after_last else step), each) for each in scenario.faults.faults]
        return cls([*aborts, *faults])

    def due(self, effect: Effect, step: int) -> list[Blow]:
        """Each once."""
        came = [each for each in self._coming if each[0].comes(effect, step)]
        for each in came:
            self._coming.remove(each)
        return [blow for _, blow in came]

    def struck(self, step: int) -> None:
        """The next one counts from here."""
        for coming, _ in self._coming:
            if coming.begins_at is None:
                coming.begins_at = step
                break

    def __bool__(self) -> bool:
        return bool(self._coming)


@define(eq=False)
class Striker:
    cluster: Cluster
    history: History
    struck: list[Fault] = field(factory=list, init=False)
    aborting: anyio.Event = field(factory=anyio.Event, init=False)
    """The moment of the scenario's abort has come."""
    quiet_at_s: float = field(default=0.0, init=False)
    """When the last fault is over."""
    armed: Armed = field(factory=lambda: Armed([]), init=False)
    _refusing: dict[tuple[MachineId, str], int] = field(factory=dict, init=False)
    _slow: dict[MachineId, float] = field(factory=dict, init=False)
    _powerless: set[MachineId] = field(factory=set, init=False)
    _back_at_s: dict[MachineId, float] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        for machine in self.cluster.machines.values():
            machine.on_failure = lambda error, name=machine.name: self._ended(name, error)

    def disarm(self) -> None:
        """What has not struck does not strike any more."""
        self.armed = Armed([])
        self._refusing.clear()

    @property
    def is_idle(self) -> bool:
        """Nothing is to strike any more, and nothing that struck still goes on."""
        return not (self.armed or self._refusing or self._slow)

    def due(self, effect: Effect) -> list[Blow]:
        return self.armed.due(effect, self.history.step) if self.armed else []

    async def step(self, due: Sequence[Blow], effect: Effect) -> None:
        await self._strike_all(due, effect)
        if not effect.done:
            if self._slow and (by_s := self._slow.get(effect.machine)) and effect.name.startswith(_SLOW):
                await anyio.sleep(by_s)
            if self._refusing:
                self._refuse(effect)

    async def _strike_all(self, blows: Sequence[Blow], effect: Effect) -> None:
        armed = self.armed
        for each in blows:
            if self.armed is not armed:
                break  # everything was disarmed meanwhile
            if isinstance(each, Abort):
                self.aborting.set()
            else:
                await self._strike(each, effect)

    # ------------------------------------------------------------ striking

    async def _strike(self, fault: Fault, effect: Effect) -> None:
        self.struck.append(fault)
        moment = "after" if effect.done else "before"
        self.history.tell("FAULT", f"{fault} [{moment} {effect.name} on {effect.machine}]")
        self.armed.struck(self.history.step)
        match fault:
            case Crash(_, machine, power, down_s):
                self._crash(machine or effect.machine, power=power, down_s=down_s)
            case Cut() | Lost() | Late() | Twice():
                self._strike_link(fault)
            case Meddled(_, machine, how):
                self._meddle(machine, how)
            case LockLost(_, stolen):
                await self._lose_lock(stolen=stolen)
            case other:
                self._strike_part(other)

    def _strike_link(self, fault: Cut | Lost | Late | Twice) -> None:
        network = self.cluster.network
        match fault:
            case Cut(_, source, target, one_way, for_s):
                network.cut(source, target, one_way=one_way)
                self._later(for_s, lambda: network.heal(source, target), "the link is whole again")
            case Lost(_, reply, about):
                network.lose(_is_about(about), reply=reply)
            case Late(_, reply, late_s, about):
                network.delay(_is_about(about), reply=reply, late_s=late_s)
                self._until(late_s + LATE_S)
            case Twice(_, again_after_s, about):
                network.repeat(_is_about(about), again_after_s=again_after_s)
                self._until(again_after_s + LATE_S)

    def _strike_part(self, fault: Refusing | DiskFull | PoolFull | SlowDisk | EngineRestart) -> None:
        machine = fault.machine
        match fault:
            case Refusing(_, _, part, times):
                self._refusing[machine, part] = times
            case DiskFull(_, _, written):
                self.cluster[machine].disk.log.fail_next_append(written=written)
            case PoolFull(_, _, for_s):
                self._fill(machine, for_s)
            case SlowDisk(_, _, by_s, for_s):
                self._slow[machine] = by_s
                self._later(for_s, lambda: self._slow.pop(machine, None), f"the disk of {machine} is fast again")
            case EngineRestart(_, _, down_s):
                self._restart_engine(machine, down_s)

    def _refuse(self, effect: Effect) -> None:
        part = effect.name.partition(".")[0]
        left = self._refusing.get((effect.machine, part), 0)
        if left:
            self._refusing[effect.machine, part] = left - 1
            self.history.tell(effect.machine, f"REFUSED {effect.name}")
            raise Failed(Code.PART_FAILED, f"{effect.name} was made to fail")

    # ------------------------------------------------------------ machines

    def _crash(self, name: MachineId, *, power: bool, down_s: float) -> None:
        if power:
            self.cluster.crash(name)
            self._powerless.add(name)
        else:
            self.cluster.kill(name)
        self._back_at_s[name] = max(self._back_at_s.get(name, 0.0), anyio.current_time() + down_s)
        self._until(down_s)
        self.cluster.tasks.start_soon(self._come_back, name)

    async def _come_back(self, name: MachineId) -> None:
        """Once, however often it was struck meanwhile."""
        due_s = self._back_at_s[name]
        await anyio.sleep(due_s - anyio.current_time())
        if self._back_at_s[name] == due_s and self.cluster[name].life is None:
            self.history.tell(name, "comes back: " + ("boots" if name in self._powerless else "ployzd starts"))
            if name in self._powerless:
                self._powerless.discard(name)
                self.cluster[name].docker.boot()
            self.cluster.begin_life(name)

    def _ended(self, name: MachineId, error: PloyzError) -> None:
        """ployzd ended by itself: its supervisor starts it again."""
        self.history.tell(name, f"ployzd ends: {error.problem.text}")
        self._crash(name, power=False, down_s=SUPERVISOR_S)

    def _fill(self, machine: MachineId, for_s: float) -> None:
        zfs = self.cluster[machine].zfs
        size_bytes, zfs._size_bytes = zfs._size_bytes, 0

        def empty() -> None:
            zfs._size_bytes = size_bytes or zfs._size_bytes

        self._later(for_s, empty, f"the pool of {machine} has room again")

    def _restart_engine(self, machine: MachineId, down_s: float) -> None:
        docker = self.cluster[machine].docker
        docker.engine_down()

        def boot() -> None:
            if machine not in self._powerless:
                docker.boot()

        self._later(down_s, boot, f"dockerd on {machine} is back")

    def _meddle(self, name: MachineId, how: str) -> None:
        """What a registry once gave, it gives again: else the last image of all may be what is pruned."""
        docker, overlay = self.cluster[name].docker, self.cluster[name].overlay
        for machine in self.cluster.machines.values():
            for image in docker.images.values():
                machine.docker.registry.update(dict.fromkeys(image.tags, image))
        there = docker.names()
        match how:
            case "container" if there:
                docker.take_away(there[0])
            case "connection" if there:
                docker.cut_off(there[0])
            case "prune":
                docker.prune()
            case "overlay":
                overlay.changed = {"rules": ("flushed",)}
            case _:
                pass
        self._until(LOOK_EVERY_S + JITTER_S)

    # ------------------------------------------------------------ the lock

    async def _lose_lock(self, *, stolen: bool) -> None:
        facts, record = self.cluster.shared.facts, keys.lock(PRODUCTION)
        there = facts._records.get(record.text)
        if there is not None:
            facts._end([there.lease])
        if stolen:
            thief = LockHolder(
                machine=MachineId("machine-x"),
                operation_id=OperationId.make(0, bytes(6)),
                purpose="steal",
                since_ms=0,
                operator="a thief",
            )
            await facts.transact(Transaction((), (record.put(thief),)))

            async def give_back() -> None:
                await anyio.sleep(STOLEN_S)
                held = await record.read(facts)
                if held is not None and held.value == thief:
                    await facts.transact(Transaction((), (record.delete(),)))
                    self.history.tell("facts", "the thief gives the lock back")

            self._until(STOLEN_S)
            self.cluster.tasks.start_soon(give_back)

    # ------------------------------------------------------------ time

    def _until(self, for_s: float) -> None:
        self.quiet_at_s = max(self.quiet_at_s, anyio.current_time() + for_s)

    def _later(self, after_s: float, action: Callable[[], object], words: str) -> None:
        async def act() -> None:
            await anyio.sleep(after_s)
            self.history.tell("", words)
            action()

        self._until(after_s)
        self.cluster.tasks.start_soon(act)


def _is_about(about: str) -> Callable[[Packet], bool]:
    if about == "commit":
        return commit_of
    return lambda packet: about in ("", packet.message.tag)
