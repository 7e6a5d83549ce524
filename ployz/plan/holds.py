"""Which gateways hold what, and when: every service that has routes, on each of them, in the cut-over if it stops for a
move, and slot after slot if it is replaced where it is.

What is routed now counts, not what the new manifest will route: requests come by the routes that there are.
"""

from __future__ import annotations

from collections.abc import Iterator

from ployz.ids import ServiceName, ServiceRef, SlotName
from ployz.manifest import Manifest
from ployz.plan import committed
from ployz.plan.effects import Phases, phases
from ployz.plan.gateways import backends_of, gateways
from ployz.plan.model import Change, HoldPlan, Plan
from ployz.projections.view import ClusterView


def plan_holds(plan: Plan, manifest: Manifest, view: ClusterView) -> tuple[HoldPlan, ...]:
    """Of slots that are replaced where they are, in their order; then of the cut-over, in order of services. Of each,
    in order of machines.
    """
    steps = phases(plan)
    return (*_in_place(steps, manifest, view), *_cut_over(steps, manifest, view))


def _in_place(steps: Phases, manifest: Manifest, view: ClusterView) -> Iterator[HoldPlan]:
    for start in steps.in_place:
        if start.slot.change is Change.REPLACE:
            yield from _holds(start.ref.service, {start.ref.slot}, manifest, view, replaced=start.ref.slot)


def _cut_over(steps: Phases, manifest: Manifest, view: ClusterView) -> Iterator[HoldPlan]:
    stopping = {slot for departure in steps.departures for slot in departure.slots}
    stopping |= {start.ref for start in steps.arrivals if start.slot.change is Change.REPLACE}
    for service in sorted({slot.service for slot in stopping}):
        yield from _holds(service, {slot.slot for slot in stopping if slot.service == service}, manifest, view)


def _holds(
    service: ServiceRef,
    stopping: set[SlotName],
    manifest: Manifest,
    view: ClusterView,
    replaced: SlotName | None = None,
) -> Iterator[HoldPlan]:
    hold_s, grace_s = _times_s(manifest, view, service.service)
    if not hold_s or not backends_of(view, service):
        return
    stays = any(slot.slot not in stopping for slot in view.placement.of_service(service))
    slots = tuple(sorted(stopping)) if stays else ()
    for gateway in gateways(view):
        yield HoldPlan(gateway, service, slots, round(hold_s * 1000), round(grace_s * 1000), replaced)


def _times_s(manifest: Manifest, view: ClusterView, name: ServiceName) -> tuple[float, float]:
    """(The hold, the grace of running requests). Of a service that goes: as it was committed."""
    service = manifest.service(name) or committed.service(view, ServiceRef(manifest.namespace, name))
    return (service.cutover_hold_s, service.template.stop_grace_period_s) if service else (0.0, 0.0)
