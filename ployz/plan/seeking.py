"""Which machines are heard by WireGuard, and where else to look for one that is not: where others hear it. Pure.

WireGuard follows a peer that moves, as long as one of the two can send to the other. Of two that move at once neither
can; but whoever else hears both knows where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from attrs import frozen

from ployz.host.ports import PeerStatus
from ployz.projections.machines import Member

QUIET_S: Final = 10.0
"""So long without a byte, and it is asked for one: a peer with nothing to say sends one in 25 s (KEEPALIVE_S)."""
LOST_S: Final = 15.0
"""What was asked for has not come."""
CLOSELY_S: Final = 60.0
"""So long others are asked with each look; after that every CLOSELY_S: a machine may be off for days."""


@frozen
class Heard:
    """One peer of WireGuard's."""

    received_bytes: int
    at_s: float
    """When something was last seen to have come, or when it was first looked at."""
    came: bool
    endpoint: str


def heard(before: Mapping[str, Heard], status: Iterable[PeerStatus], now_s: float) -> dict[str, Heard]:
    """By key. Bytes alone tell: a session that nothing comes through any more looks well for three minutes."""
    found = {}
    for each in status:
        known = before.get(each.public_key)
        if known is None:
            found[each.public_key] = Heard(each.received_bytes, now_s, False, each.endpoint)
        elif each.received_bytes != known.received_bytes:
            found[each.public_key] = Heard(each.received_bytes, now_s, True, each.endpoint)
        else:
            found[each.public_key] = Heard(known.received_bytes, known.at_s, known.came, each.endpoint)
    return found


def of_member(known: Mapping[str, Heard], member: Member) -> tuple[str, Heard] | None:
    """Its key, and what is known: under the one it is heard with, while it changes its key. None: it is no peer yet."""
    keys = [key for key in (member.public_key, member.next_key) if key is not None and key in known]
    return max(((key, known[key]) for key in keys), key=lambda each: each[1].at_s, default=None)


def is_due(silent_s: float, sought_s_ago: float | None) -> bool:
    """Whether others are to be asked for it now."""
    return silent_s >= LOST_S and (silent_s < CLOSELY_S or sought_s_ago is None or sought_s_ago >= CLOSELY_S)


def next_place(said: Iterable[str], now: str) -> str | None:
    """Where to look next: the places that were said one after the other, best first. None: there is no other."""
    places = list(dict.fromkeys(said))
    if now in places:
        places = [*places[places.index(now) + 1 :], *places[: places.index(now)]]
    return places[0] if places else None
