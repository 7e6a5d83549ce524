"""Events to stored bytes and back: (name, version, msgpack payload), strictly, with one error for bad data.

What is stored is decided here and nowhere else; golden bytes in tests/golden/events hold it in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from attrs import frozen
from cattrs import Converter

from ployz import __version__
from ployz.errors import Code, Corrupt, Refused
from ployz.events.types import Event, Fact, vocabulary
from ployz.events.upcast import UPCASTERS, Upcasters, complaints, upcast
from ployz.strict import Malformed, make_converter, mistakes, pack, structure, unpack
from ployz.strict.collections import Structure

PAYLOAD_LIMIT_BYTES = 4 * 1024 * 1024
"""The largest event is a commit with its namespace's whole manifest, which is limited to far less."""


@frozen
class Encoded:
    """An event in its stored form, and as it will be read back."""

    name: str
    version: int
    payload: bytes
    event: Event


class Codec:
    """One vocabulary with its upcasters. Refuses to be made while an old version cannot be read."""

    def __init__(self, classes: Mapping[tuple[str, int], type[Event]], upcasters: Upcasters = UPCASTERS) -> None:
        self._newest: dict[str, int] = {}
        for name, version in classes:
            self._newest[name] = max(version, self._newest.get(name, 0))
        if wrong := "; ".join(complaints(self._newest, upcasters)):
            raise AssertionError(f"the vocabulary of events is not complete: {wrong}")
        self._classes = classes
        self._upcasters = upcasters
        self._converter = make_converter()
        self._quick = make_converter(detailed=False)
        for converter in (self._converter, self._quick):
            self.teach(converter)
        self._readers: dict[type[Event], Structure] = {}
        self._class = cache(self._find_class)

    @property
    def newest(self) -> tuple[str, ...]:
        """`volume.snapshot_taken/1`, every event that it reads in its newest version, by name."""
        return tuple(f"{name}/{version}" for name, version in sorted(self._newest.items()))

    def teach(self, converter: Converter) -> None:
        """Lets another converter carry events: a field of type Event or Fact is `[name, version, fields]`."""
        # Not for their subclasses, whose values are their own fields.
        converter.register_structure_hook_func(_is_base, self._from_triple)
        converter.register_unstructure_hook_func(_is_base, lambda event: list(self._to_triple(event)))

    def encode(self, event: Event) -> Encoded:
        """What cannot be read back is never written: the result has been decoded once.

        `Refused`: larger than an event may be. `Malformed`: a field holds what its type does not allow, a bug.
        """
        name, version, fields = self._to_triple(event)
        payload = pack(fields)
        if len(payload) > PAYLOAD_LIMIT_BYTES:
            raise Refused(
                Code.MALFORMED_EVENT,
                f"{name}/{version} takes {len(payload)} bytes, and an event has at most {PAYLOAD_LIMIT_BYTES}",
                "make what it records smaller; for a deploy that is the manifest",
            )
        try:
            return Encoded(name, version, payload, self.decode(name, version, payload))
        except Corrupt as error:
            raise Malformed(error.problem.text) from error

    def decode(self, name: str, version: int, payload: bytes) -> Event:
        """The event, in its newest version.

        `Corrupt`: MALFORMED_EVENT for bytes that are no such event, UNKNOWN_EVENT for one this ployz does not know.
        """
        cls = self._class(name, version)
        try:
            fields = unpack(payload, limit_bytes=PAYLOAD_LIMIT_BYTES)
            return self._from_fields(cls, version, fields)
        except Malformed as error:
            raise Corrupt(
                Code.MALFORMED_EVENT,
                f"the payload of {name}/{version} is malformed: {error}",
                "it was damaged, or changed by hand: restore the log from a copy",
            ) from error

    def fields(self, event: Event) -> dict[str, Any]:
        """The plain fields of the newest version, with nested events as `[name, version, fields]`."""
        fields: dict[str, Any] = self._converter.unstructure(event)
        return fields

    def _to_triple(self, event: Event) -> tuple[str, int, dict[str, Any]]:
        name, version = event.event_name, event.event_version
        if self._classes.get((name, version)) is not type(event) or version != self._newest[name]:
            raise Malformed(f"{type(event).__name__} is not what the vocabulary writes as {name}/{version}")
        try:
            return name, version, self.fields(event)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # cattrs trusts the annotations when it takes a value apart, and fails on a wrong one as Python does.
            raise Malformed(f"{name}/{version} holds what its types do not allow: {error}") from error

    def _from_triple(self, plain: object, base: type[Event]) -> Event:
        match plain:
            case [str(name), int(version), fields] if version is not True:
                cls = self._class(name, version)
            case _:
                raise Malformed("not [name, version, fields]")
        if not issubclass(cls, base):
            raise Malformed(f"{name}/{version} is no {base.__name__.lower()}")
        return self._from_fields(cls, version, fields)

    def _find_class(self, name: str, version: int) -> type[Event]:
        newest = self._newest.get(name)
        if newest is None:
            known = f"ployz {__version__} knows no such event"
        elif version > newest:
            known = f"ployz {__version__} knows it up to version {newest}"
        elif version < 1:
            raise Corrupt(Code.MALFORMED_EVENT, f"{name}/{version}: versions begin at 1", "restore the log from a copy")
        else:
            return self._classes[name, newest]
        raise Corrupt(
            Code.UNKNOWN_EVENT, f"{name}/{version}: {known}", "install the ployz that wrote it, or a newer one"
        )

    def _from_fields(self, cls: type[Event], version: int, fields: object) -> Event:
        name, newest = cls.event_name, cls.event_version
        if not isinstance(fields, dict):
            raise Malformed("the fields of an event are a map")
        try:
            if version != newest:
                fields = upcast(fields, name, version, newest, self._upcasters)
        except Exception as error:
            # An upcaster trusts the fields of its version; here they may be anything.
            raise Malformed(f"not the fields of {name}/{version}: {'; '.join(mistakes(error))}") from error
        try:
            read = self._readers.get(cls) or self._readers.setdefault(cls, self._quick.get_structure_hook(cls))
            event: Event = read(fields, cls)
        except Exception:  # noqa: BLE001 - whatever it was: once more, for words that say where it is
            return structure(self._converter, fields, cls)
        return event


def _is_base(cls: Any) -> bool:
    return cls is Event or cls is Fact


CODEC = Codec(vocabulary())
"""Of the real vocabulary, which is complete once `types` is imported."""
