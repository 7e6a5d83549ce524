"""A long history of a large fleet, made up: what a node has to read at its start after years. The same each time."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator
from itertools import count, islice
from typing import Final

from ployz.events.types import (
    ClusterFounded,
    DeployCommitted,
    Fact,
    Lifecycle,
    MachineIdentified,
    MachineJoined,
    OperationAborted,
    OperationKind,
    OperationStarted,
    RoundEvidence,
    SlotPlacement,
    VolumePlacement,
)
from ployz.ids import (
    Certificate,
    ClusterName,
    MachineId,
    Namespace,
    OperationId,
    ServiceName,
    SlotName,
    VolumeName,
    VolumeRef,
)

MACHINES: Final = 200
SERVICES: Final = 2_000
VOLUMES_EACH: Final = 5
BEGINNING: Final = 1 + 2 * MACHINES
"""Facts before the first move."""
BEGAN_MS: Final = 1_700_000_000_000
_EVERY_MS: Final = 60_000
_ABORTED_EVERY: Final = 10


def facts(many: int) -> Iterator[Fact]:
    """The founding, the machines, and then one move after the other, of each service in turn; one of ten is aborted."""
    return islice(_history(), many)


def _history() -> Iterator[Fact]:
    machines = [MachineId(f"machine-{number}") for number in range(MACHINES)]
    yield ClusterFounded(ClusterName("bench"), machines[0], "fd00:1:2::/48", "10.200.0.0/24", "10.210.0.0/16")
    for number, machine in enumerate(machines, start=1):
        yield MachineJoined(
            machine=machine,
            number=number,
            ipv6=f"fd00:1:2::{number:x}",
            ipv4=f"10.200.0.{number}",
            endpoint=f"192.0.2.{number}:51820",
            public_key=b64encode(bytes(32)).decode(),
            lifecycle=Lifecycle.ACTIVE,
        )
        yield MachineIdentified(machine, Certificate(b64encode(bytes(300)).decode()))
    epochs = [0] * SERVICES
    for number in count():
        service = number % SERVICES
        source, target = (machines[(service + number // SERVICES + step) % MACHINES] for step in (0, 1))
        operation_id = OperationId.make(BEGAN_MS + number * _EVERY_MS, number.to_bytes(6))
        namespace = Namespace(f"team-{service}")
        yield OperationStarted(
            operation_id, OperationKind.MIGRATE, namespace, source, (source, target), number + 1, f"{number:064x}"
        )
        if number >= SERVICES and number % _ABORTED_EVERY == _ABORTED_EVERY - 1:
            yield OperationAborted(operation_id, namespace, source, f"{target} did not answer in time")
        else:
            epochs[service] += 1
            yield _committed(operation_id, namespace, service, target, epochs[service])


def _committed(
    operation_id: OperationId, namespace: Namespace, service: int, target: MachineId, epoch: int
) -> DeployCommitted:
    names = [VolumeName(f"data-{number}") for number in range(VOLUMES_EACH)]
    return DeployCommitted(
        operation_id=operation_id,
        kind=OperationKind.MIGRATE,
        namespace=namespace,
        manifest=_manifest(namespace, names),
        slots=(
            SlotPlacement(
                service=ServiceName("db"),
                slot=SlotName("slot-1"),
                machine=target,
                ipv6=f"fd00:1:2:1::{service + 2:x}",
                ipv4=f"10.210.{service // 250}.{service % 250 + 2}",
                image_id=f"sha256:{service:064x}",
                template_hash=f"{service:064x}",
                operation_id=operation_id,
            ),
        ),
        volumes=tuple(VolumePlacement(VolumeRef(namespace, name), target, epoch) for name in names),
        evidence=tuple(
            RoundEvidence(
                VolumeRef(namespace, name),
                round=2,
                base=f"ployz-{operation_id}-1",
                snapshot=f"ployz-{operation_id}-2",
                guid=(1 << 63) + service * 1_000 + epoch,
                sent_bytes=1 << 20,
                duration_ms=250,
            )
            for name in names
        ),
    )


def _manifest(namespace: Namespace, names: Iterable[VolumeName]) -> str:
    names = list(names)
    template = {
        "image": "postgres:17",
        "env": {"POSTGRES_DB": "app"},
        "mounts": [{"source": {"volume": name}, "target": f"/var/lib/{name}"} for name in names],
    }
    return json.dumps(
        {
            "namespace": namespace,
            "services": [{"name": "db", "placement": {"replicated": {"count": 1}}, "template": template}],
            "volumes": [{"name": name, "quota": "20G", "mode": "0700", "owner": "999:999"} for name in names],
        },
        separators=(",", ":"),
    )
