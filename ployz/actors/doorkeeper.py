"""Who may be connected with this machine: strangers are shown out, newcomers are let in while one is expected."""

from __future__ import annotations

import logging
from typing import Final, NoReturn

import anyio
from attrs import frozen

from ployz.actors.parts import Parts
from ployz.wire.client import PeerClient
from ployz.wire.server import WireServer

LAST_WORD_S: Final = 1.0
"""How long a machine that was removed is still heard and answered: the fact that says so is the last that it hears."""
LOOK_S: Final = 30.0
"""How often an open door is looked at: an expiry is a wall time, and that may be set."""
RETRY_S: Final = 5.0

_log = logging.getLogger("ployz.doorkeeper")


@frozen
class Doorkeeper:
    parts: Parts
    server: WireServer
    peers: PeerClient

    async def end_strangers(self) -> NoReturn:
        """A machine that was removed, or has a new key, loses the connections that it has."""
        while True:
            await self.parts.next_change()
            await anyio.sleep(LAST_WORD_S)
            self.server.end_strangers()
            self.peers.end_strangers()

    async def receive_newcomers(self) -> NoReturn:
        """The door stands open until the last invitation of this machine expires."""
        port = self.parts.config.listen_port
        while True:
            if self._expected_s() <= 0:
                await self.parts.next_change()
                continue
            try:
                await self._open(port)
            except OSError as error:
                _log.error("newcomers are not received on TCP port %d: %s", port, error.strerror)
                await anyio.sleep(RETRY_S)

    async def _open(self, port: int) -> None:
        async with anyio.create_task_group() as tasks:
            await tasks.start(self.server.serve_newcomers, port)
            while (expected_s := self._expected_s()) > 0:
                with anyio.move_on_after(min(expected_s, LOOK_S)):
                    await self.parts.next_change()
            tasks.cancel_scope.cancel()

    def _expected_s(self) -> float:
        return (self.parts.view.invites.shown_until_ms(self.parts.me) - self.parts.clock.wall_ms()) / 1000
