"""What the lab itself runs on this host. A node names its own needs, when it joins (ployz/install/requirements.py)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import frozen

from ployz.errors import Code, Refused

TABLE: Final = Path(__file__).with_name("packages.txt")


@frozen
class Need:
    group: str
    program: str
    """A name, or a path that may have wildcards."""
    packages: tuple[str, ...]
    """The first that the release has is the right one."""


def needs(table: str) -> Iterator[Need]:
    for line in table.splitlines():
        if line and not line.startswith("#"):
            group, program, *packages = line.split()
            yield Need(group, program, tuple(packages))


def require() -> None:
    """`Refused` with all the programs that a lab cannot be made without, and are not here."""
    lab = [each for each in needs(TABLE.read_text()) if each.group == "lab"]
    missing = [each for each in lab if shutil.which(each.program) is None]
    if missing:
        lines = "".join(f"\n  {each.program}: install {' or '.join(each.packages)}" for each in missing)
        raise Refused(Code.MISSING_PART, f"the lab needs what this host lacks:{lines}", "Run bin/setup, which does.")
