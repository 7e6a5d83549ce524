"""Telling systemd how far this program is: sd_notify(3). Where nobody asked to be told, nothing happens."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import MutableMapping
from typing import Final, Self

from attrs import frozen

VARIABLE: Final = "NOTIFY_SOCKET"

_log = logging.getLogger("ployz.node")


@frozen
class Supervisor:
    address: str | None
    """Of a datagram socket; None: nobody listens."""

    @classmethod
    def taken_from(cls, environment: MutableMapping[str, str] = os.environ) -> Self:
        """Takes the address out of the environment: no program that we start may speak for us."""
        return cls(environment.pop(VARIABLE, None))

    def ready(self) -> None:
        """What starts after us, and whoever waits for `systemctl start`, may go on."""
        self._tell("READY=1\nSTATUS=up")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._tell(f"STATUS={' '.join(text.split())}")

    def _tell(self, text: str) -> None:
        if self.address is None:
            return
        name = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
                teller.setblocking(False)
                teller.sendto(text.encode(), name)
        except OSError as error:
            _log.warning("systemd could not be told: %s", error.strerror)
