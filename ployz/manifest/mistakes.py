"""What is wrong with a manifest: each mistake with its path, and the one error that carries all of them."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from heapq import nlargest
from itertools import islice

from attrs import field, frozen

from ployz.errors import Code, Refused
from ployz.manifest.limits import MISTAKES_MAX

_SUGGESTIBLE_LENGTH_MAX = 64
"""Beyond it nobody mistyped a key, and comparing costs the product of the lengths."""
_KNOWN_MAX = 128
"""Names that are looked at for a suggestion, the first so many, and compared closely for it. A suggestion is a help
and no promise: 200 mistakes among 1,024 names once took half a minute."""
_CLOSELY_MAX = 8


@frozen
class Mistake:
    path: str
    """`services[0].template.mounts[1].source`; empty: the text as a whole."""
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text


class InvalidManifest(Refused):
    """Every mistake at once, in the order of the manifest; then those between its parts."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        lines = [str(mistake) for mistake in self.mistakes]
        if len(lines) >= MISTAKES_MAX:
            lines.append(f"the rest was not read: {MISTAKES_MAX} mistakes are enough")
        heading = "the manifest has a mistake" if len(lines) == 1 else f"the manifest has {len(mistakes)} mistakes"
        super().__init__(Code.INVALID_MANIFEST, "\n  ".join([f"{heading}:", *lines]), "Nothing was changed.")


@frozen
class Mistakes:
    """The mistakes found so far, shared by everything that reads one manifest."""

    found: list[Mistake] = field(factory=list)

    def add(self, mistake: Mistake) -> None:
        self.found.append(mistake)
        if len(self.found) >= MISTAKES_MAX:
            raise InvalidManifest(self.found)

    def raise_if_any(self) -> None:
        if self.found:
            raise InvalidManifest(self.found)


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """`; did you mean 'image'?`, or nothing."""
    if len(word) > _SUGGESTIBLE_LENGTH_MAX:
        return ""
    looked_at = [name for name in islice(known, _KNOWN_MAX) if len(name) <= _SUGGESTIBLE_LENGTH_MAX]
    if len(looked_at) > _CLOSELY_MAX:
        looked_at = nlargest(_CLOSELY_MAX, looked_at, key=lambda name: _ends_in_common(word, name))
    near = get_close_matches(word, looked_at, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _ends_in_common(word: str, name: str) -> float:
    """Of all characters, the part that both begin and end with: 1 less one mistake for most that are mistyped."""
    in_common = _in_common(word, name) + _in_common(word[::-1], name[::-1])
    return 2 * in_common / (len(word) + len(name) or 1)


def _in_common(word: str, name: str) -> int:
    pairs = enumerate(zip(word, name, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(word), len(name)))
