"""A machine on which ployz is installed, and nothing that it needs was set up."""

from __future__ import annotations

import pytest

from ployz.lab.guest.guest import Guest
from tests.openzfs.conftest import SLOW_NODE

INIT = "ployzctl cluster init home --machine machine-a --endpoint 10.77.0.1:51820"


@pytest.fixture
def fresh(installed: tuple[Guest, Guest]) -> Guest:
    """As Debian's packages leave a machine: no pool, no configuration of Docker."""
    assert installed[0].run("zpool", "list", "-H") == ""
    return installed[0]


def init(guest: Guest, before: str = "true") -> str:
    done = guest.try_("sh", "-c", f"export {SLOW_NODE}; {before}; {INIT}")
    assert done.returncode == 1, done
    assert guest.try_("test", "-e", "/etc/ployz").returncode == 1, "nothing was changed"
    return done.stderr


def test_everything_that_a_fresh_machine_lacks_is_named_with_what_to_do(fresh: Guest) -> None:
    said = init(fresh)
    assert "[missing-part]: 2 things are missing" in said
    assert "/etc/docker/daemon.json" in said
    assert "pool tank: there is no such ZFS pool (there is: none)" in said


def test_a_kernel_without_its_zfs_module_is_told_how_to_load_it(fresh: Guest) -> None:
    said = init(fresh, before="modprobe -r zfs")
    fresh.run("modprobe", "zfs")
    assert "zfs: `zpool list` failed: The ZFS modules are not loaded." in said
    assert "modprobe zfs" in said


def test_programs_that_are_missing_are_named_with_their_packages(fresh: Guest) -> None:
    said = init(fresh, before="export PATH=/usr/local/bin")
    for name, package in (("zfs", "zfsutils-linux"), ("nft", "nftables"), ("wg", "wireguard-tools")):
        assert f"  {name}: install " in said
        assert package in said


def test_a_node_that_is_not_set_up_is_said_to_be_none(fresh: Guest) -> None:
    done = fresh.try_("ployzctl", "machine", "ls")
    assert done.returncode == 5
    assert "no node answers on /run/ployz/ployzd.sock" in done.stderr
