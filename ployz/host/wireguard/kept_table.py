"""A table of nftables that is written whole, when it has changed, and that is looked at again.

What the kernel prints of it just after it was written is what it must print later.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from attrs import define, field

from ployz.host.wireguard.commands import Commands

_LEARNED: Final = re.compile(r"\n\s*elements = \{[^}]*\}")
"""What the kernel puts into a set with a name by itself. What is written here is in rules."""


@define
class KeptTable:
    _commands: Commands
    _name: str
    _families: Sequence[str] = ("inet",)
    _script: str | None = field(default=None, init=False)
    """As it was written last. None: what a ployzd before this one wrote holds."""
    _printed: tuple[str, ...] = field(default=(), init=False)

    async def write(self, script: str) -> None:
        """Nothing when nothing has changed."""
        if script != self._script:
            await self._commands.rules(script)
            self._script, self._printed = script, await self._print()

    async def is_there(self) -> bool:
        """Whoever wrote it."""
        return any(await self._print())

    async def lost(self) -> str | None:
        """In a few words, that somebody else took it away or changed it. Only reads."""
        if self._script is None or await self._print() == self._printed:
            return None
        return f"nft: table {self._families[-1]} {self._name}"

    def forget(self) -> None:
        """The next `write` writes it, whatever it was."""
        self._script = None

    async def _print(self) -> tuple[str, ...]:
        printed = [await self._commands.table(family, self._name) for family in self._families]
        return tuple(_LEARNED.sub("", each) for each in printed)
