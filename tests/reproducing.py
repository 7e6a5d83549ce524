"""How to run alone what failed: two lines for each failure, with all that it needs. tests/conftest.py prints them."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from typing import Final

MOST: Final = 10
"""Failures that are told. Whoever has more begins with these."""

NEEDS_ROOT: Final = frozenset({"real", "lab"})
"""Markers of tests that drive real parts."""

VARIABLE: Final = "PLOYZ_"
"""What the names of the variables begin with that change what a test does."""


def lines(nodeid: str, markers: Collection[str], environment: Mapping[str, str]) -> tuple[str, str]:
    """To be typed in the project's folder: first its file, or what it needs, then the test alone.

    `environment` is that of the run that failed: of it the test gets what it had, PLOYZ_FACTS=etcd for example.
    """
    path, _, _ = nodeid.partition("::")
    variables = {name: value for name, value in sorted(environment.items()) if name.startswith(VARIABLE)}
    real = not NEEDS_ROOT.isdisjoint(markers)
    if real:
        variables["PLOYZ_REAL"] = "1"
    assigned = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    words = [*filter(None, [assigned]), "PYTHONPATH=$PWD .venv/bin/python -P -m pytest", shlex.quote(nodeid)]
    first = "bin/setup  # as root, which the next line needs, too" if real else f"bin/check {path}"
    return first, " ".join(words)


def told(failed: Mapping[str, Collection[str]], environment: Mapping[str, str]) -> list[str]:
    """Of the node ids of what failed, and the markers of each."""
    said: list[str] = []
    for nodeid in list(failed)[:MOST]:
        said += ["", *lines(nodeid, failed[nodeid], environment)]
    if len(failed) > MOST:
        said += ["", f"and {len(failed) - MOST} more"]
    return said[1:]
