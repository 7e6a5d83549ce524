"""A cluster of three machines, one of which runs a committed postgres with its volume, and what machines report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define, field

from ployz.errors import Code
from ployz.events.types import (
    ClusterFounded,
    DeployCommitted,
    Fact,
    Lifecycle,
    MachineJoined,
    MachineLifecycleChanged,
    MachineRemoved,
    OperationAborted,
    OperationKind,
    OperationStarted,
    RoundEvidence,
    SlotPlacement,
    VolumePlacement,
)
from ployz.ids import ClusterName, MachineId, Namespace, OperationId, ServiceRef, VolumeRef
from ployz.manifest import Manifest, parse
from ployz.plan import committed, names
from ployz.plan.assign import assign
from ployz.plan.deploy import away_of, questions, resolve
from ployz.plan.model import Change, Plan, SlotPlan
from ployz.plan.reports import (
    HolderReport,
    ImageReport,
    MachineReport,
    Reports,
    SnapshotReport,
    Unanswered,
    VolumeReport,
)
from ployz.projections.view import ClusterView

A, B, C = MachineId("machine-a"), MachineId("machine-b"), MachineId("machine-c")
GIB = 1 << 30
PRODUCTION = Namespace("production")
DB = ServiceRef.parse("production/db")
PGDATA = VolumeRef.parse("production/pgdata")
POSTGRES_ID = "sha256:" + "5" * 64
WEB_ID = "sha256:" + "e" * 64
IMAGE_IDS = {"postgres:17": POSTGRES_ID, "web:1": WEB_ID}

POSTGRES = """
namespace = "production"
[[volumes]]
name = "pgdata"
quota = "20G"
mode = "0700"
owner = "999:999"
[[services]]
name = "db"
on = ["machine-a", "machine-b"]
service_ports = [{ name = "pg", container_port = 5432 }]
publish = [{ service_port = "pg", host_port = 5432 }]
[services.template]
image = "postgres:17"
env = { POSTGRES_DB = "app" }
mounts = [{ source = { volume = "pgdata" }, target = "/data" }]
"""

MOVE_DB = """
[intent]
volumes = [{ volume = "pgdata", move = { from_machine = "machine-a", to_machine = "machine-b" } }]
services = [{ service = "db", move = { to_machine = "machine-b" } }]
"""

WEB = """
[[services]]
name = "web"
[services.template]
image = "web:1"
"""


def operation(number: int) -> OperationId:
    return OperationId.make(1_700_000_000_000 + number, b"\0" * 6)


@define
class World:
    """The facts of a small cluster, and deploys that are committed as they were planned."""

    view: ClusterView = field(factory=ClusterView)
    operations: int = 0

    def fact(self, fact: Fact) -> None:
        self.view.apply(fact, self.view.position + 1, self.view.position + 1)

    def join(self, *machines: MachineId) -> None:
        for machine in machines:
            number = len(self.view.machines.members) + 1
            ipv6, ipv4 = f"fd00:1::{number:x}", f"10.211.0.{number}"
            endpoint = f"192.0.2.{number}:51820"
            self.fact(MachineJoined(machine, number, ipv6, ipv4, endpoint, f"key-{number}", Lifecycle.ACTIVE))

    def set_lifecycle(self, machine: MachineId, lifecycle: Lifecycle) -> None:
        self.fact(MachineLifecycleChanged(machine, lifecycle))

    def lose(self, machine: MachineId) -> None:
        self.fact(MachineRemoved(machine))

    def start(self, namespace: Namespace = PRODUCTION) -> OperationId:
        self.operations += 1
        operation_id = operation(self.operations)
        self.fact(OperationStarted(operation_id, OperationKind.DEPLOY, namespace, A, (A, B), 1, "hash"))
        return operation_id

    def abort(self, operation_id: OperationId, namespace: Namespace = PRODUCTION) -> None:
        self.fact(OperationAborted(operation_id, namespace, A, "for a test"))

    def commit(self, text: str | Manifest, coordinator: MachineId = A) -> Plan:
        """Plans, and commits what was planned."""
        plan = planned(self.view, text, coordinator=coordinator)
        self.commit_plan(plan)
        return plan

    def commit_plan(self, plan: Plan) -> None:
        assert plan.blockers == ()
        operation_id = self.start(plan.namespace)
        evidence = [
            RoundEvidence(volume.volume, number, None, names.snapshot(operation_id, number), number, 1, 1)
            for volume in plan.moved_volumes
            for number in (1, 2)
        ]
        self.fact(
            DeployCommitted(
                operation_id=operation_id,
                kind=plan.kind,
                namespace=plan.namespace,
                manifest=plan.manifest,
                slots=tuple(_placed(slot, operation_id) for slot in plan.slots if slot.change is not Change.REMOVE),
                volumes=tuple(VolumePlacement(each.volume, each.machine, each.epoch) for each in plan.volumes),
                evidence=tuple(evidence),
            )
        )


def _placed(slot: SlotPlan, operation_id: OperationId) -> SlotPlacement:
    if slot.image is None:
        assert slot.previous is not None
        return slot.previous
    return SlotPlacement(
        service=slot.service,
        slot=slot.slot,
        machine=slot.machine,
        ipv6=slot.ipv6,
        ipv4=slot.ipv4,
        image_id=slot.image.image_id,
        template_hash=slot.template_hash,
        operation_id=operation_id,
    )


def cluster(*machines: MachineId) -> World:
    """Of these, or of machine-a, -b and -c; nothing is deployed."""
    world = World()
    world.fact(ClusterFounded(ClusterName("home"), A, "fd00:1::/48", "10.211.0.0/16", "10.210.0.0/16"))
    world.join(*(machines or (A, B, C)))
    return world


def postgres() -> World:
    """`production/db` runs on machine-a, with its volume at epoch 1."""
    world = cluster()
    world.commit(POSTGRES)
    return world


# ---------------------------------------------------------------- what machines say


def report(machine: MachineId, *volumes: VolumeReport, images: Mapping[str, str] = IMAGE_IDS) -> MachineReport:
    """With 100 GiB, 80 of them free, and these images."""
    return MachineReport(
        machine=machine,
        position=1,
        pool_size_bytes=100 * GIB,
        pool_free_bytes=80 * GIB,
        pool_health="ONLINE",
        volumes=volumes,
        images=tuple(ImageReport(name, image_id, 400 << 20) for name, image_id in images.items()),
    )


def dataset(
    volume: VolumeRef = PGDATA,
    *,
    epoch: int = 1,
    guids: Sequence[int] = (),
    strangers: Sequence[HolderReport] = (),
    quota_bytes: int = 20 * GIB,
) -> VolumeReport:
    """2 GiB of data; snapshots with these guids, oldest first."""
    return VolumeReport(
        volume=volume,
        epoch=epoch,
        referenced_bytes=2 * GIB,
        quota_bytes=quota_bytes,
        snapshots=tuple(SnapshotReport(f"ployz-{operation(guid)}-1", guid) for guid in guids),
        strangers=tuple(strangers),
    )


def healthy(view: ClusterView, manifest: Manifest) -> dict[MachineId, MachineReport | Unanswered]:
    """Every machine that is asked answers, and has the datasets that the facts say it owns."""
    asked = questions(manifest, assign(manifest, view, A), A)
    return {
        machine: report(
            machine,
            *(
                dataset(each.volume, epoch=each.epoch, quota_bytes=(declared and declared.quota_bytes) or 0)
                for each in view.placement.volumes_on(machine)
                for declared in [committed.volume(view, each.volume)]
            ),
        )
        for machine in asked
    }


def planned(
    view: ClusterView,
    text: str | Manifest,
    reports: Reports | None = None,
    *,
    coordinator: MachineId = A,
    estimates: Mapping[VolumeRef, int] | None = None,
) -> Plan:
    """`reports`: instead of what healthy machines say."""
    manifest = parse(text) if isinstance(text, str) else text
    said = {**healthy(view, manifest), **(reports or {})}
    kind = OperationKind.MIGRATE if manifest.intent.services else OperationKind.DEPLOY
    assignment = assign(manifest, view, coordinator, away_of(reports or {}))
    asked = questions(manifest, assignment, coordinator)
    answers = {machine: said[machine] for machine in asked if machine in said}
    return resolve(kind, manifest, assignment, view, answers, estimates or {}, coordinator)


def changes(plan: Plan) -> dict[str, tuple[Change, MachineId]]:
    """What happens to each slot and volume, and where it is then."""
    slots = {f"{each.service}/{each.slot}": (each.change, each.machine) for each in plan.slots}
    return slots | {str(each.volume.volume): (each.change, each.machine) for each in plan.volumes}


def codes(plan: Plan) -> list[Code]:
    return [blocker.code for blocker in plan.blockers]


def service(name: str, *lines: str, image: str = "web:1", mounts: Sequence[str] = (), readonly: bool = False) -> str:
    """A service in TOML that mounts these volumes."""
    flag = ", readonly = true" if readonly else ""
    sources = ", ".join(f'{{ source = {{ volume = "{each}" }}, target = "/{each}"{flag} }}' for each in mounts)
    template = ["[services.template]", f'image = "{image}"', f"mounts = [{sources}]"]
    return "\n".join(["", "[[services]]", f'name = "{name}"', *lines, *template, ""])


def volumes(*names_of: str) -> str:
    return "".join(f'\n[[volumes]]\nname = "{each}"\n' for each in names_of)


def intent(*moved: str, of: Mapping[str, tuple[MachineId, MachineId]] | None = None, to: MachineId = B) -> str:
    """Moves these services to `to`; `of`: volumes, each from one machine to another."""
    services = ", ".join(f'{{ service = "{each}", move = {{ to_machine = "{to}" }} }}' for each in moved)
    going = ", ".join(
        f'{{ volume = "{name}", move = {{ from_machine = "{source}", to_machine = "{target}" }} }}'
        for name, (source, target) in (of or {}).items()
    )
    return f"\n[intent]\nvolumes = [{going}]\nservices = [{services}]\n"
