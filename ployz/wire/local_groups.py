"""Who may use the operator's socket: root everything, one group everything too, another one what changes nothing.

The kernel says who is there; what each may ask is written beside the messages.
"""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path
from typing import Final, Self

from attrs import frozen

from ployz.errors import Code, Refused
from ployz.wire.local import WHO_MAY
from ployz.wire.message import Operator
from ployz.wire.sockets import Credentials

READERS: Final = "ployz"
ADMINS: Final = "ployz-admin"
SOCKET_FOLDER_MODE: Final = 0o750


@frozen
class LocalGroups:
    """By number. None: this machine has no such group, and so nobody in it."""

    readers: int | None
    admins: int | None

    @classmethod
    def of_this_machine(cls) -> Self:
        """As they are now: ployzd asks when it starts, since a name service may take its time."""
        return cls(_number(READERS), _number(ADMINS))

    def operator(self, credentials: Credentials) -> Operator:
        """`Refused` (NOT_ALLOWED): somebody who may not even look."""
        may_change = credentials.uid in {0, os.geteuid()} or self.admins in credentials.groups
        if not may_change and self.readers not in credentials.groups:
            raise Refused(
                Code.NOT_ALLOWED,
                f"user {credentials.uid} may not ask this machine's ployzd anything",
                WHO_MAY,
            )
        return Operator(credentials.pid, credentials.uid, may_change)

    def open_to_readers(self, socket: Path) -> None:
        """The socket, and its folder if it is one that only root has been let into so far."""
        if self.readers is None or os.geteuid() != 0:
            return
        os.chown(socket, -1, self.readers)
        folder = socket.parent.stat()
        if (folder.st_uid, stat.S_IMODE(folder.st_mode)) == (0, SOCKET_FOLDER_MODE):
            os.chown(socket.parent, -1, self.readers)


ROOT_ALONE: Final = LocalGroups(None, None)


def _number(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None
