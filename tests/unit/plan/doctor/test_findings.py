from __future__ import annotations

import pytest
from attrs import evolve

from ployz.errors import Code, Problem
from ployz.ids import VolumeRef
from ployz.plan.doctor.findings import CERTIFICATE_SOON_MS, DAY_MS, Severity
from ployz.plan.doctor.leftovers import RESTART
from ployz.plan.doctor.readings import (
    HANDSHAKE_OLD_MS,
    Authority,
    CertificateReading,
    Clock,
    Examined,
    FailedLook,
    HangingReading,
    Leftover,
    LogReading,
    Look,
    PeerReading,
    StateReading,
    UnsettledReading,
    VolumeReading,
)
from tests.unit.plan.doctor.examples import GIB, NOW_MS, POOL, A, B, examined, found, kinds

SILENT = Examined(B, None, None, Problem(Code.MACHINE_UNREACHABLE, "no answer"))


def test_machines_that_are_well_have_no_findings() -> None:
    assert found() == ()


def test_every_finding_says_what_to_do() -> None:
    spoiled = examined(
        B,
        position=3,
        removed=True,
        version="1.3.0",
        missing=("dockerd: start it",),
        pool=evolve(POOL, works=False, health="SUSPENDED", free_bytes=0),
        peers=(PeerReading(A, None),),
        log=LogReading(40, ("event 3: changed",)),
        identity="it is not there",
        certificates=(CertificateReading("/x.pem", 0, "no PEM"), CertificateReading("/y.pem", NOW_MS - 1)),
        leftovers=(Leftover("guard", "x", "is of no operation", "rm x"),),
        failed=(FailedLook(Look.DOORS, Problem(Code.TIMED_OUT, "too slow")),),
        hanging=(HangingReading("zfs mount tank/a", 90, by_daemon=True),),
    )
    everything = found(spoiled, authority=Authority(None, Problem(Code.TIMED_OUT, "no answer"), ("too old",)))
    assert len({each.kind for each in everything}) == 15
    for each in everything:
        assert each.text
        assert each.remedy


def test_errors_come_first() -> None:
    low = examined(A, pool=evolve(POOL, free_bytes=10 * GIB))
    assert [severity for severity, *_ in kinds(low, SILENT)] == ["error", "warning"]


@pytest.mark.parametrize(
    ("free_gib", "expected"),
    [(60, []), (15, ["pool-nearly-full"]), (5, ["pool-full"]), (0, ["pool-full"])],
)
def test_a_pool_is_full_where_moves_are_refused(free_gib: int, expected: list[str]) -> None:
    assert [kind for _, kind, _ in kinds(examined(A, pool=evolve(POOL, free_bytes=free_gib * GIB)))] == expected


def test_what_is_advised_for_a_pool_frees_something() -> None:
    """A volume that moved away leaves its copy."""
    (full,) = found(examined(A, pool=evolve(POOL, free_bytes=GIB)))
    assert "leaves a copy, which `ployzctl volume drop-copy` destroys" in full.remedy


@pytest.mark.parametrize(
    ("free", "files_free", "expected"),
    [
        (500, 500, []),
        (101, 500, []),
        (100, 500, ["state-folder-nearly-full"]),
        (30, 500, ["state-folder-full"]),
        (0, 500, ["state-folder-full"]),
        (500, 80, ["state-folder-nearly-full"]),
        (500, 0, ["state-folder-full"]),
    ],
)
def test_a_state_folder_is_told_of_before_nothing_can_be_written(
    free: int, files_free: int, expected: list[str]
) -> None:
    state = StateReading("/var/lib/ployz", "/var", 1000 << 20, free << 20, 1000, files_free)
    said = found(examined(A, state=state))
    assert [each.kind for each in said] == expected
    assert all("file system /var," in each.text and "/var" in each.remedy for each in said)
    no_limit = evolve(state, files=0, files_free=0, free_bytes=500 << 20)
    assert kinds(examined(A, state=no_limit)) == []


def test_a_degraded_pool_is_a_warning_and_a_suspended_one_an_error() -> None:
    degraded = evolve(POOL, health="DEGRADED")
    suspended = evolve(POOL, health="SUSPENDED", works=False)
    assert kinds(examined(A, pool=degraded)) == [("warning", "pool-degraded", A)]
    assert kinds(examined(A, pool=suspended)) == [("error", "pool-broken", A)]


def test_a_machine_that_is_silent_is_told_of_once() -> None:
    """That its neighbours do not hear it, either, says whether it is on."""
    off = found(examined(A, peers=(PeerReading(B, HANDSHAKE_OLD_MS),)), SILENT)
    assert [(each.kind, each.machine) for each in off] == [("machine-silent", B)]
    assert "does not answer either" in off[0].remedy
    alone = found(examined(A, peers=(PeerReading(B, 12_000),)), SILENT)
    assert [(each.kind, each.machine) for each in alone] == [("machine-silent", B)]
    assert "answered 12 s ago" in alone[0].remedy
    assert "systemctl status ployzd" in alone[0].remedy


def test_two_machines_that_do_not_shake_hands_are_each_named() -> None:
    never = kinds(examined(A, peers=(PeerReading(B, None),)), examined(B, peers=(PeerReading(A, HANDSHAKE_OLD_MS),)))
    assert never == [("error", "handshake-old", A), ("error", "handshake-old", B)]


def test_a_clock_is_off_only_by_more_than_the_answer_took() -> None:
    def off(offset_ms: int, doubt_ms: int) -> list[str]:
        clock = Clock(offset_ms, doubt_ms)
        return [kind for _, kind, _ in kinds(evolve(examined(B), clock=clock))]

    assert off(1_500, 10) == ["clock-off"]
    assert off(-1_500, 10) == ["clock-off"]
    assert off(1_500, 600) == []
    assert off(900, 0) == []


