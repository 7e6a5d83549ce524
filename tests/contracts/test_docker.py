"""What every Docker adapter promises: the same tests on the fake and on a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from attrs import evolve

from ployz.errors import Code, Failed
from ployz.host.ports import BindMount, Census, Docker
from tests.docker_world import (
    HANG,
    NETWORK,
    REFERENCE,
    STUBBORN,
    TALK,
    WAIT_S,
    WORLDS,
    World,
    ended,
    loaded_engine,
    run,
    running,
    said,
    spec,
    world_of,
)
from tests.engines import Engine


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    yield from loaded_engine()


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    yield from world_of(request)


# ---------------------------------------------------------------- what others take away


def test_one_look_says_what_is_there_and_what_others_took_away(world: World) -> None:
    async def test(docker: Docker) -> None:
        wanted = spec(world)
        assert await docker.census() == Census(network=True)
        await docker.create(wanted)
        assert await docker.census() == Census(network=True, containers={wanted.name: False})
        await docker.start(wanted.name)
        assert await docker.census() == Census(network=True, containers={wanted.name: True})

        world.break_off_removal(wanted.name)
        seen = await docker.census()
        assert seen == Census(True, {wanted.name: True}, cut_off=frozenset({wanted.name}))
        await docker.remove(wanted.name)

        await docker.create(wanted)
        await docker.start(wanted.name)
        world.remove_by_hand(wanted.name)
        assert await docker.census() == Census(network=True, orphans=(wanted.name,))
        await docker.create(wanted)  # the same one goes on with it
        await docker.start(wanted.name)
        assert await docker.census() == Census(network=True, containers={wanted.name: True})
        world.remove_by_hand(wanted.name)
        await docker.remove(wanted.name)  # another one could not have its address
        assert await docker.census() == Census(network=True)

        world.remove_network()
        assert await docker.census() == Census(network=False)
        await docker.ensure_network(NETWORK)
        assert await docker.census() == Census(network=True)

    run(world, test)


def test_who_is_on_the_network_is_said_with_a_process_of_each(world: World) -> None:
    async def test(docker: Docker) -> None:
        wanted = spec(world)
        await docker.create(wanted)
        assert await docker.plugged() == {}
        await docker.prepare(wanted.name)
        prepared = await docker.plugged()
        assert set(prepared) == {wanted.ipv4}
        await docker.start(wanted.name)
        assert set(await docker.plugged()) == {wanted.ipv4}
        assert all(each > 0 for each in prepared.values())
        await docker.stop(wanted.name, grace_s=0)
        assert await docker.plugged() == {}
        await docker.remove(wanted.name)

    run(world, test)


def test_an_image_that_is_kept_outlives_a_prune_of_everything(world: World) -> None:
    async def test(docker: Docker) -> None:
        wanted = spec(world)
        for _ in range(2):
            await docker.keep_image(world.image_id, "ployz-keep.op-1.abc", "production op-1")
        assert (await docker.census()).keepers == {"ployz-keep.op-1.abc": "production op-1"}
        world.prune()
        assert await docker.image(world.image_id) is not None
        await docker.ensure_network(NETWORK)
        await docker.create(wanted)
        await docker.start(wanted.name)
        await docker.remove(wanted.name)
        await docker.remove("ployz-keep.op-1.abc")
        assert await docker.census() == Census(network=True)
        assert await docker.image(world.image_id) is not None

    run(world, test)


# ---------------------------------------------------------------- life


def test_who_waits_for_the_end_of_a_container_learns_of_it(world: World) -> None:
    async def test(docker: Docker) -> None:
        wanted = spec(world)
        await docker.ended(wanted.name)  # absent
        await docker.create(wanted)
        await docker.ended(wanted.name)  # never started
        await docker.start(wanted.name)
        with anyio.fail_after(WAIT_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(docker.ended, wanted.name)
                await anyio.lowlevel.checkpoint()
                await docker.stop(wanted.name, grace_s=0)

    run(world, test)


def test_a_container_lives_from_create_to_remove(world: World) -> None:
    async def test(docker: Docker) -> None:
        wanted = spec(world)
        container_id = await docker.create(wanted)
        made = await docker.inspect(wanted.name)
        assert made is not None
        assert (made.id, made.name, made.image_id) == (container_id, wanted.name, world.image_id)
        assert (made.running, made.exit_code, made.pid) == (False, None, 0)
        assert made.labels == wanted.labels

        await docker.start(wanted.name)
        await said(docker, wanted.name, "two")
        started = await docker.inspect(wanted.name)
        assert started is not None
        assert (started.running, started.exit_code) == (True, None)
        assert started.pid > 0

        await docker.stop(wanted.name, grace_s=WAIT_S)
        stopped = await docker.inspect(wanted.name)
        assert stopped is not None
        assert (stopped.running, stopped.exit_code, stopped.pid) == (False, 0, 0)

        await docker.remove(wanted.name)
        assert await docker.inspect(wanted.name) is None

    run(world, test)


def test_everything_may_be_done_twice(world: World) -> None:
    async def test(docker: Docker) -> None:
        wanted = spec(world)
        assert await docker.create(wanted) == await docker.create(wanted)
        await docker.start(wanted.name)
        await docker.start(wanted.name)
        assert await docker.create(wanted)
        await docker.stop(wanted.name, grace_s=0)
        await docker.stop(wanted.name, grace_s=0)
        await docker.remove(wanted.name)
        await docker.remove(wanted.name)
        await docker.stop(wanted.name, grace_s=0)

    run(world, test)


def test_a_running_container_is_removed(world: World) -> None:
    async def test(docker: Docker) -> None:
        name = await running(docker, spec(world))
        await docker.remove(name)
        assert await docker.inspect(name) is None

    run(world, test)


def test_a_name_that_another_container_has_is_refused(world: World) -> None:
    async def test(docker: Docker) -> None:
        wanted = spec(world)
        await docker.create(wanted)
        with pytest.raises(Failed) as caught:
            await docker.create(evolve(wanted, labels={**wanted.labels, "ployz.operation": "op-2"}))
        assert caught.value.code is Code.CONFLICT
        assert wanted.name in caught.value.problem.text

    run(world, test)


def test_a_bind_mount_whose_source_is_missing_makes_no_container(world: World, tmp_path: Path) -> None:
    async def test(docker: Docker) -> None:
        source = tmp_path / "nothing-here"
        wanted = evolve(spec(world), mounts=(BindMount(str(source), "/data"),))
        with pytest.raises(Failed, match="does not exist") as caught:
            await docker.create(wanted)
        assert caught.value.code is Code.DOCKER_FAILED
        assert await docker.inspect(wanted.name) is None
        assert not source.exists()

    run(world, test)


def test_a_container_of_an_image_that_is_not_here_is_not_made(world: World) -> None:
    async def test(docker: Docker) -> None:
        wanted = evolve(spec(world), image_id="sha256:" + "0" * 64)
        with pytest.raises(Failed):
            await docker.create(wanted)
        assert await docker.inspect(wanted.name) is None

    run(world, test)


def test_starting_what_is_not_there_fails(world: World) -> None:
    async def test(docker: Docker) -> None:
        with pytest.raises(Failed, match="no-such-container"):
            await docker.start("no-such-container")

    run(world, test)


def test_a_program_that_ignores_its_signal_is_killed_after_the_grace(world: World) -> None:
    async def test(docker: Docker) -> None:
        name = await running(docker, spec(world, STUBBORN))
        await docker.stop(name, grace_s=0.1)
        assert await ended(docker, name) == 137

    run(world, test)


def test_an_address_has_one_running_container_at_a_time(world: World) -> None:
    async def test(docker: Docker) -> None:
        first = spec(world)
        second = evolve(spec(world), ipv6=first.ipv6, ipv4=first.ipv4)
        await running(docker, first)
        await docker.create(second)
        with pytest.raises(Failed):
            await docker.start(second.name)
        await docker.stop(first.name, grace_s=0)
        await docker.start(second.name)
        container = await docker.inspect(second.name)
        assert container is not None
        assert container.running

    run(world, test)


def test_a_network_made_ahead_has_the_address_until_its_container_is_stopped_or_gone(world: World) -> None:
    async def test(docker: Docker) -> None:
        first = spec(world)
        second = evolve(spec(world), ipv6=first.ipv6, ipv4=first.ipv4)
        for each in (first, second):
            await docker.create(each)
        await docker.prepare(first.name)
        await docker.prepare(first.name)
        ahead = await docker.inspect(first.name)
        assert ahead is not None
        assert (ahead.running, ahead.exit_code) == (False, None)
        assert [each.name for each in await docker.containers(first.labels)] == [first.name]
        with pytest.raises(Failed):
            await docker.start(second.name)
        await docker.start(first.name)
        await docker.stop(first.name, grace_s=0)
        await docker.start(second.name)
        await docker.remove(second.name)
        await docker.start(first.name)
        again = await docker.inspect(first.name)
        assert again is not None
        assert again.running

    run(world, test)


def test_what_a_removal_that_was_broken_off_has_left_is_made_whole_by_its_creation(world: World) -> None:
    async def test(docker: Docker) -> None:
        wanted = spec(world)
        await docker.create(wanted)
        await docker.start(wanted.name)
        await docker.stop(wanted.name, grace_s=0)
        world.break_off_removal(wanted.name)
        with pytest.raises(Failed):
            await docker.start(wanted.name)
        await docker.create(wanted)
        await docker.start(wanted.name)
        again = await docker.inspect(wanted.name)
        assert again is not None
        assert again.running
        await docker.stop(wanted.name, grace_s=0)
        world.break_off_removal(wanted.name)
        await docker.remove(wanted.name)
        assert await docker.inspect(wanted.name) is None

    run(world, test)


def test_a_container_that_is_stopped_gets_another_network_and_stays_what_it_is(world: World) -> None:
    async def test(docker: Docker) -> None:
        wanted = spec(world)
        made = await docker.create(wanted)
        await docker.start(wanted.name)
        await docker.stop(wanted.name, grace_s=0)
        for _ in range(2):
            await docker.drop_network(wanted.name)
        assert await docker.create(wanted) == made
        await docker.start(wanted.name)
        assert await docker.census() == Census(network=True, containers={wanted.name: True})
        await docker.drop_network("nobody")

    run(world, test)


def test_containers_are_found_by_all_their_labels(world: World) -> None:
    async def test(docker: Docker) -> None:
        specs = [spec(world), spec(world), spec(world, operation="op-2")]
        for each in specs:
            await docker.create(each)
        await docker.start(specs[1].name)
        found = await docker.containers({"ployz.service": "db", "ployz.operation": "op-1"})
        assert [each.name for each in found] == sorted(each.name for each in specs[:2])
        assert [each.name for each in found if each.running] == [specs[1].name]
        assert await docker.containers({"ployz.service": "db", "ployz.operation": "op-3"}) == []

    run(world, test)


# ---------------------------------------------------------------- inside


def test_a_command_in_a_container_gives_its_output_and_exit_code(world: World) -> None:
    async def test(docker: Docker) -> None:
        name = await running(docker, spec(world))
        result = await docker.exec(name, TALK, timeout_s=WAIT_S)
        assert result.exit_code == 4
        assert sorted(result.output.splitlines()) == ["err", "out"]

    run(world, test)


def test_a_command_that_hangs_is_given_up(world: World) -> None:
    async def test(docker: Docker) -> None:
        name = await running(docker, spec(world))
        with pytest.raises(Failed) as caught:
            await docker.exec(name, HANG, timeout_s=0.2)
        assert caught.value.code is Code.TIMED_OUT
        assert (await docker.exec(name, TALK, timeout_s=WAIT_S)).exit_code == 4

    run(world, test)


def test_a_command_needs_a_container_that_runs(world: World) -> None:
    async def test(docker: Docker) -> None:
        wanted = spec(world)
        await docker.create(wanted)
        with pytest.raises(Failed, match="is not running"):
            await docker.exec(wanted.name, TALK, timeout_s=WAIT_S)

    run(world, test)


def test_the_end_of_a_log_is_read(world: World) -> None:
    async def test(docker: Docker) -> None:
        name = await running(docker, spec(world))
        await said(docker, name, "two")
        assert await docker.logs(name, tail=10) == "one\ntwo\n"
        assert await docker.logs(name, tail=1) == "two\n"

    run(world, test)


# ---------------------------------------------------------------- images


def test_an_image_is_found_by_tag_and_by_id(world: World) -> None:
    async def test(docker: Docker) -> None:
        by_tag = await docker.image(REFERENCE)
        assert by_tag is not None
        assert by_tag.id == world.image_id
        assert REFERENCE in by_tag.tags
        assert by_tag.size_bytes > 0
        assert await docker.image(world.image_id) == by_tag
        assert await docker.image("no-such-image:1") is None

    run(world, test)


def test_an_image_gets_a_tag(world: World) -> None:
    async def test(docker: Docker) -> None:
        await docker.tag(world.image_id, "localhost:5000/team/db:17")
        await docker.tag(world.image_id, "localhost:5000/team/db:17")
        image = await docker.image("localhost:5000/team/db:17")
        assert image is not None
        assert image.id == world.image_id
        with pytest.raises(Failed):
            await docker.tag("sha256:" + "0" * 64, "team/db:17")

    run(world, test)


def test_an_image_that_no_registry_gives_is_missing(world: World) -> None:
    async def test(docker: Docker) -> None:
        with pytest.raises(Failed) as caught:
            await docker.pull("127.0.0.1:1/no-such-image:1")
        assert caught.value.code is Code.IMAGE_MISSING
        assert "127.0.0.1:1/no-such-image:1" in caught.value.problem.text
        assert caught.value.problem.advice

    run(world, test)


def test_the_programs_that_move_an_image_name_it_last(world: World) -> None:
    async def test(docker: Docker) -> None:
        assert docker.save_argv(world.image_id)[-1] == world.image_id
        assert "load" in docker.load_argv()
        await anyio.lowlevel.checkpoint()

    run(world, test)


# ---------------------------------------------------------------- network


def test_the_network_is_made_once_and_never_reshaped(world: World) -> None:
    async def test(docker: Docker) -> None:
        await docker.ensure_network(NETWORK)
        await docker.ensure_network(NETWORK)
        with pytest.raises(Failed) as caught:
            await docker.ensure_network(evolve(NETWORK, ipv4_subnet="10.211.0.0/16", ipv4_gateway="10.211.0.1"))
        assert caught.value.code is Code.CONFLICT
        assert "10.210.0.0/16" in caught.value.problem.text

    run(world, test)
