"""The container of a slot as a value, from its manifest: what Docker is asked to make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ployz.events.types import SlotPlacement
from ployz.host.ports import BindMount, ContainerSpec, PublishedPort
from ployz.ids import MachineId, Namespace, ServiceName, ServiceRef, SlotRef, VolumeRef
from ployz.manifest.model import BindSource, Manifest, Mount, Service, Template, TmpfsSource, VolumeSource
from ployz.plan import names
from ployz.plan.naming import SEARCH_NDOTS, search_domains

_RAW: Final = "NET_RAW"


def service_of(manifest: Manifest, service: ServiceName) -> Service:
    found = manifest.service(service)
    if found is None:
        raise AssertionError(f"{service} is not in the manifest of {manifest.namespace}")
    return found


def container_spec(
    manifest: Manifest,
    placement: SlotPlacement,
    *,
    mountpoint: Callable[[VolumeRef], str],
    secrets_folder: str,
    nameserver: str,
) -> ContainerSpec:
    """Always with Docker's restart policy `no`: dockerd brings containers back to life after a crash without asking
    whether this machine still owns them. ployzd restarts them, after its gate.
    """
    declared = service_of(manifest, placement.service)
    template = declared.template
    ref = SlotRef(ServiceRef(manifest.namespace, placement.service), placement.slot)
    name = names.container(ref, placement.operation_id)
    return ContainerSpec(
        name=name,
        image_id=placement.image_id,
        labels={**template.labels, **names.labels(ref, placement.operation_id, placement.template_hash)},
        ipv6=placement.ipv6,
        ipv4=placement.ipv4,
        hostname=f"{placement.service}-{placement.slot}"[:63].rstrip("-"),
        command=template.command,
        entrypoint=template.entrypoint,
        env={**template.env, **_environment(ref, placement.machine)},
        user=template.user,
        mounts=(
            *(bind for mount in template.mounts if (bind := _bind(manifest.namespace, mount, mountpoint)) is not None),
            *(
                BindMount(f"{secrets_folder}/{name}/{each.secret}", each.path, readonly=True)
                for each in template.secrets
            ),
        ),
        tmpfs=tuple(mount.target for mount in template.mounts if isinstance(mount.source, TmpfsSource)),
        ports=tuple(
            PublishedPort(port.container_port, publish.host_port, port.protocol, publish.host_ip)
            for publish in declared.publish
            if (port := declared.port(publish.service_port)) is not None
        ),
        nameservers=(nameserver,),
        search_domains=search_domains(manifest.namespace),
        ndots=SEARCH_NDOTS,
        cap_add=template.cap_add,
        cap_drop=_dropped(template),
        sysctls=template.sysctls,
        cpu_millicores=template.resources.cpu_millicores or 0,
        memory_bytes=template.resources.memory_bytes or 0,
        stop_signal=template.stop_signal,
        restart="no",
    )


def _dropped(template: Template) -> tuple[str, ...]:
    """With raw sockets a program forges ARP and neighbour discovery, and takes what is meant for other slots; Docker
    gives them to all. `ping` needs none: Docker lets everybody in a container send echo requests.
    """
    asked = {name.removeprefix("CAP_") for name in (*template.cap_add, *template.cap_drop)}
    return template.cap_drop if asked & {_RAW, "ALL"} else (*template.cap_drop, _RAW)


def volumes_of(manifest: Manifest, service: ServiceName) -> tuple[VolumeRef, ...]:
    return tuple(VolumeRef(manifest.namespace, volume) for volume in service_of(manifest, service).template.volumes)


def _environment(slot: SlotRef, machine: MachineId) -> dict[str, str]:
    """Where it runs, for the program's own logs and answers."""
    return {
        "PLOYZ_MACHINE": machine,
        "PLOYZ_NAMESPACE": slot.service.namespace,
        "PLOYZ_SERVICE": slot.service.service,
        "PLOYZ_SLOT": slot.slot,
    }


def _bind(namespace: Namespace, mount: Mount, mountpoint: Callable[[VolumeRef], str]) -> BindMount | None:
    match mount.source:
        case VolumeSource(volume):
            return BindMount(mountpoint(VolumeRef(namespace, volume)), mount.target, mount.readonly)
        case BindSource(path):  # it may have volumes below it, which must not be kept from being unmounted
            return BindMount(path, mount.target, mount.readonly, follows=True)
        case TmpfsSource():
            return None
