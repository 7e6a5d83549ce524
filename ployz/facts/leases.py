"""When leases end, by a monotonic clock that the caller reads: bookkeeping without a timer.

Nobody is woken when a lease ends. An adapter asks what is due before it answers anything, which looks the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from attrs import evolve, frozen

from ployz.errors import Code, Refused

TTL_S_MAX: Final = 3600.0
"""A lease is for what must lapse soon when its holder dies."""


@frozen
class _Lease:
    ttl_s: float
    ends_s: float


class Leases:
    def __init__(self) -> None:
        self._leases: dict[int, _Lease] = {}

    def begin(self, lease: int, ttl_s: float, now_s: float) -> None:
        self._leases[lease] = _Lease(ttl_s, now_s + ttl_s)

    def renew(self, lease: int, now_s: float) -> bool:
        """For a whole ttl from now. False: it has ended, and stays so."""
        found = self._leases.get(lease)
        if found is None or found.ends_s <= now_s:
            return False
        self._leases[lease] = evolve(found, ends_s=now_s + found.ttl_s)
        return True

    def due(self, now_s: float) -> Sequence[int]:
        """Those whose time is over and that were not forgotten yet."""
        return [lease for lease, each in self._leases.items() if each.ends_s <= now_s]

    def stands(self, lease: int) -> bool:
        return lease in self._leases

    def forget(self, leases: Iterable[int]) -> None:
        for lease in leases:
            self._leases.pop(lease, None)


def check_ttl(ttl_s: float) -> None:
    if not 0 < ttl_s <= TTL_S_MAX:
        raise Refused(Code.USAGE, f"a lease lasts more than 0 and at most {TTL_S_MAX:.0f} s, not {ttl_s}")
