"""The levers of the fake, which no contract can test: there is nothing like them at a real engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

import anyio
import pytest
from trio.testing import MockClock

from ployz.errors import Code, Failed
from ployz.host.fakes.docker import FakeDocker, Program
from ployz.host.ports import ContainerSpec
from tests.docker_world import NETWORK

NAME = "production.db.slot-1.op-1"


def run(test: Callable[[], Awaitable[None]]) -> None:
    """On a clock that jumps: waiting costs nothing."""
    anyio.run(test, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})


def spec(fake: FakeDocker, restart: Literal["no", "always"] = "no") -> ContainerSpec:
    image = fake.add_image("db:1")
    return ContainerSpec(NAME, image.id, {"ployz.service": "db"}, "fd00::7", "10.210.0.7", restart=restart)


def test_a_program_ends_by_itself_and_its_policy_decides_what_follows() -> None:
    async def test(restart: Literal["no", "always"]) -> tuple[bool, list[str]]:
        fake = FakeDocker(network=NETWORK)
        await fake.create(spec(fake, restart))
        await fake.start(NAME)
        async with fake.events() as news:
            fake.exit(NAME, 1)
            fake.engine_down()
            told = [each.action async for each in news]
        fake.boot()
        container = await fake.inspect(NAME)
        assert container is not None
        return container.running, told

    async def both() -> None:
        assert await test("no") == (False, ["die"])
        assert await test("always") == (True, ["die", "start"])

    run(both)


def test_starting_and_stopping_take_the_time_they_are_told_to() -> None:
    async def test() -> None:
        fake = FakeDocker(network=NETWORK, program=lambda _: Program(start_s=5, stop_s=7, exit_code=1))
        await fake.create(spec(fake))
        begun_s = anyio.current_time()
        await fake.start(NAME)
        assert anyio.current_time() - begun_s == pytest.approx(5)
        await fake.stop(NAME, grace_s=10)
        assert anyio.current_time() - begun_s == pytest.approx(12)
        container = await fake.inspect(NAME)
        assert container is not None
        assert container.exit_code == 1

    run(test)


def test_a_program_can_refuse_to_start() -> None:
    async def test() -> None:
        fake = FakeDocker(network=NETWORK, program=lambda _: Program(refuses_to_start="exec: no such file"))
        await fake.create(spec(fake))
        with pytest.raises(Failed, match="exec: no such file"):
            await fake.start(NAME)
        container = await fake.inspect(NAME)
        assert container is not None
        assert not container.running

    run(test)


def test_what_runs_is_told_of_its_start_and_of_every_end() -> None:
    async def test() -> None:
        told: list[str] = []
        fake = FakeDocker(network=NETWORK, on_start=lambda _: told.append("start"), on_end=lambda _: told.append("end"))
        await fake.create(spec(fake))
        await fake.start(NAME)
        await fake.stop(NAME, grace_s=0)
        await fake.start(NAME)
        fake.power_cut()
        fake.boot()
        await fake.start(NAME)
        await fake.remove(NAME)
        assert told == ["start", "end"] * 3

    run(test)


def test_a_power_cut_ends_a_request_that_is_being_worked_on() -> None:
    async def test() -> None:
        fake = FakeDocker(network=NETWORK, program=lambda _: Program(start_s=5))
        await fake.create(spec(fake))
        async with anyio.create_task_group() as group:

            async def cut() -> None:
                await anyio.sleep(1)
                fake.power_cut()

            group.start_soon(cut)
            with pytest.raises(Failed) as caught:
                await fake.start(NAME)
        assert caught.value.code is Code.MISSING_PART
        fake.boot()
        container = await fake.inspect(NAME)
        assert container is not None
        assert not container.running

    run(test)


def test_the_registry_of_the_fake_has_what_was_put_there() -> None:
    async def test() -> None:
        elsewhere, fake = FakeDocker(network=NETWORK), FakeDocker(network=NETWORK)
        image = elsewhere.add_image("db:1")
        fake.registry["db:1"] = image
        assert await fake.image("db:1") is None
        assert await fake.pull("db:1") == image
        assert await fake.image(image.id) == image

    run(test)
