"""A migration is a deploy whose manifest carries move intents: how that manifest comes from what is committed.

Rendering is the whole of what `migrate` adds. `migrate apply` submits exactly what `render-manifest` prints.
"""

from __future__ import annotations

from attrs import evolve

from ployz.errors import Code, Refused
from ployz.ids import MachineId, ServiceRef, VolumeName, VolumeRef
from ployz.manifest import Manifest
from ployz.manifest.model import Global, Intent, Service, ServiceMove, VolumeMove
from ployz.plan import committed
from ployz.projections.view import ClusterView


def render(
    view: ClusterView,
    ref: ServiceRef,
    target: MachineId,
    *,
    verify: bool = False,
    bandwidth_bytes_s: int | None = None,
    max_cutover_s: float | None = None,
) -> Manifest:
    """The namespace as committed, and the intent that moves `ref` with its volumes to `target`.

    Refused: UNKNOWN_SERVICE, UNKNOWN_MACHINE, ALREADY_THERE, NOT_MOVABLE, VOLUME_SHARED. What depends on the state of
    the machines is found by the plan that is made from this manifest, all of it at once.
    """
    manifest, service = _committed(view, ref)
    if view.machines.get(target) is None:
        known = ", ".join(member.machine for member in view.machines.in_order())
        raise Refused(Code.UNKNOWN_MACHINE, f"there is no machine {target} in the cluster", f"There are: {known}.")
    sources = {slot.machine for slot in view.placement.of_service(ref)}
    _check_movable(ref, service, sources, target)
    _check_shared(manifest, ref, service)
    owned = {volume: _owner(view, ref, volume) for volume in service.template.volumes}
    return evolve(
        manifest,
        intent=Intent(
            volumes=tuple(
                VolumeMove(volume=volume, from_machine=owner, to_machine=target, verify="digest" if verify else "guid")
                for volume, owner in owned.items()
                if owner != target
            ),
            services=(ServiceMove(service=service.name, to_machine=target),),
            bandwidth_bytes_s=bandwidth_bytes_s,
            max_cutover_s=max_cutover_s,
        ),
    )


def _committed(view: ClusterView, ref: ServiceRef) -> tuple[Manifest, Service]:
    manifest = committed.of_namespace(view, ref.namespace)
    service = manifest.service(ref.service) if manifest else None
    if manifest is None or service is None:
        raise Refused(
            Code.UNKNOWN_SERVICE,
            f"there is no service {ref}",
            f"There are: {', '.join(_services(view)) or 'none yet'}.",
        )
    return manifest, service


def _services(view: ClusterView) -> list[str]:
    return sorted({str(slot.service) for slot, _ in view.placement.slots()})


def _check_movable(ref: ServiceRef, service: Service, sources: set[MachineId], target: MachineId) -> None:
    if sources == {target}:
        raise Refused(Code.ALREADY_THERE, f"{ref} is on {target} already", "Nothing to do.")
    if isinstance(service.placement, Global):
        raise Refused(
            Code.NOT_MOVABLE,
            f"{ref} is global: it runs on every active machine",
            "Choose its machines with `on` in its manifest, and deploy that.",
        )
    if service.on and target not in service.on:
        raise Refused(
            Code.NOT_MOVABLE,
            f"{ref} may run on {', '.join(service.on)} only, by `on` in its manifest",
            f"Add {target} there and deploy, then migrate.",
        )


def _check_shared(manifest: Manifest, ref: ServiceRef, service: Service) -> None:
    for other in manifest.services:
        shared = set(other.template.volumes) & set(service.template.volumes)
        if other.name != service.name and shared:
            raise Refused(
                Code.VOLUME_SHARED,
                f"{ref} shares volume {', '.join(sorted(shared))} with service {other.name}, which would stay",
                "Write a manifest whose intent moves both (start from `migrate render-manifest` of one), "
                "or give each a volume of its own.",
            )


def _owner(view: ClusterView, ref: ServiceRef, name: VolumeName) -> MachineId:
    volume = VolumeRef(ref.namespace, name)
    placement = view.placement.volumes.get(volume)
    if placement is None:
        raise Refused(
            Code.UNKNOWN_VOLUME, f"volume {volume} of {ref} is owned by nobody", "Deploy its manifest, which makes it."
        )
    return placement.owner


def without_service(view: ClusterView, ref: ServiceRef) -> Manifest:
    """The namespace as committed, less this service. Its volumes stay declared, and keep their data."""
    manifest, service = _committed(view, ref)
    return evolve(manifest, services=tuple(each for each in manifest.services if each.name != service.name))
