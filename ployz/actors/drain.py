"""The drain actor: plans how a machine is emptied. Each departure is an operation of its own, applied by `operations`.

There is no state of a drain: what is still on a draining machine is what is left to do.
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import Final

import anyio
from attrs import evolve

from ployz.actors.core import Actor, handles
from ployz.actors.messages.drain import DepartureRow, DrainPlan, PreviewDrain, SlotMove
from ployz.actors.messages.probing import ProbeMachine
from ployz.actors.parts import Parts
from ployz.actors.survey import survey
from ployz.actors.together import together
from ployz.actors.work import catch_up
from ployz.config import PROBE_TIMEOUT_S
from ployz.errors import Code, PloyzError, Refused
from ployz.events.types import OperationKind
from ployz.ids import MachineId, ServiceRef, SlotRef, VolumeRef
from ployz.plan.drain import Departure, manifest_of, plan_drain, plan_gone
from ployz.plan.holdings import member_of
from ployz.plan.model import Change, Plan
from ployz.plan.reports import MachineReport, Reports, Unanswered

SURVEYS_MAX: Final = 4
"""Departures whose plans are made at once."""


class DrainActor(Actor):
    """`drain`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @handles(PreviewDrain, concurrent=True)
    async def preview(self, message: PreviewDrain) -> DrainPlan:
        await catch_up(self._parts)
        machine = member_of(self._parts.view, message.machine).machine
        targets = self._targets(machine, message.to_machines)
        volumes = tuple(each.volume for each in self._parts.view.placement.volumes_on(machine))
        chosen = bool(message.to_machines)
        if message.gone:
            drain = plan_gone(self._parts.view, machine, targets, chosen=chosen)
        else:
            reports = await self._reports((machine, *targets), volumes)
            drain = plan_drain(self._parts.view, machine, targets, reports, chosen=chosen)
        limiter = anyio.CapacityLimiter(SURVEYS_MAX)
        departures = [evolve(each, bandwidth_bytes_s=message.bandwidth_bytes_s) for each in drain.departures]
        rows = await together(*(partial(self._rows, machine, each, limiter) for each in departures))
        return DrainPlan(machine, tuple(chain.from_iterable(rows)), drain.stuck)

    def _targets(self, machine: MachineId, chosen: tuple[MachineId, ...]) -> list[MachineId]:
        members = [member_of(self._parts.view, each) for each in chosen] or self._parts.view.machines.in_order()
        for member in members if chosen else ():
            if member.machine == machine or not member.active:
                why = "is what is drained" if member.machine == machine else f"is {member.lifecycle}"
                raise Refused(
                    Code.MACHINE_NOT_ACTIVE,
                    f"machine {member.machine} {why}: nothing is moved to it",
                    "Choose an active one: ployzctl machine ls.",
                )
        targets = [each.machine for each in sorted(members, key=lambda each: each.number)]
        targets = [each for each in targets if each != machine and self._parts.view.machines[each].active]
        if not targets:
            raise Refused(Code.NO_MACHINE, f"there is no other active machine to which anything of {machine} could go")
        return targets

    async def _reports(self, machines: tuple[MachineId, ...], volumes: tuple[VolumeRef, ...]) -> Reports:
        """`Refused` (MACHINE_UNREACHABLE): the machine itself does not answer, so nothing can be taken from it."""
        answers = await together(*(partial(self._probe, each, volumes) for each in machines))
        first = answers[0]
        if isinstance(first, Unanswered):
            raise Refused(
                Code.MACHINE_UNREACHABLE,
                f"{first.machine} does not answer, and only it can give away what it has: {first.why}",
                f"Bring it back. If it is gone, `ployzctl machine drain {first.machine} --gone` makes elsewhere what "
                "has no data there; then ployzctl volume takeover, and ployzctl machine rm --force.",
            )
        return dict(zip(machines, answers, strict=True))

    async def _probe(self, machine: MachineId, volumes: tuple[VolumeRef, ...]) -> MachineReport | Unanswered:
        try:
            return await self.system.remote(machine, "machine").ask(
                ProbeMachine((), volumes), timeout_s=PROBE_TIMEOUT_S
            )
        except PloyzError as error:
            return Unanswered(machine, error.problem.text)

    async def _rows(
        self, machine: MachineId, departure: Departure, limiter: anyio.CapacityLimiter
    ) -> list[DepartureRow]:
        """What keeps one service here does not keep those that only would have left with it."""
        row = await self._row(machine, departure, limiter)
        if not row.blockers or departure.volumes or len(departure.services) == 1:
            return [row]
        each = [evolve(departure, services=(service,), alone=True) for service in departure.services]
        return await together(*(partial(self._row, machine, one, limiter) for one in each))

    async def _row(self, machine: MachineId, departure: Departure, limiter: anyio.CapacityLimiter) -> DepartureRow:
        async with limiter:
            manifest = manifest_of(self._parts.view, machine, departure)
            plan = (await survey(self._parts, self.system, OperationKind.MIGRATE, manifest, self.sender)).plan
        return DepartureRow(
            departure=departure,
            slots=_moves(machine, plan),
            size_bytes=sum(each.size_bytes for each in plan.moved_volumes),
            first_send_bytes=sum(each.first_send_bytes for each in plan.moved_volumes),
            predicted_cutover_ms=plan.predicted_cutover_ms,
            blockers=plan.blockers,
        )


def _moves(machine: MachineId, plan: Plan) -> tuple[SlotMove, ...]:
    return tuple(
        SlotMove(
            SlotRef(ServiceRef(plan.namespace, slot.service), slot.slot),
            slot.machine if slot.change is Change.MOVE else None,
        )
        for slot in plan.slots
        if slot.previous is not None
        and slot.previous.machine == machine
        and (slot.change is Change.REMOVE or slot.machine != machine)
    )
