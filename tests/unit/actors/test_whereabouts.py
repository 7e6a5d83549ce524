"""Where an operation's services run is said at its end, whatever became of it; what is measured is what clients had."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from ployz.actors.messages.doctor import Diagnose, Diagnosis
from ployz.actors.messages.operations import ApplyDeploy, ApplyMigration
from ployz.actors.whereabouts import Whereabouts, words
from ployz.errors import Code
from ployz.ids import MachineId, SlotRef
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.endings import after, commit, on
from tests.cluster.manifests import DB, A, B, C, manifest, service
from tests.cluster.scenes import deployed, running, starts

SLOT = SlotRef.parse("production/db/slot-1")
AT_MS = 1_764_597_727_900


@pytest.mark.parametrize(
    ("state", "since_ms", "said"),
    [
        ("running", AT_MS, "production/db/slot-1 runs on machine-a, since 2025-12-01 14:02:07 UTC"),
        ("running", 0, "production/db/slot-1 runs on machine-a"),
        ("paused", AT_MS, "production/db/slot-1 is paused on machine-a, since 2025-12-01 14:02:07 UTC"),
        ("exited (3)", 0, "production/db/slot-1 is exited (3) on machine-a"),
        ("missing", 0, "production/db/slot-1 is missing on machine-a"),
        ("unknown", 0, "whether production/db/slot-1 runs is not known: machine-a does not answer"),
    ],
)
def test_one_slot_is_one_sentence(state: str, since_ms: int, said: str) -> None:
    assert words([Whereabouts(SLOT, A, state, since_ms)]) == said


def test_of_many_the_ones_that_do_not_run_are_named_first_and_the_rest_is_counted() -> None:
    def slots(state: str, *numbers: int) -> list[Whereabouts]:
        return [Whereabouts(SlotRef.parse(f"production/web/slot-{each}"), B, state) for each in numbers]

    said = words([*slots("running", 1, 2, 3), *slots("missing", 4, 5)])
    assert said.split("; ") == [
        "production/web/slot-4 is missing on machine-b",
        "production/web/slot-5 is missing on machine-b",
        "production/web/slot-1 runs on machine-b",
        "of 2 more slots all run",
    ]
    assert words(slots("missing", 1, 2, 3, 4)).endswith("of 1 more slots 0 run")
    assert words([]) == ""


async def diagnosed(cluster: Cluster) -> Diagnosis:
    return await cluster.ask(C, "doctor", Diagnose(), timeout_s=300.0)


def dies(cluster: Cluster, machine: MachineId, when: Callable[[Effect], bool]) -> None:
    async def die(effect: Effect) -> None:
        cluster.crash(machine)
        if effect.machine == machine:
            await anyio.sleep_forever()

    cluster.effects.at(when, die)


def test_a_source_that_dies_in_the_cut_over_is_named_as_where_the_service_may_run() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        assert (await cluster.run(A, ApplyMigration(DB, B))).exit_code == 0
        dies(cluster, B, after(B, "docker.stop"))
        outcome = await cluster.run(A, ApplyMigration(DB, C))
        problem = outcome.result.problem
        assert problem is not None
        assert problem.code is Code.MACHINE_UNREACHABLE
        assert "not all is undone yet" in problem.text
        last = problem.text.splitlines()[-1]
        assert last == f"whether {DB}/slot-1 runs is not known: machine-b does not answer"

    simulate(body)


def test_a_source_that_dies_after_the_commit_costs_the_clients_nothing_and_is_not_in_what_is_measured() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        assert (await cluster.run(A, ApplyMigration(DB, B))).exit_code == 0
        quiet = (await cluster.run(A, ApplyMigration(DB, C))).result.cutover_ms
        dies(cluster, C, on(A, commit, done=True))
        outcome = await cluster.run(A, ApplyMigration(DB, B))
        assert outcome.exit_code == 4, outcome.text
        assert running(cluster)[B] == ["db/slot-1"]
        assert 0 < outcome.result.cutover_ms <= 2 * quiet + 500
        assert outcome.result.problem is not None
        assert f"{DB}/slot-1 runs on machine-b, since " in outcome.result.problem.text

    simulate(body)


def test_while_the_authority_is_off_what_it_keeps_down_is_named() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        assert (await cluster.run(A, ApplyMigration(DB, B))).exit_code == 0
        dies(cluster, A, after(B, "docker.stop"))
        operation_id = await cluster.begin(C, ApplyMigration(DB, C))
        await anyio.sleep(60)
        assert running(cluster).get(B, []) == []
        other = manifest(service()).replace("production", "other")
        refused = await cluster.run(C, ApplyDeploy(other))
        assert refused.result.problem is not None
        assert f"waits for it: {operation_id} (production)." in refused.result.problem.advice
        (stopped,) = [each for each in (await diagnosed(cluster)).findings if each.kind == "slot-stopped"]
        assert stopped.machine == B
        assert stopped.text.startswith(f"{DB}/slot-1 was stopped by {operation_id} ")
        await cluster.boot(A)
        await cluster.until(lambda: len(starts(cluster, B)) + len(starts(cluster, C)) > 1, within_s=120)

    simulate(body)
