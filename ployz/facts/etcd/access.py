"""How a machine reaches the cluster's etcd: endpoints, certificates, and who it says it is. A value, and its file.

Certificates are carried as text, not as paths: the same document serves every machine.
"""

from __future__ import annotations

import json
import os
import ssl
import tempfile
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from attrs import asdict, field, frozen

from ployz.errors import Code, Refused
from ployz.strict import Malformed, make_converter, structure

FILE_BYTES_MAX: Final = 1 << 20
MODE: Final = 0o600
"""It holds a password and perhaps a key."""


def _checked(endpoints: tuple[str, ...]) -> tuple[str, ...]:
    for each in endpoints:
        parts = urlsplit(each)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
            raise ValueError(f"{each!r} is no endpoint: write https://ADDRESS:2379")
    if not endpoints:
        raise ValueError("there is no endpoint: write at least one, https://ADDRESS:2379")
    return tuple(each.rstrip("/") for each in endpoints)


@frozen
class EtcdAccess:
    endpoints: tuple[str, ...] = field(converter=_checked)
    """`https://192.0.2.7:2379`, one for each member. The order is that of preference."""
    prefix: str = "ployz/"
    """What every key begins with: an etcd may serve others too."""
    user: str = ""
    password: str = field(default="", repr=False)
    ca_pem: str = ""
    """Who signed the certificates of the members; empty: this machine's own list of authorities decides."""
    certificate_pem: str = ""
    key_pem: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """`Refused` (INVALID_CONFIG): it is no such document; `source` says where it came from."""
        try:
            return structure(_converter, json.loads(text), cls)
        except (Malformed, ValueError) as error:
            raise Refused(
                Code.INVALID_CONFIG,
                f"{source} does not say how etcd is reached: {error}",
                'Write JSON: {"endpoints": ["https://ADDRESS:2379"], "user": …, "password": …, "ca_pem": …}',
            ) from error

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """None: there is no such file."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(Code.INVALID_CONFIG, f"{path} cannot be read: {error}") from error
        return cls.parse(text, str(path))

    def text(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    def tls(self) -> ssl.SSLContext:
        """`Refused` (INVALID_CONFIG): a certificate or the key is none."""
        try:
            # The certificates of the machine take longer to read than a request takes, and nobody needs them here.
            if not any(each.startswith("https:") for each in self.endpoints):
                return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context = ssl.create_default_context(cadata=self.ca_pem or None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.certificate_pem:
                # The ssl module takes a certificate and its key from a file alone: one that nobody else can open.
                with tempfile.TemporaryFile() as file:
                    file.write(f"{self.certificate_pem}\n{self.key_pem}".encode())
                    file.flush()
                    context.load_cert_chain(f"/proc/{os.getpid()}/fd/{file.fileno()}")
        except (ssl.SSLError, ValueError) as error:
            raise Refused(Code.INVALID_CONFIG, f"etcd's certificates cannot be used: {error}") from error
        return context


_converter = make_converter()
