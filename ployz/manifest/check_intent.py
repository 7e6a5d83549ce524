"""What an intent must agree with: a service and its volumes move together, to one machine, and nothing is torn.

Where things are now is not known here: `from_machine` is compared with the facts by the planner.
"""

from __future__ import annotations

from collections.abc import Iterator

from ployz.manifest.mistakes import Mistake, did_you_mean
from ployz.manifest.model import Global, Manifest, Service, ServiceMove, VolumeMove
from ployz.manifest.scalars import UNREAD


def check_intent(manifest: Manifest) -> Iterator[Mistake]:
    moved_volumes: dict[str, int] = {}
    for at, volume_move in enumerate(manifest.intent.volumes):
        path = f"intent.volumes[{at}]"
        yield from _once(f"{path}.volume", volume_move.volume, at, moved_volumes)
        yield from _check_volume_move(path, volume_move, manifest)
    moved_services: dict[str, int] = {}
    for at, service_move in enumerate(manifest.intent.services):
        path = f"intent.services[{at}]"
        yield from _once(f"{path}.service", service_move.service, at, moved_services)
        yield from _check_service_move(path, service_move, manifest)
    leave = manifest.intent.leave
    if leave is not None and leave.from_machine in leave.to_machines:
        yield Mistake("intent.leave.to_machines", f"{leave.from_machine!r} is the machine that is left")


def _once(path: str, name: str, at: int, seen: dict[str, int]) -> Iterator[Mistake]:
    if name != UNREAD and seen.setdefault(name, at) != at:
        yield Mistake(path, f"{name!r} moves already: one deploy moves a thing once")


def _check_volume_move(path: str, move: VolumeMove, manifest: Manifest) -> Iterator[Mistake]:
    if move.volume == UNREAD:
        return
    declared = [volume.name for volume in manifest.volumes]
    if move.volume not in declared:
        yield Mistake(f"{path}.volume", f"volume {move.volume!r} is not declared{did_you_mean(move.volume, declared)}")
    if move.from_machine == move.to_machine != UNREAD:
        yield Mistake(f"{path}.move.to_machine", f"{move.to_machine!r} is where it comes from")
    moved = {each.service for each in manifest.intent.services}
    for service in manifest.services:
        if move.volume in service.template.volumes and service.name not in {*moved, UNREAD}:
            yield Mistake(f"{path}.volume", f"volume {move.volume!r} is mounted by {service.name!r}, which stays")


def _check_service_move(path: str, move: ServiceMove, manifest: Manifest) -> Iterator[Mistake]:
    if move.service == UNREAD:
        return
    service = manifest.service(move.service)
    if service is None:
        near = did_you_mean(move.service, [each.name for each in manifest.services])
        yield Mistake(f"{path}.service", f"service {move.service!r} is not declared{near}")
        return
    if isinstance(service.placement, Global):
        yield Mistake(f"{path}.service", f"{move.service!r} is global: it runs on every machine already")
    if move.to_machine == UNREAD:
        return
    if service.on and move.to_machine not in service.on:
        yield Mistake(f"{path}.move.to_machine", f"{move.to_machine!r} is not in `on` of service {move.service!r}")
    yield from _volumes_follow(path, move, service, manifest)


def _volumes_follow(path: str, move: ServiceMove, service: Service, manifest: Manifest) -> Iterator[Mistake]:
    goes_to = {each.volume: each.to_machine for each in manifest.intent.volumes}
    for volume in service.template.volumes:
        if volume == UNREAD:
            continue
        if volume not in goes_to:
            yield Mistake(
                path, f"volume {volume!r} of service {move.service!r} must move too: add it to intent.volumes"
            )
        elif goes_to[volume] not in {move.to_machine, UNREAD}:
            yield Mistake(
                f"{path}.move.to_machine",
                f"{move.to_machine!r} is not where volume {volume!r} goes: {goes_to[volume]!r}",
            )
