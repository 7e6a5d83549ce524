"""What every Docker adapter tells of its containers, and what is left when the engine or the power goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import anyio
import anyio.lowlevel
import pytest
from attrs import evolve

from ployz.errors import Code, Failed
from ployz.host.ports import ContainerEvent, Docker
from tests.docker_world import (
    BRIEF,
    STUBBORN,
    WAIT_S,
    WORLDS,
    World,
    ended,
    loaded_engine,
    run,
    running,
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


# ---------------------------------------------------------------- news


def test_news_of_our_containers_is_told_in_order(world: World) -> None:
    async def test(docker: Docker) -> None:
        ours, theirs = spec(world, BRIEF), evolve(spec(world, BRIEF), labels={"somebody": "else"})
        async with docker.events() as news:
            theirs_name = await running(docker, theirs)
            await ended(docker, theirs_name)
            container_id = await docker.create(ours)
            await docker.start(ours.name)
            await ended(docker, ours.name)
            await docker.remove(ours.name)
            told: list[ContainerEvent] = []
            with anyio.fail_after(WAIT_S):
                while len(told) < 3:
                    told.append(await anext(news))
        assert [each.action for each in told] == ["start", "die", "destroy"]
        assert [each.exit_code for each in told] == [None, 3, None]
        assert {each.container_id for each in told} == {container_id}
        assert all(each.labels == ours.labels for each in told)

    run(world, test)


def test_a_reader_may_leave_the_news_at_any_time(world: World) -> None:
    async def test(docker: Docker) -> None:
        async with docker.events() as news:
            await running(docker, spec(world))
            async for each in news:
                assert each.action == "start"
                break
        async with docker.events() as news:
            with anyio.move_on_after(0.05) as scope:
                await anext(news)
            assert scope.cancelled_caught

    run(world, test)


def test_the_news_ends_when_the_engine_goes_and_containers_run_on(world: World) -> None:
    async def test(docker: Docker) -> None:
        name = await running(docker, spec(world))
        before = await docker.inspect(name)
        async with docker.events() as news:
            world.engine_down()
            with anyio.fail_after(WAIT_S):
                assert [each async for each in news] == []
        with pytest.raises(Failed) as caught:
            await docker.inspect(name)
        assert caught.value.code is Code.MISSING_PART
        with pytest.raises(Failed):
            async with docker.events():
                pass
        world.engine_up()
        assert await docker.inspect(name) == before

    run(world, test)


# ---------------------------------------------------------------- power


@pytest.mark.parametrize(
    ("restart", "stopped_comes_back", "running_comes_back"),
    [("no", False, False), ("always", True, True), ("unless-stopped", False, True), ("on-failure", True, True)],
)
def test_what_a_boot_brings_back_is_decided_by_the_restart_policy(
    world: World,
    restart: Literal["no", "always", "on-failure", "unless-stopped"],
    stopped_comes_back: bool,
    running_comes_back: bool,
) -> None:
    """A *stopped* `always` or `on-failure` container comes back: why a volume's container has policy `no`."""

    async def test(docker: Docker) -> None:
        stopped = await running(docker, spec(world, STUBBORN, restart=restart))
        await docker.stop(stopped, grace_s=0)
        assert await ended(docker, stopped) == 137
        ran = await running(docker, spec(world, STUBBORN, restart=restart))
        world.power_cut_and_boot()
        for name, comes_back in ((stopped, stopped_comes_back), (ran, running_comes_back)):
            container = await docker.inspect(name)
            assert container is not None
            assert container.running is comes_back, name
        if not running_comes_back:
            assert await ended(docker, ran) == 255

    run(world, test)


def test_a_boot_never_starts_what_was_only_made(world: World) -> None:
    async def test(docker: Docker) -> None:
        wanted = spec(world, restart="always")
        await docker.create(wanted)
        world.power_cut_and_boot()
        container = await docker.inspect(wanted.name)
        assert container is not None
        assert (container.running, container.exit_code) == (False, None)

    run(world, test)
