"""A pool whose disk is gone. Run in a guest, by test_contracts.py: it takes OpenZFS, and a disk of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from attrs import define

from ployz.errors import Code, Failed
from ployz.host.zfs import commands
from ployz.host.zfs.adapter import SystemZfs
from ployz.wire.stream_program import reading
from tests.zfs_benches import go

pytestmark = pytest.mark.real

DISK = Path("/dev/disk/by-id/virtio-data1")
DEVICE = "ployz-flaky"
POOL = "flaky"
STUCK_S = 30.0
"""Long enough for any `zfs` process there that does answer."""
PATIENCE_S = 600.0


def do(*argv: str) -> None:
    subprocess.run(argv, check=True, timeout=PATIENCE_S)


@define
class Disk:
    """A pool's only one, which can be taken away and given back."""

    sectors: int

    def table(self, kind: str) -> str:
        return f"0 {self.sectors} linear {DISK} 0" if kind == "linear" else f"0 {self.sectors} error"

    def turn(self, kind: str) -> None:
        do("dmsetup", "suspend", "--nolockfs", "--noflush", DEVICE)
        do("dmsetup", "load", DEVICE, "--table", self.table(kind))
        do("dmsetup", "resume", DEVICE)


@pytest.fixture
def suspended() -> Iterator[Disk]:
    """A pool with a dataset and a snapshot, suspended. It is given its disk back, and has to go on."""
    disk = Disk(int((Path("/sys/class/block") / DISK.resolve().name / "size").read_text()))
    do("dmsetup", "create", DEVICE, "--table", disk.table("linear"))
    do("zpool", "create", "-O", "mountpoint=none", POOL, f"/dev/mapper/{DEVICE}")
    do("zfs", "create", f"{POOL}/data")
    do("zfs", "snapshot", f"{POOL}/data@one")
    disk.turn("error")
    # Ends with an error, or never, and in either case with the next writing of the pool's state.
    with subprocess.Popen(["zfs", "set", "ployz:note=x", f"{POOL}/data"], stderr=subprocess.DEVNULL) as writes:
        try:
            health = ["zpool", "list", "-H", "-o", "health", POOL]
            end_s = time.monotonic() + PATIENCE_S
            while b"SUSPENDED" not in subprocess.run(health, capture_output=True, check=True, timeout=STUCK_S).stdout:
                assert time.monotonic() < end_s, "the pool does without its disk"
            yield disk
        finally:
            disk.turn("linear")
            do("zpool", "clear", POOL)
            writes.wait(PATIENCE_S)
    do("zfs", "set", "ployz:note=y", f"{POOL}/data")
    do("zpool", "destroy", "-f", POOL)
    do("dmsetup", "remove", DEVICE)


def test_a_suspended_pool_hangs_nobody(suspended: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not who looks, not who changes, not who receives: each is told, and goes on."""
    monkeypatch.setattr(commands, "LOOK_S", STUCK_S)
    monkeypatch.setattr(commands, "CHANGE_S", STUCK_S)
    zfs = SystemZfs()

    async def main() -> None:
        with anyio.fail_after(PATIENCE_S):
            try:
                space = await zfs.pool_space(POOL)
            except Failed as error:
                assert error.code in {Code.ZFS_FAILED, Code.TIMED_OUT}  # noqa: PT017 - either is an answer
            else:
                assert (space.healthy, space.health) == (False, "SUSPENDED")
            with pytest.raises(Failed) as caught:
                await zfs.snapshot([f"{POOL}/data"], "two")
            assert caught.value.code in {Code.ZFS_FAILED, Code.TIMED_OUT}, caught.value
            async with reading(zfs.receive_argv(f"{POOL}/new")) as program:
                with suppress(BrokenPipeError):  # these bytes are no stream
                    await program.pipe.write(memoryview(bytes(1 << 16)), within_s=STUCK_S)
                with anyio.move_on_after(STUCK_S):
                    await program.wait()
            with pytest.raises(Failed):
                await zfs.create(f"{POOL}/other", {})

    go(main)
