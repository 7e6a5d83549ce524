"""A Docker engine of one's own, in namespaces of its own, for the tests of what needs a real one.

It shares nothing with the machine's Docker but the kernel, can be crashed, and leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from os import kill
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.real import PATIENCE, need

BOOT_S = 30.0 * PATIENCE
_CGROUPS = Path("/sys/fs/cgroup")

# It dies with the test run, and everything in it with it.
_NAMESPACES = [
    *("setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--uts", "--ipc", "--pid"),
    *("--fork", "--kill-child", "--mount-proc", "--propagation", "private"),
]

# The holder of the namespaces is their process 1: it reaps what its children leave, and everything ends with it.
# dockerd writes into /etc/docker as well: over /etc lies a layer that goes with the namespaces.
_HOLDER = """
mount -t tmpfs tmpfs /run
mkdir /run/etc /run/etc.work
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/etc.work overlay /etc
ip link set lo up
echo ready
while :; do sleep 3600 & wait; done
"""


class Engine:
    """`with Engine() as engine:` dockerd answers at `engine.socket`. `engine.pid` is whose namespaces it is in."""

    def __init__(self) -> None:
        need("dockerd", "docker", "containerd", "runc", "unshare", "nsenter", "setpriv", "busybox", "iptables")
        self._token = f"ployz-test-{secrets.token_hex(4)}"
        self.folder = Path(tempfile.mkdtemp(prefix="ployz-docker-"))
        self.socket = str(self.folder / "docker.sock")
        self.pid = 0
        self._holder: subprocess.Popen[str] | None = None
        settings = {
            "hosts": [f"unix://{self.socket}"],
            "data-root": str(self.folder / "data"),
            "exec-root": "/run/docker",
            "pidfile": "/run/docker.pid",
            "bridge": "none",
            "live-restore": True,
            "cgroup-parent": f"/{self._token}",
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
        }
        (self.folder / "daemon.json").write_text(json.dumps(settings))

    def __enter__(self) -> Self:
        try:
            self.boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def boot(self) -> None:
        """After a power cut, or for the first time."""
        with (self.folder / "holder.log").open("ab") as log:
            self._holder = subprocess.Popen(
                [*_NAMESPACES, "sh", "-ec", _HOLDER],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n", (self.folder / "holder.log").read_text()
        unshare = self._holder.pid
        self.pid = int(Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()[0])
        self.start()

    def start(self) -> None:
        """Starts dockerd alone, after `stop`."""
        with (self.folder / "dockerd.log").open("ab") as log:
            subprocess.Popen(
                self.inside("setsid", "--fork", "dockerd", "--config-file", str(self.folder / "daemon.json")),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            ).wait(BOOT_S)
        until = time.monotonic() + BOOT_S
        while not self._answers():
            assert time.monotonic() < until, (self.folder / "dockerd.log").read_text()[-4000:]
            time.sleep(0.02)

    def stop(self) -> None:
        """Kills dockerd alone. Its containers run on."""
        subprocess.run(self.inside("sh", "-c", "kill -9 $(cat /run/docker.pid)"), check=True, timeout=BOOT_S)

    def power_cut(self) -> None:
        """Everything in the namespaces is killed at once."""
        if self._holder is None:
            return
        with suppress(ProcessLookupError):
            kill(self.pid or self._holder.pid, signal.SIGKILL)
        self._holder.wait(BOOT_S)
        assert self._holder.stdout is not None
        self._holder.stdout.close()
        self._holder = None

    def close(self) -> None:
        self.power_cut()
        shutil.rmtree(self.folder)
        for root in (*_CGROUPS.glob(self._token), *_CGROUPS.glob(f"*/{self._token}")):
            for folder in sorted((each for each in root.rglob("*") if each.is_dir()), reverse=True):
                folder.rmdir()
            root.rmdir()

    def inside(self, *argv: str) -> list[str]:
        """The argv that runs this one in the engine's namespaces."""
        return ["nsenter", "-t", str(self.pid), "-n", "-m", "-u", "-i", "-p", *argv]

    def docker(self, *argv: str, stdin: bytes = b"") -> str:
        """What Docker's own client says."""
        command = ["docker", "--host", f"unix://{self.socket}", *argv]
        return subprocess.run(
            command, input=stdin, stdout=subprocess.PIPE, check=True, timeout=60 * PATIENCE
        ).stdout.decode()

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            try:
                probe.connect(self.socket)
                probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return probe.recv(64).startswith(b"HTTP/1.0 200")
            except OSError:
                return False


def busybox_archive(tag: str) -> bytes:
    """An image for `docker load`: a busybox with its usual names, and nothing else."""
    names = ("sh", "sleep", "echo", "cat", "nc", "ip", "id", "env", "hostname", "touch", "mount", "head", "tr", "yes")
    busybox = shutil.which("busybox")
    assert busybox is not None
    return image_archive(tag, {"bin/busybox": Path(busybox)}, {f"bin/{name}": "busybox" for name in names})


def image_archive(tag: str, files: Mapping[str, Path], links: Mapping[str, str], command: Sequence[str] = ()) -> bytes:
    """An image of one layer with these files (path inside: path here) and links (path inside: target).

    The same content makes the same id, whenever and wherever it is built.
    """
    layer = _tar({path: source.read_bytes() for path, source in files.items()}, links)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"Env": ["PATH=/bin"], "Cmd": list(command) or ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]
    members = {"config.json": _json(config), "layer.tar": layer, "manifest.json": _json(manifest)}
    return _tar(members, {})


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _tar(files: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
        for path, target in links.items():
            member = tarfile.TarInfo(path)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return archive.getvalue()
