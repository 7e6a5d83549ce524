"""What only a real engine can show: what a spec becomes inside the container, images between engines, ports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import pytest
from attrs import evolve

from ployz.errors import Code, Failed
from ployz.host.docker.engine import EXEC_OUTPUT_BYTES, DockerEngine
from ployz.host.ports import BindMount, ContainerSpec, PublishedPort
from tests.docker_world import NETWORK, REFERENCE, image_id, loaded_engine, remove_containers
from tests.engines import Engine
from tests.real import PATIENCE

pytestmark = pytest.mark.real

TEST_S = 60.0 * PATIENCE


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    yield from loaded_engine()


@pytest.fixture
def sleeper(engine: Engine) -> Iterator[ContainerSpec]:
    """A spec for the test to change; whatever it became is removed."""
    yield ContainerSpec(
        name="production.db.slot-1.op-1",
        image_id=image_id(engine),
        labels={"ployz.service": "db"},
        ipv6="fd00:1:2:1::7",
        ipv4="10.210.0.7",
        command=("sleep", "1000"),
    )
    remove_containers(engine)


def run(engine: Engine, test: Callable[[DockerEngine], Awaitable[None]]) -> None:
    async def main() -> None:
        with anyio.fail_after(TEST_S):
            docker = DockerEngine(socket=engine.socket, network=NETWORK.name)
            await docker.ensure_network(NETWORK)
            await test(docker)

    anyio.run(main, backend="trio")


def test_a_container_is_what_its_spec_says(engine: Engine, sleeper: ContainerSpec, tmp_path: Path) -> None:
    (tmp_path / "rw").mkdir()
    (tmp_path / "ro").mkdir()
    spec = evolve(
        sleeper,
        hostname="db-1",
        env={"GREETING": "a b=c"},
        user="12:34",
        mounts=(BindMount(str(tmp_path / "rw"), "/rw"), BindMount(str(tmp_path / "ro"), "/ro", readonly=True)),
        tmpfs=("/scratch",),
        cap_drop=("CHOWN",),
        sysctls={"net.ipv4.ip_unprivileged_port_start": "80"},
        cpu_millicores=500,
        memory_bytes=64 * 1024 * 1024,
    )
    (tmp_path / "rw").chmod(0o777)

    async def test(docker: DockerEngine) -> None:
        await docker.create(spec)
        await docker.start(spec.name)

        async def shell(line: str) -> str:
            result = await docker.exec(spec.name, ("sh", "-c", line), timeout_s=TEST_S)
            assert result.exit_code == 0, result.output
            return result.output.strip()

        assert await shell("hostname; id -u; id -g") == "db-1\n12\n34"
        assert await shell('echo "$GREETING"') == "a b=c"
        assert await shell("echo kept > /rw/file; cat /rw/file") == "kept"
        assert "Read-only" in await shell("touch /ro/file 2>&1 || true")
        assert "tmpfs on /scratch type tmpfs" in await shell("mount")
        assert await shell("cat /proc/sys/net/ipv4/ip_unprivileged_port_start") == "80"
        addresses = await shell("ip -o addr show dev eth0")
        assert "10.210.0.7/16" in addresses
        assert "fd00:1:2:1::7/64" in addresses
        assert "mtu 1420" in await shell("ip link show dev eth0")
        limits = engine.docker("inspect", "--format", "{{.HostConfig.NanoCpus}} {{.HostConfig.Memory}}", spec.name)
        assert limits.split() == ["500000000", str(64 * 1024 * 1024)]

    run(engine, test)
    assert (tmp_path / "rw" / "file").read_text() == "kept\n"


def test_what_is_mounted_between_create_and_start_is_what_the_container_gets(
    engine: Engine, sleeper: ContainerSpec, tmp_path: Path
) -> None:
    """As in a migration: the container is made while its volume is still on its way."""
    spec = evolve(sleeper, mounts=(BindMount(str(tmp_path), "/data"),))

    async def test(docker: DockerEngine) -> None:
        await docker.create(spec)
        await anyio.run_process(engine.inside("mount", "-t", "tmpfs", "volume", str(tmp_path)))
        await anyio.run_process(engine.inside("touch", str(tmp_path / "arrived")))
        await docker.start(spec.name)
        look = await docker.exec(spec.name, ("cat", "/data/arrived"), timeout_s=TEST_S)
        assert look.exit_code == 0, look.output
        await docker.remove(spec.name)
        # Nothing of the container holds the volume any more: this fails where something does.
        await anyio.run_process(engine.inside("umount", str(tmp_path)))

    run(engine, test)


def test_a_port_that_is_taken_is_named_as_that(engine: Engine, sleeper: ContainerSpec) -> None:
    async def test(docker: DockerEngine) -> None:
        first = evolve(sleeper, ports=(PublishedPort(5432, 15432),))
        second = evolve(first, name="production.db.slot-2.op-1", ipv6="fd00:1:2:1::8", ipv4="10.210.0.8")
        for spec in (first, second):
            await docker.create(spec)
        await docker.start(first.name)
        with pytest.raises(Failed) as caught:
            await docker.start(second.name)
        assert caught.value.code is Code.PORT_TAKEN
        assert "15432" in caught.value.problem.text

    run(engine, test)


def test_an_image_keeps_its_id_when_it_is_carried_over(engine: Engine, sleeper: ContainerSpec, tmp_path: Path) -> None:
    async def test(docker: DockerEngine) -> None:
        carried = tmp_path / "image.tar"
        with carried.open("wb") as stream:
            await anyio.run_process(docker.save_argv(sleeper.image_id), stdout=stream)
        engine.docker("image", "rm", REFERENCE)
        assert await docker.image(sleeper.image_id) is None
        with carried.open("rb") as stream:
            await anyio.run_process(docker.load_argv(), stdin=stream)
        untagged = await docker.image(sleeper.image_id)
        assert untagged is not None
        assert untagged.tags == ()  # saved by id, it comes without its name
        await docker.tag(sleeper.image_id, REFERENCE)
        assert await docker.image(REFERENCE) == evolve(untagged, tags=(REFERENCE,))

    run(engine, test)


def test_an_image_that_is_not_there_or_not_whole_is_not_carried(
    engine: Engine, sleeper: ContainerSpec, tmp_path: Path
) -> None:
    async def test(docker: DockerEngine) -> None:
        unknown = await anyio.run_process(docker.save_argv("sha256:" + "0" * 64), check=False)
        assert (unknown.returncode, unknown.stdout) == (1, b"")
        assert b"Docker could not save the image: " in unknown.stderr
        whole = (await anyio.run_process(docker.save_argv(sleeper.image_id))).stdout
        half = await anyio.run_process(docker.load_argv(), input=whole[: len(whole) // 2], check=False)
        assert half.returncode == 1
        assert b"Docker could not load the image: " in half.stderr

    run(engine, test)


def test_of_much_output_the_end_is_kept(engine: Engine, sleeper: ContainerSpec) -> None:
    async def test(docker: DockerEngine) -> None:
        await docker.create(sleeper)
        await docker.start(sleeper.name)
        line = "yes 0123456 | head -n 40000; echo the end; exit 5"
        result = await docker.exec(sleeper.name, ("sh", "-c", line), timeout_s=TEST_S)
        assert result.exit_code == 5
        assert len(result.output) == EXEC_OUTPUT_BYTES
        assert result.output.endswith("0123456\nthe end\n")

    run(engine, test)


def test_a_command_that_closes_its_output_is_waited_for(engine: Engine, sleeper: ContainerSpec) -> None:
    async def test(docker: DockerEngine) -> None:
        await docker.create(sleeper)
        await docker.start(sleeper.name)
        result = await docker.exec(sleeper.name, ("sh", "-c", "exec >&- 2>&-; sleep 0.2; exit 6"), timeout_s=TEST_S)
        assert result.exit_code == 6

    run(engine, test)


def test_removing_at_the_same_time_is_done_for_both(engine: Engine, sleeper: ContainerSpec) -> None:
    async def test(docker: DockerEngine) -> None:
        await docker.create(sleeper)
        await docker.start(sleeper.name)
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(docker.remove, sleeper.name)
        assert await docker.inspect(sleeper.name) is None

    run(engine, test)


def test_the_version_is_the_engine_s_own(engine: Engine) -> None:
    async def test(docker: DockerEngine) -> None:
        assert await docker.version() == engine.docker("version", "--format", "{{.Server.Version}}").strip()

    run(engine, test)
