"""The images actor: an image comes to this machine by being there, by a pull, or from a machine that has it."""

from __future__ import annotations

import logging
from functools import partial

from ployz.actors.core import Actor, handles
from ployz.actors.messages.images import EnsureImage, FetchImage, ImageReady, SendImage
from ployz.actors.messages.probing import ProbeMachine
from ployz.actors.parts import Parts
from ployz.actors.together import together
from ployz.config import LINK_PATIENCE_S, PROBE_TIMEOUT_S, TRANSFER_TIMEOUT_S
from ployz.errors import Code, Failed, PloyzError
from ployz.events.types import ImageReceived
from ployz.ids import MachineId
from ployz.plan import names
from ployz.plan.model import ImageOrigin
from ployz.wire.message import Done

_log = logging.getLogger("ployz.images")


class ImagesActor(Actor):
    """`images`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @handles(EnsureImage, concurrent=True)
    async def ensure(self, message: EnsureImage) -> ImageReady:
        await self._parts.in_operation(message.operation_id, message.position)
        outcome = await self._parts.journal.perform(
            message.operation_id,
            names.step("image", message.image_id or message.reference),
            f"operation/{message.operation_id}",
            message.image_id or message.reference,
            lambda: self._ensure(message),
        )
        return ImageReady(outcome.image_id)

    async def _ensure(self, message: EnsureImage) -> ImageReceived:
        """Without an id it is pulled even if the tag is here: the plan wants what the tag means now."""
        docker = self._parts.docker
        found = await docker.image(message.image_id) if message.image_id else None
        if found is not None:
            return ImageReceived(found.id, ImageOrigin.PRESENT)
        if message.copied_from is None:
            return await self._pulled(message.reference, message.image_id)
        return await self._copied(message.reference, message.image_id, message.copied_from)

    async def _pulled(self, reference: str, image_id: str) -> ImageReceived:
        pulled = await self._parts.docker.pull(reference)
        if image_id and pulled.id != image_id:
            raise Failed(
                Code.IMAGE_MISSING,
                f"{reference} was pulled as {pulled.id}, and {image_id} is needed",
                "The tag has moved on: load that image here, or deploy again with the new one.",
            )
        return ImageReceived(pulled.id, ImageOrigin.PULLED)

    async def _copied(self, reference: str, image_id: str, source: MachineId) -> ImageReceived:
        await self._copy(image_id, source)
        if "@" not in reference and await self._parts.docker.image(reference) is None:
            await self._parts.docker.tag(image_id, reference)  # a tag that means another image here stays
        return ImageReceived(image_id, ImageOrigin.COPIED)

    async def _copy(self, image_id: str, source: MachineId) -> None:
        expectation = self._parts.streams.expect(
            f"image {image_id}", self._parts.docker.load_argv(), deadline_s=TRANSFER_TIMEOUT_S
        )
        ref = self.system.remote(source, "images")
        await ref.ask(SendImage(image_id, expectation.ticket), timeout_s=TRANSFER_TIMEOUT_S)
        await expectation.result()
        if await self._parts.docker.image(image_id) is None:
            raise Failed(Code.IMAGE_MISSING, f"{image_id} was copied from {source}, and arrived as another image")

    @handles(FetchImage, concurrent=True)
    async def fetch(self, message: FetchImage) -> ImageReady:
        found = await self._parts.docker.image(message.image_id)
        if found is None:
            received = await self._fetched(message)
            await self._parts.journal.record(f"service/{message.service}", received)
        return ImageReady(message.image_id)

    async def _fetched(self, message: FetchImage) -> ImageReceived:
        for machine in await self._who_has(message.image_id):
            try:
                return await self._copied(message.reference, message.image_id, machine)
            except PloyzError as error:
                _log.warning("%s did not come from %s: %s", message.image_id, machine, error)
        return await self._pulled(message.reference, message.image_id)

    async def _who_has(self, image_id: str) -> list[MachineId]:
        others = [each.machine for each in self._parts.view.machines.in_order() if each.machine != self._parts.me]

        async def has(machine: MachineId) -> bool:
            asked = ProbeMachine((image_id,), ())
            try:
                report = await self.system.remote(machine, "machine").ask(asked, timeout_s=PROBE_TIMEOUT_S)
            except PloyzError:
                return False
            return bool(report.images)

        answers = await together(*(partial(has, each) for each in others))
        return [machine for machine, it_has in zip(others, answers, strict=True) if it_has]

    @handles(SendImage, concurrent=True)
    async def send(self, message: SendImage) -> Done:
        argv = self._parts.docker.save_argv(message.image_id)
        await self._parts.streams.send(message.ticket, argv, patience_s=LINK_PATIENCE_S)
        return Done()
