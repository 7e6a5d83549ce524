from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from ployz.events.types import MachineIdentified, MachineKeyAnnounced, MachineKeyRotated, SlotPlacement
from ployz.host.ports import OverlayPeer, OverlayState, PeerStatus, Station
from ployz.ids import MachineId, Namespace, OperationId, ServiceName, ServiceRef, SlotName, SlotRef
from ployz.plan.addresses import (
    Subnets,
    is_sought_elsewhere,
    machine_numbers_free,
    new_addresses,
    overlay_state,
    unique_local_prefix,
)
from ployz.projections.placement import NamespaceState
from ployz.projections.settings import Setting
from ployz.projections.view import ClusterView
from ployz.wire.certificates import certificate_of, new_identity, private_key_of, vouch
from tests.unit.plan.bounds import BOUNDED
from tests.unit.plan.examples import DB, MOVE_DB, POSTGRES, A, B, C, World, cluster, postgres

SUBNETS = Subnets.of("fd00:1::/48", "10.211.0.0/16", "10.210.0.0/16")
TINY = Subnets.of("fd00:1::/48", "10.211.0.0/16", "10.210.0.0/27")
"""15 addresses for slots."""
MACHINES = (A, B, C, MachineId("machine-gone"))


def slot(number: int) -> SlotRef:
    return SlotRef(ServiceRef.parse("production/web"), SlotName(f"slot-{number}"))


def view_of(*slots: SlotPlacement) -> ClusterView:
    view = cluster().view
    of = {(each.service, each.slot): each for each in slots}
    state = NamespaceState(Namespace("production"), OperationId("op-1"), 1, 1, "{}", of)
    view.placement._namespaces = {state.namespace: state}
    return view


def placement(number: int, machine: MachineId, pair: tuple[str, str]) -> SlotPlacement:
    return SlotPlacement(
        service=ServiceName("web"),
        slot=SlotName(f"slot-{number}"),
        machine=machine,
        ipv6=pair[0],
        ipv4=pair[1],
        image_id="i",
        template_hash="t",
        operation_id=OperationId("op-1"),
    )


# ---------------------------------------------------------------- the address plan


def test_machines_live_in_subnet_0_and_slots_in_subnet_1() -> None:
    assert SUBNETS.machine(3) == ("fd00:1::3", "10.211.0.3")
    assert SUBNETS.slot(300) == ("fd00:1:0:1::12c", "10.210.1.44")
    assert SUBNETS.gateway == ("fd00:1:0:1::1", "10.210.0.1")


def test_the_bridge_is_the_same_on_every_machine() -> None:
    bridge = SUBNETS.bridge("ployz-br0")
    assert (bridge.ipv6_subnet, bridge.ipv4_subnet) == ("fd00:1:0:1::/64", "10.210.0.0/16")
    assert (bridge.ipv6_gateway, bridge.ipv4_gateway) == SUBNETS.gateway


def test_a_prefix_is_a_unique_local_48() -> None:
    network = IPv6Network(unique_local_prefix(b"\x01\x02\x03\x04\x05"))
    assert str(network) == "fd01:203:405::/48"
    assert network.subnet_of(IPv6Network("fd00::/8"))


def test_the_lowest_free_machine_number_is_given_until_there_is_none() -> None:
    assert machine_numbers_free([], 3) == 1
    assert machine_numbers_free([1, 3], 3) == 2
    assert machine_numbers_free([1, 2, 3], 3) is None


# ---------------------------------------------------------------- new addresses


def test_a_slot_finds_its_old_address_again() -> None:
    first = new_addresses(cluster().view, SUBNETS, [slot(1), slot(2)])
    assert new_addresses(view_of(placement(9, A, first[slot(2)])), SUBNETS, [slot(1)]) == {slot(1): first[slot(1)]}


def test_an_address_that_is_taken_is_passed_over() -> None:
    wanted = new_addresses(cluster().view, SUBNETS, [slot(1)])[slot(1)]
    given_now = new_addresses(view_of(placement(9, A, wanted)), SUBNETS, [slot(1)])[slot(1)]
    assert int(IPv4Address(given_now[1])) - int(IPv4Address(wanted[1])) == 1


def test_two_deploys_at_once_want_different_addresses() -> None:
    """What another namespace is about to take is in no fact yet."""
    view = cluster().view
    refs = [SlotRef(ServiceRef(Namespace(f"n{at}"), ServiceName("web")), SlotName("slot-1")) for at in range(20)]
    assert len({new_addresses(view, SUBNETS, [ref])[ref] for ref in refs}) == len(refs)


def test_a_full_subnet_gives_what_it_has() -> None:
    given_all = new_addresses(cluster().view, TINY, [slot(number) for number in range(20)])
    assert list(given_all) == [slot(number) for number in range(15)]
    assert {IPv4Address(ipv4) for _, ipv4 in given_all.values()} == {
        IPv4Address(f"10.210.0.{n}") for n in range(16, 31)
    }


