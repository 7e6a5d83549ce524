"""Which etcd may be trusted with the facts, by its version. Pure."""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

OLDEST: Final = {(3, 5): 28, (3, 6): 9}
"""The first patch of each line that has the fixes that a fact log needs, of lost writes and of stale leases."""
TESTED_ONLY: Final = (3, 4)
"""Serves development and tests; it gets no fixes any more."""

_VERSION: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:[-+].*)?\Z")


@frozen
class Support:
    version: str
    works: bool
    """False: it does not speak what is needed."""
    concern: str = ""
    """Why it should not be relied on in production; empty: nothing is known against it."""


def support(version: str) -> Support:
    found = _VERSION.match(version)
    if found is None:
        return Support(version, works=False, concern=f"etcd says that its version is {version[:40]!r}")
    major, minor, patch = (int(each) for each in found.groups())
    wanted = " or ".join(f"{line[0]}.{line[1]}.{oldest}" for line, oldest in sorted(OLDEST.items()))
    concern = f"etcd {version} is not for production: install {wanted}, or newer"
    line = (major, minor)
    if line < TESTED_ONLY:
        return Support(version, works=False, concern=f"etcd {version} is too old: install {wanted}, or newer")
    if line < min(OLDEST) or patch < OLDEST.get(line, 0):
        return Support(version, works=True, concern=concern)
    return Support(version, works=True)
