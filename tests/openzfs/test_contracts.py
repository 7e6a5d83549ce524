"""The drivers' contracts, in a guest: on OpenZFS and WireGuard in the kernel, and Docker under systemd."""

from __future__ import annotations

import pytest

from ployz.lab.guest.guest import Guest
from tests.openzfs.conftest import CLONE, SLOWNESS, Say
from tests.real import PATIENCE

FILE_S = 1800


@pytest.mark.parametrize(
    "file",
    [
        *(f"contracts/test_{name}.py" for name in ("zfs", "zfs_snapshots", "zfs_streams", "zfs_programs")),
        "openzfs/suspended.py",
        *(f"contracts/test_{name}.py" for name in ("overlay", "overlay_packets", "guard")),
        *(f"contracts/test_{name}.py" for name in ("docker", "docker_engine", "docker_outages")),
    ],
)
def test_the_contract_holds_in_the_guest_of(installed: tuple[Guest, Guest], say: Say, file: str) -> None:
    variables = ["PLOYZ_REAL=1", f"PLOYZ_PATIENCE={PATIENCE * SLOWNESS:g}", f"PYTHONPATH={CLONE}", "PYTHONUNBUFFERED=1"]
    options = ["-v", "--tb=short", "-p", "no:cacheprovider", "-m", "real"]
    pytest_ = [f"{CLONE}/.venv/bin/python", "-P", "-m", "pytest", *options, f"tests/{file}"]
    argv = ["env", f"--chdir={CLONE}", *variables, *pytest_]
    assert installed[0].follow(*argv, say=say, deadline_s=FILE_S) == 0
