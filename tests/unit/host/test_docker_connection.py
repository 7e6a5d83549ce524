"""Engines that this machine does not have, played by a server that sends prepared answers over a real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from ployz.errors import Code, Failed
from ployz.host.docker.connection import Connection
from ployz.host.docker.engine import DockerEngine

TEST_S = 30.0


class Prepared:
    """Answers each request with what was prepared for its path, without the query; notes what was asked."""

    def __init__(self, newest: str = "1.41", oldest: str = "1.12") -> None:
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.silent = False
        self.speak(newest, oldest)

    def speak(self, newest: str, oldest: str) -> None:
        self.answer("/version", 200, {"Version": "99.0", "ApiVersion": newest, "MinAPIVersion": oldest})

    def answer(self, path: str, status: int, *values: dict[str, Any]) -> None:
        self.answers[path] = (status, b"\r\n".join(json.dumps(value).encode() for value in values))

    async def serve(self, stream: SocketStream) -> None:
        async with stream:
            request = await BufferedByteReceiveStream(stream).receive_until(b"\r\n\r\n", 65536)
            path = request.split()[1].decode().partition("?")[0]
            self.asked.append(path)
            if self.silent:
                await anyio.sleep_forever()
            status, body = self.answers[path]
            head = f"HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            await stream.send(head.encode() + body)


@asynccontextmanager
async def listening(prepared: Prepared, socket: Path) -> AsyncIterator[str]:
    async with await anyio.create_unix_listener(socket) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, prepared.serve)
        yield str(socket)
        group.cancel_scope.cancel()


def run(prepared: Prepared, folder: Path, test: Callable[[DockerEngine], Awaitable[None]]) -> None:
    async def main() -> None:
        with anyio.fail_after(TEST_S):
            async with listening(prepared, folder / "s") as socket:
                await test(DockerEngine(socket=socket, network="n"))

    anyio.run(main, backend="trio")


@pytest.mark.parametrize(
    ("newest", "oldest", "spoken"), [("1.41", "1.12", "1.41"), ("1.47", "1.24", "1.47"), ("1.60", "1.44", "1.51")]
)
def test_the_newest_version_that_both_know_is_spoken(tmp_path: Path, newest: str, oldest: str, spoken: str) -> None:
    prepared = Prepared(newest, oldest)
    prepared.answer(f"/v{spoken}/images/x/json", 404, {"message": "No such image"})

    async def test(docker: DockerEngine) -> None:
        assert await docker.image("x") is None
        assert await docker.image("x") is None
        assert prepared.asked == ["/version", f"/v{spoken}/images/x/json", f"/v{spoken}/images/x/json"]

    run(prepared, tmp_path, test)


@pytest.mark.parametrize(("newest", "oldest"), [("1.40", "1.12"), ("1.90", "1.80")])
def test_an_engine_without_a_common_version_is_refused(tmp_path: Path, newest: str, oldest: str) -> None:
    async def test(docker: DockerEngine) -> None:
        with pytest.raises(Failed) as caught:
            await docker.version()
        assert caught.value.code is Code.MISSING_PART
        assert newest in caught.value.problem.text

    run(Prepared(newest, oldest), tmp_path, test)


def test_after_an_upgrade_the_version_is_agreed_again(tmp_path: Path) -> None:
    prepared = Prepared("1.41")

    async def test(docker: DockerEngine) -> None:
        await docker.version()
        prepared.speak("1.52", "1.44")
        prepared.answer("/v1.41/images/x/json", 400, {"message": "client version 1.41 is too old"})
        prepared.answer("/v1.51/images/x/json", 404, {"message": "No such image"})
        with pytest.raises(Failed, match="too old"):
            await docker.image("x")
        assert await docker.image("x") is None

    run(prepared, tmp_path, test)


def test_docker_s_own_words_are_in_the_error(tmp_path: Path) -> None:
    prepared = Prepared()
    prepared.answer("/v1.41/containers/db/start", 500, {"message": "OCI runtime create failed:\n no such file"})

    async def test(docker: DockerEngine) -> None:
        with pytest.raises(Failed) as caught:
            await docker.start("db")
        assert caught.value.code is Code.DOCKER_FAILED
        assert caught.value.problem.text == "Docker could not start db: OCI runtime create failed: no such file"

    run(prepared, tmp_path, test)


def test_a_pull_that_fails_after_its_200_is_a_missing_image(tmp_path: Path) -> None:
    prepared = Prepared()
    prepared.answer("/v1.41/images/create", 200, {"status": "Pulling"}, {"error": "manifest unknown"})

    async def test(docker: DockerEngine) -> None:
        with pytest.raises(Failed, match="manifest unknown") as caught:
            await docker.pull("db:17")
        assert caught.value.code is Code.IMAGE_MISSING

    run(prepared, tmp_path, test)


def test_a_pull_gives_the_image(tmp_path: Path) -> None:
    prepared = Prepared()
    prepared.answer("/v1.41/images/create", 200, {"status": "Pulling"}, {"status": "Downloaded"})
    prepared.answer("/v1.41/images/db:latest/json", 200, {"Id": "sha256:aa", "Size": 5, "RepoTags": ["db:latest"]})

    async def test(docker: DockerEngine) -> None:
        assert (await docker.pull("db")).id == "sha256:aa"

    run(prepared, tmp_path, test)


def test_a_container_that_somebody_else_is_removing_is_waited_for(tmp_path: Path) -> None:
    prepared = Prepared()
    prepared.answer("/v1.41/containers/db/kill", 409, {"message": "container db is not running"})
    prepared.answer("/v1.41/containers/db.net", 404, {"message": "no such container"})
    prepared.answer("/v1.41/containers/db", 409, {"message": "removal of container db is already in progress"})
    prepared.answer("/v1.41/containers/db/wait", 200, {"StatusCode": 0})

    async def test(docker: DockerEngine) -> None:
        await docker.remove("db")
        assert prepared.asked[-1] == "/v1.41/containers/db/wait"

    run(prepared, tmp_path, test)


def test_an_engine_that_says_nothing_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    prepared = Prepared()

    async def main() -> None:
        async with listening(prepared, tmp_path / "s") as socket:
            connection = Connection(socket)
            await connection.engine()
            prepared.silent = True
            with pytest.raises(Failed) as caught, anyio.fail_after(TEST_S):
                await connection.call("GET", "/info", "say how it is", deadline_s=0.01)
        assert caught.value.code is Code.TIMED_OUT
        assert caught.value.problem.advice

    anyio.run(main, backend="trio")


def test_where_no_docker_is_the_error_says_what_to_do(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(Failed) as caught:
            await DockerEngine(socket=str(tmp_path / "none"), network="n").version()
        assert caught.value.code is Code.MISSING_PART
        assert str(tmp_path / "none") in caught.value.problem.text
        assert "systemctl start docker" in caught.value.problem.advice

    anyio.run(main, backend="trio")


def test_news_that_is_refused_is_a_failure(tmp_path: Path) -> None:
    prepared = Prepared()
    prepared.answer("/v1.41/events", 500, {"message": "no"})

    async def test(docker: DockerEngine) -> None:
        with pytest.raises(Failed, match="500"):
            async with docker.events():
                pass

    run(prepared, tmp_path, test)
