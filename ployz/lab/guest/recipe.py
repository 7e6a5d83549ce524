"""What a guest is made of: packages, the files of `root/`, and `settle.sh`, which runs once in the finished tree."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

SUITE: Final = "bookworm"
COMPONENTS: Final = "main contrib"
"""OpenZFS is in contrib: its licence and the kernel's keep it from being shipped built."""

FORM: Final = 1
"""Counted up when `image.py` makes another disk of the same."""

HERE: Final = Path(__file__).parent
ROOT: Final = HERE / "root"
SETTLE: Final = HERE / "settle.sh"

SYSTEM: Final = ("systemd-sysv", "udev", "dbus", "kmod", "initramfs-tools", "openssh-server", "ca-certificates")
KERNEL: Final = ("linux-image-cloud-amd64", "linux-headers-cloud-amd64", "zfs-dkms", "dkms")
STORAGE: Final = ("zfsutils-linux", "zfs-zed")
CONTAINERS: Final = ("docker.io", "apparmor")
NETWORK: Final = ("iproute2", "iptables", "nftables", "wireguard-tools", "iputils-ping", "haproxy", "dnsmasq-base")
PYTHON: Final = ("python3", "python3-venv")
TESTS: Final = ("busybox-static", "procps", "util-linux", "perl-base", "dmsetup")
PACKAGES: Final = (*SYSTEM, *KERNEL, *STORAGE, *CONTAINERS, *NETWORK, *PYTHON, *TESTS)


def digest() -> str:
    """Of everything above: another recipe is another image."""
    total = hashlib.sha256(repr((FORM, SUITE, COMPONENTS, PACKAGES)).encode())
    for path in sorted((*ROOT.rglob("*"), SETTLE)):
        if path.is_file():
            total.update(f"{path.relative_to(HERE)} {path.stat().st_size}\n".encode() + path.read_bytes())
    return total.hexdigest()[:16]
