"""Small ports to the machine itself: guards of candidates, folders, and looks at what answers."""

from __future__ import annotations

from typing import Protocol


class Guards(Protocol):
    """Who ends a container when its lease is over, also when ployzd is dead. A power cut ends leases and containers.

    `until_s` is on `Clock.monotonic_s`.
    """

    async def guard(self, container: str, until_s: float) -> None:
        """Before it is started: from here on it does not outlive its lease."""
        ...

    async def renew(self, container: str, until_s: float) -> None:
        """`Failed`: its lease was over, and it was killed."""
        ...

    async def release(self, container: str) -> None:
        """It needs no guard any more. Not guarded is done."""
        ...

    async def until_s(self, container: str) -> float | None:
        """When its lease ends. None: it has none."""
        ...

    async def killed(self, container: str) -> bool:
        """Its lease was over while it ran. Known until it is released, or the machine loses its power."""
        ...


class Folders(Protocol):
    """The folders of the host that volumes are mounted on."""

    async def ensure(self, path: str) -> None:
        """With its parents, for root alone. One that is there stays as it is."""
        ...

    async def own(self, path: str, *, mode: int | None, owner: tuple[int, int] | None) -> None:
        """Of the folder itself, not of what is in it. `owner`: (uid, gid). None: as it is."""
        ...


class Looks(Protocol):
    """One look from this machine whether a container answers. None: it does; else why not, in words."""

    async def tcp_answers(self, address: str, port: int, *, timeout_s: float) -> str | None:
        """A connection is accepted."""
        ...

    async def http_answers(self, address: str, port: int, path: str, *, timeout_s: float) -> str | None:
        """GET is answered with a status of 200 to 399."""
        ...
