"""One machine's look at every slot of the cluster, as its users see them: by address, and by name.

So many at once, each with its time, and one deadline for all: what is left then is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import anyio

from ployz.actors.parts import Parts
from ployz.actors.together import together
from ployz.plan.doctor.reach import Target, service_names, targets
from ployz.plan.doctor.readings import UNREACHED_MAX, NameReading, ReachReading, UnreachedReading
from ployz.surroundings import SLOWNESS

AT_ONCE: Final = 32
TRY_S: Final = 2.0 * SLOWNESS
"""A lost SYN is sent again after one second (RFC 6298)."""
REACH_S: Final = 6.0 * SLOWNESS
"""For all of them."""
FOLLOWED_S: Final = 1.0 * SLOWNESS
"""In which the name server follows what was decided a moment ago."""


async def what_is_reached(parts: Parts) -> ReachReading | None:
    """None: a machine that is no member reaches nobody, as it should be."""
    if parts.is_removed:
        return None
    wanted = targets(parts.view)
    left = iter(wanted)
    reached = 0
    unreached: list[UnreachedReading] = []

    async def look_on() -> None:
        nonlocal reached
        for target in left:
            why = await _look(parts, target)
            if why is None:
                reached += 1
            else:
                unreached.append(UnreachedReading(target.slot, why))
            if len(unreached) >= UNREACHED_MAX:
                return

    with anyio.move_on_after(REACH_S):
        await together(*(look_on for _ in range(min(AT_ONCE, len(wanted)))))
    told = sorted(unreached, key=lambda each: str(each.slot))[:UNREACHED_MAX]
    return ReachReading(tuple(told), len(wanted) - reached - len(told))


async def _look(parts: Parts, target: Target) -> str | None:
    return await parts.looks.tcp_answers(target.ipv4, target.port, timeout_s=TRY_S)


async def names_amiss(parts: Parts) -> list[NameReading]:
    """Once more where something is: it follows the facts a moment after they are known here."""
    if parts.is_removed or not await _amiss(parts, service_names(parts.view)):
        return []
    await anyio.sleep(FOLLOWED_S)
    return await _amiss(parts, service_names(parts.view))


async def _amiss(parts: Parts, expected: Mapping[str, frozenset[str]]) -> list[NameReading]:
    left = iter(expected.items())
    found: list[NameReading] = []

    async def look_on() -> None:
        for name, addresses in left:
            answered = await parts.names.addresses(name, timeout_s=TRY_S)
            if answered != addresses:
                found.append(NameReading(name, tuple(sorted(answered)), tuple(sorted(addresses))))

    await together(*(partial(look_on) for _ in range(min(AT_ONCE, len(expected)))))
    return sorted(found, key=lambda each: each.name)[:UNREACHED_MAX]
