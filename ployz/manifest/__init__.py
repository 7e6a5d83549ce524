"""The manifest: what a namespace should be, parsed, validated as a whole, and written back. Pure.

The values are in `ployz.manifest.model`.
"""

from ployz.manifest.check import check
from ployz.manifest.mistakes import InvalidManifest, Mistake
from ployz.manifest.model import Manifest, without_intent
from ployz.manifest.reading import parse
from ployz.manifest.source import Format
from ployz.manifest.writing import manifest_hash, template_hash, to_canonical_json, to_toml

__all__ = [
    "Format",
    "InvalidManifest",
    "Manifest",
    "Mistake",
    "check",
    "manifest_hash",
    "parse",
    "template_hash",
    "to_canonical_json",
    "to_toml",
    "without_intent",
]
