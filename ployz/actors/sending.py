"""Sending one volume to another machine: at most one stream for each operation, counted, and ended when it must be."""

from __future__ import annotations

from functools import partial

import anyio
from attrs import define

from ployz.actors.dataset import VolumeDataset
from ployz.actors.messages.storage import SendDone, SendVolume
from ployz.actors.together import together
from ployz.errors import Code, Failed, PloyzError
from ployz.events.types import VolumeSent
from ployz.ids import OperationId
from ployz.plan import names
from ployz.wire.streams import Sent


@define
class _Running:
    scope: anyio.CancelScope
    sent_bytes: int = 0


class Sending:
    def __init__(self, dataset: VolumeDataset) -> None:
        self._dataset = dataset
        self._running: dict[OperationId, _Running] = {}

    @property
    def operations(self) -> set[OperationId]:
        return set(self._running)

    def sent_bytes(self, operation_id: OperationId) -> int:
        """0 when nothing is being sent."""
        running = self._running.get(operation_id)
        return running.sent_bytes if running else 0

    def end(self, operation_id: OperationId) -> None:
        if (running := self._running.get(operation_id)) is not None:
            running.scope.cancel()

    async def send(self, message: SendVolume) -> SendDone:
        """Until the receiver said that it has everything. `Failed` (STREAM_FAILED): also when it was ended."""
        running = _Running(anyio.CancelScope())
        self._running[message.operation_id] = running
        try:
            with running.scope:
                outcome = await self._dataset.parts.journal.perform(
                    message.operation_id,
                    names.step("send", self._dataset.volume, message.round),
                    self._dataset.stream,
                    f"{message.base or 'nothing'} to {message.snapshot}, to {message.target}",
                    lambda: self._send(message, running),
                )
                return SendDone(outcome.sent_bytes, outcome.duration_ms)
        finally:
            del self._running[message.operation_id]
        raise Failed(Code.STREAM_FAILED, f"the send of {self._dataset.volume} was cancelled by its coordinator")

    async def _send(self, message: SendVolume, running: _Running) -> VolumeSent:
        parts, dataset = self._dataset.parts, self._dataset.name

        def progress(sent_bytes: int) -> None:
            running.sent_bytes = sent_bytes

        async def stream() -> Sent:
            argv = parts.zfs.send_argv(dataset, message.base, message.snapshot)
            try:
                return await parts.streams.send(message.ticket, argv, on_progress=progress)
            except PloyzError as error:
                way = f"{self._dataset.volume}, from {parts.me} to {message.target}"
                raise type(error)(error.code, f"{way}: {error.problem.text}", error.problem.advice) from error

        # Held while they are sent from, so that nothing prunes them (sanoid 525), and beside the send: the last one
        # stands in the cut-over.
        names_held = filter(None, (message.base, message.snapshot))
        holds = [partial(parts.zfs.hold, dataset, name, names.HOLD_TAG) for name in names_held]
        sent, *_ = await together(stream, *holds)
        return VolumeSent(
            volume=self._dataset.volume,
            target=message.target,
            base=message.base,
            snapshot=message.snapshot,
            sent_bytes=sent.bytes_count,
            duration_ms=sent.duration_ms,
        )
