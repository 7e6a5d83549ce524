"""What a gateway serves: the routes of every committed manifest, and the slots that the facts place, as one state.

It names only what the last commit of each namespace named, so it can never go back to an older owner.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from attrs import frozen

from ployz.host.ports import GatewayBackend, GatewayServer, GatewayState, HttpEntry, Mode, TcpEntry
from ployz.ids import MachineId, ServiceRef, SlotRef
from ployz.manifest.model import HttpRoute, PortName, Route, Service
from ployz.plan import committed
from ployz.projections.view import ClusterView

ANY_HOST: Final = "*"
HTTP_PORTS: Final = (80, 443)
"""What a gateway listens on as soon as there is one HTTP route."""


@frozen(order=True)
class ServedRoute:
    """One route of one service, as it is committed."""

    service: ServiceRef
    service_port: PortName
    backend: str
    listen_port: int | None
    """Of a TCP route; None: it is HTTP."""
    hostname: str = ""
    path_prefix: str = ""

    def __str__(self) -> str:
        """`http://www.example.com/api`, `tcp port 5432`."""
        return (
            f"http://{self.hostname or ANY_HOST}{self.path_prefix}"
            if self.listen_port is None
            else f"tcp {self.listen_port}"
        )


def gateway_state(view: ClusterView, *, holds: Mapping[ServiceRef, int], out: Collection[SlotRef]) -> GatewayState:
    """`holds`: services of which new requests wait, until when in ms of wall time.

    `out`: slots that are to get nothing, as long as another slot of theirs may get it.
    """
    served = served_routes(view)
    services = {each.service for each in served}
    return GatewayState(
        http=tuple(
            sorted(HttpEntry(each.hostname, each.path_prefix, each.backend) for each in served if not each.listen_port)
        ),
        tcp=tuple(sorted(TcpEntry(each.listen_port, each.backend) for each in served if each.listen_port)),
        backends=tuple(_backends(view, served, out)),
        holds={
            backend: until_ms
            for service, until_ms in sorted(holds.items())
            if service in services
            for backend in backends_of(view, service)
        },
    )


def served_routes(view: ClusterView) -> list[ServedRoute]:
    """In order: by service, then as they stand in its manifest. What nothing fills is served too, and answers 503."""
    return [
        route
        for namespace in sorted(view.placement.namespaces)
        for manifest in [committed.of_namespace(view, namespace)]
        if manifest is not None
        for service in sorted(manifest.services, key=lambda each: each.name)
        for route in routes_of(ServiceRef(namespace, service.name), service)
    ]


def routes_of(ref: ServiceRef, service: Service) -> Iterator[ServedRoute]:
    for route in service.routes:
        backend = _backend_name(ref, route)
        if isinstance(route, HttpRoute):
            for hostname in route.hostnames:
                name = "" if hostname == ANY_HOST else hostname
                yield ServedRoute(ref, route.service_port, backend, None, name, route.path_prefix)
        else:
            yield ServedRoute(ref, route.service_port, backend, route.listen_port)


def backends_of(view: ClusterView, service: ServiceRef) -> list[str]:
    declared = committed.service(view, service)
    names = [route.backend for route in routes_of(service, declared)] if declared else []
    return list(dict.fromkeys(names))


def gateways(view: ClusterView) -> list[MachineId]:
    """The machines that are set to be one."""
    return [member.machine for member in view.machines.in_order() if member.settings.gateway]


def _backend_name(ref: ServiceRef, route: Route) -> str:
    """No two are the same: none of the parts has a dot."""
    mode = Mode.HTTP if isinstance(route, HttpRoute) else Mode.TCP
    return f"{mode}.{ref.namespace}.{ref.service}.{route.service_port}"


def _backends(view: ClusterView, served: Collection[ServedRoute], out: Collection[SlotRef]) -> Iterator[GatewayBackend]:
    for name, route in {each.backend: each for each in served}.items():
        declared = committed.service(view, route.service)
        port = declared.port(route.service_port) if declared else None
        if port is None:
            continue
        slots = view.placement.of_service(route.service)
        refs = [SlotRef(route.service, slot.slot) for slot in slots]
        all_out = all(ref in out for ref in refs)
        yield GatewayBackend(
            name=name,
            mode=Mode.HTTP if route.listen_port is None else Mode.TCP,
            servers=tuple(
                GatewayServer(slot.slot, slot.ipv4, port.container_port, is_out=ref in out and not all_out)
                for slot, ref in zip(slots, refs, strict=True)
            ),
        )
