"""Crashes and lost answers: whatever happens, the operation ends once, and the service runs in exactly one place."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from ployz.actors.messages.facts import Transact
from ployz.actors.messages.operations import ApplyDeploy, ApplyMigration
from ployz.actors.messages.workload import Settle, Withdraw
from ployz.config import CANDIDATE_LEASE_S
from ployz.events.types import DeployCommitted, ServiceFenced
from ployz.facts.port import Transaction
from ployz.host.fakes.docker import Program
from ployz.ids import MachineId, OperationId
from ployz.projections.operations import Status
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.manifests import DB, PRODUCTION, A, B, C, manifest, service, volume
from tests.cluster.network import Packet
from tests.cluster.scenes import (
    add_image,
    dataset,
    datasets,
    deploy,
    deployed,
    left_by,
    local_addresses,
    owner,
    running,
    slot_addresses,
    starts,
)

D = MachineId("machine-d")
RESOLVED_S = 120.0
"""Lock, lease and every retry are over by then."""


async def moving(cluster: Cluster) -> None:
    """On B, with A the authority and C the target to be; D coordinates."""
    add_image(cluster)
    await deploy(cluster)
    outcome = await cluster.run(A, ApplyMigration(DB, B))
    assert outcome.exit_code == 0, outcome.text


async def ends(cluster: Cluster, operation_id: OperationId) -> Status:
    """Decided, and every machine that is on agrees with that."""
    view = cluster[A].parts.view
    await cluster.until(
        lambda: view.operations.status(operation_id) not in (None, Status.UNDECIDED),
        within_s=RESOLVED_S,
        what="it is decided",
    )
    status = view.operations.status(operation_id)
    assert status is not None
    target = C if status is Status.COMMITTED else B
    await cluster.until(
        lambda: running(cluster) == {target: ["db/slot-1"]}, within_s=RESOLVED_S, what=f"{status}: it runs on {target}"
    )
    await cluster.agreed()
    await anyio.sleep(RESOLVED_S)  # whatever is late
    assert running(cluster) == {target: ["db/slot-1"]}
    assert owner(cluster) == (target, 3 if status is Status.COMMITTED else 2)
    lost = C if target == B else B
    assert local_addresses(cluster, target) == slot_addresses(cluster, DB)
    assert local_addresses(cluster, lost) == frozenset()
    if status is Status.ABORTED:
        assert datasets(cluster, C) == []
        for name in cluster.machines:
            assert left_by(cluster, name, operation_id) == []
    for machine in cluster.machines.values():
        assert machine.parts.local.fences == {}
        assert machine.guards.leases == frozenset()
    return status


def commits(transaction: Transaction) -> bool:
    return any(isinstance(each, DeployCommitted) for each in transaction.facts)


def commit_of(packet: Packet) -> bool:
    return isinstance(packet.message, Transact) and commits(packet.message.transaction)


# ---------------------------------------------------------------- lost answers


def test_a_commit_whose_answer_is_lost_is_found_to_be_committed() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        cluster.network.lose(commit_of, reply=True)
        outcome = await cluster.run(D, ApplyMigration(DB, C))
        assert (outcome.exit_code, outcome.result.committed) == (0, True), outcome.text
        assert await ends(cluster, outcome.operation_id) is Status.COMMITTED

    simulate(body, machines=4)


def test_a_commit_that_is_lost_on_its_way_is_aborted() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        cluster.network.lose(commit_of, reply=False)
        outcome = await cluster.run(D, ApplyMigration(DB, C))
        assert (outcome.exit_code, outcome.result.committed) == (3, False), outcome.text
        assert await ends(cluster, outcome.operation_id) is Status.ABORTED

    simulate(body, machines=4)


def test_an_authority_that_is_away_at_the_commit_decides_when_it_is_back() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)

        async def cut(effect: Effect) -> None:
            cluster.network.cut(A, D)

        cluster.effects.at(lambda effect: effect.machine == C and effect.name == "docker.start" and effect.done, cut)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await anyio.sleep(20)
        cluster.network.heal(A, D)
        outcome = await cluster.watch(D, operation_id)
        status = await ends(cluster, operation_id)
        assert outcome.result.committed == (status is Status.COMMITTED)

    simulate(body, machines=4)


# ---------------------------------------------------------------- crashes


def before(machine: MachineId, name: str) -> Callable[[Effect], bool]:
    return lambda effect: (effect.machine, effect.name, effect.done) == (machine, name, False)


def after(machine: MachineId, name: str) -> Callable[[Effect], bool]:
    return lambda effect: (effect.machine, effect.name, effect.done) == (machine, name, True)


def commit(effect: Effect) -> bool:
    return effect.name == "facts.transact" and commits(effect.args[0])


def fence(effect: Effect) -> bool:
    return effect.name == "log.append" and any(isinstance(each.event, ServiceFenced) for each in effect.args[0])


def on(machine: MachineId, which: Callable[[Effect], bool], *, done: bool) -> Callable[[Effect], bool]:
    return lambda effect: effect.machine == machine and effect.done == done and which(effect)


CRASHES: dict[str, tuple[MachineId, Callable[[Effect], bool]]] = {
    "the coordinator before the first send": (D, before(B, "streams.send")),
    "the coordinator after the fence": (D, on(B, fence, done=True)),
    "the coordinator when the candidate runs": (D, after(C, "docker.start")),
    "the coordinator before the commit": (D, on(D, commit, done=False)),
    "the coordinator after the commit": (D, on(D, commit, done=True)),
    "the source before the fence": (B, on(B, fence, done=False)),
    "the source after the fence": (B, on(B, fence, done=True)),
    "the source after the stop": (B, after(B, "docker.stop")),
    "the source after its vote": (B, after(B, "facts.transact")),
    "the source when the candidate runs": (B, after(C, "docker.start")),
    "the source after the commit": (B, on(D, commit, done=True)),
    "the target in its first receive": (C, before(B, "streams.send")),
    "the target before it mounts": (C, before(C, "zfs.mount")),
    "the target when the candidate runs": (C, after(C, "docker.start")),
    "the target after the commit": (C, on(D, commit, done=True)),
    "the authority after the fence": (A, on(B, fence, done=True)),
    "the authority before the commit": (A, on(D, commit, done=False)),
    "the authority after the commit": (A, on(A, commit, done=True)),
}


@pytest.mark.parametrize(
    ("name", "pause_s", "power"),
    [
        pytest.param(name, pause_s, power, id=f"{name}, {'power' if power else 'ployzd'}, {pause_s:g} s")
        for name in CRASHES
        for pause_s in (1.0, 60.0)
        for power in (True, False)
    ],
)
def test_the_service_runs_in_exactly_one_place_after_a_crash_of(name: str, pause_s: float, power: bool) -> None:
    victim, when = CRASHES[name]

    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        crashed = anyio.Event()

        async def crash(effect: Effect) -> None:
            if power:
                cluster.crash(victim)
            else:
                cluster.kill(victim)
            crashed.set()
            if effect.machine == victim:
                await anyio.sleep_forever()

        cluster.effects.at(when, crash)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        with anyio.fail_after(60):
            await crashed.wait()
        await anyio.sleep(pause_s)
        if power:
            await cluster.boot(victim)
        else:
            await cluster.start(victim)
        await ends(cluster, operation_id)

    simulate(body, machines=4)


def test_the_gate_of_a_source_that_crashed_stays_closed_until_it_is_decided() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        crashed = anyio.Event()

        async def crash(effect: Effect) -> None:
            cluster.crash(B)
            crashed.set()
            await anyio.sleep_forever()

        cluster.effects.at(on(B, fence, done=True), crash)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await crashed.wait()
        cluster.crash(D)
        cluster.network.cut(A, B)
        await cluster.boot(B)
        await anyio.sleep(25)
        assert running(cluster) == {}
        assert list(cluster[B].parts.local.fences) == [DB]
        cluster.network.heal(A, B)
        await cluster.boot(D)
        assert await ends(cluster, operation_id) is Status.ABORTED

    simulate(body, machines=4)


def test_a_coordinator_that_starts_again_ends_what_it_left_at_once_and_frees_its_lock() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)

        async def crash(effect: Effect) -> None:
            cluster.kill(D)

        cluster.effects.at(on(B, fence, done=True), crash)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await cluster.until(lambda: cluster[D].life is None, within_s=30)
        await cluster.start(D)
        began_s = anyio.current_time()
        await cluster.until(lambda: running(cluster) == {B: ["db/slot-1"]}, within_s=10, what="the source runs again")
        assert cluster[B].parts.view.operations.status(operation_id) is Status.ABORTED
        outcome = await cluster.run(D, ApplyMigration(DB, C))
        assert outcome.exit_code == 0, outcome.text
        assert anyio.current_time() - began_s < 30, "the lock had to lapse"

    simulate(body, machines=4)


# ---------------------------------------------------------------- the lease of a candidate


def test_an_abort_starts_the_source_only_after_the_candidate_is_gone() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        cluster[C].docker.program = lambda _: Program(ready_s=3600)
        order: list[str] = []

        async def see(effect: Effect) -> None:
            order.append(f"{effect.machine} {effect.name}")

        cluster.effects.at(after(C, "docker.remove"), see)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await cluster.until(lambda: C in running(cluster), within_s=30)
        cluster.effects.at(before(B, "docker.start"), see)
        cluster.effects.at(before(B, "docker.create"), see)
        assert await ends(cluster, operation_id) is Status.ABORTED
        assert order[0] == "machine-c docker.remove"
        assert starts(cluster, B) == ["a", "b", "b"]

    simulate(body, machines=4)


def test_a_source_that_cannot_ask_the_target_waits_a_whole_lease() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)

        async def cut(effect: Effect) -> None:
            for other in (A, B, D):
                cluster.network.cut(C, other)

        cluster.effects.at(after(C, "docker.start"), cut)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await cluster.until(
            lambda: cluster[B].parts.view.operations.status(operation_id) is Status.ABORTED, within_s=RESOLVED_S
        )
        decided_s = anyio.current_time()
        await cluster.until(lambda: B in running(cluster), within_s=RESOLVED_S)
        assert anyio.current_time() - decided_s >= CANDIDATE_LEASE_S - 1
        assert C not in running(cluster)  # by itself: nobody could tell it
        for other in (A, B, D):
            cluster.network.heal(C, other)
        assert await ends(cluster, operation_id) is Status.ABORTED

    simulate(body, machines=4)


def test_a_candidate_that_is_asked_late_to_start_does_not() -> None:
    """Its machine's facts lag behind, and say "undecided"; the authority says otherwise."""

    async def body(cluster: Cluster) -> None:
        await moving(cluster)

        async def cut_and_abort(effect: Effect) -> None:
            cluster.crash(D)
            cluster.network.cut(A, C)
            await anyio.sleep(60)
            cluster.network.heal(A, C)

        cluster.effects.at(before(C, "zfs.mount"), cut_and_abort)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await cluster.until(lambda: cluster[D].life is None, within_s=30)
        await anyio.sleep(90)
        await cluster.boot(D)
        assert await ends(cluster, operation_id) is Status.ABORTED
        assert starts(cluster, B) == ["a", "b", "b"]

    simulate(body, machines=4)


