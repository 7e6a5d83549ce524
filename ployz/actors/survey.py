"""Making a plan: the pure functions of plan/deploy, asked with what every participant reports. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from attrs import frozen

from ployz.actors.core import Home
from ployz.actors.messages.probing import ProbeMachine
from ployz.actors.messages.storage import EstimateSend
from ployz.actors.parts import Parts
from ployz.actors.together import together
from ployz.config import EFFECT_TIMEOUT_S, PROBE_TIMEOUT_S
from ployz.errors import Code, PloyzError, Refused
from ployz.events.types import OperationKind
from ployz.ids import MachineId, Namespace, VolumeRef
from ployz.manifest import Manifest
from ployz.plan.assign import assign
from ployz.plan.deploy import Move, Questions, away_of, moves, questions, resolve
from ployz.plan.model import Plan
from ployz.plan.reports import MachineReport, Unanswered
from ployz.wire.message import Local, Sender, is_trusted

NO_ANSWER: Final = {
    Code.TIMED_OUT: f"nothing came within {PROBE_TIMEOUT_S:g} s",
    Code.OUTCOME_UNKNOWN: "the connection was lost",
}
"""Of a probe, which changes nothing: that it may or may not be done would only frighten."""


@frozen
class Survey:
    """A plan, and the reports that it was made from."""

    plan: Plan
    reports: Mapping[MachineId, MachineReport | Unanswered]


async def survey(
    parts: Parts,
    home: Home,
    kind: OperationKind,
    manifest: Manifest,
    sender: Sender = Local(),  # noqa: B008 - frozen
) -> Survey:
    """The plan for `manifest` as things are now. Blockers are in it, not raised: a preview shows all of them.

    `sender`: for whom. A plan for a thousand volumes takes a second, in which the loop serves others.
    """
    if parts.view.machines.cluster is None:
        raise Refused(
            Code.NOT_FOUNDED, f"{parts.me} does not know its cluster yet", "Wait until it has reached the founder."
        )
    aside = partial(parts.aside.run, for_stranger=not is_trusted(sender))
    view = parts.view.copy()
    assignment = await aside(partial(assign, manifest, view, parts.me))
    reports: dict[MachineId, MachineReport | Unanswered] = {}
    asked: dict[MachineId, Questions] = {}
    while unasked := _unasked(questions(manifest, assignment, parts.me), asked, reports):
        probes = [partial(_probe, home, machine, each, manifest.namespace) for machine, each in unasked.items()]
        reports |= zip(unasked, await together(*probes), strict=True)
        asked |= unasked
        if away := away_of(reports):  # then others are asked for what goes to them instead
            assignment = await aside(partial(assign, manifest, view, parts.me, away))
    estimable = moves(assignment, reports)
    sizes = await together(*(partial(_estimate, home, move) for move in estimable))
    estimates: dict[VolumeRef, int] = {
        move.volume: size for move, size in zip(estimable, sizes, strict=True) if size is not None
    }
    view = parts.view.copy()
    plan = await aside(
        partial(resolve, kind, manifest, assignment, view, reports, estimates, parts.me, tuple(parts.local.cutovers))
    )
    return Survey(plan, reports)


def _unasked(
    wanted: Mapping[MachineId, Questions],
    asked: Mapping[MachineId, Questions],
    reports: Mapping[MachineId, MachineReport | Unanswered],
) -> dict[MachineId, Questions]:
    """Who did not answer is not asked again: that would take as long again."""
    return {
        machine: each
        for machine, each in wanted.items()
        if asked.get(machine) != each and not isinstance(reports.get(machine), Unanswered)
    }


async def _probe(home: Home, machine: MachineId, asked: Questions, namespace: Namespace) -> MachineReport | Unanswered:
    try:
        return await home.remote(machine, "machine").ask(
            ProbeMachine(asked.images, asked.volumes, asked.sends_to, hindrances=True, namespace=namespace),
            timeout_s=PROBE_TIMEOUT_S,
        )
    except PloyzError as error:
        return Unanswered(machine, NO_ANSWER.get(error.code, error.problem.text))


async def _estimate(home: Home, move: Move) -> int | None:
    """None: it could not be estimated, and the volume's whole size stands for it."""
    ref = home.remote(move.source, f"volume/{move.volume}")
    try:
        reply = await ref.ask(
            EstimateSend(move.volume, move.base.name if move.base else None), timeout_s=EFFECT_TIMEOUT_S
        )
    except PloyzError:
        return None
    return reply.sent_bytes
