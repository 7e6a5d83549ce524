"""Events of what others did to a machine: something that ployz had made was taken away, and is there again."""

from __future__ import annotations

from attrs import frozen

from ployz.events.types.base import Event, event


@event("host.taken_away", 1)
@frozen
class TakenAway(Event):
    """From outside: neither ployz nor an operator by `ployzctl` did it. Told once, until all of the kind is back."""

    kind: str
    """Of Docker `container`, `connection`, `holder` or `network`; of the overlay `interface`, `peers`, `routes`,
    `bridge`, `switches`, `rules`, `doors`, `ports`, `stations` or `reach`."""
    names: tuple[str, ...]
    """What is missing or changed, the first ten."""


@event("host.put_back", 1)
@frozen
class PutBack(Event):
    """All of the kind is as it should be again."""

    kind: str
    repairs: int
    """How often ployz has put it back since this began."""