def test_a_ployzd_that_finds_a_candidate_removes_it_when_it_cannot_ask() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        cluster[C].docker.program = lambda _: Program(ready_s=3600)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await cluster.until(lambda: C in running(cluster), within_s=30)
        cluster.kill(C)
        cluster.network.cut(A, C)
        cluster.crash(D)
        await anyio.sleep(1)
        assert C in running(cluster)
        await cluster.start(C)
        await cluster.until(lambda: C not in running(cluster), within_s=CANDIDATE_LEASE_S)
        cluster.network.heal(A, C)
        await cluster.boot(D)
        assert await ends(cluster, operation_id) is Status.ABORTED

    simulate(body, machines=4)


def test_a_candidate_whose_ployzd_is_dead_ends_with_its_lease() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        cluster[C].docker.program = lambda _: Program(ready_s=3600)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await cluster.until(lambda: C in running(cluster), within_s=30)
        cluster.kill(C)
        cluster.crash(D)
        await cluster.until(lambda: C not in running(cluster), within_s=CANDIDATE_LEASE_S)
        assert cluster[C].guards.leases == frozenset()
        await cluster.boot(D)
        await cluster.start(C)
        assert await ends(cluster, operation_id) is Status.ABORTED

    simulate(body, machines=4)


def test_a_ployzd_that_finds_a_candidate_goes_on_with_its_lease() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        cluster[C].docker.program = lambda _: Program(ready_s=3600)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await cluster.until(lambda: C in running(cluster), within_s=30)
        cluster.kill(C)
        cluster.crash(D)  # undecided until its lock lapses
        renewed = before(C, "guards.renew")
        taken = before(C, "guards.guard")
        await cluster.start(C)
        await cluster.until(lambda: any(renewed(each) for each in cluster.effects.seen), within_s=CANDIDATE_LEASE_S / 2)
        assert sum(taken(each) for each in cluster.effects.seen) == 1
        assert C in running(cluster)
        await cluster.boot(D)
        assert await ends(cluster, operation_id) is Status.ABORTED

    simulate(body, machines=4)


