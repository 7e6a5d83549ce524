"""The image of a container that is to be made again: taken away, it comes back from whoever has it, beside all else.

A copy may take minutes, and the namespace's other messages do not wait for it: settling fails until it is there.
"""

from __future__ import annotations

import logging

import anyio
from attrs import define, field

from ployz.actors.core import Home
from ployz.actors.messages.images import FetchImage
from ployz.actors.parts import Parts
from ployz.config import TRANSFER_TIMEOUT_S
from ployz.errors import Code, Failed, PloyzError
from ployz.ids import Namespace

_log = logging.getLogger("ployz.workloads")


@define
class Fetching:
    """For one namespace. `run` is a background task of the actor that owns it."""

    parts: Parts
    home: Home
    namespace: Namespace
    _wanted: dict[str, FetchImage] = field(factory=dict, init=False)
    """By the id of the image."""
    _news: anyio.Event = field(factory=anyio.Event, init=False)

    async def require(self, wanted: FetchImage) -> None:
        """`Failed` (IMAGE_MISSING): it is not here, and is being fetched; the namespace is settled again then."""
        if await self.parts.docker.image(wanted.image_id) is None:
            self._wanted.setdefault(wanted.image_id, wanted)
            self._news.set()
            raise Failed(
                Code.IMAGE_MISSING,
                f"image {wanted.reference} was taken away, and is being fetched",
                "Give the command again in a moment.",
            )

    async def run(self) -> None:
        while True:
            while self._wanted:
                image_id = next(iter(self._wanted))
                try:
                    fetch = self._wanted[image_id]
                    await self.home.ref("images").ask(fetch, timeout_s=TRANSFER_TIMEOUT_S)
                    self.parts.settle_again(self.namespace)
                except PloyzError as error:
                    _log.error("image %s could not be fetched: %s", image_id, error)
                self._wanted.pop(image_id)
            self._news = anyio.Event()
            await self._news.wait()