@BOUNDED
@given(st.sets(st.integers(1, 60)), st.sets(st.integers(61, 90)))
def test_addresses_never_collide(there: set[int], new: set[int]) -> None:
    subnets = Subnets.of("fd00:1::/48", "10.211.0.0/16", "10.210.0.0/25")
    held = new_addresses(cluster().view, subnets, [slot(number) for number in sorted(there)])
    view = view_of(*(placement(number, A, held[slot(number)]) for number in there))
    fresh = new_addresses(view, subnets, [slot(number) for number in sorted(new)])
    every = [*held.values(), *fresh.values()]
    assert len(fresh) == len(new)
    for family in (0, 1):
        assert len({pair[family] for pair in every}) == len(every)
    for ipv6, ipv4 in every:
        assert int(IPv4Address(ipv4)) & 0x7F == int(IPv6Address(ipv6)) & 0xFFFF
        assert 16 <= int(IPv4Address(ipv4)) & 0x7F <= 126


# ---------------------------------------------------------------- where each address is


def addresses(state: OverlayState) -> list[str]:
    return [*state.local, *(address for peer in state.peers for address in peer.addresses)]


def behind(world: World, me: MachineId, other: str) -> frozenset[str]:
    state = overlay_state(world.view, me, [])
    (peer,) = (each for each in state.peers if each.public_key == other)
    return peer.addresses


def test_a_slot_is_local_on_its_machine_and_behind_it_for_all_others() -> None:
    world = postgres()
    (db,) = world.view.placement.of_service(DB)
    assert overlay_state(world.view, A, []).local == {db.ipv6, db.ipv4}
    assert behind(world, B, "key-1") == {"fd00:1::1", "10.211.0.1", db.ipv6, db.ipv4}
    assert behind(world, B, "key-3") == {"fd00:1::3", "10.211.0.3"}
    assert overlay_state(world.view, B, []).local == frozenset()


def test_a_machine_whose_key_changes_is_two_peers_of_which_the_one_that_is_heard_has_its_addresses() -> None:
    world = postgres()
    identity = new_identity(A)
    world.fact(MachineIdentified(A, certificate_of(identity)))
    world.fact(MachineKeyAnnounced(A, "next", vouch(private_key_of(identity), A, "next")))
    has = behind(world, B, "key-1")
    assert (bool(has), behind(world, B, "next")) == (True, frozenset())
    changed = {each.public_key: each.addresses for each in overlay_state(world.view, B, [], answering={"next"}).peers}
    assert (changed["key-1"], changed["next"]) == (frozenset(), has)
    world.fact(MachineKeyRotated(A, "next"))
    assert behind(world, B, "next") == has
    assert "key-1" not in {each.public_key for each in overlay_state(world.view, B, []).peers}


def test_an_address_follows_the_commit() -> None:
    world = postgres()
    (db,) = world.view.placement.of_service(DB)
    world.commit(POSTGRES + MOVE_DB)
    assert overlay_state(world.view, B, []).local == {db.ipv6, db.ipv4}
    assert db.ipv4 in behind(world, A, "key-2")
    assert db.ipv4 not in behind(world, C, "key-1")


def test_a_candidate_is_reached_here_by_this_machine_alone() -> None:
    world = postgres()
    (db,) = world.view.placement.of_service(DB)
    state = overlay_state(world.view, B, [(db.ipv6, db.ipv4)])
    assert state.local == {db.ipv6, db.ipv4}
    assert not any({db.ipv6, db.ipv4} & peer.addresses for peer in state.peers)
    assert db.ipv4 in behind(world, C, "key-1")


def test_a_candidate_is_closed_while_the_facts_have_its_address_on_another_machine() -> None:
    world = postgres()
    (db,) = world.view.placement.of_service(DB)
    claim = (db.ipv6, db.ipv4)
    assert overlay_state(world.view, B, [claim], withheld=[claim]).closed == {db.ipv6, db.ipv4}
    assert overlay_state(world.view, B, [], withheld=[claim]).closed == {db.ipv6, db.ipv4}
    assert overlay_state(world.view, A, [claim], withheld=[claim]).closed == frozenset()


def test_who_may_speak_on_a_bridge_is_whoever_is_there_or_about_to_be() -> None:
    world = postgres()
    (db,) = world.view.placement.of_service(DB)
    pair = (db.ipv6, db.ipv4)
    there = frozenset({Station(db.ipv4, db.ipv6)})
    assert overlay_state(world.view, A, []).stations is None
    assert overlay_state(world.view, A, [], plugged={}).stations == there
    known = overlay_state(world.view, A, [], plugged={db.ipv4: 7, "10.0.0.1": 8}).stations
    assert known == frozenset({Station(db.ipv4, db.ipv6, 7)})
    assert overlay_state(world.view, B, [], plugged={db.ipv4: 7}).stations == frozenset()
    assert overlay_state(world.view, B, [pair], plugged={}).stations == there
    assert overlay_state(world.view, B, [], withheld=[pair], plugged={}).stations == there
    assert overlay_state(world.view, B, [], reserved=[pair], plugged={}).stations == there


