"""What a test of a real part needs before it may run: root, and the programs of that part.

Without them it is skipped with a reason; where PLOYZ_REAL=1 is set (bin/test sets it) it fails, so that nothing is
left out unseen.
"""

from __future__ import annotations

import os
import shutil

import pytest

PATIENCE = float(os.environ.get("PLOYZ_PATIENCE", "1"))
"""What a test multiplies its deadlines by: in a guest under emulation, everything takes several times as long."""


def need(*programs: str, root: bool = True) -> None:
    """Ends the calling test or fixture here unless this is root on a machine that has all these programs.

    `root=False`: anybody may run it who has them.
    """
    lacks = [program for program in programs if shutil.which(program) is None]
    if root and os.geteuid() != 0:
        lacks.insert(0, "root")
    if not lacks:
        return
    reason = f"this test drives a real part, and this machine lacks: {', '.join(lacks)}"
    if os.environ.get("PLOYZ_REAL") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