def test_a_committed_candidate_needs_no_guard_any_more() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        outcome = await cluster.run(D, ApplyMigration(DB, C))
        await anyio.sleep(CANDIDATE_LEASE_S)
        assert cluster[C].guards.leases == frozenset()
        assert await ends(cluster, outcome.operation_id) is Status.COMMITTED

    simulate(body, machines=4)


def test_a_candidate_that_was_committed_runs_on_when_the_authority_goes_away() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        outcome = await cluster.run(D, ApplyMigration(DB, C))
        assert outcome.exit_code == 0, outcome.text
        cluster.crash(A)
        await anyio.sleep(2 * CANDIDATE_LEASE_S)
        assert running(cluster) == {C: ["db/slot-1"]}
        assert starts(cluster, C) == ["a", "b", "c"]

    simulate(body, machines=4)


def test_a_second_try_does_not_take_over_a_gate_that_still_waits() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)

        async def cut(effect: Effect) -> None:
            for other in (A, B, D):
                cluster.network.cut(C, other)

        cluster.effects.at(after(C, "docker.start"), cut)
        first = await cluster.begin(D, ApplyMigration(DB, C))
        await cluster.until(
            lambda: cluster[B].parts.view.operations.status(first) is Status.ABORTED, within_s=RESOLVED_S
        )
        assert list(cluster[B].parts.local.fences.values()) == [first]
        await cluster.watch(D, first)
        outcome = await cluster.run(D, ApplyMigration(DB, A))
        assert (outcome.exit_code, outcome.result.committed) == (4, True), outcome.text  # C is still away
        assert running(cluster) == {A: ["db/slot-1"]}

    simulate(body, machines=4)


