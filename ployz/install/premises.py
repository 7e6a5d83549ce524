"""The Premises port on the machine itself: the same list that an installation checks, and files as they are now."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

from anyio import CapacityLimiter, to_thread
from attrs import field, frozen
from cryptography import x509

from ployz.config import Config
from ployz.errors import Code, Failed
from ployz.host.ports import ExpiringCertificate, StateRoom
from ployz.ids import Certificate
from ployz.install.identity import read_identity
from ployz.install.requirements import find_missing

_LOCAL: Final = re.compile(r"\|-- ([0-9.]+)\n +/32 host LOCAL$", re.MULTILINE)


@frozen
class SystemPremises:
    config: Config
    _one_at_a_time: CapacityLimiter = field(factory=lambda: CapacityLimiter(1), init=False, eq=False)
    """A `zpool` that hangs for ever has one thread of ours, not one for each time that somebody asked."""

    async def missing(self) -> Sequence[str]:
        return await to_thread.run_sync(
            lambda: tuple(find_missing(self.config)), abandon_on_cancel=True, limiter=self._one_at_a_time
        )

    async def identity(self) -> Certificate:
        return await to_thread.run_sync(read_identity, self.config.identity)

    async def certificates(self) -> Sequence[ExpiringCertificate]:
        return await to_thread.run_sync(lambda: tuple(_certificates(self.config.certificates_dir)))

    async def addresses(self) -> Sequence[str]:
        return own_addresses(Path("/proc/self/net"))

    async def state_room(self) -> StateRoom:
        return await to_thread.run_sync(state_room, self.config.state_dir)


def own_addresses(net: Path) -> Sequence[str]:
    """By the kernel's own tables, without a program: `fib_trie` has each local IPv4 address below `/32 host LOCAL`, and
    `if_inet6` one IPv6 address in each line (Documentation/networking/proc_net_tcp, ip-sysctl).
    """
    trie = (net / "fib_trie").read_text()
    found: set[IPv4Address | IPv6Address] = {IPv4Address(each) for each in _LOCAL.findall(trie)}
    try:
        lines = (net / "if_inet6").read_text().splitlines()
    except FileNotFoundError:  # IPv6 is off
        lines = []
    found |= {IPv6Address(int(line.split()[0], 16)) for line in lines}
    return tuple(
        str(each)
        for each in sorted(found, key=lambda each: (each.version, int(each)))
        if not each.is_loopback and not each.is_link_local
    )


def state_room(folder: Path) -> StateRoom:
    """What only root may use counts as used: the rest of the machine fails before ployzd does."""
    try:
        mount = folder.resolve(strict=True)
        while not mount.is_mount():
            mount = mount.parent
        said = os.statvfs(folder)
    except OSError as error:
        raise Failed(Code.LOG_FAILED, f"{folder}: {error}", "check that the disk works and has room") from error
    reserved = said.f_bfree - said.f_bavail
    return StateRoom(
        mount=str(mount),
        size_bytes=(said.f_blocks - reserved) * said.f_frsize,
        free_bytes=said.f_bavail * said.f_frsize,
        files=said.f_files,
        files_free=said.f_favail,
    )


def _certificates(folder: Path) -> Iterator[ExpiringCertificate]:
    """The first to end of each file's chain is what browsers complain about."""
    for path in sorted(folder.glob("*.pem")):
        try:
            chain = x509.load_pem_x509_certificates(path.read_bytes())
        except (OSError, ValueError) as error:
            yield ExpiringCertificate(str(path), 0, str(error))
        else:
            ends_s = min(each.not_valid_after_utc.timestamp() for each in chain)
            yield ExpiringCertificate(str(path), round(ends_s * 1000))
