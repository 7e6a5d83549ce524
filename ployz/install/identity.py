"""Who this machine is to the others: its identity file, made once."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ployz.errors import Code, Failed, Refused
from ployz.host.private_files import make_private, read_private
from ployz.ids import Certificate, MachineId
from ployz.wire.certificates import certificate_of, name_of, new_identity, private_key_of, vouch
from ployz.wire.sealing import SealingKey


def ensure_identity(path: Path, machine: MachineId) -> Certificate:
    """The certificate in `path`, which is made, with its key, if it is absent. Durable when this returns.

    `Failed` (IDENTITY): others can read the file, or it holds no certificate. `Refused` (IDENTITY): it is that of a
    machine of another name, with which ployzd would not start.
    """
    with suppress(FileExistsError):
        if not path.exists():
            make_private(path, new_identity(machine))
    certificate = read_identity(path)
    if (named := name_of(certificate)) != machine:
        raise Refused(
            Code.IDENTITY,
            f"{path} is the identity of {named}, and this machine is to be {machine}",
            f"Call it {named}, or set aside its state folder {path.parent} if nothing of it is wanted any more.",
        )
    return certificate


def read_identity(path: Path) -> Certificate:
    """`Failed` (IDENTITY) also when it is not there."""
    content = read_private(path, "identity", Code.IDENTITY)
    try:
        return certificate_of(content)
    except ValueError as error:
        raise Failed(
            Code.IDENTITY,
            f"{path} holds no certificate",
            "Restore the file. With a new key, the machine must leave the cluster and join it anew.",
        ) from error


def read_sealing_key(path: Path) -> SealingKey:
    """What opens the secrets that are encrypted for this machine. `Failed` (IDENTITY) as `read_identity`."""
    return SealingKey.of(_read_key(path))


def vouch_for(path: Path, machine: MachineId, public_key: str) -> str:
    """A signature for a WireGuard key. `Failed` (IDENTITY) as `read_identity`."""
    return vouch(_read_key(path), machine, public_key)


def _read_key(path: Path) -> Ed25519PrivateKey:
    content = read_private(path, "identity", Code.IDENTITY)
    try:
        return private_key_of(content)
    except ValueError as error:
        raise Failed(Code.IDENTITY, f"{path} holds no Ed25519 key", "Restore the file.") from error
