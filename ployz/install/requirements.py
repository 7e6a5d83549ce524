"""What a machine needs before ployzd can run on it. Everything that is missing is named at once, with its remedy."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ployz.config import Config
from ployz.errors import Code, Refused
from ployz.host.docker.blocking import ask_info

ANSWER_S: Final = 30.0
"""How long `zpool` and dockerd may take to answer: a suspended pool never does."""
DOCKER_OLDEST: Final = (20, 10)

PROGRAMS: Final = {
    "zfs": "install OpenZFS (Debian, in contrib, and Ubuntu: zfsutils-linux)",
    "zpool": "install OpenZFS (Debian, in contrib, and Ubuntu: zfsutils-linux)",
    "wg": "install wireguard-tools",
    "ip": "install iproute2",
    "iptables": "install iptables",
    "dnsmasq": "install dnsmasq (Debian, Ubuntu: dnsmasq-base)",
    "nft": "install nftables",
    "sysctl": "install procps",
}
"""Each one that a driver runs, and where it comes from."""
KERNEL_WIREGUARD: Final = Path("/sys/module/wireguard")
IPV6_SWITCHES: Final = Path("/proc/sys/net/ipv6/conf")
"""Of the network namespace of whoever reads it; it is not there under a kernel without IPv6."""


def require(setup: Config) -> None:
    """`Refused` (MISSING_PART) with all that is missing."""
    missing = list(find_missing(setup))
    if missing:
        heading = "something is missing" if len(missing) == 1 else f"{len(missing)} things are missing"
        lines = "".join(f"\n  {each}" for each in missing)
        raise Refused(Code.MISSING_PART, f"{heading} on this machine:{lines}", "Nothing was changed.")


def find_missing(setup: Config) -> Iterator[str]:
    """`NAME: what to do`, one each."""
    if os.geteuid() != 0:
        yield "root: run this as root, with sudo for example"
    absent = {program: remedy for program, remedy in PROGRAMS.items() if shutil.which(program) is None}
    yield from (f"{program}: {remedy}" for program, remedy in absent.items())
    if not _kernel_has_wireguard() and shutil.which("wireguard-go") is None:
        yield "wireguard: this kernel has none; install wireguard-go, or a kernel that has WireGuard"
    yield from _missing_ipv6()
    yield from _missing_of_docker(setup.docker_socket)
    if "zpool" not in absent:
        yield from _missing_pool(setup.pool)


def _kernel_has_wireguard() -> bool:
    if KERNEL_WIREGUARD.exists():
        return True
    if shutil.which("modprobe") is None:
        return False
    asked = subprocess.run(["modprobe", "--dry-run", "--quiet", "wireguard"], check=False, capture_output=True)
    return asked.returncode == 0


def _missing_ipv6() -> Iterator[str]:
    """The overlay's own addresses are IPv6; what is below it may be IPv4 alone.

    `all` was the word for every interface there is, and `default` is for each that is made from here on: the
    overlay's and the containers' (Linux, Documentation/networking/ip-sysctl.rst, `disable_ipv6`).
    """
    if not IPV6_SWITCHES.is_dir():
        yield "IPv6: this kernel runs without it; start it without ipv6.disable=1 on its command line, or load ipv6"
        return
    names = [name for name in ("all", "default") if _is_off(IPV6_SWITCHES / name / "disable_ipv6")]
    if names:
        keys = [f"net.ipv6.conf.{name}.disable_ipv6" for name in names]
        yield (
            f"IPv6: it is switched off; sysctl -w {' '.join(f'{key}=0' for key in keys)}, and take "
            f"{' and '.join(f'{key}=1' for key in keys)} out of /etc/sysctl.conf and /etc/sysctl.d. "
            "The overlay needs it, no network outside does"
        )


def _is_off(switch: Path) -> bool:
    try:
        return switch.read_text().strip() not in {"", "0"}
    except OSError:
        return False  # there is IPv6, and no such switch


def _missing_of_docker(listens: Path) -> Iterator[str]:
    """The engine is asked itself. Its client program is a package of its own in Debian 13, and nothing here runs it."""
    if not listens.is_socket():
        yield (
            f"dockerd: nothing listens on {listens}; install Docker (Debian, Ubuntu: docker.io), start it, "
            "or give --docker-socket"
        )
        return
    try:
        told = ask_info(listens, ANSWER_S)
    except TimeoutError:
        yield f"dockerd: it did not answer on {listens} within {ANSWER_S:g} s"
        return
    except (OSError, ValueError, http.client.HTTPException) as error:
        words = " ".join(str(error).split())[:200] or type(error).__name__
        yield f"dockerd: it could not be asked on {listens}: {words}"
        return
    version = str(told.get("ServerVersion", ""))
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None:
        yield f"dockerd: what answers on {listens} tells no version of Docker"
        return
    if (int(numbers[1]), int(numbers[2])) < DOCKER_OLDEST:
        yield f"dockerd: this is Docker {version}; ployz needs 20.10 or later"
    if told.get("LiveRestoreEnabled") is not True:
        yield (
            "live-restore: containers would end with every restart of Docker; "
            'write { "live-restore": true } into /etc/docker/daemon.json, then: systemctl reload docker'
        )


def _missing_pool(pool: str) -> Iterator[str]:
    try:
        listed = subprocess.run(
            ["zpool", "list", "-H", "-o", "name"], check=False, capture_output=True, text=True, timeout=ANSWER_S
        )
    except subprocess.TimeoutExpired:
        yield f"zfs: `zpool list` did not answer within {ANSWER_S:g} s"
        return
    if listed.returncode != 0:
        yield f"zfs: `zpool list` failed: {' '.join(listed.stderr.split())[:200]}"
    elif pool not in listed.stdout.split():
        there = ", ".join(listed.stdout.split()) or "none"
        yield f"pool {pool}: there is no such ZFS pool (there is: {there}); create it, or give --pool"
