"""Who a machine is: founded, prepared, joined; the same again is done, somebody else is refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from attrs import evolve

from ployz.config import Config, Founding, Join
from ployz.errors import Code, Failed, PloyzError, Refused, Usage
from ployz.ids import Certificate, ClusterName, MachineId
from ployz.install.files import write_durably
from ployz.install.settling import AdmissionRequest, Founded, check_subnets, found, join, prepare_to_join
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
    with pytest.raises(Refused) as error:
        join(path, A, HOME, WAY)
    assert code_of(error) is Code.CONFLICT


def test_a_newcomer_asks_with_the_key_that_it_keeps(tmp_path: Path, path: Path) -> None:
    request = prepare_to_join(setup(tmp_path, B), path)
    assert request == AdmissionRequest(B, "192.0.2.7:51820", request.public_key, request.certificate)
    assert prepare_to_join(setup(tmp_path, B), path) == request
    assert Config.load(path).cluster is None


def test_until_it_joined_its_description_may_be_corrected_but_not_its_name(tmp_path: Path, path: Path) -> None:
    first = prepare_to_join(setup(tmp_path, B), path)
    corrected = prepare_to_join(evolve(setup(tmp_path, B), endpoint="192.0.2.8:51820"), path)
    assert (corrected.endpoint, corrected.public_key) == ("192.0.2.8:51820", first.public_key)
    with pytest.raises(Refused) as error:
        prepare_to_join(setup(tmp_path, A), path)
    assert code_of(error) is Code.CONFLICT


def test_joining_makes_it_a_member_and_joining_again_is_done(tmp_path: Path, path: Path) -> None:
    prepare_to_join(setup(tmp_path, B), path)
    for _ in range(2):
        joined = join(path, B, HOME, WAY)
        assert Config.load(path) == joined
    assert (joined.cluster, joined.join) == (HOME, WAY)


def test_a_member_may_print_its_request_again_and_stays_a_member(tmp_path: Path, path: Path) -> None:
    request = prepare_to_join(setup(tmp_path, B), path)
    joined = join(path, B, HOME, WAY)
    assert prepare_to_join(setup(tmp_path, B), path) == request
    assert Config.load(path) == joined


def test_a_member_does_not_join_another_cluster_and_does_not_found_one(tmp_path: Path, path: Path) -> None:
    prepare_to_join(setup(tmp_path, B), path)
    joined = join(path, B, HOME, WAY)
    with pytest.raises(Refused):
        join(path, B, ClusterName("other"), WAY)
    with pytest.raises(Refused):
        founded(setup(tmp_path, B), path)
    assert Config.load(path) == joined


def test_a_document_for_another_machine_is_refused(tmp_path: Path, path: Path) -> None:
    prepare_to_join(setup(tmp_path, B), path)
    with pytest.raises(Refused) as error:
        join(path, A, HOME, WAY)
    assert "this document is for machine-a, and this machine is machine-b" in str(error.value)


def test_a_machine_that_was_never_prepared_does_not_join(path: Path) -> None:
    with pytest.raises(Refused) as error:
        join(path, B, HOME, WAY)
    assert code_of(error) is Code.INVALID_CONFIG


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