def test_a_network_made_ahead_is_hidden_while_the_facts_have_its_address_on_another_machine() -> None:
    world = postgres()
    (db,) = world.view.placement.of_service(DB)
    ahead = [(db.ipv6, db.ipv4)]
    assert overlay_state(world.view, B, [], reserved=ahead).hidden == {db.ipv4}
    assert overlay_state(world.view, A, [], reserved=ahead).hidden == frozenset()
    assert overlay_state(world.view, B, [], reserved=ahead).local == overlay_state(world.view, B, []).local


def test_a_machine_that_is_no_member_yet_has_every_member_as_its_peer() -> None:
    state = overlay_state(postgres().view, MachineId("machine-new"), [])
    assert [peer.endpoint for peer in state.peers] == [f"192.0.2.{n}:51820" for n in (1, 2, 3)]


_claims = st.sets(st.integers(1, 12))


@BOUNDED
@given(st.dictionaries(st.integers(1, 12), st.sampled_from(MACHINES)), _claims, st.sampled_from([A, B, C]))
def test_every_address_is_in_exactly_one_place_and_none_is_lost(
    slots: dict[int, MachineId], claims: set[int], me: MachineId
) -> None:
    pairs = {number: SUBNETS.slot(15 + number) for number in range(1, 13)}
    view = view_of(*(placement(number, machine, pairs[number]) for number, machine in slots.items()))
    state = overlay_state(view, me, [pairs[number] for number in claims])
    everywhere = addresses(state)
    assert len(everywhere) == len(set(everywhere))
    own = {
        address
        for member in view.machines.in_order()
        if member.machine != me
        for address in SUBNETS.machine(member.number)
    }
    reached = {number for number, machine in slots.items() if machine in (A, B, C)} | claims
    assert set(everywhere) == own | {address for number in reached for address in pairs[number]}
    for number in claims:
        assert set(pairs[number]) <= state.local


def test_every_machine_says_of_every_other_where_the_same_address_is() -> None:
    world = postgres()
    (db,) = world.view.placement.of_service(DB)
    for me in (B, C):
        (there,) = [peer for peer in overlay_state(world.view, me, []).peers if db.ipv6 in peer.addresses]
        assert there.public_key == "key-1"


def test_another_endpoint_is_another_peer() -> None:
    world = postgres()
    moved = evolve(world.view.machines[A], endpoint="198.51.100.1:51820")
    world.view.machines._members[A] = moved
    assert "198.51.100.1:51820" in {peer.endpoint for peer in overlay_state(world.view, B, []).peers}


@pytest.mark.parametrize(
    ("age_s", "endpoint", "elsewhere"),
    [
        (None, "192.0.2.9:51820", True),
        (181.0, "192.0.2.9:51820", True),
        (20.0, "192.0.2.9:51820", False),
        (181.0, "192.0.2.7:51820", False),
    ],
)
def test_a_machine_that_is_heard_knows_best_where_it_is_and_any_other_is_where_it_is_said_to_be(
    age_s: float | None, endpoint: str, *, elsewhere: bool
) -> None:
    state = OverlayState((OverlayPeer("key", "192.0.2.7:51820", frozenset()),), frozenset())
    stranger = PeerStatus("other", None, 0, 0, "192.0.2.1:51820")
    assert is_sought_elsewhere(state, [stranger, PeerStatus("key", age_s, 0, 0, endpoint)]) is elsewhere


def test_a_packet_is_as_small_as_either_machine_or_the_way_between_them_needs_it() -> None:
    world = postgres()

    def mtus(me: MachineId, **ways: int) -> dict[str, int]:
        keys = {each.replace("_", "-"): mtu for each, mtu in ways.items()}
        return {peer.public_key: peer.mtu for peer in overlay_state(world.view, me, [], ways=keys).peers}

    assert mtus(A, key_2=1400) == {"key-2": 1400, "key-3": 1420}
    world.view.machines._members[B] = world.view.machines[B].with_(Setting("mtu", "1340"))
    assert mtus(A) == {"key-2": 1340, "key-3": 1420}
    assert mtus(A, key_2=1300, key_3=1400) == {"key-2": 1300, "key-3": 1400}
    assert mtus(B) == {"key-1": 1340, "key-3": 1340}
    world.view.machines._members[B] = world.view.machines[B].with_(Setting("mtu", "auto"))
    assert mtus(B) == {"key-1": 1420, "key-3": 1420}
