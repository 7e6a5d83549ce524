from __future__ import annotations

import pytest
from attrs import evolve

from ployz.errors import Code
from ployz.ids import SlotRef, VolumeName
from ployz.manifest.model import Mount, Template, VolumeSource
from ployz.plan.model import Change, Plan
from ployz.plan.removal import uncovered_words
from ployz.plan.reports import ImageReport, MachineReport, UncoveredReport
from ployz.plan.uncovered import Uncovered, may_go, uncovered
from tests.unit.plan.examples import MOVE_DB, POSTGRES, POSTGRES_ID, A, B, codes, dataset, planned, postgres, report

REPLACED = POSTGRES.replace('POSTGRES_DB = "app"', 'POSTGRES_DB = "other"')
DISPOSABLE = 'mounts = [{ source = { volume = "pgdata" }, target = "/data" }]\ndisposable = ["/pg"]'
MOUNTED = 'mounts = [{ source = { volume = "pgdata" }, target = "/pg" }]'
MOUNTS = 'mounts = [{ source = { volume = "pgdata" }, target = "/data" }]'


def plan_of(text: str, *, written: bool) -> Plan:
    """The image calls /pg a VOLUME, and what runs of it on A has written there, or not."""
    world = postgres()
    slot = SlotRef.parse("production/db/slot-1")
    (placed,) = world.view.placement.of_service(slot.service)
    image = ImageReport("postgres:17", POSTGRES_ID, 400 << 20, ("/pg/",))

    def said(of: MachineReport) -> MachineReport:
        return evolve(of, images=(image,))

    there = (UncoveredReport(slot, placed.operation_id, "/pg", written),)
    reports = {A: evolve(said(report(A, dataset())), uncovered=there), B: said(report(B))}
    return planned(world.view, text, reports)


@pytest.mark.parametrize("text", [REPLACED, POSTGRES + MOVE_DB])
def test_a_container_that_has_written_where_no_mount_is_is_neither_replaced_nor_moved(text: str) -> None:
    refused = plan_of(text, written=True)
    assert codes(refused) == [Code.DATA_UNCOVERED]
    assert "production/db/slot-1 has written to /pg" in refused.blockers[0].text
    assert 'disposable = ["/pg"]' in refused.blockers[0].advice


@pytest.mark.parametrize("mounts", [DISPOSABLE, MOUNTED])
def test_it_may_be_when_the_manifest_says_that_it_may_be_lost_or_mounts_it(mounts: str) -> None:
    assert codes(plan_of(REPLACED.replace(MOUNTS, mounts), written=True)) == []


def test_each_volume_of_an_image_that_no_mount_covers_is_named_before_anything_is_written_there() -> None:
    plan = plan_of(REPLACED, written=False)
    assert codes(plan) == []
    assert plan.slots[0].uncovered == (Uncovered("/pg", written=False, disposable=False),)
    (words,) = uncovered_words(plan)
    assert words.startswith("db/slot-1: /pg is a VOLUME of its image without a mount: what is written there goes")
    assert list(uncovered_words(plan_of(REPLACED.replace(MOUNTS, MOUNTED), written=False))) == []


def test_a_slot_that_stays_as_it_is_is_left_alone_and_saying_disposable_replaces_nothing() -> None:
    for text in (POSTGRES, POSTGRES.replace(MOUNTS, DISPOSABLE)):
        plan = plan_of(text, written=True)
        assert (codes(plan), plan.slots[0].change) == ([], Change.UNCHANGED)


@pytest.mark.parametrize("target", ["/pg/data", "/", "/pgdata"])
def test_only_a_mount_at_exactly_its_path_covers_a_volume(target: str) -> None:
    near = Template("postgres:18", mounts=(Mount(VolumeSource(VolumeName("pgdata")), target),))
    exact = Template("postgres:18", mounts=(Mount(VolumeSource(VolumeName("pgdata")), "/pg/"),))
    assert [each.path for each in uncovered(near, ("/pg",), {})] == ["/pg"]
    assert list(uncovered(exact, ("/pg",), {})) == []


def test_what_was_written_goes_with_its_container_only_where_it_is_disposable() -> None:
    template = Template("postgres:18", disposable=("/cache/",))
    assert may_go(template, "/cache", written=True)
    assert not may_go(template, "/pg", written=True)
    assert may_go(template, "/pg", written=False)
    assert not may_go(None, "/pg", written=True)
