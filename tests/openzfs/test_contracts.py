"""The drivers' contracts, in a guest: on OpenZFS and WireGuard in the kernel, and Docker under systemd."""

from __future__ import annotations

import pytest

from ployz.lab.guest.guest import Guest
from tests.openzfs.conftest import CLONE, Say
from tests.real import PATIENCE

FILE_S = 1800
SLOW = 6
"""How much longer anything may take there than on this host."""


@pytest.mark.parametrize(
    "name",
    [
        *("test_zfs", "test_zfs_snapshots", "test_zfs_streams", "test_zfs_programs"),
        *("test_overlay", "test_overlay_packets", "test_docker", "test_docker_engine", "test_docker_outages"),
        "test_guard",
    ],
)
def test_the_contract_holds_in_the_guest_of(installed: tuple[Guest, Guest], say: Say, name: str) -> None:
    tests = f"tests/contracts/{name}.py"
    pytest_ = [f"{CLONE}/.venv/bin/python", "-P", "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider", tests]
    variables = ["PLOYZ_REAL=1", "PYTHONUNBUFFERED=1", f"PLOYZ_PATIENCE={PATIENCE * SLOW:g}", f"PYTHONPATH={CLONE}"]
    argv = ["env", f"--chdir={CLONE}", *variables, *pytest_]
    assert installed[0].follow(*argv, say=say, deadline_s=FILE_S) == 0
