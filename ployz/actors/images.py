"""The images actor: an image comes to this machine by being there, by a pull, or from a machine that has it."""

from __future__ import annotations

from ployz.actors.core import Actor, handles
from ployz.actors.messages.images import EnsureImage, ImageReady, SendImage
from ployz.actors.parts import Parts
from ployz.config import LINK_PATIENCE_S, TRANSFER_TIMEOUT_S
from ployz.errors import Code, Failed
from ployz.events.types import ImageReceived
from ployz.ids import MachineId
from ployz.plan import names
from ployz.plan.model import ImageOrigin
from ployz.wire.message import Done


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
            pulled = await docker.pull(message.reference)
            if message.image_id and pulled.id != message.image_id:
                raise Failed(
                    Code.IMAGE_MISSING,
                    f"{message.reference} was pulled as {pulled.id}, and {message.image_id} is needed",
                    "The tag has moved on: load that image here, or deploy again with the new one.",
                )
            return ImageReceived(pulled.id, ImageOrigin.PULLED)
        await self._copy(message.image_id, message.copied_from)
        if "@" not in message.reference and await docker.image(message.reference) is None:
            await docker.tag(message.image_id, message.reference)  # a tag that means another image here stays
        return ImageReceived(message.image_id, ImageOrigin.COPIED)

    async def _copy(self, image_id: str, source: MachineId) -> None:
        expectation = self._parts.streams.expect(
            f"image {image_id}", self._parts.docker.load_argv(), deadline_s=TRANSFER_TIMEOUT_S
        )
        ref = self.system.remote(source, "images")
        await ref.ask(SendImage(image_id, expectation.ticket), timeout_s=TRANSFER_TIMEOUT_S)
        await expectation.result()
        if await self._parts.docker.image(image_id) is None:
            raise Failed(Code.IMAGE_MISSING, f"{image_id} was copied from {source}, and arrived as another image")

    @handles(SendImage, concurrent=True)
    async def send(self, message: SendImage) -> Done:
        argv = self._parts.docker.save_argv(message.image_id)
        await self._parts.streams.send(message.ticket, argv, patience_s=LINK_PATIENCE_S)
        return Done()
