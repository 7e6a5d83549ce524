"""The volumes that leave one machine, on their way: warm rounds while the service runs, and the last one.

All volumes of a round are snapshotted at one instant and sent side by side. A round counts when the target has compared
its guids.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import anyio
from attrs import define, field

from ployz.actors.core import Home
from ployz.actors.messages.storage import (
    BeginReceive,
    CancelTransfer,
    DigestSnapshot,
    EndReceive,
    ReadProgress,
    ReceiveReady,
    SendDone,
    SendVolume,
    TakeSnapshots,
)
from ployz.actors.quiescing import Quiescing
from ployz.actors.ref import Ref
from ployz.actors.story import Story
from ployz.actors.together import together
from ployz.config import ASK_TIMEOUT_S, EFFECT_TIMEOUT_S, TRANSFER_TIMEOUT_S
from ployz.errors import Code, Failed, PloyzError
from ployz.events.types import RoundEvidence, SnapshotTaken
from ployz.ids import MachineId, OperationId, VolumeRef
from ployz.plan import names
from ployz.plan.model import VolumePlan
from ployz.plan.precopy import Round, worth_another
from ployz.plan.reports import SnapshotReport

PROGRESS_EVERY_S: Final = 0.5


@define
class Transfer:
    home: Home
    story: Story
    operation_id: OperationId
    position: int
    source: MachineId
    volumes: tuple[VolumePlan, ...]
    quiescing: Quiescing
    bases: dict[VolumeRef, tuple[SnapshotReport, ...]]
    """The source's snapshots, oldest first: at first as it reported them, then the last round's alone."""
    evidence: list[RoundEvidence] = field(factory=list, init=False)
    rounds: list[Round] = field(factory=list, init=False)
    _last: dict[VolumeRef, ReceiveReady] = field(factory=dict, init=False)
    _snapshot_s: float | None = field(default=None, init=False)
    """When the last one was taken."""

    # ------------------------------------------------------------ warm

    async def warm(self) -> None:
        """At least one round, and more while they pay."""
        if not self.volumes:
            return
        while worth_another(self.rounds):
            number = len(self.rounds) + 1
            ready = await self._begin(number)
            volumes = tuple(each.volume for each in self.volumes)
            async with self.quiescing.around(number):
                taken = await self.home.remote(self.source, "storage").ask(
                    TakeSnapshots(self.operation_id, self.position, number, volumes), timeout_s=EFFECT_TIMEOUT_S
                )
            await self._round(number, taken.snapshots, ready)

    # ------------------------------------------------------------ the last round

    @property
    def last_round(self) -> int:
        return len(self.rounds) + 1

    async def open_last(self) -> None:
        """Before the service is stopped: the receiving side of the last round waits from here on."""
        self._last = await self._begin(self.last_round)

    async def send_last(self, snapshots: Sequence[SnapshotTaken]) -> list[SendDone]:
        return await self._round(self.last_round, snapshots, self._last) if self.volumes else []

    async def cancel(self) -> None:
        """Whatever still runs ends. A machine that does not answer ends it by itself, when the stream stalls."""
        await together(
            *(
                partial(self._cancel_at, machine, each)
                for each in self.volumes
                for machine in (self.source, each.machine)
            )
        )

    async def _cancel_at(self, machine: MachineId, volume: VolumePlan) -> None:
        try:
            await self._volume(machine, volume).ask(CancelTransfer(self.operation_id), timeout_s=ASK_TIMEOUT_S)
        except PloyzError as error:
            self.story.tell(f"{machine} could not be told to stop sending {volume.volume}: {error.problem.text}")

    # ------------------------------------------------------------ one round

    async def _begin(self, number: int) -> dict[VolumeRef, ReceiveReady]:
        calls = [partial(self._begin_one, number, volume) for volume in self.volumes]
        return dict(zip((each.volume for each in self.volumes), await together(*calls), strict=True))

    async def _begin_one(self, number: int, volume: VolumePlan) -> ReceiveReady:
        message = BeginReceive(
            operation_id=self.operation_id,
            position=self.position,
            volume=volume.volume,
            round=number,
            source=self.source,
            snapshot=names.snapshot(self.operation_id, number),
            bases=self.bases[volume.volume],
            epoch=volume.epoch - 1,
        )
        return await self._volume(volume.machine, volume).ask(message, timeout_s=EFFECT_TIMEOUT_S)

    async def _round(
        self, number: int, snapshots: Sequence[SnapshotTaken], ready: dict[VolumeRef, ReceiveReady]
    ) -> list[SendDone]:
        taken = {each.volume: each for each in snapshots}
        began_s = anyio.current_time()
        written_s = began_s - self._snapshot_s if self._snapshot_s is not None else 0.0
        self._snapshot_s = began_s
        done = await together(
            *(partial(self._send_one, number, each, taken[each.volume], ready[each.volume]) for each in self.volumes)
        )
        took_s = anyio.current_time() - began_s
        self.rounds.append(Round(sum(each.sent_bytes for each in done), round(took_s * 1000), round(written_s * 1000)))
        for each, sent in zip(self.volumes, done, strict=True):
            self._took(number, taken[each.volume], ready[each.volume], sent)
        return done

    async def _send_one(self, number: int, volume: VolumePlan, taken: SnapshotTaken, ready: ReceiveReady) -> SendDone:
        message = SendVolume(
            operation_id=self.operation_id,
            position=self.position,
            volume=volume.volume,
            round=number,
            target=volume.machine,
            ticket=ready.ticket,
            base=ready.base,
            snapshot=taken.snapshot,
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._report, number, volume)
            sent = await self._volume(self.source, volume).ask(message, timeout_s=TRANSFER_TIMEOUT_S)
            tasks.cancel_scope.cancel()
        await self._volume(volume.machine, volume).ask(
            EndReceive(
                operation_id=self.operation_id,
                position=self.position,
                volume=volume.volume,
                round=number,
                source=self.source,
                snapshot=taken.snapshot,
                guid=taken.guid,
            ),
            timeout_s=EFFECT_TIMEOUT_S,
        )
        if volume.verify:
            await self._compare(number, volume, taken.snapshot)
        return sent

    async def _compare(self, number: int, volume: VolumePlan, snapshot: str) -> None:
        """What both sides have read of the round before, they do not read again: the last one reads what changed."""
        message = DigestSnapshot(self.operation_id, self.position, volume.volume, snapshot)
        self.story.tell(f"{volume.volume}: reading every file of round {number} on both sides")
        refs = [self._volume(machine, volume) for machine in (self.source, volume.machine)]
        ours, theirs = await together(*(partial(ref.ask, message, timeout_s=TRANSFER_TIMEOUT_S) for ref in refs))
        if ours.digest != theirs.digest:
            raise Failed(
                Code.DIGEST_MISMATCH,
                f"{volume.volume}@{snapshot} has the same guid on {self.source} and {volume.machine}, and not the same "
                f"content: its digest is {ours.digest[:16]}… on {self.source}, and {theirs.digest[:16]}… on "
                f"{volume.machine}",
                f"Look at the pool of {volume.machine} (zpool status), and at its memory.",
            )

    def _took(self, number: int, taken: SnapshotTaken, ready: ReceiveReady, sent: SendDone) -> None:
        self.bases[taken.volume] = (SnapshotReport(taken.snapshot, taken.guid),)
        self.evidence.append(
            RoundEvidence(
                volume=taken.volume,
                round=number,
                base=ready.base,
                snapshot=taken.snapshot,
                guid=taken.guid,
                sent_bytes=sent.sent_bytes,
                duration_ms=sent.duration_ms,
            )
        )
        self.story.tell(
            f"{taken.volume}: round {number} arrived, {self._equal(taken.volume)} equal",
            round_number=number,
            sent_bytes=sent.sent_bytes,
            total_bytes=sent.sent_bytes,
            elapsed_ms=sent.duration_ms,
        )

    def _equal(self, volume: VolumeRef) -> str:
        verified = any(each.verify for each in self.volumes if each.volume == volume)
        return "guids and digests" if verified else "guids"

    async def _report(self, number: int, volume: VolumePlan) -> None:
        expected = volume.first_send_bytes if number == 1 else self.rounds[-1].sent_bytes
        began_s = anyio.current_time()
        while True:
            await anyio.sleep(PROGRESS_EVERY_S)
            try:
                progress = await self._volume(self.source, volume).ask(
                    ReadProgress(self.operation_id), timeout_s=ASK_TIMEOUT_S
                )
            except PloyzError:
                continue
            self.story.tell(
                f"{volume.volume}: sending round {number}",
                round_number=number,
                sent_bytes=progress.sent_bytes,
                total_bytes=max(expected, progress.sent_bytes),
                elapsed_ms=round((anyio.current_time() - began_s) * 1000),
            )

    def _volume(self, machine: MachineId, volume: VolumePlan) -> Ref:
        return self.home.remote(machine, f"volume/{volume.volume}")
