"""From an assignment and what the machines report, the plan: the second half, where the world may say no.

`questions` says whom to ask for what; `moves` says which sends to have estimated; `resolve` decides, and collects
every blocker there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import evolve, frozen

from ployz.errors import Code, Problem
from ployz.events.types import Cutover, OperationKind
from ployz.ids import MachineId, ServiceRef, VolumeRef
from ployz.manifest import Manifest, to_canonical_json, without_intent
from ployz.plan import packets, precopy
from ployz.plan.assign import Assignment
from ployz.plan.blockers import Blockers
from ployz.plan.clashes import check_clashes
from ployz.plan.holds import plan_holds
from ployz.plan.model import Change, Plan
from ployz.plan.reports import Answers, MachineReport, Reports, SnapshotReport, Unanswered
from ployz.plan.route_clashes import check_routes
from ployz.plan.secrets import plan_secrets
from ployz.plan.slots import SlotPlanner
from ployz.plan.space import check_space
from ployz.plan.volumes import VolumePlanner, base_of_move
from ployz.projections.view import ClusterView


@frozen
class Questions:
    """What to ask one machine."""

    images: tuple[str, ...]
    """Tags and ids."""
    volumes: tuple[VolumeRef, ...]
    """Those that it owns, or would."""
    sends_to: tuple[MachineId, ...] = ()
    """Who gets volumes straight from it."""


@frozen
class Move:
    """A volume whose owner reported it: what its first send begins from."""

    volume: VolumeRef
    source: MachineId
    target: MachineId
    base: SnapshotReport | None


def questions(manifest: Manifest, assignment: Assignment, coordinator: MachineId) -> dict[MachineId, Questions]:
    """Of every machine that may take part. All are asked for the same images, to find one wherever it is."""
    volumes: dict[MachineId, list[VolumeRef]] = {coordinator: []}
    for slot in assignment.slots:
        volumes.setdefault(slot.machine, [])
        if slot.previous is not None:
            volumes.setdefault(slot.previous.machine, [])
    for removed in assignment.removed:
        volumes.setdefault(removed.machine, [])
    for volume in assignment.volumes:
        for machine in {volume.machine, volume.previous.owner if volume.previous else volume.machine}:
            volumes.setdefault(machine, []).append(volume.volume)
    sends_to = {
        (each.previous.owner, each.machine)
        for each in assignment.volumes
        if each.previous is not None and each.previous.owner != each.machine
    }
    images = {service.template.image for service in manifest.services}
    images |= {slot.previous.image_id for slot in assignment.slots if slot.previous}
    sought = tuple(sorted(images))
    return {
        machine: Questions(
            sought, tuple(asked), tuple(sorted(target for source, target in sends_to if source == machine))
        )
        for machine, asked in sorted(volumes.items())
        if machine not in assignment.gone
    }


def moves(assignment: Assignment, reports: Reports) -> list[Move]:
    """The moves whose first send can be estimated: those whose source knows the volume."""
    answers = Answers(reports)
    return [
        Move(
            volume.volume,
            volume.previous.owner,
            volume.machine,
            base_of_move(answers, volume.volume, volume.previous.owner, volume.machine),
        )
        for volume in assignment.volumes
        if volume.previous is not None
        and volume.previous.owner != volume.machine
        and answers.volume(volume.previous.owner, volume.volume) is not None
    ]


def resolve(
    kind: OperationKind,
    manifest: Manifest,
    assignment: Assignment,
    view: ClusterView,
    reports: Reports,
    estimates: Mapping[VolumeRef, int],
    coordinator: MachineId,
    cutovers: Sequence[Cutover] = (),
) -> Plan:
    """`estimates`: bytes of the first send of each of `moves`. `manifest` may carry intent; the plan's has none.
    `cutovers`: the last ones, as they were measured.
    """
    answers = Answers(reports)
    found = Blockers()
    volumes = tuple(VolumePlanner(manifest, assignment, answers, estimates, found).plan())
    planner = SlotPlanner(manifest, assignment, view, answers, coordinator, found)
    slots = planner.plan()
    _check_gone(manifest, reports, found)
    check_clashes(slots, manifest, view, answers, found)
    check_routes(slots, manifest, view, found)
    check_space(volumes, answers, found)
    secrets = plan_secrets(slots, manifest, view, coordinator, found)
    plan = Plan(
        kind=kind,
        namespace=manifest.namespace,
        coordinator=coordinator,
        manifest=to_canonical_json(without_intent(manifest)),
        slots=slots,
        volumes=volumes,
        blockers=(),
        secrets=secrets,
        waiting=(*assignment.waiting, *planner.waiting),
        max_cutover_s=manifest.intent.max_cutover_s,
    )
    plan = evolve(_with_prediction(plan, cutovers), holds=plan_holds(plan, manifest, view))
    return evolve(
        plan,
        blockers=Blockers((*assignment.problems, *_unreachable(plan, reports), *_hanging(reports), *found.all())).all(),
    )


def _check_gone(manifest: Manifest, reports: Reports, blockers: Blockers) -> None:
    """What is made elsewhere beside the first one would have its address twice."""
    leave = manifest.intent.leave
    if leave is not None and leave.gone and isinstance(reports.get(leave.from_machine), MachineReport):
        blockers.add(
            Code.MACHINE_ANSWERS,
            f"{leave.from_machine} answers: it is not gone",
            f"Move away what it has: ployzctl machine drain {leave.from_machine} --migrate",
        )


def away_of(reports: Reports) -> frozenset[MachineId]:
    """Who was asked and did not answer."""
    return frozenset(machine for machine, each in reports.items() if isinstance(each, Unanswered))


def _with_prediction(plan: Plan, cutovers: Sequence[Cutover]) -> Plan:
    stopped = {slot.service for slot in plan.slots if slot.change in (Change.MOVE, Change.REPLACE)}
    if not stopped:
        return plan
    around = precopy.expected({ServiceRef(plan.namespace, service) for service in stopped}, cutovers)
    prediction = precopy.predicted((), around) if plan.moved_volumes else precopy.predicted_without_data(around)
    return evolve(
        plan,
        predicted_cutover_ms=prediction.cutover_ms,
        predicted_bytes=prediction.last_bytes,
        expected=around,
    )


def _hanging(reports: Reports) -> Iterator[Problem]:
    """What moves is bulk. Found out when it hangs, the service might be stopped by then."""
    for source, report in sorted(reports.items()):
        for each in report.packets if isinstance(report, MachineReport) else ():
            yield Problem(
                Code.MACHINE_UNREACHABLE,
                f"packets of {each.sent_bytes} bytes are lost between {source} and {each.machine}, and what moves goes "
                "straight from one to the other",
                packets.remedy(each.machine, each.passed_bytes),
            )


def _unreachable(plan: Plan, reports: Reports) -> Iterator[Problem]:
    """A machine that is away stops only what it takes part in."""
    for machine in plan.participants:
        report = reports.get(machine)
        if isinstance(report, Unanswered):
            yield Problem(
                Code.MACHINE_UNREACHABLE,
                f"machine {machine} takes part and does not answer: {report.why}",
                "Bring it back, or look at its ployzd and its overlay: ployzctl machine ls.",
            )
    for source, report in sorted(reports.items()):
        for target in report.unreached if isinstance(report, MachineReport) else ():
            if not isinstance(reports.get(target), Unanswered):  # else that is said already
                yield Problem(
                    Code.MACHINE_UNREACHABLE,
                    f"machine {source} does not reach machine {target}, and what moves goes straight from one to the "
                    "other",
                    f"Mend the link between them: `ployzctl machine ls` on {source} says whether it is there.",
                )
