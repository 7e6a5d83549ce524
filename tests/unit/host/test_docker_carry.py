"""The program that carries images, against something that answers as Docker does. A real one is in contracts."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

import pytest

from ployz.host.docker.carry import load_argv, save_argv
from tests.dockers import Answers, answering

IMAGE = "sha256:" + "0" * 64
TAR = bytes(range(256)) * 4096


def carried(argv: Sequence[str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, input=stdin, capture_output=True, timeout=30, check=False)


def test_an_image_is_written_as_docker_gives_it_and_loaded_as_it_was_read(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    answers: Answers = {f"/images/{IMAGE}/get": (200, TAR), "/images/load?quiet=1": (200, {"stream": "Loaded"})}
    with answering(path, answers) as asked:
        assert carried(save_argv(str(path), IMAGE)).stdout == TAR
        done = carried(load_argv(str(path)), TAR)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert asked.bodies == [TAR]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, {"message": "no such\nimage"}),
        (500, {"message": "no such image"}),
    ],
)
def test_an_image_that_cannot_be_saved_fails_in_dockers_words(tmp_path: Path, status: int, said: object) -> None:
    path = tmp_path / "docker.sock"
    with answering(path, {f"/images/{IMAGE}/get": (status, said)}):
        done = carried(save_argv(str(path), IMAGE))
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"Docker could not save the image: no such image\n"


@pytest.mark.parametrize(
    ("status", "said", "words"),
    [
        (500, {"message": "unexpected EOF"}, "unexpected EOF"),
        (500, b"<html>", "HTTP status 500"),
        (
            200,
            b'{"stream":"Loading"}\n{"errorDetail":{"message":"x"},"error":"no space left on device"}\n',
            "no space left",
        ),
    ],
)
def test_an_image_that_cannot_be_loaded_fails_in_dockers_words(
    tmp_path: Path, status: int, said: object, words: str
) -> None:
    path = tmp_path / "docker.sock"
    with answering(path, {"/images/load?quiet=1": (status, said)}):
        done = carried(load_argv(str(path)), TAR)
    assert done.returncode == 1
    assert done.stderr.decode().startswith(f"Docker could not load the image: {words}")


def test_an_answer_that_breaks_off_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n"
    with socket.socket(socket.AF_UNIX) as dockerd:
        dockerd.bind(str(path))
        dockerd.listen()

        def break_off() -> None:
            connection, _ = dockerd.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(head)

        thread = Thread(target=break_off)
        thread.start()
        done = carried(save_argv(str(path), IMAGE))
        thread.join()
    assert done.returncode == 1
    assert done.stderr.startswith(b"Docker could not save the image: ")


def test_a_docker_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    done = carried(load_argv(str(tmp_path / "docker.sock")), TAR)
    assert done.returncode == 1
    assert b"No such file or directory" in done.stderr
