"""One look at everything of ployz's on one machine, by the machine's own programs: asked for at once, because each way
into a machine costs its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

from ployz.lab.crash.stage import NAMESPACE, Stage
from ployz.plan import names

_SCRIPT: Final = f"""
echo == containers; docker ps --all --filter label={names.LABEL_NAMESPACE}={NAMESPACE} --format '{{{{.State}}}}'
echo == leases; ls /run/ployz/leases 2>/dev/null
echo == guards; ps -eo args= | grep '[h]ost/guard.py'
echo == datasets; zfs list -H -t all -o name,readonly,mounted,userrefs
echo == doors; for family in inet bridge; do nft list table $family ployz 2>/dev/null; done | grep -w drop
echo == elsewhere; wg show ployz0 allowed-ips | cut -f2- | tr ' ' '\\n'
echo == routes; ip -4 route show dev ployz0; ip -6 route show dev ployz0
echo == neighbours; ip neigh show proxy; ip -6 neigh show proxy
true
"""


@frozen
class Dataset:
    """Or a snapshot."""

    readonly: str
    mounted: str
    holds: int
    """Of a snapshot. `zfs holds` says nothing on zfs-fuse; the property counts them everywhere."""


@frozen
class Look:
    containers: Sequence[str]
    """The state of each, stopped ones too."""
    leases: Sequence[str]
    guards: Sequence[str]
    datasets: Mapping[str, Dataset]
    doors: Sequence[str]
    """Rules that keep everybody from a candidate."""
    routes_to: Mapping[str, int]
    """By address: how often it is allowed, routed or answered for as one that is elsewhere."""


def look(stage: Stage, machine: str, addresses: Sequence[str]) -> Look:
    return parse(stage.inside(machine, "sh", "-c", _SCRIPT), addresses)


def parse(text: str, addresses: Sequence[str]) -> Look:
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("== "):
            lines = sections.setdefault(line.removeprefix("== "), [])
        elif line.strip():
            lines.append(line)
    fields = [line.split("\t") for line in sections["datasets"]]
    found = [line.split()[0].partition("/")[0] for kind in ("elsewhere", "routes") for line in sections[kind]]
    return Look(
        containers=sections["containers"],
        leases=sections["leases"],
        guards=sections["guards"],
        datasets={
            name: Dataset(readonly, mounted, int(holds) if holds.isdecimal() else 0)
            for name, readonly, mounted, holds in fields
        },
        doors=sections["doors"],
        routes_to={each: found.count(each) for each in addresses},
    )
