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
from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, Final, NoReturn, get_args

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
from tests.cluster.virtual_time import VirtualClock, reseed, run_seeded
from tests.cluster.world import World
from tests.sim.bugs import Bugs
from tests.sim.playing import Play, Stepped, manifest_of
from tests.sim.report import Report
from tests.sim.scenario import SHAPES, Scenario, Shape

HUNG_S: Final = 120
"""Of real time: a scenario that takes longer hangs outside of virtual time."""
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
            for index in mine:
                take(index, await _fork(cluster, effects, turns[index], tell=tell))
            tasks.cancel_scope.cancel()

    run_seeded(main, seed=0)


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


# ---------------------------------------------------------------- one fork


async def _fork(cluster: Cluster, effects: Stepped, turn: Turn, *, tell: bool) -> Report:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        await _play_and_exit(cluster, effects, turn, writing, tell=tell)
    os.close(writing)
    with open(reading, "rb") as pipe:  # noqa: ASYNC230, PTH123 - nothing else goes on in this process
        answer = pipe.read()
    os.waitpid(pid, 0)  # noqa: ASYNC222 - as above
    return pickle.loads(answer) if answer else _no_report(turn.scenario)  # noqa: S301 - our own fork wrote it


async def _play_and_exit(cluster: Cluster, effects: Stepped, turn: Turn, writing: int, *, tell: bool) -> NoReturn:
    """In the fork. It ends without unwinding: nothing of it is left to clean up."""
    scenario = turn.scenario
    try:
        signal.alarm(HUNG_S)
        reseed(scenario.seed)
        cluster.shared.random.seed(scenario.seed)
        play = effects.play = Play(cluster, scenario)
        Bugs.watched_by(play)
        if turn.spoil is not None:
            turn.spoil()
        report = await play.run()
        if report.wrong or tell:
            report = evolve(report, story=str(play.history))
    except BaseException:  # noqa: BLE001 - whatever it is, it is what there is to say of this seed
        report = _broken(scenario, str(effects.play.history) if effects.play else "", traceback.format_exc())
    with open(writing, "wb") as pipe:  # noqa: ASYNC230 - as above
        pickle.dump(report, pipe)
    os._exit(0)


def _broken(scenario: Scenario, story: str, trace: str) -> Report:
    return Report(scenario.seed, (f"the run broke:\n{trace}",), story)


def _no_report(scenario: Scenario) -> Report:
    return _broken(scenario, "", f"its process ended without a word, or hung for {HUNG_S} s")
