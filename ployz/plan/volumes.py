"""What happens to each volume: made, moved with or without a base, given another quota, or left as it is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from attrs import evolve, frozen

from ployz.errors import Code, Problem
from ployz.events.types import VolumePlacement
from ployz.ids import MachineId, VolumeRef
from ployz.manifest import Manifest
from ployz.manifest.model import Owner, Volume
from ployz.plan import precopy, properties
from ployz.plan.assign import Assignment, WantedVolume
from ployz.plan.blockers import Blockers
from ployz.plan.model import Change, VolumePlan
from ployz.plan.reports import Answers, KeepReport, MachineReport, SnapshotReport, VolumeReport, common_base
from ployz.plan.space import usable_bytes


@frozen
class VolumePlanner:
    manifest: Manifest
    assignment: Assignment
    answers: Answers
    estimates: Mapping[VolumeRef, int]
    """Bytes of the first send of each move."""
    blockers: Blockers

    def plan(self) -> Iterator[VolumePlan]:
        declared = {volume.name: volume for volume in self.manifest.volumes}
        for wanted in self.assignment.volumes:
            yield self._volume(wanted, declared[wanted.volume.volume])

    def _volume(self, wanted: WantedVolume, declared: Volume) -> VolumePlan:
        plan = VolumePlan(
            change=Change.CREATE,
            volume=wanted.volume,
            machine=wanted.machine,
            previous=wanted.previous,
            quota_bytes=declared.quota_bytes or 0,
            mode="" if declared.mode is None else f"{declared.mode:04o}",
            owner=_owner(declared.owner),
            settings=properties.declared(declared),
        )
        if wanted.previous is None:
            self._check_nothing_in_the_way(wanted)
            return plan
        found = self.answers.volume(wanted.previous.owner, wanted.volume)
        if found is None:
            self._check_lost(wanted.volume, wanted.previous.owner)
        if wanted.previous.owner != wanted.machine:
            plan = evolve(
                plan,
                change=Change.MOVE,
                verify=self._is_verified(declared),
                bandwidth_bytes_s=self.manifest.intent.bandwidth_bytes_s,
            )
            return self._moved(plan, wanted.previous, found)
        requota = found is not None and found.quota_bytes != plan.quota_bytes
        lacking = properties.lacking(found.local, plan.settings) if found is not None else ()
        change = Change.REPLACE if requota or lacking else Change.UNCHANGED
        return evolve(plan, change=change, settings=lacking, requota=requota)

    def _is_verified(self, declared: Volume) -> bool:
        moves = [move.verify for move in self.manifest.intent.volumes if move.volume == declared.name]
        return "digest" in (declared.verify, *moves)

    def _moved(self, plan: VolumePlan, previous: VolumePlacement, found: VolumeReport | None) -> VolumePlan:
        copy = self.answers.volume(plan.machine, plan.volume)
        self._check_is_it(previous, found)
        self._check_not_busy(previous.owner, found)
        self._check_not_busy(plan.machine, copy)
        self._check_childless(previous.owner, found, "would stay behind")
        if copy is not None and not 0 < copy.epoch < previous.epoch:
            self.blockers.add(
                Code.DATASET_IN_THE_WAY,
                f"{plan.machine} has a dataset for {plan.volume}, and nothing proves that it is an older copy: its "
                f"epoch is {copy.epoch}, the owner's {previous.epoch}",
                look_at(plan.volume),
            )
        base = base_of_move(self.answers, plan.volume, previous.owner, plan.machine)
        if base is None:
            self._check_childless(plan.machine, copy, "are in the way of replacing the older copy above them")
        for problem in in_the_way_of_receiving(plan.machine, copy, base):
            self.blockers.add(problem.code, problem.text, problem.advice)
        size_bytes = found.referenced_bytes if found else 0
        first_send_bytes = self.estimates.get(plan.volume, found.uncompressed_bytes if found else 0)
        target = self.answers.machine(plan.machine)
        return evolve(
            plan,
            size_bytes=size_bytes,
            base=base.name if base else None,
            first_send_bytes=first_send_bytes,
            expected_rounds=precopy.expected_rounds(first_send_bytes),
            target_free_bytes=usable_bytes(target) if target else 0,
            replaces_stale_copy=copy is not None and base is None,
            settings=properties.travelling(found.local, plan.settings) if found else plan.settings,
            left_behind=properties.staying(found.local) if found else (),
        )

    def _check_is_it(self, previous: VolumePlacement, found: VolumeReport | None) -> None:
        """Else a move would make the volume of whatever has its name there."""
        if found is not None and found.epoch != previous.epoch:
            self.blockers.add(
                Code.UNKNOWN_VOLUME,
                f"{previous.owner} owns volume {previous.volume} at epoch {previous.epoch}, and its dataset of that "
                f"name has epoch {found.epoch}: nothing proves that it is the volume",
                f"If the last move has only just ended, {previous.owner} may still be taking it over: try again. Else "
                f"look where the dataset comes from; the log of ployzd on {previous.owner} says what it lacks.",
            )

    def _check_childless(self, machine: MachineId, found: VolumeReport | None, what: str) -> None:
        if found is not None and found.children:
            self.blockers.add(
                Code.DATASET_IN_THE_WAY,
                f"volume {found.volume} has datasets below it on {machine}, which {what}: {', '.join(found.children)}",
                put_elsewhere(found.children[0]),
            )

    def _check_not_busy(self, machine: MachineId, found: VolumeReport | None) -> None:
        for stranger in found.strangers if found else ():
            who = f"process {stranger.pid} ({stranger.command})"
            if stranger.slot is None:
                who, advice = f"{who}, which is not its service", "End that process, or let it leave the folder."
            else:  # ended, it would be started again
                who = f"{who} of {stranger.slot}, which {stranger.how}"
                advice = f"Let {stranger.slot.service} bind less of the host, or deploy without it meanwhile."
            self.blockers.add(
                Code.DATASET_BUSY, f"volume {found.volume if found else ''} is used on {machine} by {who}", advice
            )

    def _check_nothing_in_the_way(self, wanted: WantedVolume) -> None:
        if self.answers.volume(wanted.machine, wanted.volume) is not None:
            self.blockers.add(
                Code.DATASET_IN_THE_WAY,
                f"{wanted.machine} has a dataset for {wanted.volume}, which no fact knows",
                look_at(wanted.volume),
            )

    def _check_lost(self, volume: VolumeRef, owner: MachineId) -> None:
        if self.answers.machine(owner) is not None:
            self.blockers.add(
                Code.OWNED_ELSEWHERE,
                f"volume {volume} is recorded as owned by {owner}, which has no dataset for it",
                f"Look whether the pool of {owner} is imported.",
            )


def in_the_way_of_receiving(
    machine: MachineId, copy: VolumeReport | None, base: SnapshotReport | None
) -> Iterator[Problem]:
    """The copy goes back to the base first, or goes altogether: holds and clones of what is newer prevent that."""
    snapshots = copy.snapshots if copy is not None else ()
    guids = [each.guid for each in snapshots]
    kept_to = guids.index(base.guid) + 1 if base is not None and base.guid in guids else 0
    doomed = {each.name for each in snapshots[kept_to:]}
    for keep in copy.keeps if copy is not None else ():
        if keep.snapshot in doomed:
            yield _kept(machine, keep)


def _kept(machine: MachineId, keep: KeepReport) -> Problem:
    return Problem(
        Code.DATASET_BUSY, f"on {machine} {keep.why}, and that must go first", f"If nobody needs it: {keep.remedy}"
    )


def in_the_way_of_removing(machine: MachineId, found: VolumeReport) -> Iterator[Problem]:
    for keep in found.keeps:
        yield _kept(machine, keep)
    if found.children:
        text = f"volume {found.volume} has datasets below it on {machine}: {', '.join(found.children)}"
        yield Problem(Code.DATASET_IN_THE_WAY, text, put_elsewhere(found.children[0]))


def in_the_way_of_dropping(
    owned: VolumePlacement,
    machine: MachineId,
    reports: Mapping[MachineId, MachineReport | None],
    members: Collection[MachineId],
) -> Iterator[Problem]:
    """Of the copy on `machine`: one good one must stay, and be seen now."""
    volume = owned.volume
    if machine not in members:
        yield Problem(
            Code.UNKNOWN_MACHINE, f"there is no machine {machine}", f"There are: {', '.join(sorted(members))}."
        )
        return
    if machine == owned.owner:
        yield Problem(
            Code.VOLUME_IN_USE,
            f"{machine} owns {volume}: what is there is the volume, and no copy of it",
            f"Move it first, or destroy it everywhere: ployzctl volume rm {volume}",
        )
        return
    for each in (machine, owned.owner):
        if reports[each] is None:
            yield Problem(Code.MACHINE_UNREACHABLE, f"{each} does not answer", "Try again when it does.")
            return
    at_owner, there = (report.volume(volume) if (report := reports[each]) else None for each in (owned.owner, machine))
    if at_owner is None or at_owner.epoch != owned.epoch:
        text = f"{owned.owner} owns {volume}, and does not have it: the copy on {machine} may be all that there is"
        yield Problem(Code.UNKNOWN_VOLUME, text, f"ployzctl volume show {volume}")
    elif there is None:
        yield Problem(Code.UNKNOWN_VOLUME, f"{machine} has no copy of {volume}", f"ployzctl volume show {volume}")
    else:
        yield from in_the_way_of_removing(machine, there)


def look_at(volume: VolumeRef) -> str:
    return (
        f"Look at it there (zfs list -t all | grep {volume}), and put it elsewhere (zfs rename): nothing proves that "
        "its data is anywhere else."
    )


def put_elsewhere(dataset: str) -> str:
    """What to do with one that somebody made below a volume. Its data may exist nowhere else."""
    return f"Copy what is in it into the volume, or put it elsewhere, with all that it has: {rename(dataset)}"


def rename(dataset: str) -> str:
    return f"zfs rename {dataset} {dataset.partition('/')[0]}/{dataset.rpartition('/')[2]}"


def base_of_move(answers: Answers, volume: VolumeRef, source: MachineId, target: MachineId) -> SnapshotReport | None:
    """What the first send begins from. None: in full."""
    there, here = answers.volume(source, volume), answers.volume(target, volume)
    return common_base(there.snapshots, here.snapshots) if there and here else None


def _owner(owner: Owner | None) -> str:
    return "" if owner is None else f"{owner.uid}:{owner.gid}"
