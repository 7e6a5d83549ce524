"""Certificates for an etcd of our own: an authority that signs nothing else, and one certificate for each member.

Made by the `openssl` program. Keys and certificates are PEM text; files exist only while they are made.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from attrs import field, frozen

from ployz.errors import Code
from ployz.host.program import run

DAYS: Final = 3650
OPENSSL_S: Final = 30.0


@frozen
class Pair:
    certificate_pem: str
    key_pem: str = field(repr=False)


async def make_authority(name: str) -> Pair:
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = Path(folder) / "key", Path(folder) / "certificate"
        extensions = ("basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign,cRLSign")
        await _openssl(
            *("req", "-x509", "-newkey", "ed25519", "-noenc", "-days", str(DAYS), "-subj", f"/CN={name}"),
            *("-keyout", str(key), "-out", str(certificate)),
            *(word for each in extensions for word in ("-addext", each)),
        )
        return Pair(certificate.read_text(), key.read_text())


async def issue(authority: Pair, name: str, addresses: Sequence[str]) -> Pair:
    """For a member, which is server and client at once: etcd's gateway connects to its own server with it. For that
    reason it has no common name, which etcd would take for the user who asks.

    `addresses`: empty for who is a client alone and may come from anywhere. etcd believes a certificate that names
    addresses only when it is shown from one of them.
    """
    names = ",".join(f"IP:{ip_address(each)}" for each in addresses)
    named = f"subjectAltName={names}\n" if names else ""
    with tempfile.TemporaryDirectory() as folder:
        key, request, certificate = (Path(folder) / each for each in ("key", "request", "certificate"))
        ca, ca_key, extensions = (Path(folder) / each for each in ("ca", "ca-key", "extensions"))
        ca.write_text(authority.certificate_pem)
        ca_key.write_text(authority.key_pem)
        extensions.write_text(f"{named}extendedKeyUsage=serverAuth,clientAuth\n")
        await _openssl(
            *("req", "-newkey", "ed25519", "-noenc", "-subj", f"/O=ployz/OU={name}"),
            *("-keyout", str(key), "-out", str(request)),
        )
        await _openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(ca), "-CAkey", str(ca_key), "-days", str(DAYS)),
            *("-set_serial", str(secrets.randbits(120)), "-extfile", str(extensions), "-out", str(certificate)),
        )
        return Pair(certificate.read_text(), key.read_text())


async def _openssl(*arguments: str) -> None:
    await run(["openssl", *arguments], deadline_s=OPENSSL_S, check=Code.PART_FAILED)
