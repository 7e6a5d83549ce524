"""Every record that a client was told is written is on the volume of its owner, at every instant."""

from __future__ import annotations

from attrs import define, field

RECORD_BYTES = 8


@define(eq=False)
class Records:
    """Of one volume. A record is its number, 8 bytes; the file that holds them only ever grows under one owner."""

    acknowledged: list[bytes] = field(factory=list)
    _known: bytes | None = None
    """Content that has all of them."""
    _count: int = 0
    """As many as `_known` was found to have."""

    def acknowledge(self, record: bytes) -> None:
        self.acknowledged.append(record)

    def missing_from(self, content: bytes) -> list[int]:
        """The numbers of those that are not in it. Cheap where it grew from what was looked at last."""
        if content is self._known and self._count == len(self.acknowledged):
            return []
        grew = self._known is not None and content.startswith(self._known)
        fresh = self.acknowledged[self._count :] if grew else self.acknowledged
        new = content[len(self._known or b"") :] if grew else content
        if not _split(new).issuperset(fresh):
            have = _split(content)
            if missing := [int.from_bytes(each, "big") for each in self.acknowledged if each not in have]:
                return missing
        self._known, self._count = content, len(self.acknowledged)
        return []


def _split(content: bytes) -> set[bytes]:
    return {content[at : at + RECORD_BYTES] for at in range(0, len(content), RECORD_BYTES)}
