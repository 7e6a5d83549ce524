"""The doctor actor: has every machine examined, and says what is wrong, and what to do."""

from __future__ import annotations

from functools import partial
from typing import Final

from ployz import __version__
from ployz.actors.core import Actor, handles
from ployz.actors.examining import LOG_S, Examination
from ployz.actors.messages.authority import ShowCluster
from ployz.actors.messages.doctor import (
    AskClock,
    AskVersions,
    Diagnose,
    Diagnosis,
    Examine,
    ListVersions,
    Versions,
    WallClock,
)
from ployz.actors.parts import Parts
from ployz.actors.together import together
from ployz.config import ASK_TIMEOUT_S, PROBE_TIMEOUT_S
from ployz.errors import PloyzError
from ployz.events.codec import CODEC
from ployz.facts.port import Applied, Transaction
from ployz.ids import MachineId
from ployz.plan.doctor.findings import findings, of_members
from ployz.plan.doctor.readings import Authority, Clock, Examined, Readings
from ployz.plan.doctor.versions import Speaker, Spoken
from ployz.wire.session import PROTOCOL_VERSION

CLOCK_SAMPLES: Final = 3
EXAMINE_S: Final = LOG_S + ASK_TIMEOUT_S


class DoctorActor(Actor):
    """`doctor`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # ------------------------------------------------------------ this machine

    @handles(AskClock, concurrent=True)
    async def clock(self, message: AskClock) -> WallClock:  # noqa: ARG002 - it has nothing to say but "now"
        return WallClock(self._parts.clock.wall_ms())

    @handles(Examine, concurrent=True)
    async def examine(self, message: Examine) -> Readings:
        return await Examination(self._parts, self.system).carry_out(message.position)

    @handles(AskVersions, concurrent=True)
    async def versions(self, message: AskVersions) -> Spoken:  # noqa: ARG002 - being asked is the question
        return Spoken(__version__, PROTOCOL_VERSION, CODEC.newest)

    # ------------------------------------------------------------ all of them

    @handles(Diagnose, concurrent=True)
    async def diagnose(self, message: Diagnose) -> Diagnosis:  # noqa: ARG002 - as above
        authority = await self._authority()
        position = self._parts.view.position if authority.position is None else authority.position
        machines = self._machines()
        examined = await together(*(partial(self._examined, machine, position) for machine in machines))
        unfit = of_members(self._parts.view.machines.in_order())
        return Diagnosis(machines, findings(examined, authority, self._parts.clock.wall_ms(), unfit))

    @handles(ListVersions, concurrent=True)
    async def list_versions(self, message: ListVersions) -> Versions:  # noqa: ARG002 - as above
        speakers = await together(*(partial(self._speaker, machine) for machine in self._machines()))
        return Versions(tuple(speakers))

    def _machines(self) -> tuple[MachineId, ...]:
        """This one is asked as all others are, also when it knows no cluster yet."""
        members = [each.machine for each in self._parts.view.machines.in_order()]
        return tuple(members) if self._parts.me in members else (self._parts.me, *members)

    async def _authority(self) -> Authority:
        """An empty transaction says where the facts end, and needs whoever orders them."""
        try:
            outcome = await self._parts.facts.transact(Transaction(()))
        except PloyzError as error:
            return Authority(None, error.problem)
        assert isinstance(outcome, Applied)  # noqa: S101 - nothing was compared
        return Authority(outcome.position, None, await self._concerns())

    async def _concerns(self) -> tuple[str, ...]:
        """About the members of etcd, where it orders the facts."""
        try:
            state = await self.system.ref("authority").ask(ShowCluster(), timeout_s=ASK_TIMEOUT_S)
        except PloyzError as error:
            return (f"its members could not be asked: {error.problem.text}",)
        return tuple(dict.fromkeys(each.concern for each in state.members if each.concern))

    async def _examined(self, machine: MachineId, position: int) -> Examined:
        """Whether it answers is asked first: its looks may take a while."""
        try:
            clock = await self._clock_of(machine)
        except PloyzError as error:
            return Examined(machine, None, None, error.problem)
        ref = self.system.remote(machine, "doctor")
        try:
            return Examined(machine, await ref.ask(Examine(position), timeout_s=EXAMINE_S), clock, None)
        except PloyzError as error:
            return Examined(machine, None, clock, error.problem)

    async def _clock_of(self, machine: MachineId) -> Clock:
        """By the quickest of a few answers: the less time one took, the less its clock can have been anything else."""
        ref = self.system.remote(machine, "doctor")
        found: list[Clock] = []
        for _ in range(CLOCK_SAMPLES):
            began_ms = self._parts.clock.wall_ms()
            answer = await ref.ask(AskClock(), timeout_s=PROBE_TIMEOUT_S)
            taken_ms = self._parts.clock.wall_ms() - began_ms
            found.append(Clock(round(answer.now_ms - began_ms - taken_ms / 2), round(taken_ms / 2)))
        return min(found, key=lambda each: each.doubt_ms)

    async def _speaker(self, machine: MachineId) -> Speaker:
        try:
            spoken = await self.system.remote(machine, "doctor").ask(AskVersions(), timeout_s=PROBE_TIMEOUT_S)
        except PloyzError as error:
            return Speaker(machine, None, error.problem)
        return Speaker(machine, spoken, None)