# ---------------------------------------------------------------- settling


def test_a_machine_that_takes_the_facts_late_settles_late() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)

        async def cut(effect: Effect) -> None:
            cluster.network.cut(A, B)
            cluster.network.cut(B, D)

        cluster.effects.at(on(D, commit, done=True), cut)
        outcome = await cluster.run(D, ApplyMigration(DB, C))
        assert (outcome.exit_code, outcome.result.committed) == (4, True), outcome.text
        assert "machine-b" in outcome.text
        assert running(cluster) == {C: ["db/slot-1"]}
        state = await cluster[B].zfs.state(dataset())
        assert state is not None
        assert state.readonly
        cluster.network.heal(A, B)
        cluster.network.heal(B, D)
        assert await ends(cluster, outcome.operation_id) is Status.COMMITTED

    simulate(body, machines=4)


def test_settling_twice_equals_settling_once() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        await cluster.run(D, ApplyMigration(DB, C))
        await anyio.sleep(30)
        seen = len(cluster.effects.seen)
        for machine in cluster.machines.values():
            for _ in range(2):
                await machine.system.ref(f"workload/{PRODUCTION}").ask(Settle(cluster.head), timeout_s=60)
        changing = ("create", "set", "destroy", "snapshot", "mount", "unmount", "start", "stop", "remove", "append")
        done = [each for each in cluster.effects.seen[seen:] if each.name.partition(".")[2] in changing]
        assert done == []
        assert running(cluster) == {C: ["db/slot-1"]}

    simulate(body, machines=4)


