"""Looks at the slots of routed services from a gateway's machine: which of several are silent, and whether one answers.

A service's only slot is never looked at for that: it has no other, and its clients are better off with a connection
that is tried again than with a refusal.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Final

from ployz.actors.parts import Parts
from ployz.actors.together import together
from ployz.events.types import SlotPlacement
from ployz.ids import ServiceRef, SlotName, SlotRef
from ployz.manifest.model import HttpProbe, Service, TcpProbe
from ployz.plan import committed
from ployz.plan.gateways import served_routes

TIMEOUT_S: Final = 2.0


class SlotLooks:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.silent: frozenset[SlotRef] = frozenset()
        """Those that did not answer the last look, of services that have others."""
        self._answered: frozenset[SlotRef] = frozenset()
        """Since that look began, whatever it saw of them."""

    async def look(self) -> bool:
        """Whether `silent` has changed."""
        asked: list[tuple[SlotRef, Service, str]] = []
        for ref in dict.fromkeys(route.service for route in served_routes(self._parts.view)):
            service, slots = committed.service(self._parts.view, ref), self._parts.view.placement.of_service(ref)
            if service is not None and len(slots) > 1:
                asked += [(SlotRef(ref, slot.slot), service, slot.ipv4) for slot in slots]
        self._answered = frozenset()
        answers = await together(*(partial(self._is_ready, service, ipv4) for _, service, ipv4 in asked))
        silent = frozenset(ref for (ref, _, _), ready in zip(asked, answers, strict=True) if not ready) - self._answered
        changed, self.silent = silent != self.silent, silent
        return changed

    async def answers(self, ref: ServiceRef, only: Collection[SlotName], *, within_s: float) -> bool:
        """Whether a connection to one of these slots, or of all, is accepted on every port that is routed. A service
        that is no more, or has no slot, has nothing to wait for.
        """
        service = committed.service(self._parts.view, ref)
        slots = [each for each in self._parts.view.placement.of_service(ref) if not only or each.slot in only]
        if service is None or not slots:
            return True
        answered = frozenset(
            [SlotRef(ref, slot.slot) for slot in slots if await self._accepts(service, slot, within_s)]
        )
        self._answered |= answered
        self.silent -= answered
        return bool(answered)

    async def _accepts(self, service: Service, slot: SlotPlacement, within_s: float) -> bool:
        ports = [port for route in service.routes if (port := service.port(route.service_port)) is not None]
        for port in dict.fromkeys(ports):
            why = await self._parts.looks.tcp_answers(slot.ipv4, port.container_port, timeout_s=within_s)
            if why is not None:
                return False
        return True

    async def _is_ready(self, service: Service, ipv4: str) -> bool:
        """As its manifest defines it, if that can be asked from here; else whether it accepts connections."""
        probe = service.readiness.probe if service.readiness else None
        if isinstance(probe, HttpProbe | TcpProbe) and (port := service.port(probe.service_port)) is not None:
            number = port.container_port
            if isinstance(probe, HttpProbe):
                return await self._parts.looks.http_answers(ipv4, number, probe.path, timeout_s=TIMEOUT_S) is None
            return await self._parts.looks.tcp_answers(ipv4, number, timeout_s=TIMEOUT_S) is None
        for route in service.routes:
            routed = service.port(route.service_port)
            if routed is not None:
                return await self._parts.looks.tcp_answers(ipv4, routed.container_port, timeout_s=TIMEOUT_S) is None
        return True
