"""The guard of a candidate: a process of its own, outliving ployzd, that kills the container when its lease ends.

A candidate runs before its operation is decided. If this machine then loses the authority, or ployzd, nobody else here
would know that an abort has let the source start again. Only the standard library: it must stay small, and start fast.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

LOOK_EVERY_S: Final = 0.5
"""How late a kill may be, and how soon a guard ends that is no longer needed."""
DOCKER_TIMEOUT_S: Final = 5.0
KILLED: Final = "killed\n"
"""A guard's last word in its lease, before it kills: what ended then did not end by itself."""
READY: Final = b"ready\n"
"""What a guard says when it could kill its container, with or without Docker: only then may that be started."""
PART: Final = ".part"
"""Of a lease that is being written. No container's name ends so: an operation's id does not."""


def now_s() -> float:
    """Runs on through suspend: a machine that slept through its lease wakes up after it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def write_lease(path: Path, until_s: float) -> None:
    """Atomic: the guard reads the old deadline or the new one."""
    _write(path, f"{until_s:.3f}\n")


def write_killed(path: Path) -> None:
    _write(path, KILLED)


def was_killed(path: Path) -> bool:
    try:
        return path.read_text() == KILLED
    except FileNotFoundError:
        return False


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + PART)
    part.write_text(text)
    part.replace(path)


def read_lease(path: Path) -> float | None:
    """None: it was taken away, so the candidate needs no guard any more. What cannot be read has ended."""
    try:
        return float(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        return 0.0


def guard_argv(docker_socket: str, container: str, lease: Path) -> tuple[str, ...]:
    """The program that guards this container. It runs this one file: no package, so 10 MiB and 50 ms."""
    return (sys.executable, "-P", __file__, docker_socket, container, str(lease))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=DOCKER_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(DOCKER_TIMEOUT_S)
        self.sock.connect(self._path)


class Candidate:
    """One container, by Docker's word; and when Docker does not answer, by the processes of its control group."""

    def __init__(self, docker_socket: str, container: str) -> None:
        self._socket = docker_socket
        self._container = container
        self._id = ""

    @property
    def is_known(self) -> bool:
        """Docker has named it: from then on it can be killed without Docker."""
        return bool(self._id)

    def look(self) -> bool:
        """Whether it runs."""
        answer = self._ask("GET", "json")
        if answer is None:
            return bool(self._processes())
        status, body = answer
        if status == http.client.NOT_FOUND:
            return False
        found = json.loads(body)
        self._id = found["Id"]
        return bool(found["State"]["Running"])

    def kill(self) -> None:
        """SIGKILL: what it wrote is discarded in any case."""
        if self._ask("POST", "kill") is None:
            for pid in self._processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _processes(self) -> list[int]:
        """Those whose control group names the container: they may have been started after Docker was last asked."""
        return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if self._owns(entry)] if self._id else []

    def _owns(self, process: Path) -> bool:
        try:
            return self._id in (process / "cgroup").read_text()
        except OSError:
            return False

    def _ask(self, method: str, what: str) -> tuple[int, bytes] | None:
        """None: Docker does not answer."""
        connection = _UnixConnection(self._socket)
        try:
            connection.request(method, f"/containers/{self._container}/{what}")
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


def watch(candidate: Candidate, lease: Path) -> None:
    """Until the lease is taken away, or has ended and the container with it."""
    killed = False
    while (until_s := read_lease(lease)) is not None:
        left_s = until_s - now_s()
        if left_s > 0:
            time.sleep(min(left_s, LOOK_EVERY_S))
        elif candidate.look():
            write_killed(lease)
            killed = True
            candidate.kill()
            time.sleep(LOOK_EVERY_S)
        elif killed:
            return  # the lease stays, for ployzd to read
        else:
            lease.unlink(missing_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="ployz-guard", description="Kills a candidate when its lease ends.")
    parser.add_argument("docker_socket")
    parser.add_argument("container")
    parser.add_argument("lease", type=Path)
    arguments = parser.parse_args()
    candidate = Candidate(arguments.docker_socket, arguments.container)
    candidate.look()
    if not candidate.is_known:
        return 1
    os.write(1, READY)
    watch(candidate, arguments.lease)
    return 0


if __name__ == "__main__":
    sys.exit(main())
