"""What a fact says of a machine can be used by the others, or it becomes none; where it did, it harms nobody."""

from __future__ import annotations

import base64
from contextlib import suppress
from datetime import UTC, datetime

import anyio
import pytest
from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ployz.errors import Code, Refused
from ployz.events.types import (
    Fact,
    Lifecycle,
    MachineIdentified,
    MachineJoined,
    MachineKeyAnnounced,
    MachineKeyRotated,
    MachineSettingChanged,
)
from ployz.facts.wellformed import check_facts
from ployz.host.fakes.overlay import made_up_key
from ployz.host.ports import OverlayPeer, OverlayState
from ployz.host.wireguard.changes import usable
from ployz.ids import Certificate, MachineId
from ployz.plan.doctor.findings import of_members
from ployz.projections.machines import Member
from ployz.wire.sockets import raw_socket
from ployz.wire.tls import GONE, MachineTls
from tests.identities import certificate, identity

A, B, C = MachineId("machine-a"), MachineId("machine-b"), MachineId("machine-c")
JOINED = MachineJoined(B, 2, "fd00::2", "10.211.0.2", "192.0.2.2:51820", made_up_key(B), Lifecycle.ACTIVE)
Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
NOT_ONE = Certificate(base64.b64encode(b"no certificate").decode())


def certificate_with(key: Key, signed_by: Key | None = None) -> Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, B)])
    signer = key if signed_by is None else signed_by
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2090, 1, 1, tzinfo=UTC))
        .sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else SHA256())
    )
    return Certificate(base64.b64encode(made.public_bytes(Encoding.DER)).decode())


def test_what_can_be_used_becomes_a_fact() -> None:
    check_facts(
        [
            JOINED,
            evolve(JOINED, endpoint="[2001:db8::7]:51820"),
            MachineIdentified(B, certificate(B)),
            MachineKeyRotated(B, made_up_key("next")),
            MachineSettingChanged(B, "endpoint", "[2001:db8::7]:51820"),
            MachineSettingChanged(B, "mtu", "1340"),
            MachineSettingChanged(B, "mtu", "auto"),
            MachineSettingChanged(B, "of a newer ployz", "anything"),
        ]
    )


OURS, OTHER = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
CURVE = ec.generate_private_key(ec.SECP256R1())
BAD: dict[str, Fact] = {
    "a host name for an endpoint": evolve(JOINED, endpoint="example.org:51820"),
    "an endpoint without a port": evolve(JOINED, endpoint="192.0.2.2"),
    "an endpoint with options for wg": evolve(JOINED, endpoint="192.0.2.2:51820 remove"),
    "an endpoint with an escape": evolve(JOINED, endpoint="\x1b[2J:51820"),
    "no key": evolve(JOINED, public_key="garbage"),
    "a key of 31 bytes": evolve(JOINED, public_key=base64.b64encode(bytes(31)).decode()),
    "no address": evolve(JOINED, ipv6="fd00::g"),
    "no certificate": MachineIdentified(B, NOT_ONE),
    "a certificate of another machine": MachineIdentified(B, certificate(A)),
    "a certificate with another kind of key": MachineIdentified(B, certificate_with(CURVE)),
    "a certificate that another key signed": MachineIdentified(B, certificate_with(OURS, OTHER)),
    "a next key that is none": MachineKeyAnnounced(B, "next", ""),
    "an endpoint from now on that has no port": MachineSettingChanged(B, "endpoint", "192.0.2.2"),
    "an endpoint from now on with options for wg": MachineSettingChanged(B, "endpoint", "192.0.2.2:51820 remove"),
    "no endpoint from now on": MachineSettingChanged(B, "endpoint", ""),
    "an mtu that no packet of IPv6 has": MachineSettingChanged(B, "mtu", "576"),
    "an mtu with options for ip": MachineSettingChanged(B, "mtu", "1400 via"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_nobody_could_use_does_not_become_a_fact(name: str) -> None:
    with pytest.raises(Refused) as refused:
        check_facts([JOINED, BAD[name]])
    assert refused.value.code is Code.MALFORMED_EVENT
    assert "\x1b" not in refused.value.problem.text


# ---------------------------------------------------------------- where it became one


def test_one_certificate_that_is_none_keeps_no_other_machine_out(caplog: pytest.LogCaptureFixture) -> None:
    trusted = {A: certificate(A), B: NOT_ONE, C: certificate(C)}

    async def body() -> None:
        ours = MachineTls(identity(A), lambda: trusted)
        theirs = MachineTls(identity(C), lambda: trusted)
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            port = raw_socket(listener.listeners[0]).getsockname()[1]
            known: list[Certificate] = []

            async def answer(stream: anyio.abc.SocketStream) -> None:
                async with stream:
                    with suppress(*GONE):
                        secured, who = await ours.accept(stream)
                        known.append(who)
                        await secured.send(b"hello")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.serve, answer)
                with anyio.fail_after(10):
                    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                        secured, _ = await theirs.connect(stream, A)
                        assert await secured.receive() == b"hello"
                assert known == [certificate(C)]
                async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                    with pytest.raises(Refused) as refused:
                        await theirs.connect(stream, B)
                    assert refused.value.code is Code.IDENTITY
                tasks.cancel_scope.cancel()

    anyio.run(body, backend="trio")
    assert "ployzctl doctor" in caplog.text


def test_a_peer_that_wg_would_not_take_is_left_out_and_the_others_are_set() -> None:
    good = OverlayPeer(made_up_key(A), "192.0.2.1:51820", frozenset({"fd00::1", "10.211.0.1"}))
    bad = (
        evolve(good, public_key="garbage"),
        evolve(good, endpoint="garbage"),
        evolve(good, addresses=frozenset({"fd00::1", "garbage"})),
    )
    assert usable(OverlayState((bad[0], good, *bad[1:]), frozenset())).peers == (good,)


def test_the_doctor_names_the_member_that_nobody_can_use_and_what_to_do() -> None:
    good = Member(
        A, 1, "fd00::1", "10.211.0.1", "192.0.2.1:51820", made_up_key(A), Lifecycle.ACTIVE, certificate=certificate(A)
    )
    bad = evolve(good, machine=B, endpoint="nowhere", public_key="garbage", certificate=NOT_ONE)
    found = list(of_members([good, bad]))
    assert [(each.machine, each.kind) for each in found] == [(B, "member-unfit")] * 3
    assert all("machine rm machine-b" in each.remedy for each in found)
