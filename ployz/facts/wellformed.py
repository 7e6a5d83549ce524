"""Whether what a fact says of a machine can be used by the others: its certificate, key, endpoint and addresses.

Looked at before it is committed. A fact that is there already is not refused by anybody: `flaws` finds it. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address

from ployz.errors import Code, Refused
from ployz.events.types import (
    Fact,
    MachineIdentified,
    MachineJoined,
    MachineKeyAnnounced,
    MachineKeyRotated,
    MachineSettingChanged,
)
from ployz.ids import Certificate, Endpoint, MachineId, WireGuardKey, mtu_of
from ployz.wire.certificates import certificate_flaw


def check_facts(facts: Iterable[Fact]) -> None:
    """`Refused` (MALFORMED_EVENT): nobody could use what one of them says."""
    for fact in facts:
        for flaw in _flaws_of(fact):
            raise Refused(Code.MALFORMED_EVENT, f"{fact.event_name} cannot become a fact: {flaw}")


def flaws(
    machine: MachineId, endpoint: str, public_key: str, addresses: Iterable[str], certificate: Certificate | None
) -> Iterator[str]:
    """What of this nobody can use."""
    yield from _invalid(Endpoint, endpoint)
    yield from _invalid(WireGuardKey, public_key)
    for address in addresses:
        yield from _invalid(ip_address, address)
    if certificate is not None and (flaw := certificate_flaw(certificate, machine)):
        yield f"the certificate of {machine} cannot be used: {flaw}"


def _flaws_of(fact: Fact) -> Iterator[str]:
    match fact:
        case MachineJoined():
            yield from flaws(fact.machine, fact.endpoint, fact.public_key, (fact.ipv6, fact.ipv4), None)
        case MachineIdentified():
            if flaw := certificate_flaw(fact.certificate, fact.machine):
                yield f"the certificate of {fact.machine} cannot be used: {flaw}"
        case MachineKeyAnnounced() | MachineKeyRotated():
            yield from _invalid(WireGuardKey, fact.public_key)
        case MachineSettingChanged(key="endpoint"):
            yield from _invalid(Endpoint, fact.value)
        case MachineSettingChanged(key="mtu") if fact.value != "auto":
            yield from _invalid(mtu_of, fact.value)
        case _:
            pass


def _invalid(kind: Callable[[str], object], text: str) -> Iterator[str]:
    try:
        kind(text)
    except ValueError as error:
        yield str(error)
