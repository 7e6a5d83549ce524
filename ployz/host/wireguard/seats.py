"""Keeps the kernel's rules about who speaks on the bridge (speaking) in agreement with who is plugged in.

What a port is of is found out when it is new, and remembered as long as it is there.
"""

from __future__ import annotations

from collections.abc import Collection

from attrs import define, field

from ployz.host.ports import OverlayConfig, Station
from ployz.host.wireguard.commands import Commands
from ployz.host.wireguard.kept_table import KeptTable
from ployz.host.wireguard.observed import ObservedPaths
from ployz.host.wireguard.speaking import FAMILY, TABLE, Seating, kept, seated, speaking_script, standing


@define
class Seats:
    _commands: Commands
    _seating: Seating = field(factory=lambda: Seating({}), init=False)
    _asked: tuple[object, ...] = field(default=(), init=False)
    """What nobody knew the last time: it is not asked again before it has changed."""
    table: KeptTable = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.table = KeptTable(self._commands, TABLE, (FAMILY,))

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
        await self.table.write(speaking_script(config, seating, stations))
