"""Who a machine is: founded, prepared, joined; the same again is done, somebody else is refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ployz.config import Config, Founding, Join
from ployz.errors import Code, Failed, PloyzError, Refused, Usage
from ployz.ids import Certificate, ClusterName, MachineId
from ployz.install.files import write_durably
from ployz.install.settling import Founded, check_subnets, found, join, prepare_to_join
from tests.real import need

HOME, A, B = ClusterName("home"), MachineId("machine-a"), MachineId("machine-b")
WAY = Join(
    ipv6_prefix="fd12:3456:789a::/48",
    machine_ipv4_subnet="10.211.0.0/16",
    workload_ipv4_subnet="10.210.0.0/16",
    ipv6="fd12:3456:789a::2",
    ipv4="10.211.0.2",
    founder=A,
    founder_ipv6="fd12:3456:789a::1",
    founder_ipv4="10.211.0.1",
    founder_endpoint="192.0.2.7:51820",
    founder_public_key="key-a",
    founder_certificate=Certificate("Y2VydA=="),
)


@pytest.fixture(autouse=True)
def _wireguard_tools() -> None:
    need("wg")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "config.toml"


def setup(tmp_path: Path, machine: MachineId = A, pool: str = "tank") -> Config:
    return Config(machine=machine, endpoint="192.0.2.7:51820", pool=pool, state_dir=tmp_path / "state")


def founded(
    setup: Config, path: Path, cluster: ClusterName = HOME, entropy: bytes = b"\x01\x02\x03\x04\x05"
) -> Founded:
    return found(
        setup,
        path,
        cluster,
        machine_ipv4_subnet="10.211.0.0/16",
        workload_ipv4_subnet="10.210.0.0/16",
        entropy=entropy,
    )


def code_of(error: pytest.ExceptionInfo[PloyzError]) -> Code:
    return error.value.code


def test_founding_writes_what_the_daemon_reads(tmp_path: Path, path: Path) -> None:
    made = founded(setup(tmp_path), path)
    read = Config.load(path)
    assert read == made.config
    assert read.cluster == HOME
    assert read.founding == Founding("fd01:203:405::/48", "10.211.0.0/16", "10.210.0.0/16")


def test_the_private_key_is_its_owners_alone(tmp_path: Path, path: Path) -> None:
    made = founded(setup(tmp_path), path)
    assert stat.S_IMODE(made.config.private_key.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.config.state_dir.stat().st_mode) == 0o700
    assert made.config.private_key.read_text().strip() not in path.read_text()


def test_founding_again_changes_nothing_not_even_the_addresses(tmp_path: Path, path: Path) -> None:
    first = founded(setup(tmp_path), path, entropy=b"aaaaa")
    assert founded(setup(tmp_path), path, entropy=b"bbbbb") == first


def test_a_founder_is_never_made_somebody_else(tmp_path: Path, path: Path) -> None:
    founded(setup(tmp_path), path)
    before = path.read_bytes()
    for other, cluster in (
        (setup(tmp_path, B), HOME),
        (setup(tmp_path), ClusterName("other")),
        (setup(tmp_path, pool="other"), HOME),
    ):
        with pytest.raises(Refused) as error:
            founded(other, path, cluster)
        assert code_of(error) is Code.CONFLICT
    assert path.read_bytes() == before


def test_a_founder_does_not_join(tmp_path: Path, path: Path) -> None:
    founded(setup(tmp_path), path)
    for cluster in (HOME, ClusterName("other")):
        with pytest.raises(Refused) as error:
            prepare_to_join(setup(tmp_path), path, cluster)
        assert code_of(error) is Code.CONFLICT
        with pytest.raises(Refused) as error:
            join(setup(tmp_path), path, cluster, WAY)
        assert code_of(error) is Code.CONFLICT


def test_a_newcomer_keeps_its_keys_and_is_nobody_until_it_joined(tmp_path: Path, path: Path) -> None:
    keys = prepare_to_join(setup(tmp_path, B), path, HOME)
    assert prepare_to_join(setup(tmp_path, B, pool="other"), path, HOME) == keys
    assert not path.exists()
    for secret in ("wireguard.key", "identity.pem"):
        assert stat.S_IMODE((tmp_path / "state" / secret).stat().st_mode) == 0o600


def test_joining_makes_it_a_member_and_joining_again_is_done(tmp_path: Path, path: Path) -> None:
    for _ in range(2):
        prepare_to_join(setup(tmp_path, B), path, HOME)
        joined = join(setup(tmp_path, B), path, HOME, WAY)
        assert Config.load(path) == joined
    assert (joined.cluster, joined.join) == (HOME, WAY)


def test_a_member_is_never_made_somebody_else(tmp_path: Path, path: Path) -> None:
    joined = join(setup(tmp_path, B), path, HOME, WAY)
    with pytest.raises(Refused):
        prepare_to_join(setup(tmp_path, B), path, ClusterName("other"))
    with pytest.raises(Refused):
        prepare_to_join(setup(tmp_path, A), path, HOME)
    with pytest.raises(Refused):
        join(setup(tmp_path, B), path, ClusterName("other"), WAY)
    with pytest.raises(Refused):
        founded(setup(tmp_path, B), path)
    assert Config.load(path) == joined


@pytest.mark.parametrize(
    ("machines", "workloads"),
    [
        ("10.211.0.0/16", "10.211.0.0/17"),
        ("10.211.0.0", "10.210.0.0/16"),
        ("10.211.0.1/16", "10.210.0.0/16"),
        ("fd00::/16", "10.210.0.0/16"),
        ("10.211.0.0/25", "10.210.0.0/16"),
        ("everywhere", "10.210.0.0/16"),
    ],
)
def test_subnets_that_cannot_work_are_refused(machines: str, workloads: str) -> None:
    with pytest.raises(Usage):
        check_subnets(Founding("fd01:203:405::/48", machines, workloads))


def test_a_file_that_cannot_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(Failed):
        write_durably(path, "text", mode=0o644)
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]