def test_a_withdrawal_of_an_operation_that_is_not_aborted_removes_nothing() -> None:
    async def body(cluster: Cluster) -> None:
        outcome = await deployed(cluster)
        ref = cluster[B].system.remote(A, "workloads")
        await ref.ask(Withdraw(outcome.operation_id, outcome.result.position), timeout_s=10)
        assert running(cluster) == {A: ["db/slot-1"]}

    simulate(body)


def test_two_services_that_change_places_both_come_back_after_an_abort() -> None:
    """Each machine asks the other one for its candidate, and neither waits for the other's answer."""

    async def body(cluster: Cluster) -> None:
        add_image(cluster)
        text = manifest(
            volume("one"), volume("two"), service("first", volumes=("one",)), service("second", volumes=("two",))
        )
        await deploy(cluster, text)
        places = {slots[0]: name for name, slots in running(cluster).items()}
        x, y = places["first/slot-1"], places["second/slot-1"]
        swap = (
            f'volumes = [{{ volume = "one", move = {{ from_machine = "{x}", to_machine = "{y}" }} }},'
            f' {{ volume = "two", move = {{ from_machine = "{y}", to_machine = "{x}" }} }}]\n'
            f'services = [{{ service = "first", move = {{ to_machine = "{y}" }} }},'
            f' {{ service = "second", move = {{ to_machine = "{x}" }} }}]\n'
        )
        cluster.network.lose(commit_of, reply=False)
        outcome = await cluster.run(C, ApplyDeploy(text + "[intent]\n" + swap))
        assert outcome.exit_code == 3, outcome.text
        assert running(cluster) == {x: ["first/slot-1"], y: ["second/slot-1"]}
        assert outcome.result.duration_ms < 20_000
        again = await cluster.run(C, ApplyDeploy(text + "[intent]\n" + swap))
        assert again.exit_code == 0, again.text
        assert running(cluster) == {y: ["first/slot-1"], x: ["second/slot-1"]}

    simulate(body)


# ---------------------------------------------------------------- deploys


REPLACED = manifest(volume(), service(volumes=("pgdata",), command="again"))
"""The same service with another template: stopped and started where it is."""
DEPLOY_CRASHES: dict[str, tuple[MachineId, Callable[[Effect], bool]]] = {
    "the coordinator before the old one stops": (C, before(B, "docker.stop")),
    "the coordinator when the new one runs": (C, after(B, "docker.start")),
    "the coordinator after the commit": (C, on(C, commit, done=True)),
    "the owner when the old one has stopped": (B, after(B, "docker.stop")),
    "the owner when the new one runs": (B, after(B, "docker.start")),
    "the owner after the commit": (B, on(C, commit, done=True)),
    "the authority when the old one has stopped": (A, after(B, "docker.stop")),
    "the authority after the commit": (A, on(C, commit, done=True)),
}


@pytest.mark.parametrize("power", [True, False], ids=["power", "ployzd"])
@pytest.mark.parametrize("name", DEPLOY_CRASHES)
def test_a_deploy_ends_as_old_or_new_after_a_crash_of(name: str, *, power: bool) -> None:
    victim, when = DEPLOY_CRASHES[name]

    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        crashed = anyio.Event()

        async def crash(effect: Effect) -> None:
            (cluster.crash if power else cluster.kill)(victim)
            crashed.set()
            if effect.machine == victim:
                await anyio.sleep_forever()

        cluster.effects.at(when, crash)
        operation_id = await cluster.begin(C, ApplyDeploy(REPLACED))
        await crashed.wait()
        await anyio.sleep(40)
        await (cluster.boot if power else cluster.start)(victim)
        view = cluster[A].parts.view
        await cluster.until(
            lambda: view.operations.status(operation_id) not in {None, Status.UNDECIDED}, within_s=RESOLVED_S
        )
        await anyio.sleep(RESOLVED_S)
        status = view.operations.status(operation_id)
        (spec,) = cluster[B].docker.running()
        assert spec.command == (("again",) if status is Status.COMMITTED else ())
        assert running(cluster) == {B: ["db/slot-1"]}
        assert cluster[B].docker.names() == [spec.name]
        assert local_addresses(cluster, B) == slot_addresses(cluster, DB)
        assert owner(cluster) == (B, 2)

    simulate(body)
