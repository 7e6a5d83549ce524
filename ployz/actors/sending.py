"""Sending one volume to another machine: at most one stream for each operation, counted, and ended when it must be."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import anyio
from attrs import define, evolve, field

from ployz.actors.dataset import VolumeDataset
from ployz.actors.messages.storage import SendDone, SendProgress, SendVolume
from ployz.actors.together import together
from ployz.errors import Code, Failed, PloyzError
from ployz.events.types import VolumeSent
from ployz.ids import MachineId, OperationId
from ployz.plan import names
from ployz.wire.streams import Limit, Sent


@define(eq=False)
class _Running:
    message: SendVolume
    scope: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)
    ended: anyio.Event = field(factory=anyio.Event, init=False)
    done: SendDone | None = field(default=None, init=False)
    problem: PloyzError | None = field(default=None, init=False)
    progress: SendProgress = field(default=SendProgress(0, ""), init=False)


class Sending:
    def __init__(self, dataset: VolumeDataset) -> None:
        self._dataset = dataset
        self._running: dict[OperationId, _Running] = {}

    @property
    def operations(self) -> set[OperationId]:
        return set(self._running)

    def progress(self, operation_id: OperationId) -> SendProgress:
        running = self._running.get(operation_id)
        return running.progress if running else SendProgress(0, "")

    def end(self, operation_id: OperationId) -> None:
        if (running := self._running.get(operation_id)) is not None:
            running.scope.cancel()

    async def send(self, message: SendVolume) -> SendDone:
        """Until the receiver said that it has everything. `Failed` (STREAM_FAILED): also when it was ended.

        A coordinator that lost its connection asks again, and gets the outcome of the send that it began.
        """
        running = self._running.get(message.operation_id)
        if running is None or running.message != message:
            if running is not None:
                running.scope.cancel()
                await running.ended.wait()
            running = self._running[message.operation_id] = _Running(message)
            await self._run(running)
        await running.ended.wait()
        if running.done is None:
            text = f"the send of {self._dataset.volume} was cancelled by its coordinator"
            raise running.problem or Failed(Code.STREAM_FAILED, text)
        return running.done

    async def _run(self, running: _Running) -> None:
        message = running.message
        try:
            with running.scope:
                outcome = await self._dataset.parts.journal.perform(
                    message.operation_id,
                    names.step("send", self._dataset.volume, message.round, message.attempt),
                    self._dataset.stream,
                    f"{message.base or 'nothing'} to {message.snapshot}, to {message.target}",
                    lambda: self._send(message, running),
                )
                running.done = running.done or SendDone(outcome.sent_bytes, outcome.duration_ms, 0, 0)
        except PloyzError as error:
            running.problem = error
        finally:
            self._running.pop(message.operation_id)
            running.ended.set()

    async def _argv(self, message: SendVolume) -> Sequence[str]:
        zfs, dataset = self._dataset.parts.zfs, self._dataset.name
        if message.resume_token is not None:
            return await zfs.resume_argv(dataset, message.snapshot, message.resume_token)
        return zfs.send_argv(dataset, message.base, message.snapshot)

    def _told(self, error: PloyzError, target: MachineId) -> PloyzError:
        """With the way it was on, and with the code of what the program said that ended it."""
        zfs, problem = self._dataset.parts.zfs, error.problem
        code = zfs.stream_code(problem.text) if error.code == Code.STREAM_FAILED else error.code
        advice = f"Free space on {target}, or choose another machine." if code == Code.NO_SPACE else problem.advice
        way = f"{self._dataset.volume}, from {self._dataset.parts.me} to {target}"
        return type(error)(code, f"{way}: {problem.text}", advice)

    async def _send(self, message: SendVolume, running: _Running) -> VolumeSent:
        parts, dataset = self._dataset.parts, self._dataset.name

        def progress(sent_bytes: int) -> None:
            is_back = sent_bytes > running.progress.sent_bytes
            running.progress = SendProgress(sent_bytes, "" if is_back else running.progress.lost)

        def lost(why: str) -> None:
            running.progress = evolve(running.progress, lost=why)

        async def stream() -> Sent:
            try:
                argv = await self._argv(message)
                return await parts.streams.send(
                    message.ticket,
                    argv,
                    patience_s=message.patience_s,
                    limit=Limit(message.operation_id, message.bandwidth_bytes_s),
                    on_progress=progress,
                    on_lost=lost,
                )
            except PloyzError as error:
                raise self._told(error, message.target) from error

        # Held while they are sent from, so that nothing prunes them (sanoid 525), and beside the send: the last one
        # stands in the cut-over.
        names_held = filter(None, (message.base, message.snapshot))
        holds = [partial(parts.zfs.hold, dataset, name, names.HOLD_TAG) for name in names_held]
        sent, *_ = await together(stream, *holds)
        running.done = SendDone(sent.bytes_count, sent.duration_ms, sent.again_bytes, sent.links_lost)
        return VolumeSent(
            volume=self._dataset.volume,
            target=message.target,
            base=message.base,
            snapshot=message.snapshot,
            sent_bytes=sent.bytes_count,
            duration_ms=sent.duration_ms,
        )
