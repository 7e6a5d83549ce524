"""Secrets on a whole cluster: set, deployed, moved, taken over, set anew, removed; and nowhere but in their files."""

from __future__ import annotations

import os
from collections.abc import Awaitable

import pytest

from ployz.actors.messages.membership import RemoveMachine
from ployz.actors.messages.operations import ApplyDeploy, ApplyMigration, PreviewDeploy, PreviewMigration
from ployz.actors.messages.secrets import (
    ListSecrets,
    PrepareSecret,
    RemoveSecret,
    SecretIsSet,
    SecretRow,
    SetSecret,
)
from ployz.actors.messages.takeover import PreviewTakeover, TakeOverVolume
from ployz.errors import Code, Failed, PloyzError
from ployz.events.types import SecretSet, SecretShared
from ployz.host.fakes.docker import Program
from ployz.ids import MachineId, SecretRef
from ployz.plan.secrets import sealed_for
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.manifests import DB, PGDATA, A, B, C, manifest, service, volume
from tests.cluster.scenes import add_image, deploy, running, starts

PASSWORD = SecretRef.parse("production/db-password")
CANARY = b"canary-4711"
D = MachineId("machine-d")
SETTLED_S = 120.0

DECLARED = '[[secrets]]\nname = "db-password"\n'
GIVEN = 'secrets = [{ secret = "db-password", mode = "0400", owner = "999:999" }]\n'
WITH_SECRET = manifest(volume(), DECLARED, service(volumes=("pgdata",)) + GIVEN)


async def set_secret(cluster: Cluster, value: bytes = CANARY, *, by: MachineId = A) -> SecretIsSet:
    """As ployzctl does it."""
    asked = await cluster.ask(by, "secrets", PrepareSecret(PASSWORD))
    members = {each.machine: each.certificate for each in asked.recipients}
    fact = sealed_for(PASSWORD, asked.version, value, members, os.urandom)
    done = await cluster.ask(by, "secrets", SetSecret(PASSWORD, fact.version, fact.sealed, fact.shares))
    await cluster.agreed()
    return done


async def deployed(cluster: Cluster) -> None:
    await set_secret(cluster)
    add_image(cluster)
    await deploy(cluster, WITH_SECRET)


def given(cluster: Cluster) -> dict[MachineId, list[bytes]]:
    """What the containers of each machine are given, by its tmpfs; nothing for machines that have none."""
    found = {
        machine.name: [each.content for files in machine.secret_files.files.values() for each in files.values()]
        for machine in cluster.machines.values()
    }
    return {name: values for name, values in found.items() if values}


async def listed(cluster: Cluster, by: MachineId = A) -> SecretRow:
    (row,) = (await cluster.ask(by, "secrets", ListSecrets())).secrets
    return row


async def refusal(asked: Awaitable[object]) -> PloyzError:
    with pytest.raises(PloyzError) as caught:
        await asked
    return caught.value


# ---------------------------------------------------------------- deploying


def test_a_container_gets_its_secret_as_a_file_that_it_cannot_write() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        (spec,) = cluster[A].docker.running()
        (mount,) = (each for each in spec.mounts if each.target == "/run/secrets/db-password")
        assert mount.readonly
        assert cluster[A].secret_files.has(mount.source)
        ((file,),) = (list(files.values()) for files in cluster[A].secret_files.files.values())
        assert (file.content, file.mode, file.owner) == (CANARY, 0o400, (999, 999))
        assert given(cluster) == {A: [CANARY]}

    simulate(body)


def test_a_secret_that_is_not_set_is_named_by_the_preview_and_refused() -> None:
    async def body(cluster: Cluster) -> None:
        add_image(cluster)
        (blocker,) = (await cluster.ask(A, "operations", PreviewDeploy(WITH_SECRET))).plan.blockers
        assert (blocker.code, blocker.text) == (Code.SECRET_NOT_SET, f"secret {PASSWORD} is not set")
        assert str(PASSWORD) in blocker.advice
        assert (await refusal(cluster.begin(A, ApplyDeploy(WITH_SECRET)))).code is Code.SECRET_NOT_SET

    simulate(body)


def test_a_secret_that_is_set_anew_replaces_the_container_with_the_next_deploy_and_not_before() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        done = await set_secret(cluster, b"another", by=B)
        assert (done.version, done.used_by) == (2, (DB,))
        assert starts(cluster, A) == ["a"]
        assert given(cluster) == {A: [CANARY]}
        await deploy(cluster, WITH_SECRET)
        assert starts(cluster, A) == ["a", "a"]
        assert given(cluster) == {A: [b"another"]}
        assert not (await deploy(cluster, WITH_SECRET)).result.committed

    simulate(body)


def test_a_move_replaces_no_container_beside_it_for_a_secret_that_was_set_anew() -> None:
    async def body(cluster: Cluster) -> None:
        await set_secret(cluster)
        add_image(cluster)
        web = service("web", on="machine-a") + 'secrets = [{ secret = "db-password" }]\n'
        await deploy(cluster, manifest(volume(), DECLARED, service(volumes=("pgdata",)), web))
        await set_secret(cluster, b"another")
        plan = (await cluster.ask(A, "operations", PreviewMigration(DB, B))).plan
        assert {(each.service, str(each.change)) for each in plan.slots} == {("db", "move"), ("web", "unchanged")}

    simulate(body)


