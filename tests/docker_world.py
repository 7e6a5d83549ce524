"""A machine with Docker, fake or real, for the contract tests; and what its containers run.

The programs are given twice: as the real ones see them, and as the fake plays them.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal, Protocol

import anyio
import pytest

from ployz.host.docker.engine import DockerEngine
from ployz.host.docker.pause import holder
from ployz.host.fakes.docker import FakeDocker, Program
from ployz.host.ports import BridgeNetwork, ContainerSpec, Docker, ExecResult
from tests.engines import Engine, busybox_archive
from tests.real import PATIENCE

REFERENCE = "ployz-test:1"
NETWORK = BridgeNetwork(
    name="ployz",
    bridge="br-ployz",
    ipv6_subnet="fd00:1:2:1::/64",
    ipv6_gateway="fd00:1:2:1::1",
    ipv4_subnet="10.210.0.0/16",
    ipv4_gateway="10.210.0.1",
)
WAIT_S = 20.0 * PATIENCE

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

    def break_off_removal(self, name: str) -> None:
        """What held its network is gone, it is there."""

    def remove_by_hand(self, name: str) -> None:
        """`docker rm --force`, by somebody who knows nothing of what holds its network."""

    def remove_network(self) -> None:
        """`docker network rm`."""

    def prune(self) -> None:
        """`docker system prune --all`."""


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

    def break_off_removal(self, name: str) -> None:
        self.fake.cut_off(name)

    def remove_by_hand(self, name: str) -> None:
        self.fake.take_away(name)

    def remove_network(self) -> None:
        self.fake.network = None

    def prune(self) -> None:
        self.fake.prune()


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

    def break_off_removal(self, name: str) -> None:
        self.engine.docker("rm", "--force", holder(name))

    def remove_by_hand(self, name: str) -> None:
        self.engine.docker("rm", "--force", name)

    def remove_network(self) -> None:
        self.engine.docker("network", "rm", NETWORK.name)

    def prune(self) -> None:
        self.engine.docker("system", "prune", "--all", "--force")


def loaded_engine() -> Iterator[Engine]:
    """The body of a fixture: an engine of the test file's own, with the one image that all these tests run."""
    with Engine() as engine:
        engine.docker("load", stdin=busybox_archive(REFERENCE))
        yield engine


WORLDS = ["fake", pytest.param("real", marks=pytest.mark.real)]


def world_of(request: pytest.FixtureRequest) -> Iterator[World]:
    """The body of a fixture with `params=WORLDS`, beside a fixture `engine`."""
    if request.param == "fake":
        yield FakeWorld()
        return
    engine: Engine = request.getfixturevalue("engine")
    yield RealWorld(engine, image_id(engine))
    remove_containers(engine)


def image_id(engine: Engine) -> str:
    return engine.docker("image", "inspect", "--format", "{{.Id}}", REFERENCE).strip()


def remove_containers(engine: Engine) -> None:
    if left := engine.docker("ps", "--all", "--quiet").split():
        engine.docker("rm", "--force", *left)


@asynccontextmanager
async def opened(world: World) -> AsyncIterator[Docker]:
    docker = world.docker()
    if isinstance(docker, DockerEngine):
        await docker.ensure_network(NETWORK)
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
