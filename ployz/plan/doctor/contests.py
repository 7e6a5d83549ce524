"""What the doctor says of what others take away or change: now, and again and again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ployz.plan.doctor.readings import ContestReading
from ployz.plan.struggles import AT_ONCE, Struggle, Struggles, Wrong

_WHAT: Final[Mapping[str, str]] = {
    "container": "containers are not there",
    "connection": "containers run without their network",
    "holder": "networks of containers that are gone are held, and keep their addresses",
    "network": "Docker's network is not there",
    "interface": "the overlay's interface is not as ployz made it",
    "peers": "WireGuard's peers are not as ployz made them",
    "routes": "routes of the overlay are not as ployz made them",
    "bridge": "the bridge of the containers is not as ployz made it",
    "switches": "kernel settings of the overlay are not as ployz made them",
    "rules": "firewall rules of the overlay are not as ployz made them",
    "doors": "what keeps others from candidates is not as ployz made it",
    "ports": "what keeps others from this machine's own ports is not as ployz made it",
    "reach": "what keeps containers of other namespaces away is not as ployz made it",
    "stations": "what keeps containers from speaking for each other is not as ployz made it",
}
"""The beginning of a sentence, by kind."""


def contests(known: Iterable[Struggles], wrong: Wrong, now_s: float) -> tuple[ContestReading, ...]:
    """`known`: by the looks of actors. `wrong`: as it is seen now, which may be before any of those saw it."""
    by_kind: dict[str, Struggle] = {kind: each for struggles in known for kind, each in struggles.items()}
    said = []
    for kind in sorted(by_kind.keys() | wrong.keys()):
        each = by_kind.get(kind) or Struggle((), now_s, now_s)
        names = wrong.get(kind) or each.wrong
        if names or each.is_contested:
            since_ms, wait_ms = round((now_s - each.since_s) * 1000), max(0, round((each.next_s - now_s) * 1000))
            said.append(ContestReading(kind, names, each.repairs, since_ms, wait_ms))
    return tuple(said)


def text_of(each: ContestReading) -> str:
    what = _WHAT.get(each.kind, f"{each.kind} is not as ployz made it")
    if each.wrong:
        return f"{what}: {'; '.join(each.wrong)}"
    return f"somebody changes it again and again, {each.repairs} times in {each.since_ms // 60_000 + 1} min: {what}"


def remedy_of(each: ContestReading) -> str:
    if each.repairs <= AT_ONCE:
        return "ployzd puts it back within 30 s. If not, look there: journalctl -u ployzd"
    return (
        f"ployzd has put it back {each.repairs} times, and waits {each.wait_ms // 1000} s before it does again: find "
        "what changes it (cron, the manager of a firewall or a network), and keep that from what is ployz's."
    )
