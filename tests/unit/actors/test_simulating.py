"""The simulated cluster itself: one seed is one run, and what must not happen is found when it does."""

from __future__ import annotations

import hashlib

import anyio
import pytest

from ployz.actors.core import Actor, handles
from ployz.actors.messages.machine import Ping, Pong
from ployz.actors.messages.operations import ApplyMigration
from ployz.errors import Code, Unreachable
from ployz.events.chain import Walk
from ployz.wire.client import CONNECT_S, SILENCE_S
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.manifests import DB, A, B, C, manifest, service, volume
from tests.cluster.network import Packet
from tests.cluster.scenes import add_image, dataset, deploy, deployed


def history(seed: int) -> str:
    """A digest of everything that happened, in order."""
    digest = hashlib.sha256()

    async def body(cluster: Cluster) -> None:
        add_image(cluster)
        web = service("web", placement="{ replicated = { count = 5 } }")
        await deploy(cluster, manifest(volume(), volume("wal"), service(volumes=("pgdata", "wal")), web))
        await cluster.run(C, ApplyMigration(DB, B))
        await anyio.sleep(60)
        for machine in cluster.machines.values():
            walk = Walk()
            for row in await machine.disk.log.rows(0, 10_000):
                assert walk.step(row) is None
                digest.update(row.hash)
        for effect in cluster.effects.seen:
            digest.update(repr((effect.machine, effect.name, effect.done)).encode())

    simulate(body, seed=seed)
    return digest.hexdigest()


def test_one_seed_gives_one_history_and_another_seed_another() -> None:
    assert history(1) == history(1)
    assert history(1) != history(2)


def test_two_writers_of_one_volume_are_found() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        spec = cluster[A].docker.running()[0]
        zfs, docker = cluster[B].zfs, cluster[B].docker
        await zfs.create(dataset(), {})
        await zfs.mount(dataset(), spec.mounts[0].source, readonly=False)
        await cluster[B].disk.folders.ensure(spec.mounts[0].source)
        await docker.create(spec)
        await docker.start(spec.name)

    with pytest.raises(ExceptionGroup) as found:
        simulate(body)
    assert found.group_contains(AssertionError, match="writers on several machines")


def test_a_container_on_an_empty_folder_is_found() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        spec = cluster[A].docker.running()[0]
        await cluster[B].disk.folders.ensure(spec.mounts[0].source)
        await cluster[B].docker.create(spec)
        await cluster[B].docker.start(spec.name)

    with pytest.raises(ExceptionGroup) as found:
        simulate(body)
    assert found.group_contains(AssertionError, match="started on an empty")


class _Broken(Actor):
    @handles(Ping)
    async def ping(self, message: Ping) -> Pong:
        raise ZeroDivisionError


class _Counter(Actor):
    pings = 0

    @handles(Ping)
    async def ping(self, message: Ping) -> Pong:
        _Counter.pings += 1
        return Pong(C, 0, "simulated")


def test_an_actor_that_breaks_is_found_although_it_is_started_again() -> None:
    async def body(cluster: Cluster) -> None:
        cluster[A].system.spawn("broken", _Broken)
        with pytest.raises(Exception, match="broke on"):
            await cluster[A].system.ref("broken").ask(Ping(), timeout_s=1)
        await anyio.sleep(1)

    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        simulate(body)


def test_a_link_that_was_cut_just_now_loses_the_answer_and_an_old_cut_the_message() -> None:
    async def body(cluster: Cluster) -> None:
        ref = cluster[B].system.remote(C, "machine")
        cluster.network.cut(B, C)
        began_s = anyio.current_time()
        with pytest.raises(Unreachable) as lost:
            await ref.ask(Ping(), timeout_s=60)
        assert lost.value.code == Code.OUTCOME_UNKNOWN
        assert anyio.current_time() - began_s == pytest.approx(SILENCE_S)
        with pytest.raises(Unreachable) as unsent:
            await ref.ask(Ping(), timeout_s=60)
        assert unsent.value.code == Code.MACHINE_UNREACHABLE
        assert anyio.current_time() - began_s == pytest.approx(SILENCE_S + CONNECT_S)
        cluster.network.heal(B, C)
        assert (await ref.ask(Ping(), timeout_s=60)).machine == C

    simulate(body)


def test_a_link_that_is_cut_one_way_delivers_and_loses_the_answer() -> None:
    async def body(cluster: Cluster) -> None:
        cluster[C].system.spawn("counter", _Counter)
        _Counter.pings = 0
        cluster.network.cut(C, B, one_way=True)
        with pytest.raises(Unreachable) as lost:
            await cluster[B].system.remote(C, "counter").ask(Ping(), timeout_s=60)
        assert lost.value.code == Code.OUTCOME_UNKNOWN
        assert _Counter.pings == 1

    simulate(body)


def test_a_short_cut_delays_an_answer_and_loses_nothing() -> None:
    async def body(cluster: Cluster) -> None:
        ref = cluster[B].system.remote(C, "machine")
        began_s = anyio.current_time()

        async def heal() -> None:
            await anyio.sleep(SILENCE_S / 2)
            cluster.network.heal(B, C)

        cluster.network.cut(B, C)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(heal)
            assert (await ref.ask(Ping(), timeout_s=60)).machine == C
        assert anyio.current_time() - began_s >= SILENCE_S / 2

    simulate(body)


def test_a_message_that_is_repeated_is_taken_twice_and_a_late_one_after_its_asker_gave_up() -> None:
    async def body(cluster: Cluster) -> None:
        cluster[C].system.spawn("counter", _Counter)
        ref = cluster[B].system.remote(C, "counter")
        _Counter.pings = 0
        cluster.network.repeat(_is_ping, again_after_s=5)
        await ref.ask(Ping(), timeout_s=60)
        await anyio.sleep(6)
        assert _Counter.pings == 2
        cluster.network.delay(_is_ping, reply=False, late_s=30)
        with pytest.raises(Unreachable, match="may or may not"):
            await ref.ask(Ping(), timeout_s=10)
        assert _Counter.pings == 2
        await anyio.sleep(25)
        assert _Counter.pings == 3

    simulate(body)


def _is_ping(packet: Packet) -> bool:
    return isinstance(packet.message, Ping)


def test_a_machine_that_crashed_comes_back_with_what_it_had_stored() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        head = cluster[A].disk.log.head
        files = cluster[A].zfs.files(dataset())
        cluster.crash(A)
        assert cluster[A].docker.running() == []
        await anyio.sleep(5)
        assert cluster[A].disk.log.head == head
        assert cluster[A].zfs.files(dataset()) == files
        await cluster.boot(A)
        await cluster.agreed()
        assert cluster[A].parts.view.position == cluster.head

    simulate(body)
