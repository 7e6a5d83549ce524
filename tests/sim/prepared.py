"""Prepared clusters: everything up to the first order is done once for a shape, and each scenario forks from there.

A fork is a copy of the whole living cluster, actors and all, for a few milliseconds; and what a scenario or a mutant
does to its process is gone with it.
"""

from __future__ import annotations

import gc
import os
import pickle
import random
import signal
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import NoneType
from typing import Any, BinaryIO, Final, NoReturn, TypeVar, get_args

import anyio
import attrs
from attrs import evolve, frozen
from cattrs import Converter

from ployz.actors.messages.operations import ApplyDeploy, ApplyMigration
from ployz.errors import PloyzError
from ployz.events.codec import CODEC
from ployz.facts import keys
from ployz.facts.memory import MemoryFactLog
from ployz.host.fakes.zfs import FakeZfs
from ployz.ids import MachineId, SlotRef
from ployz.wire import codec
from ployz.wire.fake_streams import StreamLinks
from ployz.wire.message import registry
from tests.cluster.cluster import Cluster
from tests.cluster.machine import Shared
from tests.cluster.manifests import DB
from tests.cluster.network import Network
from tests.cluster.scenes import add_image
from tests.cluster.virtual_time import VirtualClock, run_seeded
from tests.cluster.world import World
from tests.sim.bugs import Bugs
from tests.sim.parting import HUNG_S, Member, Parting, beginning, broken, draw_from
from tests.sim.playing import Play, Stepped, manifest_of
from tests.sim.report import Report
from tests.sim.scenario import SHAPES, Scenario, Shape

SETTLED_S: Final = 40.0


class SimulatedWorld(World):
    """As in the tests of clusters; that a full pool takes nothing is no violation here."""

    def _sign(self, machine: MachineId, zfs: FakeZfs, dataset: str) -> None:
        try:
            super()._sign(machine, zfs, dataset)
        except PloyzError:
            return


@frozen
class Turn:
    """One scenario to be played."""

    scenario: Scenario
    spoil: Callable[[], None] | None = None
    """A mutant: what is patched in the fork before it begins."""


T = TypeVar("T")
Take = Callable[[int, Report], None]
"""(which turn, what became of it)"""


def play_all(turns: Sequence[Turn], take: Take, *, tell: bool = False) -> None:
    """Each once, shape after shape. `tell`: every report with its story."""
    for shape in SHAPES:
        mine = [index for index, each in enumerate(turns) if each.scenario.shape == shape]
        if mine:
            _play_shape(shape, mine, turns, take, tell=tell)


def _play_shape(shape: Shape, mine: Sequence[int], turns: Sequence[Turn], take: Take, *, tell: bool) -> None:
    async def main(dice: random.Random) -> None:
        clock, effects, network = VirtualClock(), Stepped(), Network(dice)
        links = StreamLinks(lambda a, b: network.passes(MachineId(a), MachineId(b)))
        shared = Shared(dice, clock, network, links, effects, MemoryFactLog(clock))
        async with anyio.create_task_group() as tasks:
            cluster = Cluster(shared, SimulatedWorld(), tasks)
            await _prepare(cluster, shape)
            _generate_codecs()
            _freeze()
            for alike in begin_alike({index: turns[index] for index in mine}):
                await _play_alike(cluster, effects, alike, take, tell=tell)
            tasks.cancel_scope.cancel()

    run_seeded(main, seed=0)


def begin_alike(turns: Mapping[T, Turn]) -> Iterable[Mapping[T, Turn]]:
    """Those that are played as one until they part."""
    found: dict[object, dict[T, Turn]] = {}
    for key, turn in turns.items():
        found.setdefault((beginning(turn.scenario), turn.spoil), {})[key] = turn
    return found.values()


