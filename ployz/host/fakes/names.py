"""A name server in memory: it answers by what it was given last, whatever becomes of ployzd."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import anyio
from attrs import define, field

from ployz.errors import Code, Failed
from ployz.host.ports import HostRecord


@define(eq=False)
class FakeNameServer:
    served: tuple[HostRecord, ...] | None = field(default=None, init=False)
    """None: it does not run."""

    async def serve(self, records: Sequence[HostRecord]) -> None:
        self.served = tuple(records)

    async def addresses(self, name: str, *, timeout_s: float) -> frozenset[str]:
        await anyio.lowlevel.checkpoint()
        if self.served is None:
            raise Failed(Code.PART_FAILED, f"the name server did not answer within {timeout_s:g} s")
        return frozenset(self.resolve(name))

    def resolve(self, name: str, version: int = 4) -> set[str]:
        """The addresses of that family."""
        return {
            each.address
            for each in self.served or ()
            if name in each.names and ip_address(each.address).version == version
        }

    def power_cut(self) -> None:
        self.served = None
