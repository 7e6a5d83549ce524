"""The volumes that leave one machine, on their way: warm rounds while the service runs, and the last one.

All volumes of a round are snapshotted at one instant and sent side by side, some at a time. A round counts when the
target has compared its guids.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import inf
from typing import Final, TypeVar

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
from ployz.config import (
    ASK_TIMEOUT_S,
    ATTEMPTS_MAX,
    CUTOVER_ATTEMPTS_MAX,
    CUTOVER_PATIENCE_S,
    EFFECT_TIMEOUT_S,
    LINK_PATIENCE_S,
    TRANSFER_TIMEOUT_S,
)
from ployz.errors import Code, Failed, PloyzError
from ployz.events.types import RoundEvidence, SnapshotTaken
from ployz.ids import MachineId, OperationId, VolumeRef
from ployz.plan import names
from ployz.plan.model import VolumePlan
from ployz.plan.precopy import Round, worth_another
from ployz.plan.reports import SnapshotReport
from ployz.wire.message import Message

SENDS_MAX: Final = 4
"""Volumes that one machine sends at once: more would only wait for the same disk and link, each longer."""
PROGRESS_EVERY_S: Final = 0.5
ASK_AGAIN_S: Final = 1.0
GONE: Final = frozenset({Code.MACHINE_UNREACHABLE, Code.OUTCOME_UNKNOWN, Code.STOPPED})
"""What an ask fails with when a machine, its ployzd, or the link to it is gone: it may come back."""

UNFIT: Final = frozenset({Code.STREAM_FAILED, Code.GUID_MISMATCH, Code.DATASET_IN_THE_WAY})
"""What a send ends with that went on with something that it could not be gone on with."""

R = TypeVar("R")


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
    _sends: anyio.CapacityLimiter = field(factory=lambda: anyio.CapacityLimiter(SENDS_MAX), init=False)
    _snapshot_s: float | None = field(default=None, init=False)
    """When the last one was taken."""
    _patience_s: float = field(default=LINK_PATIENCE_S, init=False)
    _attempts_max: int = field(default=ATTEMPTS_MAX, init=False)
    _resumes: bool = field(default=True, init=False)
    """The last round is small, and must not fail for what an attempt before has left."""
    _progress_bytes: dict[VolumeRef, int] = field(factory=dict, init=False)
    """How far each send was when it was last asked."""

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
        self._patience_s, self._attempts_max, self._resumes = CUTOVER_PATIENCE_S, CUTOVER_ATTEMPTS_MAX, False
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
        calls = [partial(self._begin_one, number, 1, volume, resumes=False) for volume in self.volumes]
        return dict(zip((each.volume for each in self.volumes), await together(*calls), strict=True))

    async def _begin_one(
        self, number: int, attempt: int, volume: VolumePlan, *, resumes: bool, increment: bool = False
    ) -> ReceiveReady:
        message = BeginReceive(
            operation_id=self.operation_id,
            position=self.position,
            volume=volume.volume,
            round=number,
            source=self.source,
            snapshot=names.snapshot(self.operation_id, number),
            bases=self.bases[volume.volume],
            epoch=volume.epoch - 1,
            attempt=attempt,
            resumes=resumes,
            increment=increment,
        )
        return await self._ask(self._volume(volume.machine, volume), message, timeout_s=EFFECT_TIMEOUT_S)

    async def _round(
        self, number: int, snapshots: Sequence[SnapshotTaken], ready: dict[VolumeRef, ReceiveReady]
    ) -> list[SendDone]:
        taken = {each.volume: each for each in snapshots}
        began_s = anyio.current_time()
        written_s = began_s - self._snapshot_s if self._snapshot_s is not None else 0.0
        self._snapshot_s = began_s
        done = await together(
            *(
                partial(self._send_in_turn, number, each, taken[each.volume], ready[each.volume])
                for each in self.volumes
            )
        )
        took_s = anyio.current_time() - began_s
        sent_bytes = sum(sent.sent_bytes + kept_bytes for _, sent, kept_bytes in done)
        self.rounds.append(Round(sent_bytes, round(took_s * 1000), round(written_s * 1000)))
        for each, (began_with, sent, _) in zip(self.volumes, done, strict=True):
            self._took(number, taken[each.volume], began_with, sent)
        return [sent for _, sent, _ in done]

    async def _send_in_turn(
        self, number: int, volume: VolumePlan, taken: SnapshotTaken, ready: ReceiveReady
    ) -> tuple[ReceiveReady, SendDone, int]:
        async with self._sends:
            return await self._send_one(number, volume, taken, ready)

    async def _send_one(
        self, number: int, volume: VolumePlan, taken: SnapshotTaken, ready: ReceiveReady
    ) -> tuple[ReceiveReady, SendDone, int]:
        """With what it began from in the end, and about how much it had kept of attempts before, in bytes. It outlives
        a lost link by itself; where it could not, because an end of it is gone, it is begun again from what is there
        then; and where what is there cannot be gone on with, or somebody changed it, from the last snapshot in common.
        """
        attempt, kept_bytes = 1, 0
        while True:
            self._progress_bytes[volume.volume] = 0
            try:
                return ready, await self._try_one(number, attempt, volume, taken, ready), kept_bytes
            except PloyzError as error:
                gone = error.code == Code.RECEIVER_GONE
                unfit = ready.resume_token is not None and error.code in UNFIT
                # Somebody took a snapshot there meanwhile, say: the base is there, and what came since is not ours.
                disturbed = ready.base is not None and not gone and error.code in UNFIT
                if not (gone or unfit or disturbed) or attempt == self._attempts_max:
                    raise
                why = error.problem.text
            attempt += 1
            ready = await self._begin_one(
                number, attempt, volume, resumes=gone and self._resumes, increment=disturbed and not unfit
            )
            kept_bytes = kept_bytes + self._progress_bytes[volume.volume] if ready.resume_token else 0
            how = "goes on where it was" if ready.resume_token else "begins again"
            self.story.tell(f"{volume.volume}: round {number} {how}: {why}")

    async def _try_one(
        self, number: int, attempt: int, volume: VolumePlan, taken: SnapshotTaken, ready: ReceiveReady
    ) -> SendDone:
        message = SendVolume(
            operation_id=self.operation_id,
            position=self.position,
            volume=volume.volume,
            round=number,
            target=volume.machine,
            ticket=ready.ticket,
            base=ready.base,
            snapshot=taken.snapshot,
            resume_token=ready.resume_token,
            attempt=attempt,
            patience_s=self._patience_s,
            bandwidth_bytes_s=volume.bandwidth_bytes_s,
        )
        sent = await self._reported(number, volume, message)
        await self._ask(
            self._volume(volume.machine, volume),
            EndReceive(
                operation_id=self.operation_id,
                position=self.position,
                volume=volume.volume,
                round=number,
                source=self.source,
                snapshot=taken.snapshot,
                guid=taken.guid,
                settings=volume.settings,
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
        ours, theirs = await together(*(partial(self._ask, ref, message, timeout_s=TRANSFER_TIMEOUT_S) for ref in refs))
        if ours.digest != theirs.digest:
            raise Failed(
                Code.DIGEST_MISMATCH,
                f"{volume.volume}@{snapshot} has the same guid on {self.source} and {volume.machine}, and not the same "
                f"content: its digest is {ours.digest[:16]}… on {self.source}, and {theirs.digest[:16]}… on "
                f"{volume.machine}",
                f"Look at the pool of {volume.machine} (zpool status), and at its memory.",
            )

    async def _ask(self, ref: Ref, message: Message[R], *, timeout_s: float) -> R:
        """As `ref.ask`, and again while the machine is gone, for as long as the phase allows: all of these can be asked
        twice.
        """
        give_up_at_s = inf
        while True:
            asked_at_s = anyio.current_time()
            try:
                return await ref.ask(message, timeout_s=timeout_s)
            except PloyzError as error:
                now_s = anyio.current_time()
                if error.code not in GONE or now_s >= give_up_at_s:
                    raise
                if give_up_at_s == inf:
                    self.story.tell(f"{ref.address} is asked again: {error.problem.text}")
                if give_up_at_s == inf or now_s - asked_at_s > self._patience_s:  # it had been back
                    give_up_at_s = now_s + self._patience_s
            await anyio.sleep(ASK_AGAIN_S)

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
        again = f", {sent.again_bytes} bytes sent again after {sent.links_lost} lost links" if sent.links_lost else ""
        self.story.tell(
            f"{taken.volume}: round {number} arrived, {self._equal(taken.volume)} equal{again}",
            round_number=number,
            sent_bytes=sent.sent_bytes,
            total_bytes=sent.sent_bytes,
            elapsed_ms=sent.duration_ms,
        )

    def _equal(self, volume: VolumeRef) -> str:
        verified = any(each.verify for each in self.volumes if each.volume == volume)
        return "guids and digests" if verified else "guids"

    async def _reported(self, number: int, volume: VolumePlan, message: SendVolume) -> SendDone:
        """Asks, and tells how far it is meanwhile."""
        outcome: SendDone | PloyzError
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._report, number, volume)
            try:
                outcome = await self._ask(self._volume(self.source, volume), message, timeout_s=TRANSFER_TIMEOUT_S)
            except PloyzError as error:
                outcome = error
            tasks.cancel_scope.cancel()
        if isinstance(outcome, PloyzError):
            raise outcome
        return outcome

    async def _report(self, number: int, volume: VolumePlan) -> None:
        expected = volume.first_send_bytes if number == 1 else self.rounds[-1].sent_bytes
        looked_s, moving_s = anyio.current_time(), 0.0  # what is left goes by the time in which there was a link
        while True:
            await anyio.sleep(PROGRESS_EVERY_S)
            try:
                progress = await self._volume(self.source, volume).ask(
                    ReadProgress(self.operation_id), timeout_s=ASK_TIMEOUT_S
                )
            except PloyzError:
                looked_s = anyio.current_time()
                continue
            now_s = anyio.current_time()
            moving_s += 0.0 if progress.lost else now_s - looked_s
            looked_s = now_s
            self._progress_bytes[volume.volume] = progress.sent_bytes
            waiting = f", and waiting: the link is lost ({progress.lost})" if progress.lost else ""
            self.story.tell(
                f"{volume.volume}: sending round {number}{waiting}",
                round_number=number,
                sent_bytes=progress.sent_bytes,
                total_bytes=max(expected, progress.sent_bytes),
                elapsed_ms=round(moving_s * 1000),
            )

    def _volume(self, machine: MachineId, volume: VolumePlan) -> Ref:
        return self.home.remote(machine, f"volume/{volume.volume}")
