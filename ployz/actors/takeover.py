"""The takeover actor: gives volumes whose owner is off to another machine, by an operator's word, in one fact.

The unsafe way, and the only one without the owner's consent. What makes it safe is outside of ployz: that the owner is
off, and stays so until it can reach the cluster.
"""

from __future__ import annotations

from functools import partial

from ployz.actors.core import Actor, handles
from ployz.actors.dataset import epoch_of
from ployz.actors.messages.machine import Ping
from ployz.actors.messages.takeover import (
    AskOwners,
    Copies,
    Copy,
    CopySnapshot,
    LookAtCopies,
    Owners,
    PreviewTakeover,
    TakenOver,
    TakenVolume,
    TakeoverPlan,
    TakeOverVolume,
)
from ployz.actors.messages.workload import Settle
from ployz.actors.parts import Parts
from ployz.actors.sharing import share
from ployz.actors.together import together
from ployz.actors.undecided import Undecided
from ployz.actors.work import catch_up
from ployz.config import EFFECT_TIMEOUT_S, PROBE_TIMEOUT_S
from ployz.errors import CleanupPending, Code, Failed, PloyzError, Refused, Unreachable
from ployz.events.types import OperationAborted, SnapshotTaken, VolumeTakenOver
from ployz.facts.conflicts import accepted
from ployz.facts.decision import abort_or_read
from ployz.facts.keys import LockHolder, Verdict, VolumeOwnership
from ployz.facts.lock import hold
from ployz.facts.transactions import take_over
from ployz.ids import MachineId, Namespace, SlotRef, VolumeRef
from ployz.plan import committed, names
from ployz.plan.secrets import lacking
from ployz.plan.takeover import Group, choose, group_of, taken_over
from ployz.wire.message import Peer


