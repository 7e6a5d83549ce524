"""The streams of one machine over TCP: its server for what comes, and connections of its own for what goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from weakref import WeakValueDictionary

from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from ployz.wire.pacing import Pace
from ployz.wire.packing import Packing
from ployz.wire.sockets import IsMembers
from ployz.wire.stream_receive import Expectation, StreamServer
from ployz.wire.stream_send import Sender
from ployz.wire.streams import Limit, Sent, Ticket

PACKINGS_MAX = 64
"""What is remembered of ways that streams took; the oldest is forgotten."""


class TcpStreams:
    """A program that moves nothing for `stall_s` is taken for dead, at either end. A receiver waits `patience_s` for a
    sender whose connection was lost: as long as the most patient sender.
    """

    def __init__(
        self, *, stall_s: float, patience_s: float, bytes_per_s: Callable[[], int | None] = lambda: None
    ) -> None:
        """`bytes_per_s`: of everything that leaves this machine, asked again and again. None: as fast as it goes."""
        self._stall_s = stall_s
        self._pace = Pace(bytes_per_s)
        self._paces: WeakValueDictionary[Limit, Pace] = WeakValueDictionary()
        self._packings: dict[tuple[str, str], Packing] = {}
        self._server = StreamServer(stall_s=stall_s, patience_s=patience_s)

    async def serve(
        self, address: str, port: int, is_members: IsMembers, *, task_status: TaskStatus[int] = TASK_STATUS_IGNORED
    ) -> None:
        """Until it is cancelled. Starts with the port (0: any)."""
        await self._server.serve(address, port, is_members, task_status=task_status)

    def expect(self, purpose: str, argv: Sequence[str], *, deadline_s: float) -> Expectation:
        return self._server.expect(purpose, argv, deadline_s=deadline_s)

    async def send(
        self,
        ticket: Ticket,
        argv: Sequence[str],
        *,
        patience_s: float,
        limit: Limit | None = None,
        on_progress: Callable[[int], None] | None = None,
        on_lost: Callable[[str], None] | None = None,
    ) -> Sent:
        paces = [self._pace] if limit is None else [self._pace, self._shared(limit)]
        packing = Packing() if limit is None else self._packing(limit.name, ticket.address)
        sender = Sender(self._stall_s, patience_s, paces, packing=packing)
        return await sender.send(ticket, argv, on_progress=on_progress, on_lost=on_lost)

    def _packing(self, name: str, address: str) -> Packing:
        """Of one name to one machine: the last round of a move goes as the rounds did that it is predicted by."""
        packing = self._packings.pop((name, address), None) or Packing()
        self._packings[name, address] = packing
        if len(self._packings) > PACKINGS_MAX:
            del self._packings[next(iter(self._packings))]
        return packing

    def _shared(self, limit: Limit) -> Pace:
        """One for all streams of its name, for as long as there are any."""
        pace = self._paces.get(limit)
        if pace is None:
            pace = self._paces[limit] = Pace(lambda: limit.bytes_per_s)
        return pace
