"""What every Docker adapter promises: the same tests on the fake and on a real engine."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, Protocol

import anyio
import pytest
from attrs import evolve

from ployz.errors import Code, Failed
from ployz.host.docker.engine import DockerEngine
from ployz.host.fakes.docker import FakeDocker, Program
from ployz.host.ports import BindMount, BridgeNetwork, ContainerEvent, ContainerSpec, Docker, ExecResult
from tests.engines import Engine, busybox_archive

REFERENCE = "ployz-test:1"
NETWORK = BridgeNetwork(
    name="ployz",
    bridge="br-ployz",
    ipv6_subnet="fd00:1:2:1::/64",
    ipv6_gateway="fd00:1:2:1::1",
    ipv4_subnet="10.210.0.0/16",
    ipv4_gateway="10.210.0.1",
)
WAIT_S = 20.0

# What the containers of these tests run, as the real ones see it and as the fake plays it.
POLITE = ("sh", "-c", "trap 'exit 0' TERM; echo one; echo two; while :; do sleep 0.02; done")
STUBBORN = ("sh", "-c", "trap '' TERM; while :; do sleep 1; done")
BRIEF = ("sh", "-c", "exit 3")
TALK = ("sh", "-c", "echo out; echo err >&2; exit 4")
HANG = ("sleep", "1000")


async def _answer(command: Sequence[str]) -> ExecResult:
    if command == TALK:
        return ExecResult(4, "out\nerr\n")
    await anyio.sleep(1000)
    raise AssertionError("unreachable")


PROGRAMS: dict[tuple[str, ...], Program] = {
    POLITE: Program(output="one\ntwo\n", exec=_answer),
    STUBBORN: Program(stop_s=1000),
    BRIEF: Program(exits=3),
}


class World(Protocol):
    """One machine with Docker, and what can happen to it."""

    image_id: str

    def docker(self) -> Docker: ...

    def engine_down(self) -> None: ...

    def engine_up(self) -> None: ...

    def power_cut_and_boot(self) -> None: ...


class FakeWorld:
    def __init__(self) -> None:
        self.fake = FakeDocker(program=lambda spec: PROGRAMS[spec.command], path_exists=os.path.exists, network=NETWORK)
        self.image_id = self.fake.add_image(REFERENCE).id

    def docker(self) -> Docker:
        return self.fake

    def engine_down(self) -> None:
        self.fake.engine_down()

    def engine_up(self) -> None:
        self.fake.boot()

    def power_cut_and_boot(self) -> None:
        self.fake.power_cut()
        self.fake.boot()


class RealWorld:
    def __init__(self, engine: Engine, image_id: str) -> None:
        self.engine = engine
        self.image_id = image_id

    def docker(self) -> DockerEngine:
        return DockerEngine(socket=self.engine.socket, network=NETWORK.name)

    def engine_down(self) -> None:
        self.engine.stop()

    def engine_up(self) -> None:
        self.engine.start()

    def power_cut_and_boot(self) -> None:
        self.engine.power_cut()
        self.engine.boot()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        engine.docker("load", stdin=busybox_archive(REFERENCE))
        yield engine


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.real)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "fake":
        yield FakeWorld()
        return
    engine: Engine = request.getfixturevalue("engine")
    yield RealWorld(engine, engine.docker("image", "inspect", "--format", "{{.Id}}", REFERENCE).strip())
    if left := engine.docker("ps", "--all", "--quiet").split():
        engine.docker("rm", "--force", *left)


@asynccontextmanager
async def opened(world: World) -> AsyncIterator[Docker]:
    docker = world.docker()
    if isinstance(docker, DockerEngine):
        async with docker:
            await docker.ensure_network(NETWORK)
            yield docker
    else:
        yield docker


def run(world: World, test: Callable[[Docker], Awaitable[None]]) -> None:
    async def main() -> None:
        with anyio.fail_after(WAIT_S * 3):
            async with opened(world) as docker:
                await test(docker)

    anyio.run(main, backend="trio")


_numbers = itertools.count(2)


def spec(
    world: World,
    command: tuple[str, ...] = POLITE,
    *,
    operation: str = "op-1",
    restart: Literal["no", "always", "on-failure", "unless-stopped"] = "no",
) -> ContainerSpec:
    """Of a container with a name and an address that no other test has."""
    number = next(_numbers)
    return ContainerSpec(
        name=f"production.db.slot-{number}.{operation}",
        image_id=world.image_id,
        labels={"ployz.service": "db", "ployz.operation": operation, "ployz.slot": f"slot-{number}"},
        ipv6=f"fd00:1:2:1::{number:x}",
        ipv4=f"10.210.0.{number}",
        command=command,
        restart=restart,
    )


async def running(docker: Docker, spec: ContainerSpec) -> str:
    await docker.create(spec)
    await docker.start(spec.name)
    return spec.name


async def ended(docker: Docker, name: str) -> int:
    """Its exit code, once it has ended."""
    with anyio.fail_after(WAIT_S):
        while True:
            container = await docker.inspect(name)
            assert container is not None
            if container.exit_code is not None:
                return container.exit_code
            await anyio.sleep(0.02)


async def said(docker: Docker, name: str, text: str) -> None:
    """Returns once its log has this text: a program is ready for signals only when it says so."""
    with anyio.fail_after(WAIT_S):
        while True:
            if text in await docker.logs(name, tail=10):
                return
            await anyio.sleep(0.02)


# ---------------------------------------------------------------- life


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
