"""Which gateways hold what in a plan's cut-over: every service that stops for a move and has routes, on each of them.

What is routed now counts, not what the new manifest will route: requests come by the routes that there are.
"""

from __future__ import annotations

from collections.abc import Iterator

from ployz.ids import ServiceName, ServiceRef
from ployz.manifest import Manifest
from ployz.plan import committed
from ployz.plan.effects import phases
from ployz.plan.gateways import backends_of, gateways
from ployz.plan.model import HoldPlan, Plan
from ployz.projections.view import ClusterView


def plan_holds(plan: Plan, manifest: Manifest, view: ClusterView) -> tuple[HoldPlan, ...]:
    """In order of services, then of machines."""
    return tuple(_holds(plan, manifest, view))


def _holds(plan: Plan, manifest: Manifest, view: ClusterView) -> Iterator[HoldPlan]:
    leaving = {slot for departure in phases(plan).departures for slot in departure.slots}
    for name in sorted({slot.service.service for slot in leaving}):
        ref = ServiceRef(plan.namespace, name)
        hold_s, grace_s = _times_s(manifest, view, name)
        if not hold_s or not backends_of(view, ref):
            continue
        slots = sorted(slot.slot for slot in leaving if slot.service == ref)
        stays = {slot.slot for slot in view.placement.of_service(ref)} - set(slots)
        for gateway in gateways(view):
            yield HoldPlan(gateway, ref, tuple(slots) if stays else (), round(hold_s * 1000), round(grace_s * 1000))


def _times_s(manifest: Manifest, view: ClusterView, name: ServiceName) -> tuple[float, float]:
    """(The hold, the grace of running requests). Of a service that goes: as it was committed."""
    service = manifest.service(name) or committed.service(view, ServiceRef(manifest.namespace, name))
    return (service.cutover_hold_s, service.template.stop_grace_period_s) if service else (0.0, 0.0)
