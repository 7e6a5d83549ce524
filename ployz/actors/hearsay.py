"""What a machine that starts without the authority asks the others: whether what it has was given away meanwhile.

Its own gate tells it of every move, which it took part in. Of a takeover, and of slots that were made elsewhere because
it was gone, it knows nothing but by the facts, and the other machines have those too.
"""

from __future__ import annotations

from enum import Enum, auto
from functools import partial

from attrs import frozen

from ployz.actors.core import Home
from ployz.actors.messages.takeover import AskOwners, Owners
from ployz.actors.parts import Parts
from ployz.actors.together import together
from ployz.config import PROBE_TIMEOUT_S
from ployz.errors import PloyzError
from ployz.ids import MachineId, SlotRef


class Heard(Enum):
    NOTHING = auto()
    """Nobody answers."""
    SAME = auto()
    """Whoever answers knows this machine as the owner, as it does itself."""
    NEWER = auto()
    """Somebody knows a later epoch: this machine owns less than its own facts say."""


@frozen
class Hearsay:
    volumes: Heard
    elsewhere: frozenset[SlotRef]
    """Slots that somebody with newer facts knows to be on other machines, or to be none any more."""


async def ask_around(parts: Parts, home: Home) -> Hearsay:
    slots = tuple(ref for ref, slot in parts.view.placement.slots() if slot.machine == parts.me)
    mine = {each.volume: each.epoch for each in parts.view.placement.volumes_on(parts.me)}
    others = [each.machine for each in parts.view.machines.in_order() if each.machine != parts.me]
    asked = AskOwners(tuple(mine), slots, parts.view.position)
    answers = await together(*(partial(_ask, home, each, asked) for each in others))
    told = [answer for answer in answers if answer is not None]
    elsewhere = frozenset(slot for answer in told for slot in answer.elsewhere)
    if any(each.epoch > mine[each.volume] for answer in told for each in answer.owners):
        return Hearsay(Heard.NEWER, elsewhere)
    return Hearsay(Heard.SAME if told else Heard.NOTHING, elsewhere)


async def _ask(home: Home, machine: MachineId, asked: AskOwners) -> Owners | None:
    try:
        return await home.remote(machine, "takeover").ask(asked, timeout_s=PROBE_TIMEOUT_S)
    except PloyzError:
        return None