async def _prepare(cluster: Cluster, shape: Shape) -> None:
    first, *others = shape.machines
    await cluster.found(first)
    for name in others:
        await cluster.admit(name)
    add_image(cluster)
    outcomes = [await cluster.run(first, ApplyDeploy(manifest_of(shape)))]
    if shape.owner != first:
        outcomes.append(await cluster.run(first, ApplyMigration(DB, shape.owner)))
    assert all(each.exit_code == 0 for each in outcomes), outcomes
    for name in shape.machines:  # every log is read back once, as every life of a node begins
        cluster.kill(name)
        await cluster.start(name)
    await cluster.agreed()
    await anyio.sleep(SETTLED_S)


def _generate_codecs() -> None:
    """The converters of every class that travels or is stored are generated when first used: once, not in each fork."""
    travelling = [cls for message in registry().values() for cls in (message, message.reply)]
    standing = [MachineId, SlotRef, *(each for each in vars(keys).values() if _is_value(each))]
    for converter, classes in (
        (CODEC._converter, CODEC._classes.values()),
        (codec._converter, travelling),
        (keys._converter, standing),
    ):
        known: set[object] = set()
        for cls in classes:
            _generate(converter, cls, known)


def _generate(converter: Converter, kind: Any, known: set[object]) -> None:
    """Of a type, and of all that it consists of: what may be None is looked up by cattrs when there is one."""
    if kind in known or kind in {..., None, NoneType}:
        return
    known.add(kind)
    converter.get_structure_hook(kind)
    converter.get_unstructure_hook(kind)
    fields = [each.type for each in attrs.fields(kind)] if attrs.has(kind) else []
    for each in (*fields, *get_args(kind)):
        _generate(converter, each, known)


def _is_value(each: object) -> bool:
    """A class whose values stand in the fact log under a key; not the key's own."""
    return isinstance(each, type) and attrs.has(each) and not hasattr(each, "__parameters__")


def _freeze() -> None:
    """What is there now is not looked at by the forks' collectors, and so not copied by them either."""
    gc.collect()
    gc.freeze()
    gc.disable()


# ---------------------------------------------------------------- those that begin alike


async def _play_alike(cluster: Cluster, effects: Stepped, alike: Mapping[int, Turn], take: Take, *, tell: bool) -> None:
    """Some turns with one beginning, in a fork of this process, which forks in turn where they part."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        with open(writing, "wb") as pipe:  # noqa: ASYNC230, PTH123 - nothing else goes on in this process
            await _play_and_exit(cluster, effects, alike, pipe, tell=tell)
    os.close(writing)
    left = dict(alike)
    with open(reading, "rb") as pipe:  # noqa: ASYNC230, PTH123 - as above
        while left and pipe.peek(1):
            index, report = pickle.load(pipe)  # noqa: S301 - our own forks wrote it
            del left[index]
            take(index, report)
    os.waitpid(pid, 0)  # noqa: ASYNC222 - as above
    for index, turn in left.items():
        take(index, broken(turn.scenario, f"its process ended without a word, or hung for {HUNG_S} s"))


async def _play_and_exit(
    cluster: Cluster, effects: Stepped, alike: Mapping[int, Turn], output: BinaryIO, *, tell: bool
) -> NoReturn:
    """In a fork, and in each that parts from it. They end without unwinding: nothing is left to clean up."""
    first = next(iter(alike.values()))
    parting = Parting([Member(index, each.scenario) for index, each in alike.items()], output)
    play = effects.play = Play(cluster, beginning(first.scenario), parting)
    try:
        signal.alarm(HUNG_S)
        draw_from(cluster, play.scenario.seed)
        Bugs.watched_by(play)
        if first.spoil is not None:
            first.spoil()
        report = await play.run()
        if report.wrong or tell:
            report = evolve(report, story=str(play.history))
    except BaseException:  # noqa: BLE001 - whatever it is, it is what there is to say of this seed
        why = f"\n{traceback.format_exc()}"
        for each in parting.members:
            parting.write(each.index, broken(each.scenario, why, str(play.history)))
        report = broken(play.scenario, why, str(play.history))
    if parting.index in alike:
        parting.write(parting.index, report)
    os._exit(0)
