"""The drivers' contracts, in a guest: on OpenZFS and WireGuard in the kernel, and Docker under systemd."""

from __future__ import annotations

import pytest

from ployz.lab.guest.guest import Guest
from tests.labs import REPOSITORY
from tests.openzfs.conftest import CLONE, SLOW_NODE, SLOWNESS, Say
from tests.real import PATIENCE

FILE_S = 1800
CONTRACTS = REPOSITORY / "tests/contracts"


DRIVERS = ("zfs", "overlay", "docker", "guard")
FILES = [
    *(str(file.relative_to(REPOSITORY)) for each in DRIVERS for file in sorted(CONTRACTS.glob(f"test_{each}*.py"))),
    "tests/openzfs/suspended.py",
]


@pytest.mark.parametrize("file", FILES)
def test_the_contract_holds_in_the_guest_of(installed: tuple[Guest, Guest], say: Say, file: str) -> None:
    patience = f"PLOYZ_PATIENCE={PATIENCE * SLOWNESS:g}"
    variables = ["PLOYZ_REAL=1", SLOW_NODE, patience, f"PYTHONPATH={CLONE}", "PYTHONUNBUFFERED=1"]
    options = ["-v", "--tb=short", "-p", "no:cacheprovider", "-m", "real"]
    pytest_ = [f"{CLONE}/.venv/bin/python", "-P", "-m", "pytest", *options, file]
    argv = ["env", f"--chdir={CLONE}", *variables, *pytest_]
    assert installed[0].follow(*argv, say=say, deadline_s=FILE_S) == 0
