"""From an event as an older ployz wrote it to the event as it is now: pure steps on plain fields.

One function for each (name, version) that is no longer the newest; it makes the fields of the next version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

Fields = dict[str, Any]
Upcast = Callable[[Fields], Fields]
Upcasters = Mapping[tuple[str, int], Upcast]
"""By the name and the version that a function starts from."""


def _with_release(cutover: Fields | None) -> Fields | None:
    """Before, what gateways held was let go after the end of what was measured."""
    return cutover and {**cutover, "parts": {**cutover["parts"], "release_ms": 0}}


UPCASTERS: Upcasters = MappingProxyType(
    {
        ("command.given", 1): lambda fields: {**fields, "user": "", "message": ""},
        ("operation.finished", 1): lambda fields: {**fields, "cutover": None},
        ("volume.receive_prepared", 1): lambda fields: {**fields, "resumed": False},
        ("operation.finished", 2): lambda fields: {**fields, "cutover": _with_release(fields["cutover"])},
    }
)
"""Those of the real vocabulary."""


def upcast(fields: Fields, name: str, version: int, newest: int, upcasters: Upcasters) -> Fields:
    """The fields as version `newest` has them. A function may raise what it likes on fields that are not its own."""
    for each in range(version, newest):
        fields = upcasters[name, each](fields)
    return fields


def complaints(newest: Mapping[str, int], upcasters: Upcasters) -> Iterator[str]:
    """What keeps these functions from leading every old version of every name to its newest one."""
    needed = {(name, version) for name, last in newest.items() for version in range(1, last)}
    for name, version in sorted(needed - upcasters.keys()):
        yield f"{name}/{version} has no upcaster to {name}/{version + 1}"
    for name, version in sorted(upcasters.keys() - needed):
        yield f"the upcaster from {name}/{version} leads nowhere: {name} ends at version {newest.get(name, 0)}"
