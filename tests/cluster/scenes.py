"""What the tests of clusters begin with, and what they look at in the end."""

from __future__ import annotations

from ployz.actors.messages.operations import ApplyDeploy
from ployz.ids import MachineId, OperationId, ServiceRef, VolumeRef
from ployz.plan import names
from tests.cluster.cluster import Cluster, Outcome
from tests.cluster.manifests import DATABASE, PGDATA, A
from tests.cluster.world import STARTS

ROOT = "tank/ployz"
IMAGE = "postgres:17"


def dataset(volume: VolumeRef = PGDATA) -> str:
    return f"{ROOT}/{volume}"


def add_image(cluster: Cluster, reference: str = IMAGE) -> None:
    """On every machine."""
    for machine in cluster.machines.values():
        machine.docker.add_image(reference)


async def deploy(cluster: Cluster, text: str = DATABASE, *, by: MachineId = A) -> Outcome:
    """It must succeed."""
    outcome = await cluster.run(by, ApplyDeploy(text, remove=True))
    assert outcome.exit_code == 0, outcome.text
    return outcome


async def deployed(cluster: Cluster, text: str = DATABASE) -> Outcome:
    add_image(cluster)
    return await deploy(cluster, text)


def running(cluster: Cluster) -> dict[MachineId, list[str]]:
    """`{machine-a: [db/slot-1]}`: by the fakes' own word, not by anybody's log."""
    found: dict[MachineId, list[str]] = {}
    for machine in cluster.machines.values():
        for spec in machine.docker.running():
            slot = f"{spec.labels[names.LABEL_SERVICE]}/{spec.labels[names.LABEL_SLOT]}"
            found.setdefault(machine.name, []).append(slot)
    return found


def starts(cluster: Cluster, machine: MachineId, volume: VolumeRef = PGDATA) -> list[str]:
    """Where the workload of the volume has been, by the data itself: `[a, b]`."""
    text = cluster[machine].zfs.files(dataset(volume)).get(STARTS, b"").decode()
    return [line.removeprefix("machine-") for line in text.split()]


def owner(cluster: Cluster, volume: VolumeRef = PGDATA, *, by: MachineId = A) -> tuple[MachineId, int]:
    placement = cluster[by].parts.view.placement.volumes[volume]
    return placement.owner, placement.epoch


def left_by(cluster: Cluster, machine: MachineId, operation_id: OperationId) -> list[str]:
    """Everything on a machine that carries the operation's name."""
    there = cluster[machine]
    found = [name for name in there.docker.names() if operation_id in name]
    for each, content in there.zfs.contents():
        found += [f"{each}@{snap.name}" for snap in content.snapshots if operation_id in snap.name]
        found += [f"{each}: the beginning of a stream"] if content.partial else []
    return found


def datasets(cluster: Cluster, machine: MachineId) -> list[str]:
    """Below the root, without it."""
    return [name for name, _ in cluster[machine].zfs.contents() if name.startswith(f"{ROOT}/")]


def local_addresses(cluster: Cluster, machine: MachineId) -> frozenset[str]:
    """Workload addresses that this machine's overlay answers for."""
    applied = cluster[machine].overlay.applied
    return applied[-1].local if applied else frozenset()


def slot_addresses(cluster: Cluster, service: ServiceRef, *, by: MachineId = A) -> set[str]:
    slots = cluster[by].parts.view.placement.of_service(service)
    return {address for slot in slots for address in (slot.ipv4, slot.ipv6)}


async def events_of(cluster: Cluster, machine: MachineId, operation_id: OperationId) -> list[str]:
    """The names of what this machine's log says about the operation, in order."""
    records = await cluster[machine].disk.log.of_operation(operation_id)
    return [record.event.event_name for record in records]
