"""A plan for an operator who is tired: what goes where, at what cost, in which order, and what is in the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ployz.actors.messages.operations import PhaseText, Previewed
from ployz.cli import human
from ployz.cli.blocks import Block, Fields, Heading, Lines, Table
from ployz.errors import Code, Problem
from ployz.events.types import OperationKind
from ployz.plan.model import Change, ImageOrigin, ImagePlan, Plan, SlotPlan, VolumePlan
from ployz.plan.patience import patience
from ployz.plan.removal import NAMED_MAX, removals, removed_slots, shortened, uncovered_words


def render(previewed: Previewed) -> Iterator[Block]:
    plan = previewed.plan
    yield Heading(headline(plan))
    yield Lines.of(_unchanged(plan))
    yield from _slots([slot for slot in plan.slots if slot.change is not Change.UNCHANGED])
    yield from _volumes([volume for volume in plan.volumes if volume.change is not Change.UNCHANGED])
    yield from _uncovered(plan)
    yield from _removed(plan)
    yield from _waiting(plan)
    if not plan.changes_nothing:
        yield from _phases(previewed.phases)
        yield from _cutover(plan)
    yield from _blockers(plan.blockers)


def headline(plan: Plan) -> str:
    """`migrate in production: db/slot-1 from machine-a to machine-b`."""
    if plan.changes_nothing:
        rest = f", {len(plan.waiting)} slot{'s' if len(plan.waiting) > 1 else ''} wait" if plan.waiting else ""
        return f"{plan.kind} in {plan.namespace}: nothing to change{rest}"
    if plan.kind is OperationKind.MIGRATE:
        moves = [
            f"{slot.service}/{slot.slot} from {slot.previous.machine} to {slot.machine}"
            for slot in plan.slots
            if slot.change is Change.MOVE and slot.previous
        ]
        if moves:
            return f"{plan.kind} in {plan.namespace}: {', '.join(moves)}"
    counts = [
        f"{number} {change}"
        for change in Change
        if change is not Change.UNCHANGED and (number := sum(slot.change is change for slot in plan.slots))
    ]
    return f"{plan.kind} in {plan.namespace}: {', '.join(counts) or 'volumes only'}"


def _unchanged(plan: Plan) -> Iterator[str]:
    number = sum(slot.change is Change.UNCHANGED for slot in plan.slots)
    if number:
        yield f"{number} slot{'s' if number > 1 else ''} unchanged"


def _slots(slots: list[SlotPlan]) -> Iterator[Block]:
    if slots:
        yield Heading("Slots")
        yield Table(
            columns=("SLOT", "CHANGE", "FROM", "TO", "ADDRESSES", "IMAGE"),
            spare=("ADDRESSES",),
            rows=tuple(_slot(slot) for slot in slots),
            indent=2,
        )


def _slot(slot: SlotPlan) -> tuple[str, ...]:
    removed = slot.change is Change.REMOVE
    return (
        f"{slot.service}/{slot.slot}",
        slot.change,
        _from(slot),
        human.NOTHING if removed else slot.machine,
        f"{slot.ipv4}, {slot.ipv6}{'' if removed else _kept(slot)}",
        image(slot.image) if slot.image else human.NOTHING,
    )


def _from(slot: SlotPlan) -> str:
    if slot.previous is None:
        return human.NOTHING
    return f"{slot.previous.machine} (cannot be asked)" if slot.stranded else slot.previous.machine


def _kept(slot: SlotPlan) -> str:
    if slot.previous is None:
        return " (new)"
    return " (kept)" if (slot.ipv6, slot.ipv4) == (slot.previous.ipv6, slot.previous.ipv4) else " (changed)"


def image(plan: ImagePlan) -> str:
    size = f", {human.size(plan.size_bytes)}" if plan.size_bytes else ""
    match plan.origin:
        case ImageOrigin.PRESENT:
            return f"{plan.reference}: present{size}"
        case ImageOrigin.COPIED:
            return f"{plan.reference}: will be copied from {plan.copied_from}{size}"
        case ImageOrigin.PULLED:
            return f"{plan.reference}: will be pulled{size}"


def _volumes(volumes: list[VolumePlan]) -> Iterator[Block]:
    for volume in volumes:
        yield Heading(f"Volume {volume.volume}")
        yield Fields(_moved(volume) if volume.change is Change.MOVE else _in_place(volume), indent=2)


def _moved(volume: VolumePlan) -> tuple[tuple[str, str], ...]:
    source = volume.previous.owner if volume.previous else human.NOTHING
    return (
        ("move", f"{source} -> {volume.machine}, epoch {volume.epoch}"),
        ("size", human.size(volume.size_bytes)),
        ("base snapshot", f"{volume.base}, which both machines have" if volume.base else "none: it is sent in full"),
        ("first send", human.size(volume.first_send_bytes)),
        ("rounds", f"{volume.expected_rounds} while the service runs, and the last one in the cut-over"),
        ("quota", human.size(volume.quota_bytes) if volume.quota_bytes else "none"),
        (
            "snapshots",
            f"keep what is overwritten after the move, beside the quota: up to {_kept_bytes(volume)}",
        ),
        (f"free on {volume.machine}", human.size(volume.target_free_bytes)),
        ("properties", human.listed(volume.settings) if volume.settings else ""),
        ("attention", "; ".join(_attention(volume, source))),
    )


def _attention(volume: VolumePlan, source: str) -> Iterator[str]:
    if volume.replaces_stale_copy:
        yield _stale(volume)
    if volume.left_behind:
        yield f"set on {source}, and not taken along: {human.listed(volume.left_behind)}"


def _kept_bytes(volume: VolumePlan) -> str:
    """By the snapshot that the move leaves as a base: at most all that it has."""
    return human.size(volume.size_bytes)


def _stale(volume: VolumePlan) -> str:
    return f"{volume.machine} has an older copy without a shared snapshot: it is destroyed before the first send"


def _in_place(volume: VolumePlan) -> tuple[tuple[str, str], ...]:
    owner = volume.previous.owner if volume.previous else volume.machine
    return (
        (volume.change, f"on {owner}"),
        ("quota", human.size(volume.quota_bytes) if volume.quota_bytes else "none"),
        ("properties", human.listed(volume.settings) if volume.settings else ""),
        ("mode", volume.mode),
        ("owner", volume.owner),
    )


def _uncovered(plan: Plan) -> Iterator[Block]:
    lines = list(uncovered_words(plan))
    if lines:
        yield Heading("Covered by no mount")
        yield Lines.of(lines, indent=2)


def _removed(plan: Plan) -> Iterator[Block]:
    """What goes for good. That volumes are named here does not mean that they go: none does."""
    stopped = stopped_for_good(plan)
    if stopped:
        yield Heading("Stopped and removed")
        ended = [f"ends: {each}" for each in removals(plan)]
        asks = ["The manifest leaves them out: apply asks, unless it is given --remove."] if ended else []
        more = [f"and {len(ended) - NAMED_MAX} more"] if len(ended) > NAMED_MAX else []
        yield Lines.of([stopped, *ended[:NAMED_MAX], *more, *asks], indent=2)


def _waiting(plan: Plan) -> Iterator[Block]:
    if plan.waiting:
        yield Heading("Waits: no answer from " + ", ".join(sorted({each.machine for each in plan.waiting})))
        lines = [str(each) for each in plan.waiting[:NAMED_MAX]]
        more = [f"and {len(plan.waiting) - NAMED_MAX} more"] if len(plan.waiting) > NAMED_MAX else []
        yield Lines.of([*lines, *more, "Deploy the same again when it is back."], indent=2)


def waits(plan: Plan) -> str:
    """`web/slot-2 on machine-b stays as it is`. Empty: nothing."""
    return shortened([str(each) for each in plan.waiting], "; ")


def stopped_for_good(plan: Plan) -> str:
    """`2 slots: db/slot-1, web/slot-3`. Empty: none."""
    slots = removed_slots(plan)
    names = shortened([f"{slot.service}/{slot.slot}" for slot in slots])
    return f"{len(slots)} slot{'s' if len(slots) > 1 else ''}: {names}" if slots else ""


def _phases(phases: Iterable[PhaseText]) -> Iterator[Block]:
    yield Heading("Phases")
    lines = []
    for number, phase in enumerate(phases, 1):
        lines.append(f"{number}. {phase.name}")
        lines += [f"     {effect}" for effect in phase.effects]
    yield Lines.of(lines, indent=2)


def _cutover(plan: Plan) -> Iterator[Block]:
    yield Heading("Cut-over")
    if plan.expected is None:
        stopped = "nothing that goes on" if removed_slots(plan) else "no running service"
        yield Lines.of([f"none: {stopped} is stopped"], indent=2)
        return
    last = f", {human.size(plan.predicted_bytes)} of data left to send in it" if plan.predicted_bytes else ""
    lines = [f"about {human.duration(plan.predicted_cutover_ms)}{last}, by {plan.expected.basis}"]
    limit_ms = patience(plan.max_cutover_s, plan.predicted_cutover_ms).limit_ms
    lines.append(f"if more than {human.duration(limit_ms)} are expected when it is about to begin, nothing is stopped")
    verified_bytes = sum(each.size_bytes for each in plan.moved_volumes if each.verify)
    if verified_bytes:
        read = human.size(verified_bytes)
        lines.append(f"{read} are read on both sides before it, and in it again each file that changed since")
    yield Lines.of(lines, indent=2)


def _blockers(blockers: tuple[Problem, ...]) -> Iterator[Block]:
    if blockers:
        yield Heading("In the way")
        lines = []
        for blocker in blockers:
            lines.append(str(blocker))
            lines += [f"     {blocker.advice}"] if blocker.advice else []
        yield Lines.of(lines, indent=2)


def obstacle(plan: Plan) -> Problem | None:
    """What apply would refuse with: the one blocker, or BLOCKED for several."""
    match plan.blockers:
        case ():
            return None
        case (blocker,):
            return blocker
        case several:
            return Problem(Code.BLOCKED, f"{len(several)} things stand in the way", "They are listed above.")
