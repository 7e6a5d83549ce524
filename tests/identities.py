"""Keys and certificates of machines for the tests of the wire: made once a run, since their content never matters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from ployz.ids import Certificate, MachineId
from ployz.install.identity import ensure_identity
from ployz.wire.tls import MachineTls

_folder = TemporaryDirectory(prefix="ployz-identities-")


def identity(machine: str, key: str = "") -> Path:
    """The identity file of a machine. `key`: another one of a machine of the same name."""
    path = Path(_folder.name) / f"{machine}{key}.pem"
    ensure_identity(path, MachineId(machine))
    return path


def certificate(machine: str, key: str = "") -> Certificate:
    return ensure_identity(identity(machine, key), MachineId(machine))


def certificates(machines: Iterable[str]) -> Mapping[MachineId, Certificate]:
    return {MachineId(each): certificate(each) for each in machines}


def tls(machine: str, trusted: Iterable[str], key: str = "") -> MachineTls:
    """One machine's side, which trusts those."""
    members = certificates(trusted)
    return MachineTls(identity(machine, key), lambda: members)


def from_here(address: str) -> bool:
    """Members of a cluster on one machine."""
    return address == "::1"
