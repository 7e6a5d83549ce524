"""Looks across the simulated overlay: to where this machine's routes lead, and not through a closed door."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

import anyio
from attrs import frozen

from ployz.host.fakes.docker import FakeDocker
from ployz.host.fakes.overlay import FakeOverlay
from ployz.ids import MachineId
from tests.cluster.network import Network


class Station(Protocol):
    @property
    def name(self) -> MachineId: ...

    @property
    def docker(self) -> FakeDocker: ...

    overlay: FakeOverlay


@frozen
class OverlayLooks:
    me: Station
    stations: Mapping[str, Station]
    """By their keys."""
    network: Network

    async def tcp_answers(self, address: str, port: int, *, timeout_s: float) -> str | None:
        return await self._look(f"{address}:{port}", address, timeout_s)

    async def http_answers(self, address: str, port: int, path: str, *, timeout_s: float) -> str | None:
        return await self._look(f"GET {path} on port {port}", address, timeout_s)

    async def _look(self, what: str, address: str, timeout_s: float) -> str | None:
        await anyio.lowlevel.checkpoint()
        there = self._there(address)
        if there is None:  # what is sent is lost, and nobody says so
            await anyio.sleep(timeout_s)
            return f"{what}: no answer within {timeout_s:g} s"
        return None if there.docker.answers(address) else f"{what}: Connection refused"

    def _there(self, address: str) -> Station | None:
        """Where the address is, unless nothing gets there."""
        key = self.me.overlay.places().get(address)
        there = self.me if key is None else self.stations[key.rstrip("+")]
        if there is not self.me:
            doors = there.overlay.applied[-1].closed if there.overlay.applied else frozenset()
            if address in doors or not self.network.passes(self.me.name, there.name):
                return None
        return there


@frozen
class OverlaySoundings(OverlayLooks):
    """By the same ways."""

    async def sizes_answered(
        self,
        asked: Mapping[str, Collection[int]],
        *,
        timeout_s: float,
    ) -> Mapping[str, frozenset[int]]:
        await anyio.lowlevel.checkpoint()
        there = {address: self._there(address) for address in asked}
        return {
            address: frozenset(size for size in sizes if self._passes(there[address], size))
            for address, sizes in asked.items()
        }

    async def poke(self, address: str) -> None:
        await anyio.lowlevel.checkpoint()

    def _passes(self, there: Station | None, size: int) -> bool:
        return there is not None and size <= self.network.packet_bytes.get(frozenset({self.me.name, there.name}), size)
