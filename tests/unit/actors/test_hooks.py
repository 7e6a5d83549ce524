"""What a service is told around the snapshots of a move, and what becomes of the move when that fails."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest
from attrs import define, field

from ployz.actors.messages.operations import ApplyMigration, PreviewMigration
from ployz.errors import Code, Failed
from ployz.host.fakes.docker import Program
from ployz.host.ports import ContainerSpec, ExecResult
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.manifests import DB, A, B, C, manifest, service, volume
from tests.cluster.scenes import deployed, events_of, owner, running

HOOKS = (
    'hooks.before_snapshot = { command = ["checkpoint"], timeout = "5s" }\n'
    'hooks.after_snapshot = { command = ["thaw"] }'
)
DATABASE = manifest(volume(), service(volumes=("pgdata",), extra=HOOKS))


@define
class _Database:
    """What runs in the containers: it does as it is told, but for the calls that are to fail."""

    cluster: Cluster
    told: list[str] = field(factory=list)
    fails: set[int] = field(factory=set)
    """By the number of the call, from 1."""
    takes_s: float = 0.0

    async def exec(self, command: Sequence[str]) -> ExecResult:
        self.told.append(command[0])
        number = len(self.told)
        await anyio.sleep(self.takes_s)
        return ExecResult(1, "FATAL: no\n") if number in self.fails else ExecResult(0, "")

    def program(self, _spec: ContainerSpec) -> Program:
        return Program(exec=self.exec)


async def database(cluster: Cluster) -> _Database:
    await deployed(cluster, DATABASE)
    found = _Database(cluster)
    for machine in cluster.machines.values():
        machine.docker.program = found.program
    return found


def test_hooks_are_run_around_each_warm_snapshot_and_before_the_stop() -> None:
    async def body(cluster: Cluster) -> None:
        found = await database(cluster)
        stopped_after: list[int] = []

        async def stop(_effect: Effect) -> None:
            stopped_after.append(len(found.told))

        cluster.effects.at(lambda each: (each.machine, each.name, each.done) == (A, "docker.stop", False), stop)
        outcome = await cluster.run(C, ApplyMigration(DB, B))
        assert outcome.exit_code == 0, outcome.text
        assert found.told == ["checkpoint", "thaw", "checkpoint"]
        assert stopped_after == [3]
        assert (await events_of(cluster, A, outcome.operation_id)).count("service.hook_ran") == 3

    simulate(body)


def test_a_warm_round_goes_on_without_a_hook_that_fails_and_says_so() -> None:
    async def body(cluster: Cluster) -> None:
        found = await database(cluster)
        found.fails = {1, 2}
        outcome = await cluster.run(C, ApplyMigration(DB, B))
        assert outcome.exit_code == 0, outcome.text
        said = [each.text for each in outcome.progress if "goes on without it" in each.text]
        assert [each.partition(":")[0] for each in said] == [
            "before_snapshot of production/db/slot-1",
            "after_snapshot of production/db/slot-1",
        ]
        assert "checkpoint ended with 1; it said last: FATAL: no" in said[0]

    simulate(body)


def test_a_hook_that_fails_before_the_stop_undoes_the_move_with_nothing_stopped() -> None:
    async def body(cluster: Cluster) -> None:
        found = await database(cluster)
        found.fails = {3}
        outcome = await cluster.run(C, ApplyMigration(DB, B))
        assert outcome.exit_code == 3
        assert outcome.result.problem is not None
        assert outcome.result.problem.code is Code.HOOK_FAILED
        assert "undone; nothing was stopped" in outcome.text
        assert found.told == ["checkpoint", "thaw", "checkpoint", "thaw"]
        assert "docker.stop" not in [each.name for each in cluster.effects.seen]
        assert (running(cluster), owner(cluster)) == ({A: ["db/slot-1"]}, (A, 1))

    simulate(body)


def test_a_hook_that_hangs_before_the_stop_is_given_up_after_its_timeout() -> None:
    async def body(cluster: Cluster) -> None:
        found = await database(cluster)
        found.takes_s = 60.0
        outcome = await cluster.run(C, ApplyMigration(DB, B))
        assert outcome.exit_code == 3
        assert "could not run checkpoint" in outcome.text
        assert "within 5 s" in outcome.text

    simulate(body)


def test_a_snapshot_that_fails_is_followed_by_the_hook_all_the_same() -> None:
    async def body(cluster: Cluster) -> None:
        found = await database(cluster)
        cluster.effects.fail(A, "zfs.snapshot", Failed(Code.ZFS_FAILED, "out of luck"))
        outcome = await cluster.run(C, ApplyMigration(DB, B))
        assert outcome.exit_code == 3
        assert found.told == ["checkpoint", "thaw"]

    simulate(body)


@pytest.mark.parametrize("extra", ["", HOOKS])
def test_a_preview_says_what_will_be_run(extra: str) -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, manifest(volume(), service(volumes=("pgdata",), extra=extra)))
        previewed = await cluster.ask(C, "operations", PreviewMigration(DB, B))
        (words,) = [each.effects for each in previewed.phases if each.name == "pre-copy"]
        told = [each for each in words if "before each snapshot" in each]
        slot = "production/db/slot-1"
        both = f"before each snapshot run `checkpoint` in {slot}, after each snapshot run `thaw` in {slot}"
        assert told == ([f"machine-a: {both}"] if extra else [])

    simulate(body)
