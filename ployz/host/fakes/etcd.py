"""A member of etcd in memory: whether it runs, and in which seat."""

from __future__ import annotations

from attrs import define

from ployz.errors import Code, Failed
from ployz.host.ports.seats import Seat


@define(eq=False)
class FakeEtcd:
    installed: str = "3.5.28"
    runs: bool = False
    seat: Seat | None = None
    has_data: bool = False
    begun: bool = False

    async def version(self) -> str:
        return self.installed

    def has_begun(self) -> bool:
        return self.begun

    async def serve(self, seat: Seat) -> None:
        if self.begun and not self.has_data:
            raise Failed(Code.PART_FAILED, "the data of this machine's etcd is gone")
        self.seat = self.seat if self.runs else seat
        self.runs = self.begun = self.has_data = True

    async def end(self) -> None:
        self.runs = self.begun = self.has_data = False
        self.seat = None
