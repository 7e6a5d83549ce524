"""An address leads to where a commit put it, and nowhere else: never to a candidate, never back to an earlier owner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ployz.host.ports import OverlayState
from ployz.ids import MachineId


def misled(
    me: MachineId, state: OverlayState, by_key: Mapping[str, MachineId], homes: Iterable[Mapping[str, MachineId]]
) -> list[str]:
    """What is wrong with an overlay that was just made so on `me`.

    `homes`: where each address was, by the facts, when `me` began, and since. One of them it must follow.
    """
    all_homes = list(homes)
    wrong: list[str] = []
    for machine, addresses in [(by_key[peer.public_key], peer.addresses) for peer in state.peers]:
        for address in sorted(addresses):
            known = [each[address] for each in all_homes if address in each]
            if known and machine not in known:
                wrong.append(f"{me} sends {address} to {machine}, and it is on {known[-1]}")
    for address in sorted(state.local - state.closed):
        known = [each[address] for each in all_homes if address in each]
        if known and me not in known:
            wrong.append(f"{me} answers {address} openly, and it is on {known[-1]}")
    return wrong