def test_of_two_that_set_it_at_once_the_second_is_refused() -> None:
    async def body(cluster: Cluster) -> None:
        asked = await cluster.ask(B, "secrets", PrepareSecret(PASSWORD))
        await set_secret(cluster)
        members = {each.machine: each.certificate for each in asked.recipients}
        late = sealed_for(PASSWORD, asked.version, b"late", members, os.urandom)
        error = await refusal(cluster.ask(B, "secrets", SetSecret(PASSWORD, late.version, late.sealed, late.shares)))
        assert error.code is Code.CONFLICT
        assert (await listed(cluster)).version == 1

    simulate(body)


def test_what_the_machine_that_is_asked_cannot_open_is_not_set() -> None:
    async def body(cluster: Cluster) -> None:
        asked = await cluster.ask(A, "secrets", PrepareSecret(PASSWORD))
        members = {each.machine: each.certificate for each in asked.recipients}
        fact = sealed_for(PASSWORD, 2, CANARY, members, os.urandom)
        error = await refusal(cluster.ask(A, "secrets", SetSecret(PASSWORD, 1, fact.sealed, fact.shares)))
        assert error.code is Code.SECRET_UNREADABLE
        assert (await cluster.ask(A, "secrets", ListSecrets())).secrets == ()

    simulate(body)


def test_a_secret_is_removed_when_no_manifest_declares_it() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        error = await refusal(cluster.ask(B, "secrets", RemoveSecret(PASSWORD)))
        assert (error.code, "production" in error.problem.text) == (Code.SECRET_IN_USE, True)
        await deploy(cluster, manifest(volume(), service(volumes=("pgdata",))))
        assert given(cluster) == {}
        await cluster.ask(B, "secrets", RemoveSecret(PASSWORD))
        assert (await refusal(cluster.ask(B, "secrets", RemoveSecret(PASSWORD)))).code is Code.UNKNOWN_SECRET

    simulate(body)


# ---------------------------------------------------------------- moving


def test_a_secret_moves_with_its_service_and_leaves_nothing_behind() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        outcome = await cluster.run(C, ApplyMigration(DB, B))
        assert outcome.exit_code == 0, outcome.text
        assert given(cluster) == {B: [CANARY]}
        assert list(cluster[A].secret_files.files) == []

    simulate(body)


def test_it_is_encrypted_for_a_machine_that_came_later_before_anything_stops() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        await cluster.admit(D)
        add_image(cluster)
        assert D not in (await listed(cluster)).readers
        preview = await cluster.ask(A, "operations", PreviewMigration(DB, D))
        assert f"machine-a: encrypt secret {PASSWORD} for {D}" in [
            word for phase in preview.phases for word in phase.effects
        ]
        read_at_stop: list[bool] = []

        async def see(effect: Effect) -> None:
            read_at_stop.append(CANARY in given(cluster).get(D, []))

        cluster.effects.at(lambda each: (each.machine, each.name, each.done) == (A, "docker.stop", False), see)
        outcome = await cluster.run(A, ApplyMigration(DB, D))
        assert outcome.exit_code == 0, outcome.text
        assert read_at_stop == [True]
        assert given(cluster) == {D: [CANARY]}
        assert D in (await listed(cluster, by=B)).readers

    simulate(body)


def cannot_share(cluster: Cluster, *machines: MachineId, times: int = 100) -> None:
    """Those machines fail to commit what they have encrypted for another one."""

    def shares(effect: Effect) -> bool:
        return (
            effect.machine in machines
            and (effect.name, effect.done) == ("facts.transact", False)
            and any(isinstance(fact, SecretShared) for fact in effect.args[0].facts)
        )

    async def fail(effect: Effect) -> None:
        raise Failed(Code.PART_FAILED, f"the disk of {effect.machine} is full")

    cluster.effects.at(shares, fail, times=times)


def test_whoever_else_can_read_it_encrypts_it_when_one_cannot_or_is_dead() -> None:
    async def body(cluster: Cluster) -> None:
        await set_secret(cluster, by=B)
        await cluster.admit(D)
        add_image(cluster)
        await deploy(cluster, manifest(volume(), DECLARED, service(volumes=("pgdata",), on="machine-c") + GIVEN))
        await deploy(cluster, WITH_SECRET)
        cluster.crash(B)
        cannot_share(cluster, A, times=1)
        outcome = await cluster.run(A, ApplyMigration(DB, D))
        assert outcome.result.committed, outcome.text
        assert given(cluster) == {D: [CANARY]}

    simulate(body)


