"""Keeps the kernel's rules about who speaks on the bridge (speaking) in agreement with who is plugged in.

What a port is of is found out when it is new, and remembered as long as it is there.
"""

from __future__ import annotations

from collections.abc import Collection

from attrs import define, field

from ployz.host.ports import OverlayConfig, Station
from ployz.host.wireguard.commands import Commands
from ployz.host.wireguard.observed import ObservedPaths
from ployz.host.wireguard.speaking import FAMILY, TABLE, Seating, kept, seated, speaking_script, standing


@define
class Seats:
    _commands: Commands
    _seating: Seating = field(factory=lambda: Seating({}), init=False)
    _asked: tuple[object, ...] = field(default=(), init=False)
    """What nobody knew the last time: it is not asked again before it has changed."""
    _script: str | None = field(default=None, init=False)
    """As it was written last. None: what a ployzd before this one wrote holds."""
    _printed: str = field(default="", init=False)
    """The same, as the kernel prints it."""

    async def apply(self, config: OverlayConfig, stations: Collection[Station] | None, paths: ObservedPaths) -> None:
        """Nothing is written when nothing has changed."""
        if stations is None or paths.bridge_index is None:
            return
        seating = kept(self._seating, paths.plugs, stations)
        processes = sorted(each.process for each in standing(seating, stations) if each.process)
        asked = (processes, {name: paths.plugs[name] for name in seating.strangers})
        if processes and seating.strangers and asked != self._asked:
            seating = seated(seating, paths.plugs, stations, await self._commands.networks(processes))
            self._asked = asked
        self._seating = seating
        script = speaking_script(config, seating, stations)
        if script != self._script:
            await self._commands.rules(script)
            self._script, self._printed = script, await self._commands.table(FAMILY, TABLE)

    async def lost(self) -> str | None:
        """In a few words, what of it somebody else took away or changed. Only reads."""
        if self._script is None or await self._commands.table(FAMILY, TABLE) == self._printed:
            return None
        return f"nft: table {FAMILY} {TABLE}"

    def forget(self) -> None:
        """The next `apply` writes it again."""
        self._script = None
