"""What a machine that starts without the authority asks the others: whether what it owns was given away meanwhile.

Its own gate tells it of every move, which it took part in. Of a takeover it knows nothing but by the facts, and the
other machines have those too.
"""

from __future__ import annotations

from enum import Enum, auto
from functools import partial

from ployz.actors.core import Home
from ployz.actors.messages.takeover import AskOwners, Owners
from ployz.actors.parts import Parts
from ployz.actors.together import together
from ployz.config import PROBE_TIMEOUT_S
from ployz.errors import PloyzError
from ployz.ids import MachineId


class Heard(Enum):
    NOTHING = auto()
    """Nobody answers."""
    SAME = auto()
    """Whoever answers knows this machine as the owner, as it does itself."""
    NEWER = auto()
    """Somebody knows a later epoch: this machine owns less than its own facts say."""


async def ask_around(parts: Parts, home: Home) -> Heard:
    mine = {each.volume: each.epoch for each in parts.view.placement.volumes_on(parts.me)}
    others = [each.machine for each in parts.view.machines.in_order() if each.machine != parts.me]
    answers = await together(*(partial(_ask, home, each, AskOwners(tuple(mine))) for each in others))
    known = [each for answer in answers if answer is not None for each in answer.owners]
    if any(each.epoch > mine[each.volume] for each in known):
        return Heard.NEWER
    return Heard.SAME if any(answer is not None for answer in answers) else Heard.NOTHING


async def _ask(home: Home, machine: MachineId, asked: AskOwners) -> Owners | None:
    try:
        return await home.remote(machine, "takeover").ask(asked, timeout_s=PROBE_TIMEOUT_S)
    except PloyzError:
        return None
