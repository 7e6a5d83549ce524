"""What the things that ployz makes are called, as functions of what they are for.

A snapshot's name comes from (operation, round), never from content, so that no retry can take one for another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from ployz.host.ports import Keep
from ployz.ids import (
    InvalidName,
    MachineId,
    Namespace,
    OperationId,
    ServiceName,
    ServiceRef,
    SlotName,
    SlotRef,
    VolumeRef,
)

LABEL_OPERATION: Final = "ployz.operation"
LABEL_NAMESPACE: Final = "ployz.namespace"
LABEL_SERVICE: Final = "ployz.service"
LABEL_SLOT: Final = "ployz.slot"
LABEL_TEMPLATE: Final = "ployz.template"

PROPERTY_EPOCH: Final = "ployz:epoch"
PROPERTY_OPERATION: Final = "ployz:operation"
"""The operation that made the dataset, for whoever finds it by hand. Decisions go by the log and the epoch."""

PROPERTY_AUTO_SNAPSHOT: Final = "com.sun:auto-snapshot"
"""By which tools that snapshot every hour know what to leave alone. On a copy it is `false`."""
PROPERTY_OWNERS_AUTO_SNAPSHOT: Final = "ployz:auto-snapshot"
"""On a copy: what the other one is on the owner, or `-`. A dataset that has it is marked as a copy."""

HOLD_TAG: Final = "ployz-base"

_SNAPSHOT: Final = re.compile(r"ployz-(op-[0-9a-z]{1,60})-[0-9]+\Z")


def dataset(root: str, volume: VolumeRef) -> str:
    return f"{root}/{volume.namespace}/{volume.volume}"


def volume_of(root: str, dataset_name: str) -> VolumeRef | None:
    """The volume that a dataset stands for; None for one that lies below the root and is not ployz's."""
    try:
        return VolumeRef.parse(dataset_name.removeprefix(f"{root}/"))
    except InvalidName:
        return None


def volume_above(root: str, dataset_name: str) -> VolumeRef | None:
    """The volume within whose dataset another one lies; None: within none."""
    parts = dataset_name.removeprefix(f"{root}/").split("/")
    return volume_of(root, "/".join((root, *parts[:2]))) if len(parts) > 2 else None  # noqa: PLR2004 - NAMESPACE/VOLUME


def aside(root: str, volume: VolumeRef, operation_id: OperationId) -> str:
    """Where a stale dataset is kept: beside the root, so that nothing takes it for a volume again."""
    return f"{aside_folder(root, volume.namespace)}/{volume.volume}.{operation_id}"


def aside_folder(root: str, namespace: Namespace) -> str:
    return f"{asides(root)}/{namespace}"


def asides(root: str) -> str:
    """Beside the root, not below it: what is there is nobody's."""
    return f"{root}-aside"


def is_aside_of(dataset: str, volume: VolumeRef) -> bool:
    return dataset.rpartition("/")[2].partition(".")[0] == volume.volume


def snapshot(operation_id: OperationId, round_number: int) -> str:
    return f"ployz-{operation_id}-{round_number}"


def operation_of_snapshot(name: str) -> OperationId | None:
    """The operation that took it; None for a name that `snapshot` does not make."""
    found = _SNAPSHOT.match(name)
    return OperationId(found[1]) if found else None


def is_ours(snapshot_name: str) -> bool:
    return operation_of_snapshot(snapshot_name) is not None


def is_our_hold(keep: Keep, before: Iterable[Keep]) -> bool:
    """By its tag. Where ZFS tells no tag, of a snapshot of ours the first: it is what a send is held by."""
    if keep.clone or keep.tag:
        return keep.tag == HOLD_TAG
    return is_ours(keep.snapshot) and keep not in before


def container(slot: SlotRef, operation_id: OperationId) -> str:
    return f"{slot.service.namespace}.{slot.service.service}.{slot.slot}.{operation_id}"


def slot_and_operation(container: str) -> tuple[SlotRef, OperationId]:
    """From a name that `container` made."""
    namespace, service, slot, operation_id = container.split(".")
    return SlotRef(ServiceRef(Namespace(namespace), ServiceName(service)), SlotName(slot)), OperationId(operation_id)


def keeper(image_id: str, operation_id: OperationId) -> str:
    """Of the container that keeps an image in use while an operation may have to be undone."""
    return f"ployz-keep.{operation_id}.{image_id.rpartition(':')[2][:12]}"


def labels(slot: SlotRef, operation_id: OperationId, template_hash: str) -> dict[str, str]:
    return {
        **service_labels(slot.service),
        LABEL_SLOT: slot.slot,
        LABEL_OPERATION: operation_id,
        LABEL_TEMPLATE: template_hash,
    }


def slot_of(labels: Mapping[str, str]) -> SlotRef:
    """From the labels of a container of ours."""
    service = ServiceRef(Namespace(labels[LABEL_NAMESPACE]), ServiceName(labels[LABEL_SERVICE]))
    return SlotRef(service, SlotName(labels[LABEL_SLOT]))


def service_labels(service: ServiceRef) -> dict[str, str]:
    return {LABEL_NAMESPACE: service.namespace, LABEL_SERVICE: service.service}


def replica(index: int) -> SlotName:
    """The slot of replica `index`, counted from 1."""
    return SlotName(f"slot-{index}")


def replica_index(slot: SlotName) -> int | None:
    """None: it is no replica's."""
    number = slot.removeprefix("slot-")
    return int(number) if number.isdecimal() and slot == replica(int(number)) else None


def global_slot(machine: MachineId) -> SlotName:
    return SlotName(machine)


# Keys under which steps stand in the log, unique together with the operation id.


def step(action: str, subject: object, round_number: int | None = None, attempt: int = 1) -> str:
    """`send:production/pgdata:3`, and for the second attempt at that `send:production/pgdata:3/2`."""
    name = f"{action}:{subject}" if round_number is None else f"{action}:{subject}:{round_number}"
    return name if attempt == 1 else f"{name}/{attempt}"
