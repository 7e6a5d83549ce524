"""What must agree between the parts of a manifest: names that are declared once, and references that are met.

Each rule yields its mistakes with their paths. Names that could not be read are passed over: they have been told.
`check` also holds for manifests that were not read from a text, such as one that intents were just added to.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from ployz.manifest.check_intent import check_intent
from ployz.manifest.mistakes import Mistake, did_you_mean
from ployz.manifest.model import (
    ExecProbe,
    Global,
    Hooks,
    HttpProbe,
    HttpRoute,
    Manifest,
    PortName,
    Readiness,
    Route,
    Service,
    TcpRoute,
    TmpfsSource,
    VolumeSource,
)
from ployz.manifest.scalars import UNREAD, UNREAD_PORT

Place = tuple[str, Hashable, str]
"""A path, the key that only one place may have, and what to call it."""


def check(manifest: Manifest) -> list[Mistake]:
    """Empty: the manifest holds together. In order of services, then what several of them share, then intent."""
    return list(each_mistake(manifest))


def each_mistake(manifest: Manifest) -> Iterator[Mistake]:
    """As `check`, one after the other: who has enough of them need not have the others worked out."""
    yield from _taken_twice((f"volumes[{at}].name", v.name, repr(v.name)) for at, v in enumerate(manifest.volumes))
    yield from _taken_twice((f"secrets[{at}].name", s.name, repr(s.name)) for at, s in enumerate(manifest.secrets))
    reached = manifest.reachable_from or ()
    yield from _taken_twice((f"reachable_from[{at}]", each, repr(each)) for at, each in enumerate(reached))
    for at, service in enumerate(manifest.services):
        yield from _check_service(f"services[{at}]", service, manifest)
    for places in (_service_names, _listen_ports, _http_paths):
        yield from _taken_twice(places(manifest))
    yield from _check_host_ports(manifest)
    yield from check_intent(manifest)


def _taken_twice(places: Iterable[Place]) -> Iterator[Mistake]:
    taken: dict[Hashable, str] = {}
    for path, key, shown in places:
        if key not in {UNREAD, UNREAD_PORT} and taken.setdefault(key, path) != path:
            yield Mistake(path, f"{shown} is at {taken[key]} already")


# ---------------------------------------------------------------- one service


def _check_service(path: str, service: Service, manifest: Manifest) -> Iterator[Mistake]:
    ports = service.service_ports
    yield from _taken_twice((f"{path}.on[{at}]", name, repr(name)) for at, name in enumerate(service.on))
    yield from _taken_twice((f"{path}.service_ports[{at}].name", p.name, repr(p.name)) for at, p in enumerate(ports))
    yield from _taken_twice(_targets(f"{path}.template", service))
    yield from _check_mounts(path, service, manifest)
    yield from _check_secrets(f"{path}.template.secrets", service, manifest)
    for at, publish in enumerate(service.publish):
        yield from _check_port(f"{path}.publish[{at}].service_port", service, publish.service_port)
    for at, route in enumerate(service.routes):
        where = f"{path}.routes[{at}].{_route_key(route)}.service_port"
        yield from _check_port(where, service, route.service_port, needs_tcp=True)
    yield from _check_readiness(f"{path}.readiness", service, service.readiness)
    if service.hooks != Hooks() and not service.template.volumes:
        yield Mistake(f"{path}.hooks", "the service mounts no volume: nothing of it is ever snapshotted")


def _check_mounts(path: str, service: Service, manifest: Manifest) -> Iterator[Mistake]:
    declared = [volume.name for volume in manifest.volumes]
    for at, mount in enumerate(service.template.mounts):
        where = f"{path}.template.mounts[{at}]"
        if not isinstance(mount.source, VolumeSource):
            if mount.readonly and isinstance(mount.source, TmpfsSource):
                yield Mistake(f"{where}.readonly", "a tmpfs begins empty: nothing could ever be read from it")
            continue
        volume = mount.source.volume
        if volume == UNREAD:
            continue
        if volume not in declared:
            yield Mistake(f"{where}.source", f"volume {volume!r} is not declared{did_you_mean(volume, declared)}")
        if isinstance(service.placement, Global):
            yield Mistake(f"{where}.source", f"volume {volume!r} is on one machine, but the service is global")
        elif not mount.readonly and service.placement.count > 1:
            count = service.placement.count
            yield Mistake(f"{where}.source", f"{count} replicas would write to volume {volume!r}: mount it readonly")


def _targets(path: str, service: Service) -> Iterator[Place]:
    for at, mount in enumerate(service.template.mounts):
        yield f"{path}.mounts[{at}].target", mount.target, mount.target
    for at, secret in enumerate(service.template.secrets):
        if UNREAD not in {secret.secret, secret.target}:
            yield f"{path}.secrets[{at}].target", secret.path, secret.path


def _check_secrets(path: str, service: Service, manifest: Manifest) -> Iterator[Mistake]:
    named = service.template.secrets
    yield from _taken_twice((f"{path}[{at}].secret", s.secret, repr(s.secret)) for at, s in enumerate(named))
    declared = [secret.name for secret in manifest.secrets]
    for at, secret in enumerate(named):
        if secret.secret not in {UNREAD, *declared}:
            near = did_you_mean(secret.secret, declared)
            yield Mistake(f"{path}[{at}].secret", f"secret {secret.secret!r} is not declared{near}")


def _check_readiness(path: str, service: Service, readiness: Readiness | None) -> Iterator[Mistake]:
    if readiness is None or isinstance(readiness.probe, ExecProbe):
        return
    key = "http" if isinstance(readiness.probe, HttpProbe) else "tcp"
    yield from _check_port(f"{path}.{key}.service_port", service, readiness.probe.service_port, needs_tcp=True)


def _check_port(path: str, service: Service, name: PortName, *, needs_tcp: bool = False) -> Iterator[Mistake]:
    port = service.port(name)
    if port is None and name != UNREAD:
        near = did_you_mean(name, [port.name for port in service.service_ports])
        yield Mistake(path, f"service port {name!r} is not declared{near}")
    if port is not None and needs_tcp and port.protocol != "tcp":
        yield Mistake(path, f"service port {name!r} is {port.protocol}, but this needs tcp")


def _route_key(route: Route) -> str:
    return "http" if isinstance(route, HttpRoute) else "tcp"


# ---------------------------------------------------------------- between services


def _service_names(manifest: Manifest) -> Iterator[Place]:
    for at, service in enumerate(manifest.services):
        yield f"services[{at}].name", service.name, repr(service.name)


def _check_host_ports(manifest: Manifest) -> Iterator[Mistake]:
    """One that is published on all addresses meets one on any."""
    taken: dict[tuple[int, str], dict[str, str]] = {}
    for service_at, service in enumerate(manifest.services):
        for at, publish in enumerate(service.publish):
            port = service.port(publish.service_port)
            if port is None or publish.host_port == UNREAD_PORT or publish.host_ip == UNREAD:
                continue
            path = f"services[{service_at}].publish[{at}].host_port"
            others = taken.setdefault((publish.host_port, port.protocol), {})
            other = next((others[ip] for ip in others if publish.host_ip in ("", ip) or not ip), None)
            if other is not None:
                yield Mistake(path, f"{publish.host_port}/{port.protocol} is at {other} already")
            others.setdefault(publish.host_ip, path)


def _routes(manifest: Manifest) -> Iterator[tuple[str, Route]]:
    for service_at, service in enumerate(manifest.services):
        for at, route in enumerate(service.routes):
            yield f"services[{service_at}].routes[{at}].{_route_key(route)}", route


def _listen_ports(manifest: Manifest) -> Iterator[Place]:
    for path, route in _routes(manifest):
        if isinstance(route, TcpRoute):
            yield f"{path}.listen_port", route.listen_port, str(route.listen_port)


def _http_paths(manifest: Manifest) -> Iterator[Place]:
    for path, route in _routes(manifest):
        if isinstance(route, HttpRoute):
            for at, hostname in enumerate(route.hostnames):
                key = hostname if UNREAD in {hostname, route.path_prefix} else hostname + route.path_prefix
                yield f"{path}.hostnames[{at}]", key, key
