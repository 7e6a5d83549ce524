"""Small ports to the machine itself: guards of candidates, folders, secret files, looks, and what it must have."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from attrs import field, frozen

from ployz.ids import Certificate


class Guards(Protocol):
    """Who ends a container when its lease is over, also when ployzd is dead. A power cut ends leases and containers.

    `until_s` is on `Clock.monotonic_s`.
    """

    async def guard(self, container: str, until_s: float) -> None:
        """Before it is started: from here on it does not outlive its lease, with or without Docker. `Failed`: that
        cannot be seen to.
        """
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

    async def guarded(self) -> Sequence[str]:
        """Every container that has a lease, or whose guard left word of a kill, by name."""
        ...


class Folders(Protocol):
    """The folders of the host that volumes are mounted on."""

    async def ensure(self, path: str) -> None:
        """With its parents, for root alone. One that is there stays as it is."""
        ...

    async def own(self, path: str, *, mode: int | None, owner: tuple[int, int] | None) -> None:
        """Of the folder itself, not of what is in it. `owner`: (uid, gid). None: as it is."""
        ...

    async def written_since(self, path: str, since_ms: int) -> bool:
        """Whether anything in the folder was changed after that wall time. Of a folder with very much in it, or one
        that cannot be read, it is said to be: nobody shall lose what was not looked at.
        """
        ...


@frozen
class SecretFile:
    name: str
    content: bytes = field(repr=False)
    mode: int
    owner: tuple[int, int]
    """(uid, gid)."""


class SecretFiles(Protocol):
    """What containers are given in memory: a folder for each container, which a power cut takes."""

    def containers(self) -> Sequence[str]:
        """Which ones have a folder. A look into memory: it never waits."""
        ...

    async def write(self, container: str, files: Sequence[SecretFile]) -> None:
        """Each as a new file: a container that runs keeps what it was started with."""
        ...

    async def remove(self, container: str) -> None:
        """Absent is done."""
        ...


class Looks(Protocol):
    """One look from this machine whether a container answers. None: it does; else why not, in words."""

    async def tcp_answers(self, address: str, port: int, *, timeout_s: float) -> str | None:
        """A connection is accepted."""
        ...

    async def http_answers(self, address: str, port: int, path: str, *, timeout_s: float) -> str | None:
        """GET is answered with a status of 200 to 399."""
        ...


class Soundings(Protocol):
    """Packets to other machines that only ask whether they arrive."""

    async def sizes_answered(
        self, asked: Mapping[str, Collection[int]], *, timeout_s: float
    ) -> Mapping[str, frozenset[int]]:
        """By IPv6 address of a machine, which of these sizes went there in one packet, and came back."""
        ...

    async def poke(self, address: str) -> None:
        """Sends a little to a machine, so that something comes back if it hears this one. Waits for nothing."""
        ...


@frozen
class ExpiringCertificate:
    path: str
    not_after_ms: int
    """0: it cannot be read."""
    problem: str = ""
    """Why not."""


@frozen
class StateRoom:
    """The file system that the state folder is on, as `df` counts it."""

    mount: str
    size_bytes: int
    free_bytes: int
    files: int
    """Inodes. 0: this file system has no limit of them."""
    files_free: int


class Premises(Protocol):
    """What a machine must have before ployz can do anything on it, looked at while it does."""

    async def missing(self) -> Sequence[str]:
        """Of what ployz requires: `NAME: what to do`, one each."""
        ...

    async def identity(self) -> Certificate:
        """As it is on the disk now. `Failed` (IDENTITY): it is not there, damaged, or others can read it."""
        ...

    async def certificates(self) -> Sequence[ExpiringCertificate]:
        """Those that somebody else signed, and that end: of a gateway."""
        ...

    async def addresses(self) -> Sequence[str]:
        """What somebody can be told to listen on here, IPv4 and IPv6; not those of the loopback, or of a link alone."""
        ...

    async def state_room(self) -> StateRoom:
        """`Failed` (LOG_FAILED): the state folder cannot be looked at."""
        ...
