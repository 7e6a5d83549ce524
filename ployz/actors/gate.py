"""The gate of a namespace's services on one machine: closed by a durable event, opened by the operation's decision.

Nothing else opens it: not a restart of ployzd, of Docker, or of the machine.
"""

from __future__ import annotations

from collections.abc import Sequence

from ployz.actors.core import Home
from ployz.actors.parts import Parts
from ployz.actors.past import operation_of
from ployz.actors.withdrawal import candidates_gone
from ployz.errors import Code, Refused
from ployz.events.log import Entry
from ployz.events.types import ServiceFenced, ServiceUnfenced
from ployz.ids import Namespace, OperationId, ServiceRef
from ployz.plan import names
from ployz.projections.operations import Status


class Gate:
    def __init__(self, parts: Parts, home: Home, namespace: Namespace) -> None:
        self._parts = parts
        self._home = home
        self._namespace = namespace
        self._closed_ms: dict[ServiceRef, int] = {}

    def fences(self) -> dict[ServiceRef, OperationId]:
        """The closed gates of this namespace, and which operation closed each."""
        fences = self._parts.local.fences
        return {service: each for service, each in fences.items() if service.namespace == self._namespace}

    def closed_by(self, service: ServiceRef) -> OperationId | None:
        return self._parts.local.fences.get(service)

    def closed_ms(self, service: ServiceRef) -> int:
        """By this machine's clock; 0: it is open, or was closed before ployzd started."""
        return self._closed_ms.get(service, 0) if self.closed_by(service) else 0

    def check(self, service: ServiceRef, *, but: OperationId) -> None:
        closed_by = self.closed_by(service)
        if closed_by is not None and closed_by != but:
            raise Refused(Code.FENCED, f"{service} is fenced on {self._parts.me} by operation {closed_by}")

    async def close(self, services: Sequence[ServiceRef], operation_id: OperationId) -> None:
        """Durable when it returns: from then on nothing of them starts here."""
        for service in services:
            self.check(service, but=operation_id)
        await self._parts.journal.append(
            [
                Entry(
                    f"service/{service}",
                    ServiceFenced(service, operation_id),
                    operation_id,
                    names.step("fence", service),
                )
                for service in services
            ]
        )
        now_ms = self._parts.clock.wall_ms()
        self._closed_ms |= dict.fromkeys(services, now_ms)

    async def open_decided(self) -> None:
        """Those of operations that are decided; and after an abort, once no candidate runs elsewhere."""
        fences = self.fences()
        for operation_id in sorted(set(fences.values())):
            operation = await operation_of(self._parts, operation_id)
            if operation is None or operation.status is Status.UNDECIDED:
                continue
            if operation.status is Status.ABORTED:
                await candidates_gone(self._parts, self._home, operation)
            for service in sorted(service for service, closed_by in fences.items() if closed_by == operation_id):
                await self._parts.journal.record(f"service/{service}", ServiceUnfenced(service, operation_id))
