"""Who reaches what, by the facts: circles of namespaces that are not for everybody, and what a machine offers.

By default everybody reaches everybody. Machines are not asked here: what they may is in the driver of the overlay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ployz.host.ports import Circle, Offer
from ployz.ids import MachineId, Namespace, SlotRef
from ployz.manifest.scalars import EVERYBODY
from ployz.plan import committed
from ployz.plan.gateways import HTTP_PORTS, served_routes
from ployz.projections.view import ClusterView

Here = tuple[SlotRef, str, str]
"""A candidate on this machine: its slot, IPv6 and IPv4, which no fact need have yet."""


def circles(view: ClusterView, me: MachineId, candidates: Iterable[Here] = ()) -> tuple[Circle, ...]:
    """Of each namespace that has a container here and does not admit everybody, in order. A candidate belongs to its
    namespace: it is reached by whoever reaches that, and reaches what that does.
    """
    candidates = list(candidates)
    inside = _by_namespace([*_placed(view, me), *candidates])
    everywhere = _by_namespace([*_placed(view), *candidates])
    return tuple(
        Circle(
            namespace,
            frozenset(inside[namespace]),
            frozenset(address for each in {namespace, *admitted} for address in everywhere.get(Namespace(each), ())),
        )
        for namespace in sorted(inside)
        if EVERYBODY not in (admitted := reachable_from(view, namespace))
    )


def reachable_from(view: ClusterView, namespace: Namespace) -> tuple[str, ...]:
    """Beside itself."""
    manifest = committed.of_namespace(view, namespace)
    said = manifest.reachable_from if manifest else None
    if said is not None:
        return said
    return () if view.machines.settings.isolation else (EVERYBODY,)


def offered(view: ClusterView, me: MachineId) -> frozenset[Offer]:
    """What this machine answers to containers at its own addresses: ports that services publish here, and those of a
    gateway.
    """
    return frozenset((*_published(view, me), *_of_gateway(view, me)))


def _published(view: ClusterView, me: MachineId) -> Iterator[Offer]:
    for ref, slot in view.placement.slots():
        declared = committed.service(view, ref.service) if slot.machine == me else None
        for publish in declared.publish if declared else ():
            port = declared.port(publish.service_port) if declared else None
            if port is not None:
                yield Offer(port.protocol, publish.host_port, publish.host_ip)


def _of_gateway(view: ClusterView, me: MachineId) -> Iterator[Offer]:
    member = view.machines.get(me)
    if member is None or not member.settings.gateway:
        return
    for route in served_routes(view):
        for port in HTTP_PORTS if route.listen_port is None else (route.listen_port,):
            yield Offer("tcp", port)


def _placed(view: ClusterView, on: MachineId | None = None) -> Iterator[Here]:
    for ref, slot in view.placement.slots():
        if on is None or slot.machine == on:
            yield ref, slot.ipv6, slot.ipv4


def _by_namespace(found: Iterable[Here]) -> dict[Namespace, set[str]]:
    addresses: dict[Namespace, set[str]] = {}
    for ref, ipv6, ipv4 in found:
        addresses.setdefault(ref.service.namespace, set()).update((ipv6, ipv4))
    return addresses
