"""The names actor: has this machine's name server say what the facts say.

What it was told last it goes on saying, while ployzd is away and while the authority is.
"""

from __future__ import annotations

import logging
from typing import Final

import anyio

from ployz.actors.core import Actor
from ployz.actors.parts import Parts
from ployz.errors import PloyzError
from ployz.plan.naming import host_records

LOOK_S: Final = 5.0
"""How often it is looked at although nothing has changed: one that ended is started again."""

_log = logging.getLogger("ployz.names")


class NamesActor(Actor):
    """`names`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._trouble = ""

    async def run(self) -> None:
        while True:
            position = self._parts.view.position
            if position:  # before the first fact nothing is known, and what it says may be right
                await self._serve()
            with anyio.move_on_after(LOOK_S):
                if self._parts.view.position == position:
                    await self._parts.next_change()

    async def _serve(self) -> None:
        try:
            await self._parts.names.serve(host_records(self._parts.view))
        except PloyzError as error:
            if self._trouble != error.problem.text:
                _log.error("names are not served as the facts have them: %s", error)
            self._trouble = error.problem.text
        else:
            self._trouble = ""
