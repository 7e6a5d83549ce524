"""The virtual machine's command line: what a guest's hardware is. Pure but for `free_port`."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from ployz.lab.guest.image import Image

ACCELERATOR: Final = "PLOYZ_GUEST_ACCEL"
"""The variable that names another one than `tcg`, which is slow and works everywhere: `kvm`."""
MEMORY: Final = "2560M"
CORES: Final = 2
DATA_SIZE: Final = "8G"
DATA_SERIALS: Final = ("data0", "data1")
"""Two empty disks: /dev/disk/by-id/virtio-data0 and -data1."""
_MAC: Final = "52:54:00:77"
"""The files of `root/etc/systemd/network` know the interfaces by what follows."""


@frozen
class Cable:
    """Between two guests, each of which may be off."""

    number: int
    """1 or 2: the end, and the last part of the guest's address, 10.77.0.1 or 10.77.0.2."""
    here: Path
    there: Path


def argv(
    image: Image,
    name: str,
    root: Path,
    data: Sequence[Path],
    serial: Path,
    *,
    door_port: int,
    cable: Cable | None,
    environment: Mapping[str, str] = os.environ,
) -> list[str]:
    accelerator = environment.get(ACCELERATOR, "tcg,thread=multi,tb-size=512")
    kernel_line = f"root=/dev/vda rw console=ttyS0 mitigations=off panic=-1 systemd.hostname={name}"
    words = [
        *("qemu-system-x86_64", "-name", name, "-machine", "q35", "-accel", accelerator, "-cpu", "max"),
        *("-smp", str(CORES), "-m", MEMORY, "-nodefaults", "-display", "none", "-no-reboot"),
        *("-serial", f"file:{serial}", "-kernel", str(image.kernel), "-initrd", str(image.initrd)),
        *("-append", kernel_line, "-device", "virtio-rng-pci"),
        *_disk(root, "qcow2", "root"),
        *(word for disk, number in zip(data, DATA_SERIALS, strict=True) for word in _disk(disk, "raw", number)),
        # `restrict`: nothing that the guest sends gets any further than this process.
        *_interface("door", "ff:01", f"user,restrict=on,hostfwd=tcp:127.0.0.1:{door_port}-:22"),
    ]
    if cable is not None:
        ends = f"local.type=unix,local.path={cable.here},remote.type=unix,remote.path={cable.there}"
        words += _interface("cable", f"00:{cable.number:02}", f"dgram,{ends}")
    return words


def _disk(path: Path, form: str, serial: str) -> list[str]:
    """What a guest has flushed outlives a power cut of the guest, not of this host."""
    drive = f"file={path},if=none,id={serial},format={form},cache=unsafe,discard=unmap"
    return ["-drive", drive, "-device", f"virtio-blk-pci,drive={serial},serial={serial}"]


def _interface(name: str, mac: str, back_end: str) -> list[str]:
    kind, _, options = back_end.partition(",")
    return [
        *("-netdev", f"{kind},id={name},{options}"),
        *("-device", f"virtio-net-pci,netdev={name},mac={_MAC}:{mac}"),
    ]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
