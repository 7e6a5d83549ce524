"""What a container writes outside its mounts into a folder that its image calls a VOLUME: pure.

Docker gives each such folder a volume without a name, for one container's life. A container in the place of that one
finds it empty. Only a mount at exactly this path takes its place: one above it or below it does not.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping

from attrs import frozen

from ployz.manifest.model import Template


@frozen
class Uncovered:
    path: str
    written: bool
    """The container that runs now has written there."""
    disposable: bool
    """By the manifest: it may be lost."""


def uncovered(template: Template, declared: Iterable[str], found: Mapping[str, bool]) -> Iterator[Uncovered]:
    """By path. `declared`: the VOLUMEs of the image. `found`: those of the container that runs, and whether it has
    written there.
    """
    disposable = {posixpath.normpath(each) for each in template.disposable}
    for path in sorted({posixpath.normpath(each) for each in declared} | found.keys()):
        if not is_covered(template, path):
            yield Uncovered(path, found.get(path, False), path in disposable)


def is_covered(template: Template, path: str) -> bool:
    return any(posixpath.normpath(mount.target) == posixpath.normpath(path) for mount in template.mounts)


def may_go(template: Template | None, path: str, *, written: bool) -> bool:
    """Whether what a container has there is deleted with it. None: its service is no more."""
    if not written:
        return True
    disposable = template.disposable if template is not None else ()
    return posixpath.normpath(path) in map(posixpath.normpath, disposable)
