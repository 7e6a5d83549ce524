"""The holder: PID 1 of a lab machine. It makes its namespaces and mounts, then reaps orphans until it is killed.

Run by path, as `holder.py ployz-lab FOLDER WHO`, on the standard library alone. The first process prints the holder's
pid once the machine stands, and ends; the holder stays. Its last three arguments are how a lab finds its own again.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

TAG = "ployz-lab"
SWITCH = "switch"
"""The one holder without a file system of its own: it only keeps the network namespace of the underlay."""

SIGNAL_ME_WHEN_MY_PARENT_DIES = 1
NEW_MOUNTS, NEW_HOSTNAME, NEW_IPC, NEW_PIDS, NEW_NETWORK = 0x00020000, 0x04000000, 0x08000000, 0x20000000, 0x40000000

OVERLAID = ("etc", "var/lib")
"""Private views of the host's folders: what a machine writes there goes to its own folder, and survives a power cut."""

FURNISHED = Path("/run/lab")
"""The last thing to be made, so that a holder without it is known to be half-made."""

BOUND = {"docker": "/var/lib/docker", "ployz": "/var/lib/ployz"}
"""Plain folders: Docker's layers cannot lie on an overlay, and a log deserves a real file system."""


def main() -> int:
    _tag, folder, who = sys.argv[1:]
    namespaces = NEW_PIDS | NEW_NETWORK
    if who != SWITCH:
        namespaces |= NEW_MOUNTS | NEW_HOSTNAME | NEW_IPC
    os.setsid()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(SIGNAL_ME_WHEN_MY_PARENT_DIES, signal.SIGKILL)  # no holder appears after its `up` was killed
    if libc.unshare(namespaces) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    report, result = os.pipe()
    pid = os.fork()  # only a child enters the new PID namespace, and is PID 1 there
    if pid == 0:
        os.close(report)
        hold(Path(folder), who, result)
    os.close(result)
    with os.fdopen(report) as lines:
        text = lines.read()
    if text != "ready":
        os.waitpid(pid, 0)
        sys.stderr.write(text or "the holder died before it was ready")
        return 1
    sys.stdout.write(f"{pid}\n")
    return 0


def hold(folder: Path, who: str, result: int) -> None:
    try:
        if who != SWITCH:
            furnish(folder / who, who)
    except (OSError, subprocess.CalledProcessError) as error:
        output = getattr(error, "stderr", None) or str(error)
        os.write(result, output.encode())
        os._exit(1)
    os.chdir("/")
    nowhere = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.write(result, b"ready")
    os.close(result)
    reap()


def furnish(own: Path, hostname: str) -> None:
    """The machine's file system: the host's programs, its own state. What lies under `own` outlives a power cut."""
    mount("--make-rprivate", "/")
    mount("-t", "proc", "proc", "/proc")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for folder in ("/run/lock", "/run/cgroup"):
        Path(folder).mkdir()
    # A sysfs shows the network of the namespace it was mounted in. The control groups below it move over.
    mount("--rbind", "/sys/fs/cgroup", "/run/cgroup")
    mount("-t", "sysfs", "sysfs", "/sys")
    mount("--move", "/run/cgroup", "/sys/fs/cgroup")
    for name in OVERLAID:
        upper, work = own / name / "upper", own / name / "work"
        upper.mkdir(parents=True, exist_ok=True)
        work.mkdir(exist_ok=True)
        mount("-t", "overlay", "-o", f"lowerdir=/{name},upperdir={upper},workdir={work}", "overlay", f"/{name}")
    for name, target in BOUND.items():
        (own / name).mkdir(exist_ok=True)
        Path(target).mkdir(exist_ok=True)
        mount("--bind", str(own / name), target)
    # No route leads out of the lab: without a name server a look-up fails at once instead of after seconds.
    resolver = Path("/etc/resolv.conf")
    resolver.unlink(missing_ok=True)
    resolver.touch()
    mount("--make-rshared", "/")  # as systemd does it: containers that follow the host see what comes and goes
    Path("/etc/hostname").write_text(f"{hostname}\n")
    socket.sethostname(hostname)
    FURNISHED.mkdir()


def reap() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            pass
        signal.sigwait({signal.SIGCHLD})


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True, text=True)


if __name__ == "__main__":
    sys.exit(main())
