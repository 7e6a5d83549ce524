"""The containers of one namespace on one machine: by the facts, by Docker, and the effects on them, each recorded.

Nothing here decides. Whether something may start is the gate's word; what should run is plan/settle's.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from functools import partial

from ployz.actors.core import Home
from ployz.actors.messages.storage import MountVolume, UnmountVolume
from ployz.actors.parts import Parts
from ployz.actors.restarting import Restarts, Start
from ployz.actors.together import together
from ployz.config import EFFECT_TIMEOUT_S
from ployz.errors import Code, Failed
from ployz.events.types import (
    ContainerCreated,
    ContainerExited,
    ContainerFinished,
    ContainerReady,
    ContainerRemoved,
    ContainerRestarted,
    ContainerStarted,
    ContainerStopped,
    ContainerUnready,
    SlotPlacement,
)
from ployz.host.ports import AnonymousVolume, Container, ContainerSpec, SecretFile
from ployz.ids import (
    Namespace,
    OperationId,
    SecretName,
    SecretRef,
    ServiceName,
    ServiceRef,
    SlotName,
    SlotRef,
    VolumeRef,
)
from ployz.manifest import Manifest
from ployz.plan import committed, names
from ployz.plan.addresses import Subnets
from ployz.plan.container import container_spec, volumes_of
from ployz.plan.restart import should_restart
from ployz.plan.secrets import opened
from ployz.plan.uncovered import may_go
from ployz.projections.local import Claim
from ployz.projections.operations import Status

Happened = (
    ContainerExited
    | ContainerFinished
    | ContainerReady
    | ContainerUnready
    | ContainerStarted
    | ContainerStopped
    | ContainerRestarted
)


_log = logging.getLogger("ployz.workloads")


class Containers:
    def __init__(self, parts: Parts, home: Home, namespace: Namespace, restart: Start) -> None:
        self.namespace = namespace
        self.restarts = Restarts(parts, restart)
        self._parts = parts
        self._home = home

    # ------------------------------------------------------------ by the facts

    def placed(self) -> list[tuple[SlotRef, SlotPlacement]]:
        """The slots that the facts place here; none on a machine that was removed, whatever they still say."""
        if self._parts.is_removed:
            return []
        state = self._parts.view.placement.namespace(self.namespace)
        return [
            (self.slot(each.service, each.slot), each)
            for _, each in (sorted(state.slots.items()) if state else ())
            if each.machine == self._parts.me
        ]

    def placement(self, slot: SlotRef) -> SlotPlacement | None:
        return next((placement for ref, placement in self.placed() if ref == slot), None)

    def is_elsewhere(self, slot: SlotRef) -> bool:
        """By the facts, another machine has it: what runs of it here is a candidate, on a lease."""
        state = self._parts.view.placement.namespace(self.namespace)
        placement = state.slots.get((slot.service.service, slot.slot)) if state else None
        return placement is not None and placement.machine != self._parts.me

    def is_volume_elsewhere(self, volume: VolumeRef) -> bool:
        """By the facts, another machine owns it: what is here of it is that machine's to give."""
        owned = self._parts.view.placement.volumes.get(volume)
        return owned is not None and owned.owner != self._parts.me

    def slot(self, service: ServiceName, slot: SlotName) -> SlotRef:
        return SlotRef(ServiceRef(self.namespace, service), slot)

    # ------------------------------------------------------------ by Docker

    async def found(self, service: ServiceRef | None = None) -> list[tuple[SlotRef, Container]]:
        """Of one service, or of the whole namespace; running or not."""
        labels = names.service_labels(service) if service else {names.LABEL_NAMESPACE: self.namespace}
        return [
            (self.slot(ServiceName(each.labels[names.LABEL_SERVICE]), SlotName(each.labels[names.LABEL_SLOT])), each)
            for each in await self._parts.docker.containers(labels)
        ]

    # ------------------------------------------------------------ effects

    def spec(self, manifest: Manifest, placement: SlotPlacement) -> ContainerSpec:
        cluster = self._parts.view.machines.cluster
        if cluster is None:
            raise AssertionError("a container is made in a cluster")
        _, nameserver = Subnets.of_cluster(cluster).gateway
        return container_spec(
            manifest,
            placement,
            mountpoint=self._parts.mountpoint,
            secrets_folder=str(self._parts.config.secrets_dir),
            nameserver=nameserver,
        )

    async def create(self, manifest: Manifest, slot: SlotRef, spec: ContainerSpec) -> ContainerCreated:
        for volume in volumes_of(manifest, slot.service.service):
            # Docker refuses a missing source; what is mounted there before the start is the dataset.
            await self._parts.folders.ensure(self._parts.mountpoint(volume))
        await self._write_secrets(manifest, slot, spec.name)
        await self._parts.docker.create(spec)
        return ContainerCreated(slot, spec.name)

    async def start(self, slot: SlotRef, name: str, manifest: Manifest | None = None) -> ContainerStarted:
        """`manifest`: of a candidate; else what is committed."""
        manifest = manifest or committed.of_namespace(self._parts.view, self.namespace)
        if manifest is not None:
            await self._write_secrets(manifest, slot, name)  # again: memory may have been lost since it was made
        return await self._start(slot, name)

    async def _start(self, slot: SlotRef, name: str) -> ContainerStarted:
        self.restarts.starting(name)
        await self._parts.docker.start(name)
        self._parts.bridge_changed()
        return ContainerStarted(slot, name)

    async def run(self, slot: SlotRef, placement: SlotPlacement) -> None:
        """Mounts what it needs, makes what is missing of it, and starts it. A removal that a crash broke off has left
        a container without its network.
        """
        manifest = committed.of_namespace(self._parts.view, self.namespace)
        if manifest is None:
            return
        spec = self.spec(manifest, placement)
        await self.create(manifest, slot, spec)
        if self._parts.local.finished(spec.name) is not None:
            return
        await self.mount_all(slot.service, placement.operation_id)
        await self.record(slot, await self._start(slot, spec.name), placement.operation_id)

    async def make_whole(self, slot: SlotRef, placement: SlotPlacement) -> None:
        """Of a container that is there: what holds its network may have been taken away."""
        manifest = committed.of_namespace(self._parts.view, self.namespace)
        if manifest is not None:
            await self.create(manifest, slot, self.spec(manifest, placement))

    async def stop(self, slot: SlotRef, name: str, operation_id: OperationId) -> None:
        declared = committed.service(self._parts.view, slot.service)
        self.restarts.expect_exit(name)
        await self._parts.docker.stop(name, grace_s=declared.template.stop_grace_period_s if declared else 0.0)
        self._parts.bridge_changed()
        await self.record(slot, ContainerStopped(slot, name), operation_id)

    async def remove(self, slot: SlotRef, name: str, *, has_volumes: bool = True) -> None:
        """`has_volumes`: it may have anonymous ones, and is asked."""
        self.restarts.expect_exit(name)
        with_volumes = not has_volumes or await self._volumes_may_go(slot, name)
        await self._parts.docker.remove(name, with_volumes=with_volumes)
        self._parts.bridge_changed()
        self.restarts.forget(name)
        await self._parts.guards.release(name)
        await self._remove_secrets(name)
        await record_removed(self._parts, slot, name)

    async def _volumes_may_go(self, slot: SlotRef, name: str) -> bool:
        """Docker's own, for folders that no mount covers. What a candidate that came to nothing has written goes."""
        found = await self._parts.docker.inspect(name)
        if found is None or not found.volumes:
            return True
        operation_id = OperationId(found.labels[names.LABEL_OPERATION])
        if self._parts.view.operations.status(operation_id) is not Status.COMMITTED:
            return True
        for each in await self._kept_volumes(slot, found):
            said = "%s is removed; what it wrote to %s, which no mount covers, stays in %s"
            _log.warning(said, name, each.path, each.folder)
            return False
        return True

    async def _kept_volumes(self, slot: SlotRef, found: Container) -> list[AnonymousVolume]:
        """Where it has written what may not be lost."""
        declared = committed.service(self._parts.view, slot.service)
        template = declared.template if declared else None
        written = {
            each: await self._parts.folders.written_since(each.folder, found.created_ms) for each in found.volumes
        }
        return [each for each in found.volumes if not may_go(template, each.path, written=written[each])]

    async def clear_network(self, slot: SlotRef, name: str) -> None:
        """Of a container that is stopped and is not to keep it: it goes, unless it has written what no other one in its
        place would have.
        """
        found = await self._parts.docker.inspect(name)
        if found is not None and await self._kept_volumes(slot, found):
            await self._parts.docker.drop_network(name)
            self._parts.bridge_changed()
        else:
            await self.remove(slot, name)

    def has_ended(self, slot: SlotRef, container: Container) -> bool:
        """By itself, for good: nothing of it writes, and starting it again would be doing its job twice."""
        if container.running or self._parts.local.stopped_by_us(container.name):
            return False
        return self._is_over(slot, container.name, container.exit_code)

    async def note_ended(self) -> None:
        """What has ended for good while no ployzd was there to hear of it. Once it is cleaned away nobody knows it."""
        placed = {names.container(slot, each.operation_id) for slot, each in self.placed()}
        for slot, each in await self.found():
            is_news = each.exit_code is not None and self._parts.local.ended_with(each.name) is None
            if each.name in placed and is_news and self.has_ended(slot, each):
                operation_id = OperationId(each.labels[names.LABEL_OPERATION])
                await self.record(slot, ContainerExited(slot, each.name, each.exit_code or 0), operation_id)

    def has_ended_unseen(self, slot: SlotRef, name: str) -> bool:
        """As `has_ended`, of a container that is not there any more."""
        return not self._parts.local.stopped_by_us(name) and self._is_over(slot, name, None)

    def _is_over(self, slot: SlotRef, name: str, seen: int | None) -> bool:
        exit_code = self._parts.local.ended_with(name) if seen is None else seen
        declared = committed.service(self._parts.view, slot.service)
        return exit_code is not None and declared is not None and not should_restart(declared.restart, exit_code)

    # ------------------------------------------------------------ their images

    async def keep_images(self, slots: Collection[SlotRef], operation_id: OperationId) -> None:
        """Those that the slots run from now."""
        found = [each for slot, each in await self.found() if slot in slots]
        for image_id in sorted({each.image_id for each in found}):
            name = names.keeper(image_id, operation_id)
            await self._parts.docker.keep_image(image_id, name, f"{self.namespace} {operation_id}")

    async def remove_keepers(self) -> None:
        """Of operations that are decided: nothing has to be undone any more."""
        for name, keeps_for in (await self._parts.docker.census()).keepers.items():
            namespace, _, operation_id = keeps_for.partition(" ")
            if namespace == self.namespace:
                status = self._parts.view.operations.status(OperationId(operation_id))
                if status is not Status.UNDECIDED:
                    await self._parts.docker.remove(name)

    # ------------------------------------------------------------ their secrets

    async def _write_secrets(self, manifest: Manifest, slot: SlotRef, name: str) -> None:
        service = manifest.service(slot.service.service)
        if service is None or not service.template.secrets:
            return
        files = [
            SecretFile(each.secret, self._opened(each.secret), each.mode, (each.owner.uid, each.owner.gid))
            for each in service.template.secrets
        ]
        await self._parts.secret_files.write(name, files)

    def _opened(self, name: SecretName) -> bytes:
        ref = SecretRef(self.namespace, name)
        secret = self._parts.view.secrets.get(ref)
        if secret is None:
            raise Failed(Code.SECRET_NOT_SET, f"secret {ref} is not set", f"Set it: ployzctl secret set {ref}")
        return opened(secret, self._parts.me, self._parts.sealing_key)

    async def _remove_secrets(self, name: str) -> None:
        if name in self._parts.secret_files.containers():
            await self._parts.secret_files.remove(name)

    async def remove_left_secrets(self) -> None:
        """Of containers that are not there: a crash came between the two."""
        left = [each for each in self._parts.secret_files.containers() if each.startswith(f"{self.namespace}.")]
        there = {each.name for _, each in await self.found()} if left else set()
        for name in left:
            if name not in there:
                await self._remove_secrets(name)

    # ------------------------------------------------------------ their volumes

    async def mount_all(self, service: ServiceRef, operation_id: OperationId) -> None:
        manifest = committed.of_namespace(self._parts.view, self.namespace)
        if manifest is not None:
            volumes = volumes_of(manifest, service.service)
            await together(*(partial(self.mount, volume, operation_id) for volume in volumes))

    async def mount(self, volume: VolumeRef, operation_id: OperationId) -> None:
        await self._home.ref(f"volume/{volume}").ask(MountVolume(operation_id), timeout_s=EFFECT_TIMEOUT_S)

    async def unmount(self, volume: VolumeRef, operation_id: OperationId) -> None:
        await self._home.ref(f"volume/{volume}").ask(UnmountVolume(operation_id), timeout_s=EFFECT_TIMEOUT_S)

    # ------------------------------------------------------------ the log

    async def record(self, slot: SlotRef, event: Happened, operation_id: OperationId) -> None:
        await self._parts.journal.record(self.stream(slot.service.service), event, operation_id=operation_id)

    def stream(self, service: ServiceName) -> str:
        return f"service/{self.namespace}/{service}"


async def record_removed(parts: Parts, slot: SlotRef, name: str) -> None:
    held = _addresses_held(parts, slot)
    await parts.journal.record(f"service/{slot.service}", ContainerRemoved(slot, name))
    if _addresses_held(parts, slot) != held:
        parts.facts_changed()  # the overlay kept a candidate closed, or hidden, for as long as it was there


def _addresses_held(parts: Parts, slot: SlotRef) -> tuple[Claim | None, Claim | None]:
    return parts.local.claims.get(slot), parts.local.reserved.get(slot)
