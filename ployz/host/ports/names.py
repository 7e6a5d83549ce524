"""The port to the name server of this machine: names and their addresses as values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen


@frozen
class HostRecord:
    address: str
    """IPv4 or IPv6, without prefix length."""
    names: tuple[str, ...]
    """In full, without a dot at the end. The first is the answer to who has the address."""


class NameServer(Protocol):
    """It goes on without ployzd, with the names that it was given last."""

    async def serve(self, records: Sequence[HostRecord]) -> None:
        """From here on it answers with these, for the whole domain, and passes everything else on.

        It is started where it does not run. Serves them already is done.
        """
        ...

    async def addresses(self, name: str, *, timeout_s: float) -> frozenset[str]:
        """The IPv4 addresses that it answers for a name of the domain, asked as every container asks; none: it says
        that there is none. `Failed` (PART_FAILED): it does not answer.
        """
        ...
