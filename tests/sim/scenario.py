"""One run as a value: the cluster it begins with, what operators ask for, and what strikes it. Drawn from a seed.

The same seed draws the same scenario, and schedules it in the same order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from attrs import evolve, frozen

from ployz.ids import MachineId
from tests.cluster.manifests import A, B, C
from tests.sim.faults import (
    Crash,
    Cut,
    DiskFull,
    EngineRestart,
    Fault,
    Faults,
    Late,
    LockLost,
    Lost,
    Meddled,
    Moment,
    PoolFull,
    Refusing,
    SlowDisk,
    Twice,
)
from tests.sim.orders import Abort, Deploy, Migrate, Order

D: Final = MachineId("machine-d")
MEDDLED: Final = 0.25
EFFECTS: Final = 420
"""About as many befores and afters as an undisturbed migration has."""


@frozen
class Shape:
    """What there is when the first order is given: `production/db`, with its volumes, settled on `owner`."""

    machines: tuple[MachineId, ...]
    """The first is the authority."""
    owner: MachineId
    volumes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{len(self.machines)} machines, {self.machines[0]} the authority, {self.owner} the owner of " + (
            " and ".join(self.volumes)
        )


SHAPES: Final = (
    Shape((A, B, C), A, ("pgdata",)),
    Shape((A, B, C), B, ("pgdata",)),
    Shape((A, B, C), B, ("pgdata", "wal")),
    Shape((A, B, C, D), B, ("pgdata",)),
)
_WEIGHTS: Final = (28, 48, 12, 12)


@frozen
class Scenario:
    seed: int
    shape: Shape
    orders: tuple[Order, ...]
    faults: Faults
    restarts: bool
    """In the end every ployzd is started once more, and nothing may change."""

    def __str__(self) -> str:
        return "\n".join(
            (f"seed {self.seed}: {self.shape}", *(f"  {each}" for each in self.orders), "faults:", str(self.faults))
        )


def draw(seed: int) -> Scenario:
    dice = random.Random(f"scenario {seed}")  # noqa: S311 - a simulation's dice
    (shape,) = dice.choices(SHAPES, _WEIGHTS)
    (count,) = dice.choices((0, 1, 2, 3, 5), (2, 40, 36, 15, 7))
    faults = tuple(_fault(dice, shape, index) for index in range(count))
    scenario = Scenario(seed, shape, _orders(dice, shape), Faults(faults), restarts=dice.random() < 0.15)
    return evolve(scenario, faults=Faults((*_meddlings(seed, shape), *faults)))


def _meddlings(seed: int, shape: Shape) -> Iterator[Fault]:
    """In a quarter of the runs, by dice of its own. They come first: what is counted from the fault before still is."""
    dice = random.Random(f"meddler {seed}")  # noqa: S311 - as above
    if dice.random() < MEDDLED:
        for _ in range(dice.choice((1, 1, 2))):
            how = dice.choice(("container", "container", "connection", "prune", "prune", "overlay"))
            yield Meddled(Moment(dice.randrange(1, EFFECTS)), dice.choice(shape.machines), how)


# ---------------------------------------------------------------- orders


def _orders(dice: random.Random, shape: Shape) -> tuple[Order, ...]:
    machines = shape.machines
    others = [each for each in machines if each != shape.owner]
    target = dice.choice(others)
    first = Migrate(dice.choice(machines), target)
    match dice.choices(("one", "abort", "two", "back", "deploy", "deploy beside"), (55, 12, 10, 10, 7, 6))[0]:
        case "abort":
            return (first, Abort(dice.choice(machines), Moment(dice.randrange(1, EFFECTS))))
        case "two":
            return (first, Migrate(dice.choice(machines), dice.choice(others), beside=True))
        case "back":
            return (first, Migrate(dice.choice(machines), shape.owner))
        case "deploy":
            return (Deploy(dice.choice(machines), "again"),)
        case "deploy beside":
            return (first, Deploy(dice.choice(machines), "again", beside=True))
        case _:
            return (first,)


# ---------------------------------------------------------------- faults

_NAMED: Final = (
    "log.append",
    "facts.transact",
    "facts.read",
    "facts.keep_alive",
    "docker.start",
    "docker.stop",
    "docker.create",
    "docker.remove",
    "zfs.mount",
    "zfs.unmount",
    "zfs.snapshot",
    "zfs.rollback",
    "zfs.set",
    "zfs.release",
    "zfs.destroy_snapshot",
    "streams.send",
    "overlay.apply",
    "guards.guard",
    "looks.tcp_answers",
)


def _moment(dice: random.Random, index: int) -> Moment:
    after_last = index > 0 and dice.random() < 0.5
    if dice.random() < 0.55:
        return Moment(dice.randrange(1, EFFECTS // 2 if after_last else EFFECTS), after_last=after_last)
    return Moment(dice.choice((1, 1, 1, 2, 2, 3, 4, 6)), dice.choice(_NAMED), dice.random() < 0.5, after_last)


def _fault(dice: random.Random, shape: Shape, index: int) -> Fault:
    (draw_one,) = dice.choices(list(_KINDS), list(_KINDS.values()))
    return draw_one(dice, _moment(dice, index), shape.machines)


Machines = tuple[MachineId, ...]


def _crash(dice: random.Random, at: Moment, machines: Machines) -> Fault:
    victim = None if dice.random() < 0.6 else dice.choice(machines)
    return Crash(at, victim, power=dice.random() < 0.5, down_s=dice.choice((0.2, 1.0, 4.0, 12.0, 25.0, 45.0)))


def _cut(dice: random.Random, at: Moment, machines: Machines) -> Fault:
    source, target = dice.sample(machines, 2)
    return Cut(at, source, target, dice.random() < 0.4, dice.choice((2.0, 8.0, 15.0, 25.0, 45.0)))


_MESSAGES: Final = (
    "commit",
    "facts.transact",
    "facts.read",
    "facts.keep_alive",
    "workload.create",
    "workload.fence",
    "workload.vote",
    "workload.start",
    "workload.settle",
    "workload.withdraw",
    "storage.snapshot",
    "volume.begin_receive",
    "volume.send",
    "volume.end_receive",
)


def _about(dice: random.Random) -> str:
    return dice.choice(_MESSAGES) if dice.random() < 0.7 else ""


def _lost(dice: random.Random, at: Moment, _: Machines) -> Fault:
    return Lost(at, dice.random() < 0.5, _about(dice))


def _late(dice: random.Random, at: Moment, _: Machines) -> Fault:
    return Late(at, dice.random() < 0.5, dice.choice((0.1, 3.0, 12.0, 25.0, 50.0)), _about(dice))


def _twice(dice: random.Random, at: Moment, _: Machines) -> Fault:
    return Twice(at, dice.choice((0.01, 0.3, 5.0, 30.0)), _about(dice))


def _refusing(dice: random.Random, at: Moment, machines: Machines) -> Fault:
    part = dice.choice(("zfs", "docker", "overlay", "streams"))
    return Refusing(at, dice.choice(machines), part, dice.choice((1, 1, 3, 8)))


def _disk_full(dice: random.Random, at: Moment, machines: Machines) -> Fault:
    return DiskFull(at, dice.choice(machines), dice.random() < 0.5)


def _pool_full(dice: random.Random, at: Moment, machines: Machines) -> Fault:
    return PoolFull(at, dice.choice(machines), dice.choice((1.0, 10.0, 40.0)))


def _slow_disk(dice: random.Random, at: Moment, machines: Machines) -> Fault:
    return SlowDisk(at, dice.choice(machines), dice.choice((0.05, 0.5, 2.0)), dice.choice((5.0, 20.0)))


def _lock_lost(dice: random.Random, at: Moment, _: Machines) -> Fault:
    return LockLost(at, dice.random() < 0.4)


def _engine(dice: random.Random, at: Moment, machines: Machines) -> Fault:
    return EngineRestart(at, dice.choice(machines), dice.choice((0.1, 2.0, 10.0)))


_KINDS: Final[Mapping[Callable[[random.Random, Moment, Machines], Fault], int]] = {
    _crash: 40,
    _cut: 14,
    _lost: 6,
    _late: 6,
    _twice: 5,
    _refusing: 8,
    _disk_full: 4,
    _pool_full: 3,
    _slow_disk: 3,
    _lock_lost: 8,
    _engine: 3,
}
"""How often each is drawn."""