def test_a_machine_that_does_not_catch_up_is_behind() -> None:
    assert kinds(examined(B, position=5)) == [("error", "facts-behind", B)]
    assert kinds(examined(B, position=9)) == []


def test_a_part_that_is_missing_is_not_told_twice() -> None:
    look = FailedLook(Look.CONTAINERS, Problem(Code.DOCKER_FAILED, "no answer"))
    dead = examined(B, missing=("dockerd: nothing listens; start Docker",), failed=(look,))
    assert kinds(dead) == [("error", "requirement-missing", B)]
    assert kinds(examined(B, failed=(look,))) == [("error", "look-failed", B)]


def test_a_certificate_is_told_of_three_weeks_before_it_ends() -> None:
    def told(left_ms: int) -> list[tuple[str, str]]:
        certificate = CertificateReading("/x.pem", NOW_MS + left_ms)
        return [(severity, kind) for severity, kind, _ in kinds(examined(A, certificates=(certificate,)))]

    assert told(CERTIFICATE_SOON_MS) == []
    assert told(CERTIFICATE_SOON_MS - DAY_MS) == [("warning", "certificate-ends")]
    assert told(-1) == [("error", "certificate-ended")]


def test_versions_of_one_minor_are_a_warning_and_of_two_an_error() -> None:
    assert kinds(examined(B, version="1.4.9")) == [("warning", "versions-differ", None)]
    assert kinds(examined(B, version="1.5.0")) == [("error", "versions-differ", None)]


def test_an_authority_that_is_away_keeps_nobody_from_being_examined() -> None:
    away = Authority(None, Problem(Code.MACHINE_UNREACHABLE, "no answer"))
    assert kinds(examined(B, position=3), authority=away) == [("error", "authority-away", None)]


OF_DAEMON = HangingReading("zfs mount tank/ployz/production/data", 184, by_daemon=True)
IN_KERNEL = evolve(OF_DAEMON, by_daemon=False)


@pytest.mark.parametrize(("hanging", "helps"), [(OF_DAEMON, "its zfs-fuse"), (IN_KERNEL, "`zpool status`")])
def test_a_mount_that_hangs_is_named_with_what_helps(hanging: HangingReading, helps: str) -> None:
    (finding,) = found(examined(B, hanging=(hanging, hanging)))
    assert (finding.severity, finding.kind, finding.machine) == ("error", "mounts-hang", B)
    assert finding.text == (
        "mounts hang: `zfs mount tank/ployz/production/data` has not ended for 184 s, nor have 1 more"
    )
    assert helps in finding.remedy
    assert "restart of ployzd does not help" in finding.remedy


def test_while_mounts_hang_nobody_is_told_to_restart_ployzd_and_what_waits_for_them_is_no_finding_of_its_own() -> None:
    slow = Problem(Code.TIMED_OUT, "it was not done within 12 s")
    left = (Leftover("dataset", "tank/x", "is of an operation", RESTART), Leftover("guard", "y", "is", "rm y"))
    failed = (FailedLook(Look.DATASETS, slow), FailedLook(Look.POOL, slow), FailedLook(Look.DOORS, slow))
    there = found(examined(B, hanging=(OF_DAEMON,), leftovers=left, failed=failed))
    remedies = {each.kind: each.remedy for each in there}
    assert sorted(remedies) == ["leftover-dataset", "leftover-guard", "look-failed", "mounts-hang"]
    assert RESTART not in remedies.values()
    assert remedies["leftover-guard"] == "rm y"
    (look,) = [each for each in there if each.kind == "look-failed"]
    assert look.text.startswith("doors")


def test_what_cannot_be_settled_for_a_minute_is_an_error_unless_it_is_said_already() -> None:
    problem = Problem(Code.ZFS_FAILED, "cannot set property", "Free space.")
    late = UnsettledReading("volume production/pgdata", 61_000, problem)
    (error,) = found(examined(A, unsettled=(late, evolve(late, age_ms=59_000))))
    assert (error.severity, error.kind, error.remedy) == (Severity.ERROR, "unsettled", "Free space.")
    assert "is not as the facts have it, for 61 s now: cannot set property" in error.text
    assert kinds(examined(A, unsettled=(late,), failed=(FailedLook(Look.DATASETS, problem),))) == [
        ("error", "look-failed", A)
    ]


def test_a_volume_near_its_limit_is_named_with_what_takes_it() -> None:
    pgdata = VolumeReading(VolumeRef.parse("production/pgdata"), 100 << 20, 0, 90 << 20, 50 << 20)
    (near,) = found(examined(A, volumes=(pgdata,)))
    assert (near.severity, near.kind) == (Severity.WARNING, "volume-nearly-full")
    assert "90% of its 100 MiB in use, by its data; its snapshots hold 50 MiB of the pool beside it" in near.text
    (full,) = found(examined(A, volumes=(evolve(pgdata, referenced_bytes=98 << 20),)))
    assert (full.severity, full.kind) == (Severity.ERROR, "volume-full")
    both = evolve(pgdata, quota_bytes=0, total_quota_bytes=150 << 20)
    (counted,) = found(examined(A, volumes=(both,)))
    assert "by 90 MiB of data and 50 MiB that its snapshots hold" in counted.text
    assert found(examined(A, volumes=(evolve(pgdata, referenced_bytes=80 << 20),))) == ()
    assert found(examined(A, volumes=(evolve(pgdata, quota_bytes=0),))) == ()
