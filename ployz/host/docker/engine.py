"""The adapter of `ployz.host.ports.Docker` over the Engine API. One method, one idea, mostly one request.

Stop and start are single requests: they stand in the cut-over.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import quote

import anyio

from ployz.errors import Code, Failed
from ployz.host.docker import carry, pause, translate
from ployz.host.docker.connection import Connection
from ployz.host.docker.events import subscribe
from ployz.host.docker.frames import Tail
from ployz.host.docker.propagation import following
from ployz.host.ports import BridgeNetwork, Census, Container, ContainerEvent, ContainerSpec, ExecResult, Image
from ployz.host.zfs.mounts import read_mountinfo
from ployz.surroundings import SLOWNESS

START_S: Final = 60.0 * SLOWNESS
STOP_MARGIN_S: Final = 30.0 * SLOWNESS
"""On top of the grace: to kill what did not end, and to take its network and mounts down."""
REMOVE_S: Final = 60.0 * SLOWNESS
END_S: Final = 24 * 3600.0
"""Whoever waits for an end has a deadline of his own."""
PULL_S: Final = 3600.0
PULL_NEWS_BYTES: Final = 64 * 1024
"""Of its progress: an error is the last thing that it says."""
EXEC_OUTPUT_BYTES: Final = 64 * 1024
EXEC_POLL_S: Final = 0.02
LOG_BYTES: Final = 4 * 1024 * 1024

_NOT_MODIFIED: Final = HTTPStatus.NOT_MODIFIED
_SELF: Final = Path("/proc/self")
_NOT_FOUND: Final = HTTPStatus.NOT_FOUND
_CONFLICT: Final = HTTPStatus.CONFLICT


class DockerEngine:
    """Docker as it runs on this machine. Containers it makes are on one network, at fixed addresses."""

    def __init__(self, *, socket: str, network: str) -> None:
        """`socket`: the path of the engine's unix socket. `network`: the name given to `ensure_network`."""
        self._connection = Connection(socket)
        self._network = network
        self._processes: dict[str, int] = {}
        """By endpoint, which is another one after each start."""

    async def version(self) -> str:
        return (await self._connection.engine()).version

    # ------------------------------------------------------------ images

    async def image(self, reference: str) -> Image | None:
        answer = await self._connection.call(
            "GET", f"/images/{_quoted(reference)}/json", f"look at image {reference}", also=(_NOT_FOUND,)
        )
        return None if answer.status == _NOT_FOUND else translate.image(answer.value)

    async def pull(self, reference: str) -> Image:
        """IMAGE_MISSING when no registry gave it, for whatever reason: the text has the registry's own words."""
        progress = bytearray()
        try:
            async with self._connection.stream(
                "POST",
                "/images/create",
                f"pull {reference}",
                query={"fromImage": translate.tagged(reference)},
                deadline_s=PULL_S,
            ) as chunks:
                async for chunk in chunks:
                    progress += chunk
                    del progress[:-PULL_NEWS_BYTES]
        except Failed as failed:
            if failed.code is Code.DOCKER_FAILED:
                raise _not_pulled(failed.problem.text) from failed
            raise
        error = translate.pull_error(bytes(progress))
        if error is not None:
            raise _not_pulled(f"Docker could not pull {reference}: {error}")
        image = await self.image(translate.tagged(reference))
        if image is None:
            raise _not_pulled(f"Docker pulled {reference}, and does not have it")
        return image

    def save_argv(self, image_id: str) -> Sequence[str]:
        return carry.save_argv(self._connection.socket, image_id)

    def load_argv(self) -> Sequence[str]:
        return carry.load_argv(self._connection.socket)

    async def tag(self, image_id: str, reference: str) -> None:
        repository, tag = translate.repository_and_tag(reference)
        await self._connection.call(
            "POST",
            f"/images/{_quoted(image_id)}/tag",
            f"tag {image_id} as {reference}",
            query={"repo": repository, "tag": tag},
        )

    # ------------------------------------------------------------ network

    async def ensure_network(self, network: BridgeNetwork) -> None:
        """CONFLICT when one of this name is there with another shape: containers may be on it, so it is left alone."""
        wanted = translate.network_body(network, (await self._connection.engine()).api)
        doing = f"make network {network.name}"
        found = await self._connection.call("GET", f"/networks/{_quoted(network.name)}", doing, also=(_NOT_FOUND,))
        if found.status == _NOT_FOUND:
            await self._connection.call("POST", "/networks/create", doing, body=wanted)
            return
        differences = translate.network_differences(wanted, found.value)
        if differences:
            raise Failed(
                Code.CONFLICT,
                f"Docker has a network {network.name} of another shape: {'; '.join(differences)}",
                f"When no container needs it, `docker network rm {network.name}`; it is then made anew.",
            )

    # ------------------------------------------------------------ containers

    async def create(self, spec: ContainerSpec) -> str:
        """First the container, and then what holds its network: whatever is left by a crash is found by the first."""
        network = translate.network_of(spec, self._network, (await self._connection.engine()).api)
        if not pause.is_known() or spec.restart != "no":
            # What dockerd itself may start must not need another container for it.
            return await self._create(spec, network)
        container_id = await self._create(spec, translate.joined(pause.holder(spec.name)))
        await self._create_holder(spec, network)
        return container_id

    async def _create(self, spec: ContainerSpec, network: translate.Json) -> str:
        answer = await self._connection.call(
            "POST",
            "/containers/create",
            f"create container {spec.name}",
            query={"name": spec.name},
            body=translate.container_body(following(spec, read_mountinfo(_SELF)), network),
            also=(_CONFLICT,),
            deadline_s=START_S,
        )
        if answer.status != _CONFLICT:
            return str(answer.value["Id"])
        there = await self.inspect(spec.name)
        if there is None:
            raise Failed(
                Code.DOCKER_FAILED, f"a container {spec.name} was there, and is being removed", "Try it again."
            )
        differences = translate.differing_labels(spec.labels, there.labels)
        if differences:
            raise Failed(
                Code.CONFLICT,
                f"there is a container {spec.name} already, and it is another: {'; '.join(differences)}",
                f"Look at it with `docker inspect {spec.name}`. If nobody needs it, `docker rm -f {spec.name}`.",
            )
        return there.id

    async def _create_holder(self, spec: ContainerSpec, network: translate.Json) -> None:
        doing = f"create the network of {spec.name}"
        query, body = {"name": pause.holder(spec.name)}, pause.holder_body(spec, network)
        also = (_CONFLICT, _NOT_FOUND)
        path = "/containers/create"
        answer = await self._connection.call("POST", path, doing, query=query, body=body, also=also, deadline_s=START_S)
        if answer.status == _NOT_FOUND:  # its image was never here, or was pruned
            repository, tag = translate.repository_and_tag(pause.REFERENCE)
            import_query = {"fromSrc": "-", "repo": repository, "tag": tag}
            await self._connection.call("POST", "/images/create", doing, query=import_query, content=pause.root_tar())
            await self._connection.call(
                "POST", path, doing, query=query, body=body, also=(_CONFLICT,), deadline_s=START_S
            )

    async def prepare(self, name: str) -> None:
        await self._start(pause.holder(name), also=(_NOT_FOUND,))

    async def start(self, name: str) -> None:
        """PORT_TAKEN when something else on this machine listens on a port that the container publishes."""
        try:
            await self._start(name)
        except Failed as failed:
            if not translate.is_without_network(failed.problem.text):
                raise
            await self.prepare(name)
            await self._start(name)

    async def _start(self, name: str, also: tuple[int, ...] = ()) -> None:
        try:
            await self._connection.call(
                "POST", f"/containers/{_quoted(name)}/start", f"start {name}", also=also, deadline_s=START_S
            )
        except Failed as failed:
            if translate.is_port_taken(failed.problem.text):
                raise Failed(Code.PORT_TAKEN, failed.problem.text, "Free that port, or publish another.") from failed
            raise

    async def stop(self, name: str, *, grace_s: float) -> None:
        """Its network too: whoever takes its place here takes its address and ports."""
        grace = translate.grace_seconds(grace_s)
        await self._connection.call(
            "POST",
            f"/containers/{_quoted(name)}/stop",
            f"stop {name}",
            query={"t": grace},
            also=(_NOT_MODIFIED, _NOT_FOUND),
            deadline_s=grace + STOP_MARGIN_S,
        )
        await self._kill(pause.holder(name))

    async def _kill(self, name: str) -> None:
        """Absent or stopped is done."""
        path = f"/containers/{_quoted(name)}/kill"
        await self._connection.call("POST", path, f"kill {name}", also=(_NOT_FOUND, _CONFLICT), deadline_s=REMOVE_S)

    async def ended(self, name: str) -> None:
        """By the kernel's word about its first process, with which every other one of its PID namespace has ended."""
        found = await self.inspect(name)
        if found is None or not found.running:
            return
        process = _first_process(found)
        if process is None:
            query = {"condition": "not-running"}
            path, doing = f"/containers/{_quoted(name)}/wait", f"wait for the end of {name}"
            await self._connection.call("POST", path, doing, query=query, also=(_NOT_FOUND,), deadline_s=END_S)
            return
        try:
            await anyio.wait_readable(process)
        finally:
            os.close(process)

    async def remove(self, name: str, *, with_volumes: bool = True) -> None:
        """With its network. It is killed first, and gone last: what holds its network is
        found by it.
        """
        await self._kill(name)
        await self._remove(pause.holder(name))
        await self._remove(name, with_volumes=with_volumes)

    async def drop_network(self, name: str) -> None:
        await self._remove(pause.holder(name))

    async def _remove(self, name: str, *, with_volumes: bool = True) -> None:
        """It is gone when this returns, also when somebody else is removing it."""
        path, doing = f"/containers/{_quoted(name)}", f"remove {name}"
        answer = await self._connection.call(
            "DELETE",
            path,
            doing,
            query={"force": 1, "v": int(with_volumes)},
            also=(_NOT_FOUND, _CONFLICT),
            deadline_s=REMOVE_S,
        )
        if answer.status == _CONFLICT:
            await self._connection.call(
                "POST", f"{path}/wait", doing, query={"condition": "removed"}, also=(_NOT_FOUND,), deadline_s=REMOVE_S
            )

    async def inspect(self, name: str) -> Container | None:
        answer = await self._connection.call(
            "GET", f"/containers/{_quoted(name)}/json", f"look at {name}", also=(_NOT_FOUND,)
        )
        return None if answer.status == _NOT_FOUND else translate.container(answer.value)

    async def containers(self, labels: Mapping[str, str]) -> Sequence[Container]:
        answer = await self._connection.call(
            "GET", "/containers/json", "list containers", query={"all": 1, "filters": translate.label_filter(labels)}
        )
        # The list says neither pid nor exit code; what went away since is left out.
        looks = [await self.inspect(each["Id"]) for each in answer.value]
        return sorted((each for each in looks if each is not None), key=lambda each: each.name)

    async def keep_image(self, image_id: str, name: str, keeps_for: str) -> None:
        """It runs, because a prune of everything begins with what does not."""
        path, doing = f"/containers/{_quoted(name)}", f"keep image {image_id}"
        query, body = {"name": name}, pause.keeper_body(image_id, keeps_for)
        await self._connection.call(
            "POST", "/containers/create", doing, query=query, body=body, also=(_CONFLICT,), deadline_s=START_S
        )
        if pause.is_known():
            archive = pause.root_tar(pause.KEEPER_PROGRAM)
            await self._connection.call("PUT", f"{path}/archive", doing, query={"path": "/"}, content=archive)
            await self._start(name)

    async def census(self) -> Census:
        """Two lists, whatever there is: no request a container."""
        doing = "look what there is"
        networks = await self._connection.call("GET", "/networks", doing, query={"filters": translate.NETWORK_FILTER})
        listed = await self._connection.call("GET", "/containers/json", doing, query={"all": 1})
        return translate.census(self._network, networks.value, listed.value, are_held=pause.is_known())

    async def plugged(self) -> Mapping[str, int]:
        """One list, and one request for each that was not there the last time."""
        query = {"filters": json.dumps({"network": [self._network], "status": ["running"]})}
        listed = await self._connection.call("GET", "/containers/json", "look who is on the network", query=query)
        known, self._processes = self._processes, {}
        plugged: dict[str, int] = {}
        for container_id, endpoint, ipv4 in translate.endpoints(self._network, listed.value):
            process = known.get(endpoint) or await self._process_of(container_id)
            if process:
                self._processes[endpoint] = plugged[ipv4] = process
        return plugged

    async def _process_of(self, container_id: str) -> int:
        found = await self.inspect(container_id)
        return found.pid if found else 0

    async def exec(self, name: str, command: Sequence[str], *, timeout_s: float) -> ExecResult:
        """The end of what it printed. After TIMED_OUT it may go on running: Docker has no way to end it."""
        doing = f"run {command[0]} in {name}"
        made = await self._connection.call(
            "POST",
            f"/containers/{_quoted(name)}/exec",
            doing,
            body={"AttachStdout": True, "AttachStderr": True, "Tty": False, "Cmd": list(command)},
        )
        path, output = f"/exec/{made.value['Id']}", Tail(EXEC_OUTPUT_BYTES)
        with self._connection.deadline(doing, timeout_s):
            async with self._connection.stream(
                "POST", f"{path}/start", doing, body={"Detach": False, "Tty": False}, deadline_s=timeout_s
            ) as chunks:
                async for chunk in chunks:
                    output.feed(chunk)
            # The output ends a moment before Docker hears of the exit, and much before it in a program that closes it.
            while True:
                state = (await self._connection.call("GET", f"{path}/json", doing)).value
                if not state["Running"]:
                    return ExecResult(int(state["ExitCode"]), output.text)
                await anyio.sleep(EXEC_POLL_S)

    async def logs(self, name: str, *, tail: int) -> str:
        """The last `tail` lines, at most `LOG_BYTES` of them."""
        output = Tail(LOG_BYTES)
        async with self._connection.stream(
            "GET",
            f"/containers/{_quoted(name)}/logs",
            f"read the log of {name}",
            query={"stdout": 1, "stderr": 1, "tail": tail},
            deadline_s=START_S,
        ) as chunks:
            async for chunk in chunks:
                output.feed(chunk)
        return output.text

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[ContainerEvent]]:
        async with subscribe(self._connection.socket, await self._connection.engine()) as news:
            yield news


def _first_process(container: Container) -> int | None:
    """A pidfd of it. None: it cannot be seen from here (Docker runs in another PID namespace), or is gone."""
    try:
        process = os.pidfd_open(container.pid)
    except OSError:
        return None
    try:
        its_own = container.id in Path(f"/proc/{container.pid}/cgroup").read_text()
    except OSError:
        its_own = False
    if not its_own:
        os.close(process)
    return process if its_own else None


def _quoted(reference: str) -> str:
    """Docker's routes take an image's slashes as they are."""
    return quote(reference, safe="/:@")


def _not_pulled(text: str) -> Failed:
    return Failed(
        Code.IMAGE_MISSING,
        text,
        "Check its name and `docker login`, or bring it here by hand with `docker load`.",
    )