class TakeoverActor(Actor):
    """`takeover`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # ------------------------------------------------------------ looking

    @handles(LookAtCopies, concurrent=True)
    async def look(self, message: LookAtCopies) -> Copies:
        found = await together(*(partial(self._copy, volume) for volume in message.volumes))
        images = [image for image in message.images if await self._parts.docker.image(image) is not None]
        return Copies(tuple(each for each in found if each is not None), tuple(images))

    async def _copy(self, volume: VolumeRef) -> Copy | None:
        found = await self._parts.zfs.state(self._parts.dataset(volume))
        if found is None:
            return None
        ours = [each for each in found.snapshots if names.is_ours(each.name)]
        return Copy(
            volume=volume,
            epoch=epoch_of(found),
            snapshots=tuple(CopySnapshot(each.name, each.guid, each.created_s) for each in ours),
        )

    @handles(AskOwners, concurrent=True)
    async def owners(self, message: AskOwners) -> Owners:
        view = self._parts.view
        known = view.placement.volumes
        elsewhere: tuple[SlotRef, ...] = ()
        if isinstance(self.sender, Peer) and view.position > message.position:
            there = {ref for ref, slot in view.placement.slots() if slot.machine == self.sender.machine}
            elsewhere = tuple(each for each in message.slots if each not in there)
        return Owners(tuple(known[volume] for volume in message.volumes if volume in known), elsewhere)

    # ------------------------------------------------------------ planning

    @handles(PreviewTakeover, concurrent=True)
    async def preview(self, message: PreviewTakeover) -> TakeoverPlan:
        await catch_up(self._parts)
        group = group_of(self._parts.view, message.volume, message.to_machine)
        return await self._plan(group, message.volume.namespace, message.to_machine)

    async def _plan(self, group: Group, namespace: Namespace, target: MachineId) -> TakeoverPlan:
        await self._check_off(group.owner)
        asked = LookAtCopies(tuple(each.volume for each in group.volumes), group.images)
        others = [each.machine for each in self._parts.view.machines.in_order() if each.machine != group.owner]
        answers = dict(zip(others, await together(*(partial(self._ask, each, asked) for each in others)), strict=True))
        there = answers.pop(target)
        if there is None:
            raise Refused(Code.MACHINE_UNREACHABLE, f"{target} does not answer", "Nothing is given to it.")
        self._check_images(group, target, there)
        copies = {each.volume: each for each in there.copies}
        self._check_copies(group, target, copies)
        chosen = choose({volume: [each.name for each in copy.snapshots] for volume, copy in copies.items()})
        return TakeoverPlan(
            namespace=namespace,
            from_machine=group.owner,
            to_machine=target,
            volumes=tuple(
                _taken(each.volume, each.epoch + 1, copies[each.volume], chosen[each.volume], answers)
                for each in group.volumes
            ),
            slots=group.refs(group.volumes[0].volume),
            now_ms=self._parts.clock.wall_ms(),
        )

    async def _ask(self, machine: MachineId, asked: LookAtCopies) -> Copies | None:
        try:
            return await self.system.remote(machine, "takeover").ask(asked, timeout_s=PROBE_TIMEOUT_S)
        except Unreachable:
            return None

    async def _check_off(self, owner: MachineId) -> None:
        if self._parts.view.machines.get(owner) is None:
            return
        try:
            await self.system.remote(owner, "machine").ask(Ping(), timeout_s=PROBE_TIMEOUT_S)
        except PloyzError:
            return
        raise Refused(
            Code.OWNER_ANSWERS,
            f"{owner} answers: it is not off",
            "Move the service with `ployzctl migrate apply`, which loses nothing.",
        )

    def _check_images(self, group: Group, target: MachineId, there: Copies) -> None:
        missing = [image for image in group.images if image not in there.images]
        if missing:
            raise Refused(
                Code.IMAGE_MISSING,
                f"{target} does not have the image of what it would start: {', '.join(missing)}",
                "Bring it there first: docker save IMAGE on a machine that has it, docker load on this one.",
            )

    def _check_copies(self, group: Group, target: MachineId, copies: dict[VolumeRef, Copy]) -> None:
        for each in group.volumes:
            copy = copies.get(each.volume)
            if copy is None or not copy.snapshots:
                raise Refused(
                    Code.NO_COPY,
                    f"{target} has no snapshot of {each.volume}: it was never there, or nothing of it is left",
                    f"`ployzctl volume show {each.volume}` lists who has one. Else its data is on {group.owner} alone.",
                )
            if copy.epoch >= each.epoch:
                raise Refused(
                    Code.DATASET_IN_THE_WAY,
                    f"{target} has a dataset of {each.volume} at epoch {copy.epoch}, which is not older than the "
                    f"owner's ({each.epoch})",
                    "Look at it there, and put it elsewhere: zfs rename.",
                )

    # ------------------------------------------------------------ taking over

    @handles(TakeOverVolume, concurrent=True)
    async def take_over(self, message: TakeOverVolume) -> TakenOver:
        namespace = message.volume.namespace
        operation_id = self._parts.new_operation_id()
        holder = LockHolder(
            machine=self._parts.me,
            operation_id=operation_id,
            purpose=f"take over {message.volume} to {message.to_machine}",
            since_ms=self._parts.clock.wall_ms(),
            operator=str(self.sender),
        )
        async with hold(self._parts.facts, self._parts.clock, namespace, holder) as lock:
            await self._end_undecided(namespace)
            group = group_of(self._parts.view, message.volume, message.to_machine)
            plan = await self._plan(group, namespace, message.to_machine)
            snapshots = tuple(each.snapshot for each in plan.volumes)
            if snapshots != message.snapshots:
                raise Refused(
                    Code.PLAN_STALE,
                    f"{message.to_machine} would go on from other snapshots than were shown",
                    "Give the command again, and look at what it says.",
                )
            await self._share_secrets(group, namespace, message.to_machine)
            lock.check()
            taken = taken_over(group, operation_id, self._parts.me, message.to_machine, snapshots)
            position = await self._commit(taken, group, lock.token)
        await self._settled(message.to_machine, namespace, position)
        return TakenOver(operation_id, position, plan)

    async def _share_secrets(self, group: Group, namespace: Namespace, target: MachineId) -> None:
        """Before anything is taken: `Refused` or `Failed` where it could not start what it gets."""
        manifest = committed.of_namespace(self._parts.view, namespace)
        going = {slot.service for slot in group.slots}
        services = [each for each in (manifest.services if manifest else ()) if each.name in going]
        needed, blockers = lacking(target, services, namespace, self._parts.view, self._parts.me)
        for blocker in blockers.all():
            raise Refused(blocker.code, blocker.text, blocker.advice)
        await together(*(partial(share, self.system, each) for each in needed))

    async def _end_undecided(self, namespace: Namespace) -> None:
        """Under the lock nobody carries them out any more. What they left is told apart from what is committed."""
        await catch_up(self._parts)
        for operation in self._parts.view.operations.undecided():
            if operation.namespace == namespace:
                await Undecided(self._parts, self.system).end(operation, f"a takeover of {namespace} by {self.sender}")

    async def _commit(self, taken: VolumeTakenOver, group: Group, lock_token: int) -> int:
        seen = {each.volume: VolumeOwnership(each.owner, each.epoch) for each in group.volumes}
        try:
            outcome = await self._parts.facts.transact(take_over(taken, seen, lock_token))
        except Unreachable:
            aborted = OperationAborted(taken.operation_id, taken.namespace, self._parts.me, "it got no answer")
            decision = await abort_or_read(self._parts.facts, aborted)
            if decision.verdict is Verdict.ABORT:
                raise Failed(Code.DECIDED, "the takeover did not reach the authority: nothing was taken over") from None
        else:
            accepted(outcome)
        await catch_up(self._parts)
        return self._parts.view.operations[taken.operation_id].position

    async def _settled(self, target: MachineId, namespace: Namespace, position: int) -> None:
        workload = self.system.remote(target, f"workload/{namespace}")
        try:
            await workload.ask(Settle(position), timeout_s=EFFECT_TIMEOUT_S)
        except PloyzError as error:
            raise CleanupPending(
                Code.CLEANUP_PENDING,
                f"it is taken over, and {target} has not started it yet: {error.problem.text}",
                f"It goes on by itself: ployzctl service ls, and the log of ployzd on {target}.",
            ) from error


def _taken(volume: VolumeRef, epoch: int, copy: Copy, name: str, others: dict[MachineId, Copies | None]) -> TakenVolume:
    chosen = copy.named(name)
    if chosen is None:
        raise AssertionError(f"{name} was chosen for {volume}, which does not have it")
    newer = [
        machine
        for machine, answer in sorted(others.items())
        for each in (answer.copies if answer else ())
        if each.volume == volume and each.snapshots and each.snapshots[-1].created_s > chosen.created_s
    ]
    return TakenVolume(
        volume=volume,
        epoch=epoch,
        snapshot=SnapshotTaken(volume, chosen.name, chosen.guid),
        taken_ms=chosen.created_s * 1000,
        newer=tuple(newer),
    )
