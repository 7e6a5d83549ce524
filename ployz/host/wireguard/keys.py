"""A machine's WireGuard key: made once, kept in a file that only its owner can read.

Synchronous: `machine init` needs it before there is a daemon.
"""

from __future__ import annotations

import os
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

from ployz.errors import Code, Failed

_DEADLINE_S = 10.0


def ensure_private_key(path: Path) -> str:
    """The public key of the private key in `path`, which is made if it is absent. Durable when this returns.

    Raises `Failed` if the file is no key, if others can read it, or if `wg` is missing.
    """
    with suppress(FileExistsError):
        if not path.exists():
            _write_new(path, _wg("genkey", b"").stdout)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise Failed(
            Code.OVERLAY_FAILED,
            f"the private key {path} can be read by others than its owner",
            f"chmod 600 {path}; if somebody may have read it, remove the machine from the cluster and join it anew.",
        )
    done = _wg("pubkey", path.read_bytes())
    if done.returncode != 0:
        raise Failed(
            Code.OVERLAY_FAILED,
            f"{path} holds no WireGuard private key",
            "Restore the file. With a new key, the machine must leave the cluster and join it anew.",
        )
    return done.stdout.decode().strip()


def _wg(verb: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["wg", verb], input=stdin, capture_output=True, check=False, timeout=_DEADLINE_S)
    except FileNotFoundError as error:
        raise Failed(
            Code.MISSING_PART, "the program 'wg' is not installed, or not on the PATH", "Install wireguard-tools."
        ) from error


def _write_new(path: Path, content: bytes) -> None:
    """Whole or not at all, and never over a key that somebody else made meanwhile (`FileExistsError`)."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    draft.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