def test_a_move_to_a_machine_that_nobody_can_encrypt_it_for_fails_with_nothing_stopped() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        await cluster.admit(D)
        add_image(cluster)
        cannot_share(cluster, A, B, C)
        outcome = await cluster.run(A, ApplyMigration(DB, D))
        assert outcome.exit_code == 3
        for words in (str(PASSWORD), "machine-b: the disk of machine-b is full", "nothing was stopped"):
            assert words in outcome.text
        assert running(cluster) == {A: ["db/slot-1"]}
        assert starts(cluster, A) == ["a"]
        assert given(cluster) == {A: [CANARY]}

    simulate(body)


def test_where_no_member_can_read_it_any_more_the_preview_says_that_it_must_be_set_anew() -> None:
    async def body(cluster: Cluster) -> None:
        await set_secret(cluster)
        await cluster.admit(D)
        for holder in (B, C):
            await cluster.ask(A, "membership", RemoveMachine(holder, force=False), timeout_s=200)
        share = cluster[A].parts.view.secrets.get(PASSWORD)
        assert share is not None
        add_image(cluster)
        cluster[A].parts.view.secrets.apply(SecretSet(PASSWORD, 1, share.sealed, ()), 0)
        (blocker,) = (await cluster.ask(A, "operations", PreviewDeploy(WITH_SECRET))).plan.blockers
        assert (blocker.code, f"ployzctl secret set {PASSWORD}" in blocker.advice) == (Code.SECRET_UNREADABLE, True)

    simulate(body)


def test_an_aborted_move_takes_the_files_from_the_target() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster[B].docker.program = lambda _: Program(refuses_to_start="no")
        outcome = await cluster.run(A, ApplyMigration(DB, B))
        assert outcome.exit_code == 3
        assert given(cluster) == {A: [CANARY]}
        assert running(cluster) == {A: ["db/slot-1"]}

    simulate(body)


def test_a_takeover_brings_the_secret_to_a_machine_that_came_later() -> None:
    async def body(cluster: Cluster) -> None:
        await set_secret(cluster)
        await cluster.admit(D)
        add_image(cluster)
        await deploy(cluster, manifest(volume(), service(volumes=("pgdata",), on="machine-b")))
        await deploy(cluster, manifest(volume(), service(volumes=("pgdata",))))
        for target in (D, B):
            assert (await cluster.run(A, ApplyMigration(DB, target))).exit_code == 0
        await deploy(cluster, WITH_SECRET)
        assert D not in (await listed(cluster)).readers
        cluster.crash(B)
        shown = await cluster.ask(A, "takeover", PreviewTakeover(PGDATA, D))
        snapshots = tuple(each.snapshot for each in shown.volumes)
        await cluster.ask(A, "takeover", TakeOverVolume(PGDATA, D, snapshots), timeout_s=200)
        assert running(cluster) == {D: ["db/slot-1"]}
        assert given(cluster) == {D: [CANARY]}

    simulate(body)


# ---------------------------------------------------------------- machines that fail and leave


def test_after_a_power_cut_the_file_is_there_before_the_container_starts_again() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster.crash(A)
        assert given(cluster) == {}
        await cluster.boot(A)
        await cluster.until(lambda: running(cluster) == {A: ["db/slot-1"]}, within_s=SETTLED_S)
        assert given(cluster) == {A: [CANARY]}

    simulate(body)


@pytest.mark.parametrize("effect", ["secret_files.write", "docker.create", "docker.start", "docker.remove"])
@pytest.mark.parametrize("done", [False, True])
def test_a_crash_leaves_no_file_without_its_container(effect: str, done: bool) -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)

        async def crash(struck: Effect) -> None:
            cluster.tasks.start_soon(cluster.start, B)
            cluster.kill(B)

        cluster.effects.at(lambda each: (each.machine, each.name, each.done) == (B, effect, done), crash)
        await cluster.run(A, ApplyMigration(DB, B))
        await cluster.until(lambda: len(running(cluster)) == 1, within_s=SETTLED_S)
        await cluster.until(lambda: list(given(cluster)) == list(running(cluster)), within_s=SETTLED_S)
        assert given(cluster) in ({A: [CANARY]}, {B: [CANARY]})

    simulate(body)


def test_a_machine_that_left_is_named_until_the_secret_is_set_anew_without_it() -> None:
    async def body(cluster: Cluster) -> None:
        await set_secret(cluster)
        await cluster.ask(A, "membership", RemoveMachine(B, force=False), timeout_s=200)
        row = await listed(cluster)
        assert (row.readers, row.former_readers) == ((A, C), (B,))
        await set_secret(cluster, b"another")
        row = await listed(cluster)
        assert (row.readers, row.former_readers) == ((A, C), ())

    simulate(body)


# ---------------------------------------------------------------- nowhere else


def test_no_event_fact_message_or_container_has_a_value_in_clear() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        await cluster.run(C, ApplyMigration(DB, B))
        assert given(cluster) == {B: [CANARY]}
        for machine in cluster.machines.values():
            records = repr(await machine.disk.log.read(0, 100_000))
            assert "SecretSet" in records
            assert CANARY.decode() not in records + repr(machine.docker.running()) + repr(machine.parts.view.secrets)
        assert CANARY.decode() not in repr(cluster.effects.seen)

    simulate(body)
