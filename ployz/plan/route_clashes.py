"""Routes and the ports of gateways: what another service has already, in this namespace or in another.

A manifest alone was checked against itself. A port that a service publishes on a machine is not free for that machine's
gateway either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from attrs import frozen

from ployz.config import PEER_PORT, STREAM_PORT
from ployz.errors import Code, Problem
from ployz.ids import MachineId, ServiceRef
from ployz.manifest import Manifest
from ployz.manifest.model import Service
from ployz.plan import committed
from ployz.plan.blockers import Blockers
from ployz.plan.gateways import ANY_HOST, HTTP_PORTS, ServedRoute, gateways, routes_of, served_routes
from ployz.plan.model import Change, SlotPlan
from ployz.projections.view import ClusterView

OWN_PORTS: Final = (PEER_PORT, STREAM_PORT)
"""What ployzd listens on, on every machine."""


@frozen
class Published:
    machine: MachineId
    host_port: int
    service: ServiceRef


def check_routes(slots: Iterable[SlotPlan], manifest: Manifest, view: ClusterView, blockers: Blockers) -> None:
    here = [
        route
        for service in manifest.services
        for route in routes_of(ServiceRef(manifest.namespace, service.name), service)
    ]
    others = [each for each in served_routes(view) if each.service.namespace != manifest.namespace]
    for problem in _taken(here, others):
        blockers.add(problem.code, problem.text, problem.advice)
    published = [*_published_elsewhere(view, manifest), *_published_here(slots, manifest)]
    for machine in gateways(view):
        for problem in _ports_of_gateway(machine, [*here, *others], published):
            blockers.add(problem.code, problem.text, problem.advice)


def in_the_way_of_gateway(view: ClusterView, machine: MachineId) -> list[Problem]:
    """Why this machine cannot become one as it is."""
    return list(_ports_of_gateway(machine, served_routes(view), _published_elsewhere(view, None)))


def _taken(here: Sequence[ServedRoute], others: Sequence[ServedRoute]) -> Iterator[Problem]:
    taken = {_place(each): each.service for each in others}
    http = [each.service for each in (*here, *others) if each.listen_port is None]
    for route in here:
        holder = taken.get(_place(route))
        if holder is not None:
            what = (
                f"listen port {route.listen_port}"
                if route.listen_port
                else f"{route.hostname or ANY_HOST}{route.path_prefix}"
            )
            yield Problem(
                Code.ROUTE_TAKEN,
                f"{what} is routed to {holder} already: {route.service} cannot have it",
                "Take another one, or deploy the other service without it first.",
            )
        elif route.listen_port in OWN_PORTS:
            yield Problem(
                Code.ROUTE_TAKEN,
                f"listen port {route.listen_port} of {route.service} is ployzd's own",
                "Take another one.",
            )
        elif route.listen_port in HTTP_PORTS and http:
            yield _http_has(route.listen_port, route.service, http[0])
    new_http = [each.service for each in here if each.listen_port is None]
    for route in others:
        if route.listen_port in HTTP_PORTS and new_http:
            yield _http_has(route.listen_port, route.service, new_http[0])


def _http_has(port: int | None, tcp: ServiceRef, http: ServiceRef) -> Problem:
    return Problem(
        Code.ROUTE_TAKEN,
        f"gateways listen on port {port} for HTTP, for {http}: {tcp} cannot have it as a TCP route",
        "Listen on another port.",
    )


def _ports_of_gateway(
    machine: MachineId, routes: Sequence[ServedRoute], published: Iterable[Published]
) -> Iterator[Problem]:
    wants = {each.listen_port: each.service for each in routes if each.listen_port}
    for route in routes:
        if route.listen_port is None:
            wants |= dict.fromkeys(HTTP_PORTS, route.service)
    for each in published:
        if each.machine == machine and each.host_port in wants:
            yield Problem(
                Code.PORT_TAKEN,
                f"port {each.host_port} of {machine} is published by {each.service}, and its gateway listens there for "
                f"{wants[each.host_port]}",
                "Publish another port, route another one, or make another machine the gateway.",
            )


def _place(route: ServedRoute) -> tuple[int | None, str]:
    return route.listen_port, f"{route.hostname}{route.path_prefix}"


def _published_elsewhere(view: ClusterView, besides: Manifest | None) -> Iterator[Published]:
    for namespace, state in view.placement.namespaces.items():
        if besides is not None and namespace == besides.namespace:
            continue
        services = {each.name: each for each in committed.from_fact(state.manifest).services}
        for slot in state.slots.values():
            yield from _published(services.get(slot.service), slot.machine, ServiceRef(namespace, slot.service))


def _published_here(slots: Iterable[SlotPlan], manifest: Manifest) -> Iterator[Published]:
    for slot in slots:
        if slot.change is not Change.REMOVE:
            ref = ServiceRef(manifest.namespace, slot.service)
            yield from _published(manifest.service(slot.service), slot.machine, ref)


def _published(service: Service | None, machine: MachineId, ref: ServiceRef) -> Iterator[Published]:
    for each in service.publish if service else ():
        port = service.port(each.service_port) if service else None
        if port is not None and port.protocol == "tcp":
            yield Published(machine, each.host_port, ref)
