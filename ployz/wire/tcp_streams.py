"""The streams of one machine over TCP: its server for what comes, and a connection of its own for what goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from ployz.wire.stream_receive import Expectation, StreamServer
from ployz.wire.stream_send import send
from ployz.wire.streams import Sent, Ticket


class TcpStreams:
    """A stream that moves nothing for `stall_s` is cut, at both ends."""

    def __init__(self, *, stall_s: float) -> None:
        self._stall_s = stall_s
        self._server = StreamServer(stall_s=stall_s)

    async def serve(self, address: str, port: int, *, task_status: TaskStatus[int] = TASK_STATUS_IGNORED) -> None:
        """Until it is cancelled. Starts with the port (0: any)."""
        await self._server.serve(address, port, task_status=task_status)

    def expect(self, purpose: str, argv: Sequence[str], *, deadline_s: float) -> Expectation:
        return self._server.expect(purpose, argv, deadline_s=deadline_s)

    async def send(
        self, ticket: Ticket, argv: Sequence[str], *, on_progress: Callable[[int], None] | None = None
    ) -> Sent:
        return await send(ticket, argv, stall_s=self._stall_s, on_progress=on_progress)
