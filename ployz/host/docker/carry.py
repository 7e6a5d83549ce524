"""The program that writes an image of this machine's Docker to its standard output, or loads one from its input.

A node copies images by it: the client program `docker` is a package of its own, which machines need not have.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import sys
from collections.abc import Sequence
from http import HTTPStatus
from typing import BinaryIO, Final
from urllib.parse import quote

from ployz.host.docker.blocking import BLOCK_BYTES, UnixConnection, words_of

MODULE: Final = "ployz.host.docker.carry"


def save_argv(docker_socket: str, image_id: str) -> tuple[str, ...]:
    return (*_program(docker_socket), "save", image_id)


def load_argv(docker_socket: str) -> tuple[str, ...]:
    return (*_program(docker_socket), "load")


def _program(docker_socket: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", MODULE, docker_socket)


def save(connection: UnixConnection, image_id: str, into: BinaryIO) -> str:
    """Empty, or what went wrong. By id, an image is saved without its tags."""
    connection.request("GET", f"/images/{quote(image_id, safe=':')}/get")
    response = connection.getresponse()
    if response.status != HTTPStatus.OK:
        return words_of(response)
    shutil.copyfileobj(response, into, BLOCK_BYTES)
    into.flush()
    return ""


def load(connection: UnixConnection, source: BinaryIO) -> str:
    """Empty, or what went wrong. An image that is there already is loaded once more, to no effect."""
    headers = {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"}
    refused: OSError | None = None
    try:
        connection.request("POST", "/images/load?quiet=1", body=source, headers=headers, encode_chunked=True)
    except (BrokenPipeError, ConnectionResetError) as error:
        refused = error  # it answered before it had read all: the answer says why
    try:
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        raise refused or error from None
    if response.status != HTTPStatus.OK:
        return words_of(response)
    return next((said for line in response if (said := _error_in(line))), "" if refused is None else str(refused))


def _error_in(line: bytes) -> str:
    """Docker reports what goes wrong after it has begun to answer as a line of its progress."""
    try:
        value = json.loads(line)
    except ValueError:
        return ""
    said = value.get("error") if isinstance(value, dict) else None
    return " ".join(str(said).split()) if said else ""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="ployz-carry", description="Saves or loads an image of Docker's.")
    parser.add_argument("docker_socket")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("save").add_argument("image_id")
    commands.add_parser("load")
    arguments = parser.parse_args(argv)
    connection = UnixConnection(arguments.docker_socket, timeout_s=None)  # who runs this has a deadline for the whole
    try:
        if arguments.command == "save":
            wrong = save(connection, arguments.image_id, sys.stdout.buffer)
        else:
            wrong = load(connection, sys.stdin.buffer)
    except (OSError, http.client.HTTPException) as error:
        wrong = str(error) or type(error).__name__
    finally:
        connection.close()
    if wrong:
        sys.stderr.write(f"Docker could not {arguments.command} the image: {wrong}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
