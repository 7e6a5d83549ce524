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
from pathlib import Path
from typing import Final

LOOK_EVERY_S: Final = 0.5
"""How late a kill may be, and how soon a guard ends that is no longer needed."""
DOCKER_TIMEOUT_S: Final = 5.0
KILLED: Final = "killed\n"
"""A guard's last word in its lease, before it kills: what ended then did not end by itself."""
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
    """One container, by Docker's word; and when Docker does not answer, by the process that it last named."""

    def __init__(self, docker_socket: str, container: str) -> None:
        self._socket = docker_socket
        self._container = container
        self._id = ""
        self._pid = 0

    @property
    def is_known(self) -> bool:
        """Whether its process was seen: from then on it can be killed without Docker."""
        return self._pid > 0

    def look(self) -> bool:
        """Whether it runs. Remembers its process."""
        answer = self._ask("GET", "json")
        if answer is None:
            return self._process_lives()
        status, body = answer
        if status == http.client.NOT_FOUND:
            return False
        state = json.loads(body)
        self._id, self._pid = state["Id"], state["State"]["Pid"]
        return bool(state["State"]["Running"])

    def kill(self) -> None:
        """SIGKILL: what it wrote is discarded in any case."""
        if self._ask("POST", "kill") is None and self._process_lives():
            os.kill(self._pid, signal.SIGKILL)

    def _process_lives(self) -> bool:
        """The same process still: its control group names the container."""
        if not self._pid:
            return False
        try:
            return self._id in Path(f"/proc/{self._pid}/cgroup").read_text()
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
            if not candidate.is_known:
                candidate.look()
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
    watch(Candidate(arguments.docker_socket, arguments.container), arguments.lease)
    return 0


if __name__ == "__main__":
    sys.exit(main())
