"""The port to this machine's own etcd: one member of the cluster's, as a value, and the program that is it."""

from __future__ import annotations

from typing import Protocol

from attrs import field, frozen


@frozen
class Seat:
    """A member's place among the members, with all that it needs to take it."""

    name: str
    address: str
    """On which it listens, and from which it is believed: the overlay's."""
    members: tuple[tuple[str, str], ...]
    """Names and addresses of those that it meets when it starts for the first time, its own among them."""
    founds: bool
    """The members begin together, with nothing. False: the others are an etcd already, which has admitted this one."""
    ca_pem: str
    certificate_pem: str
    key_pem: str = field(repr=False)


class EtcdProgram(Protocol):
    """It goes on without ployzd."""

    async def version(self) -> str:
        """`Refused` (MISSING_PART): it is not installed."""
        ...

    def has_begun(self) -> bool:
        """It has run in its seat, and has data."""
        ...

    async def serve(self, seat: Seat) -> None:
        """It runs in this seat. It is started where it does not run; runs already is done.

        `Failed` (PART_FAILED): it does not start, or had data once, and has none any more: it must not begin anew
        under its old name.
        """
        ...

    async def end(self) -> None:
        """It is stopped, and what it had is gone. Neither there is done."""
        ...
