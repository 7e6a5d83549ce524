"""What an operator sets about a machine, or the whole cluster: closed sets of keys, each with its own kind of value.

A setting is stored as text, in the one form that its parser writes. What was never set has its default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from attrs import evolve, field, frozen

from ployz.errors import Code, Refused
from ployz.ids import MTU_MAX, MTU_MIN, InvalidName, Name, endpoint_in_one_form, mtu_of
from ployz.manifest.quantities import InvalidQuantity, parse_size, size_text

GATEWAY: Final = "gateway"
BANDWIDTH: Final = "bandwidth"
ISOLATION: Final = "isolation"
ENDPOINT: Final = "endpoint"
MTU: Final = "mtu"
LABEL: Final = "label."
ON, OFF, NONE, AUTO = "on", "off", "none", "auto"
KINDS: Final[Mapping[str, str]] = {
    GATEWAY: "on or off: whether HAProxy serves routes there",
    BANDWIDTH: "what volumes may be sent with from there, in bytes a second, such as 50M; or none, for no limit",
    ENDPOINT: "where the others reach its WireGuard, IP:PORT, when its address has changed",
    MTU: (
        f"the largest packet of the overlay to and from it, {MTU_MIN} to {MTU_MAX} bytes; or auto, as the "
        "interfaces on the way take them"
    ),
    f"{LABEL}NAME": "a word of yours, such as label.zone=cellar; empty takes the label away",
}
"""Every key, and what it takes."""
CLUSTER_KINDS: Final[Mapping[str, str]] = {
    ISOLATION: "on or off: whether namespaces that say nothing about it are reached by their own containers alone"
}
BANDWIDTH_BYTES_S_MIN: Final = 64 * 1024
"""Less would look like a stream that has stalled."""
SETTINGS_MAX: Final = 64
"""Of one command."""

_LABEL_VALUE = re.compile(r"[A-Za-z0-9._-]{0,63}\Z")


class LabelName(Name):
    __slots__ = ()
    kind = "label name"


@frozen(order=True)
class Setting:
    """`gateway=on`, with its value as it is stored."""

    key: str
    value: str

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


@frozen
class MachineSettings:
    """All of one machine, but for its endpoint, which it has from the day that it joined."""

    gateway: bool = False
    bandwidth_bytes_s: int | None = None
    """None: no limit."""
    mtu: int | None = None
    """None: as the interfaces on the way take them."""
    labels: Mapping[str, str] = field(factory=dict)

    def with_(self, setting: Setting) -> MachineSettings:
        """A key that only a newer ployz knows changes nothing here: nothing here asks for it."""
        key, value = setting.key, setting.value
        if key == GATEWAY:
            return evolve(self, gateway=value == ON)
        if key == BANDWIDTH:
            return evolve(self, bandwidth_bytes_s=None if value == NONE else parse_size(value))
        if key == MTU:
            return evolve(self, mtu=None if value == AUTO else int(value))
        if key.startswith(LABEL):
            kept = {name: each for name, each in self.labels.items() if name != key.removeprefix(LABEL)}
            return evolve(self, labels=kept | ({key.removeprefix(LABEL): value} if value else {}))
        return self

    def listed(self) -> tuple[Setting, ...]:
        """Each with its value, set or not; labels last, by name."""
        bandwidth = NONE if self.bandwidth_bytes_s is None else size_text(self.bandwidth_bytes_s)
        return (
            Setting(GATEWAY, ON if self.gateway else OFF),
            Setting(BANDWIDTH, bandwidth),
            Setting(MTU, AUTO if self.mtu is None else str(self.mtu)),
            *(Setting(f"{LABEL}{name}", value) for name, value in sorted(self.labels.items())),
        )


@frozen
class ClusterSettings:
    """All of the cluster's."""

    isolation: bool = False
    """Namespaces whose manifest does not say who reaches them are reached by their own containers alone."""

    def with_(self, setting: Setting) -> ClusterSettings:
        """A key that only a newer ployz knows changes nothing here."""
        return evolve(self, isolation=setting.value == ON) if setting.key == ISOLATION else self

    def listed(self) -> tuple[Setting, ...]:
        return (Setting(ISOLATION, ON if self.isolation else OFF),)


DEFAULTS: Final = frozenset(MachineSettings().listed())


def parse_setting(text: str) -> Setting:
    """From `KEY=VALUE`. `Refused` (INVALID_SETTING) says what there is."""
    key, equals, value = text.partition("=")
    if not equals:
        raise _refused(f"{text[:40]!r} is no setting: write KEY=VALUE")
    if key in _FORMS:
        return Setting(key, _FORMS[key](value))
    if key.startswith(LABEL):
        try:
            LabelName(key.removeprefix(LABEL))
        except InvalidName as error:
            raise _refused(f"{key[:80]}: {error}") from None
        if not _LABEL_VALUE.match(value):
            raise _refused(f"{key}: {value[:40]!r} is no label: use at most 63 letters, digits, '.', '_' and '-'")
        return Setting(key, value)
    raise _refused(f"a machine has no setting {key[:40]!r}")


def parse_settings(texts: Iterable[str]) -> tuple[Setting, ...]:
    """Each key once, in the order they were given."""
    settings = tuple(parse_setting(text) for text in texts)
    keys = [each.key for each in settings]
    for key in keys:
        if keys.count(key) > 1:
            raise _refused(f"{key} is given twice")
    if not 0 < len(settings) <= SETTINGS_MAX:
        raise _refused(f"give 1 to {SETTINGS_MAX} settings at once, not {len(settings)}")
    return settings


def _gateway(text: str) -> str:
    if text not in {ON, OFF}:
        raise _refused(f"gateway is on or off, not {text[:40]!r}")
    return text


def parse_cluster_setting(text: str) -> Setting:
    """From `KEY=VALUE`. `Refused` (INVALID_SETTING) says what there is."""
    key, _, value = text.partition("=")
    if key != ISOLATION:
        raise _refused(f"the cluster has no setting {key[:40]!r}: write KEY=VALUE", CLUSTER_KINDS)
    if value not in {ON, OFF}:
        raise _refused(f"isolation is on or off, not {value[:40]!r}", CLUSTER_KINDS)
    return Setting(key, value)


def _bandwidth(text: str) -> str:
    if text == NONE:
        return text
    try:
        size_bytes = parse_size(text)
    except InvalidQuantity as error:
        raise _refused(f"bandwidth: {error}, or none") from None
    if not BANDWIDTH_BYTES_S_MIN <= size_bytes < 1 << 63:
        raise _refused(f"bandwidth is at least {size_text(BANDWIDTH_BYTES_S_MIN)} a second, or none: not {text[:40]}")
    return size_text(size_bytes)


def _endpoint(text: str) -> str:
    try:
        return endpoint_in_one_form(text)
    except InvalidName as error:
        raise _refused(str(error)) from None


def _mtu(text: str) -> str:
    try:
        return text if text == AUTO else str(mtu_of(text))
    except InvalidName as error:
        raise _refused(f"{error}, or {AUTO}") from None


_FORMS: Final[Mapping[str, Callable[[str], str]]] = {
    GATEWAY: _gateway,
    BANDWIDTH: _bandwidth,
    ENDPOINT: _endpoint,
    MTU: _mtu,
}
"""Each value in its one form. `Refused`: it is none."""


def _refused(text: str, kinds: Mapping[str, str] = KINDS) -> Refused:
    there = "; ".join(f"{key} is {takes}" for key, takes in kinds.items())
    return Refused(Code.INVALID_SETTING, text, f"There are: {there}.")
