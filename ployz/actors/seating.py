"""Making an etcd of the cluster's own: which machines, whether they can, and each of them in its seat.

What it is made with is written down at the founding machine before anybody is asked for anything, so that a run that
was interrupted is gone on with by the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from ployz.actors.core import Home
from ployz.actors.etcd import seating_path
from ployz.actors.messages.etcd import AskSeat, TakeSeat
from ployz.actors.parts import Parts
from ployz.actors.together import together
from ployz.config import ASK_TIMEOUT_S, EFFECT_TIMEOUT_S
from ployz.errors import Code, PloyzError, Refused
from ployz.facts.etcd.access import MODE
from ployz.facts.etcd.admission import close_doors
from ployz.facts.etcd.seating import Members, Seating
from ployz.facts.etcd.version import support
from ployz.ids import MachineId
from ployz.install.files import write_durably
from ployz.plan.holdings import member_of

MEMBERS_MAX: Final = 7
"""More members make every commit slower, and survive no more than anybody has ever lost at once."""


async def seat(parts: Parts, home: Home, machines: Sequence[MachineId]) -> Seating:
    """An etcd on these machines, with its doors closed. There already is done.

    `Refused`: USAGE, UNKNOWN_MACHINE, MISSING_PART, MACHINE_UNREACHABLE, CONFLICT (other machines were chosen before).
    """
    members = _members(parts, machines)
    seating = read_seating(parts.config.etcd_dir)
    if seating is None:
        for machine in machines:
            await require_fit(home, machine)
        seating = await Seating.make(members, f"etcd of {parts.config.cluster}")
        write_durably(seating_path(parts.config.etcd_dir), seating.text(), mode=MODE)
    elif set(seating.members) != set(members):
        raise Refused(
            Code.CONFLICT,
            f"the cluster's etcd was begun on {', '.join(seating.machines())}",
            "Name the same machines. `ployzctl cluster status` says how they are.",
        )
    await together(*(partial(_take, home, seating, machine) for machine in seating.machines()))
    await close_doors(seating)
    return seating


def read_seating(folder: Path) -> Seating | None:
    """None: this machine knows of no etcd of the cluster's own."""
    try:
        return Seating.parse(seating_path(folder).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _members(parts: Parts, machines: Sequence[MachineId]) -> Members:
    if len(set(machines)) != len(machines):
        raise Refused(Code.USAGE, "a machine is named twice", "Name each once.")
    if not 1 <= len(machines) <= MEMBERS_MAX or len(machines) % 2 == 0:
        raise Refused(
            Code.USAGE,
            f"{len(machines)} machines are no good number: a majority has to be there, and of an even number one more "
            "may not be lost than of the odd one below it",
            "Name three machines, or five; one, to try it out.",
        )
    return tuple((machine, member_of(parts.view, machine).ipv6) for machine in machines)


async def require_fit(home: Home, machine: MachineId) -> None:
    try:
        offer = await home.remote(machine, "etcd").ask(AskSeat(), timeout_s=ASK_TIMEOUT_S)
    except PloyzError as error:
        raise Refused(
            error.code, f"{machine}: {error.problem.text}", error.problem.advice or "Nothing was changed."
        ) from error
    fit = support(offer.version)
    if not fit.works:
        raise Refused(Code.MISSING_PART, f"{machine}: {fit.concern}", "Nothing was changed.")


async def _take(home: Home, seating: Seating, machine: MachineId) -> None:
    place = await seating.seat(machine, founds=True)
    await home.remote(machine, "etcd").ask(TakeSeat(place, seating.text()), timeout_s=EFFECT_TIMEOUT_S)
