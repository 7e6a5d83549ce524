"""What services are called."""

from __future__ import annotations

from ployz.host.ports import HostRecord
from ployz.ids import Namespace, SlotRef
from ployz.plan.naming import host_records, names_of, search_domains
from tests.unit.plan.examples import POSTGRES, WEB, A, B, postgres


def test_a_slot_has_a_name_of_its_own_and_shares_that_of_its_service() -> None:
    world = postgres()
    (db,) = [slot for _, slot in world.view.placement.slots()]
    names = ("slot-1.db.production.ployz.internal", "db.production.ployz.internal")
    assert host_records(world.view) == (HostRecord(db.ipv4, names), HostRecord(db.ipv6, names))


def test_every_replica_is_behind_the_name_of_its_service_and_none_that_was_removed() -> None:
    world = postgres()
    world.commit(POSTGRES + WEB.replace('"web"', '"web"\nplacement = { replicated = { count = 3 } }', 1))
    named = [each for each in host_records(world.view) if "web.production.ployz.internal" in each.names]
    assert len(named) == 6
    assert len({each.names[0] for each in named}) == 3
    world.commit(POSTGRES)
    assert not any("web" in name for each in host_records(world.view) for name in each.names)


def test_a_move_changes_no_name_and_a_machine_that_is_no_member_answers_to_none() -> None:
    world = postgres()
    before = host_records(world.view)
    world.commit(
        POSTGRES
        + """
        [intent]
        volumes = [{ volume = "pgdata", move = { from_machine = "machine-a", to_machine = "machine-b" } }]
        services = [{ service = "db", move = { to_machine = "machine-b" } }]
        """
    )
    assert [slot.machine for _, slot in world.view.placement.slots()] == [B]
    assert host_records(world.view) == before
    world.lose(A)
    assert host_records(world.view) == before
    world.lose(B)
    assert host_records(world.view) == ()


def test_short_names_are_of_the_same_namespace_then_of_another() -> None:
    assert search_domains(Namespace("production")) == ("production.ployz.internal", "ployz.internal")
    assert names_of(SlotRef.parse("production/db/slot-2"))[0] == "slot-2.db.production.ployz.internal"
