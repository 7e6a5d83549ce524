"""A manifest from its text: parsed, read, checked; whole, or refused with every mistake."""

from __future__ import annotations

from ployz.manifest.check import each_mistake
from ployz.manifest.cursor import Cursor
from ployz.manifest.limits import CANONICAL_BYTES_MAX
from ployz.manifest.mistakes import InvalidManifest, Mistake, Mistakes
from ployz.manifest.model import Manifest
from ployz.manifest.schema import MANIFEST
from ployz.manifest.source import Format, read_tree
from ployz.manifest.writing import to_canonical_json

_KIB = 1024


def parse(text: str | bytes, form: Format | None = None) -> Manifest:
    """The manifest, or `InvalidManifest` with every mistake and its path. Nothing else is raised for any text.

    `form` None: JSON if the text begins with '{', else TOML.
    """
    mistakes = Mistakes()
    manifest = MANIFEST.read(Cursor("", read_tree(text, form), mistakes))
    for mistake in each_mistake(manifest):
        mistakes.add(mistake)
    mistakes.raise_if_any()
    if len(to_canonical_json(manifest).encode()) > CANONICAL_BYTES_MAX:
        raise InvalidManifest([Mistake("", f"the manifest is larger than {CANONICAL_BYTES_MAX // _KIB} KiB as JSON")])
    return manifest
