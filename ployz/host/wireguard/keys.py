"""A machine's WireGuard key: made once, kept in a file that only its owner can read.

Synchronous: `machine join` needs it before there is a daemon.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from ployz.errors import Code, Failed
from ployz.host.private_files import make_private, read_private

_DEADLINE_S = 10.0


def ensure_private_key(path: Path) -> str:
    """The public key of the private key in `path`, which is made if it is absent. Durable when this returns.

    Raises `Failed` if the file is no key, if others can read it, or if `wg` is missing.
    """
    with suppress(FileExistsError):
        if not path.exists():
            make_private(path, _wg("genkey", b"").stdout)
    done = _wg("pubkey", read_private(path, "private key", Code.OVERLAY_FAILED))
    if done.returncode != 0:
        raise Failed(
            Code.OVERLAY_FAILED,
            f"{path} holds no WireGuard private key",
            "Restore the file. With a new key, the machine must leave the cluster and join it anew.",
        )
    return done.stdout.decode().strip()


def next_to(path: Path) -> Path:
    """Where the key waits that will take the place of the one in `path`."""
    return path.with_name(f"{path.name}.next")


def take_next(path: Path) -> None:
    """The one that waits takes its place, durably and at once. None waits: it has done so."""
    with suppress(FileNotFoundError):
        next_to(path).replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _wg(verb: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["wg", verb], input=stdin, capture_output=True, check=False, timeout=_DEADLINE_S)
    except FileNotFoundError as error:
        raise Failed(
            Code.MISSING_PART, "the program 'wg' is not installed, or not on the PATH", "Install wireguard-tools."
        ) from error
