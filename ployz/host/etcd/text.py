"""What etcd is started with. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ployz.config import ETCD_PORTS
from ployz.host.ports.seats import Seat

CLIENT_PORT: Final = ETCD_PORTS[0]
PEER_PORT: Final = ETCD_PORTS[1]
QUOTA_BYTES: Final = 8 << 30
"""The most that etcd itself advises. A million facts take between one and two GiB."""
FILES: Final = ("ca.pem", "cert.pem", "key.pem")


def client_url(address: str) -> str:
    return _url(address, CLIENT_PORT)


def peer_url(address: str) -> str:
    return _url(address, PEER_PORT)


def data_option(folder: Path) -> str:
    """No other program on the machine has it among its arguments."""
    return f"--data-dir={folder / 'data'}"


def arguments(seat: Seat, folder: Path) -> tuple[str, ...]:
    """A transaction holds all that a deploy relies on, which is more than etcd's usual 128 operations; old values are
    needed by nobody; and the facts of years are more than its usual 2 GiB, past which it takes no more writes.
    """
    ca, certificate, key = (folder / each for each in FILES)
    options = {
        "name": seat.name,
        "listen-client-urls": client_url(seat.address),
        "advertise-client-urls": client_url(seat.address),
        "listen-peer-urls": peer_url(seat.address),
        "initial-advertise-peer-urls": peer_url(seat.address),
        "initial-cluster": ",".join(f"{name}={peer_url(address)}" for name, address in seat.members),
        "initial-cluster-state": "new" if seat.founds else "existing",
        "max-txn-ops": "8192",
        "max-request-bytes": str(16 << 20),
        "quota-backend-bytes": str(QUOTA_BYTES),
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "1h",
        "logger": "zap",
        "log-level": "error",
    }
    for prefix in ("", "peer-"):
        options |= {f"{prefix}trusted-ca-file": str(ca), f"{prefix}cert-file": str(certificate)}
        options |= {f"{prefix}key-file": str(key)}
    flags = ("--client-cert-auth", "--peer-client-cert-auth")
    return ("etcd", data_option(folder), *(f"--{name}={value}" for name, value in options.items()), *flags)


def _url(address: str, port: int) -> str:
    return f"https://[{address}]:{port}" if ":" in address else f"https://{address}:{port}"
