"""The ZFS properties of volumes: what a manifest declares, what moves along, and what stays where it is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from attrs import frozen

from ployz.manifest.model import Volume
from ployz.plan.names import PROPERTY_AUTO_SNAPSHOT

OURS: Final = frozenset({"canmount", "mountpoint", "quota", "readonly", "refquota"})
"""What ployz sets itself, on each machine as it needs it."""

TRAVELLING: Final = frozenset(
    {
        "aclinherit",
        "aclmode",
        "acltype",
        "atime",
        "checksum",
        "compression",
        "copies",
        "dedup",
        "devices",
        "dnodesize",
        "exec",
        "logbias",
        "primarycache",
        "recordsize",
        "redundant_metadata",
        "relatime",
        "secondarycache",
        "setuid",
        "snapdir",
        "sync",
        "xattr",
    }
)
"""Of a volume, wherever it is. Others are of a place: what it shares, reserves, or is encrypted with."""

UNSET: Final = "-"

_UNSAFE: Final = ("sync", "disabled")
"""A power cut would lose what a service was told is stored: ployz brings that to no other machine."""


@frozen
class Setting:
    name: str
    value: str
    """As `zfs get -p` prints it."""

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


def declared(volume: Volume | None) -> tuple[Setting, ...]:
    """What the manifest says. None: it has no such volume any more."""
    return () if volume is None else tuple(_declared(volume))


def _declared(volume: Volume) -> Iterator[Setting]:
    if volume.recordsize_bytes is not None:
        yield Setting("recordsize", str(volume.recordsize_bytes))
    if volume.compression is not None:
        yield Setting("compression", volume.compression)
    if volume.atime is not None:
        yield Setting("atime", "on" if volume.atime else "off")
    if volume.logbias is not None:
        yield Setting("logbias", volume.logbias)
    if volume.sync is not None:
        yield Setting("sync", volume.sync)


def travelling(found: Mapping[str, str], wanted: Iterable[Setting] = ()) -> tuple[Setting, ...]:
    """What a volume has at its new place: as its manifest has it, else as it was set where it is, by hand or not."""
    settings = {name: value for name, value in found.items() if _travels(name, value)}
    settings |= {each.name: each.value for each in wanted}
    return tuple(Setting(name, value) for name, value in sorted(settings.items()))


def of_owner(found: Mapping[str, str], remembered: str | None) -> dict[str, str]:
    """`found` without the mark of a copy, which `remembered` belongs to. None: it is not marked."""
    settings = {name: value for name, value in found.items() if name != PROPERTY_AUTO_SNAPSHOT or remembered is None}
    return settings if remembered in (None, UNSET) else {**settings, PROPERTY_AUTO_SNAPSHOT: remembered}


def staying(found: Mapping[str, str]) -> tuple[Setting, ...]:
    """What somebody has set on the dataset and does not come along."""
    return tuple(
        Setting(name, value) for name, value in sorted(found.items()) if name not in OURS and not _travels(name, value)
    )


def lacking(found: Mapping[str, str], wanted: Iterable[Setting]) -> tuple[Setting, ...]:
    return tuple(each for each in wanted if found.get(each.name) != each.value)


def _travels(name: str, value: str) -> bool:
    return (name in TRAVELLING or ":" in name) and (name, value) != _UNSAFE
