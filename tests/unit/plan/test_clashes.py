from __future__ import annotations

from typing import Literal

import pytest
from attrs import evolve

from ployz.errors import Code
from ployz.plan.model import Change, Plan
from ployz.plan.reports import OwnPort
from tests.unit.plan.examples import A, B, cluster, codes, intent, planned, report, service, volumes

HEAD = 'namespace = "production"\n'


def ports(port: int, protocol: str = "tcp", ip: str = "") -> tuple[str, str]:
    """Lines of a service that publishes this port."""
    declared = f'service_ports = [{{ name = "p", container_port = 80, protocol = "{protocol}" }}]'
    there = f', host_ip = "{ip}"' if ip else ""
    return declared, f'publish = [{{ service_port = "p", host_port = {port}{there} }}]'


def on(machine: str) -> str:
    return f'on = ["{machine}"]'


def after(before: str, text: str) -> Plan:
    """The plan of `text` where `before` is committed."""
    world = cluster(A, B)
    world.commit(HEAD + before)
    return planned(world.view, HEAD + text)


# ---------------------------------------------------------------- ports


def test_a_port_of_another_namespace_is_taken() -> None:
    world = cluster(A, B)
    world.commit('namespace = "other"\n' + service("proxy", on(A), *ports(80)))
    plan = planned(world.view, HEAD + service("web", on(A), *ports(80)))
    assert codes(plan) == [Code.PORT_TAKEN]
    assert "port 80 of machine-a is published by other/proxy" in plan.blockers[0].text


@pytest.mark.parametrize(
    ("port", "protocol", "own", "expected"),
    [
        (53, "udp", "udp", [Code.PORT_TAKEN]),
        (53, "tcp", "udp", []),
        (5353, "udp", "udp", []),
    ],
)
def test_a_port_that_ployz_itself_has_there_is_refused_and_said_whose_it_is(
    port: int, protocol: str, own: Literal["tcp", "udp"], expected: list[Code]
) -> None:
    world = cluster(A, B)
    said = evolve(report(A), own_ports=(OwnPort(53, own, "ployz's name server"),))
    plan = planned(world.view, HEAD + service("pihole", on(A), *ports(port, protocol)), {A: said})
    assert codes(plan) == expected
    if expected:
        assert plan.blockers[0].text == "port 53 of machine-a (udp) is taken by ployz's name server"


@pytest.mark.parametrize(
    ("ip", "expected"), [("", [Code.PORT_TAKEN]), ("10.211.0.1", [Code.PORT_TAKEN]), ("192.0.2.7", []), ("::1", [])]
)
def test_beside_what_ployz_has_on_its_own_addresses_there_is_room_on_others(ip: str, expected: list[Code]) -> None:
    own = OwnPort(53, "udp", "ployz's name server", ("10.211.0.1", "fd00::1"))
    said = evolve(report(A), own_ports=(own,), addresses=("10.211.0.1", "192.0.2.7"))
    plan = planned(cluster(A, B).view, HEAD + service("pihole", on(A), *ports(53, "udp", ip)), {A: said})
    assert codes(plan) == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("", "127.0.0.1", [Code.PORT_TAKEN]),
        ("127.0.0.1", "", [Code.PORT_TAKEN]),
        ("127.0.0.1", "127.0.0.1", [Code.PORT_TAKEN]),
        ("127.0.0.1", "192.0.2.7", []),
    ],
)
def test_two_that_are_published_meet_where_one_is_on_all_addresses(one: str, other: str, expected: list[Code]) -> None:
    world = cluster(A, B)
    world.commit('namespace = "other"\n' + service("proxy", on(A), *ports(80, ip=one)))
    said = evolve(report(A), addresses=("192.0.2.7",))
    plan = planned(world.view, HEAD + service("web", on(A), *ports(80, ip=other)), {A: said})
    assert codes(plan) == expected


def test_an_address_that_a_machine_does_not_have_is_named_also_where_it_moves() -> None:
    world = cluster(A, B)
    said = {each: evolve(report(each), addresses=(ip,)) for each, ip in ((A, "192.0.2.7"), (B, "192.0.2.8"))}
    web = service("web", on(A), *ports(80, ip="192.0.2.7"))
    world.commit_plan(planned(world.view, HEAD + web, said))
    plan = planned(world.view, HEAD + web.replace("machine-a", "machine-b"), said)
    assert codes(plan) == [Code.NO_SUCH_ADDRESS]
    assert plan.blockers[0].text == "web is published at 192.0.2.7, which machine-b does not have"
    assert plan.blockers[0].advice == "It has 192.0.2.8. Publish without `host_ip`, or where it is."


def test_a_port_is_free_on_another_machine_and_for_another_protocol() -> None:
    world = cluster(A, B)
    world.commit('namespace = "other"\n' + service("proxy", on(A), *ports(53)))
    assert planned(world.view, HEAD + service("dns", on(B), *ports(53))).blockers == ()
    assert planned(world.view, HEAD + service("dns", on(A), *ports(53, "udp"))).blockers == ()


def test_a_service_that_leaves_wants_no_port() -> None:
    world = cluster(A, B)
    world.commit(HEAD + service("web", on(A), *ports(80)))
    world.commit('namespace = "other"\n' + service("proxy", on(B), *ports(80)))
    assert planned(world.view, HEAD).blockers == ()


def test_replicas_that_publish_a_port_need_a_machine_each() -> None:
    two, three = (service("web", f"placement = {{ replicated = {{ count = {n} }} }}", *ports(80)) for n in (2, 3))
    assert planned(cluster(A, B).view, HEAD + two).blockers == ()
    assert codes(planned(cluster(A, B).view, HEAD + three)) == [Code.PORT_TAKEN]


def test_a_replaced_container_gives_its_port_to_its_successor() -> None:
    web = service("web", on(A), *ports(80))
    assert after(web, web.replace("web:1", "postgres:17")).blockers == ()


def test_a_port_does_not_go_from_a_removed_service_to_a_new_one_in_one_step() -> None:
    plan = after(service("old", on(A), *ports(80)), service("new", on(A), *ports(80)))
    assert codes(plan) == [Code.PORT_TAKEN]
    assert "until this is committed" in plan.blockers[0].text


def test_two_services_do_not_swap_their_ports_in_one_step() -> None:
    def both(first: int, second: int) -> str:
        return service("one", on(A), *ports(first)) + service("two", on(A), *ports(second))

    assert set(codes(after(both(80, 81), both(81, 80)))) == {Code.PORT_TAKEN}


def test_what_arrives_takes_the_port_of_what_moves_away() -> None:
    """Two services change places, and the ports stay with the machines."""
    moved = (
        '[intent]\nservices = [{ service = "one", move = { to_machine = "machine-b" } }, '
        '{ service = "two", move = { to_machine = "machine-a" } }]'
    )
    before = service("one", *ports(80)) + service("two", *ports(81))
    plan = after(before, service("one", *ports(81)) + service("two", *ports(80)) + moved)
    assert [(slot.change, slot.machine) for slot in plan.slots] == [(Change.MOVE, B), (Change.MOVE, A)]
    assert plan.blockers == ()


def test_what_arrives_does_not_meet_a_removed_service_on_its_port() -> None:
    before = service("one", on(A), *ports(80)) + service("two", on(B), *ports(81))
    plan = after(before, service("one", *ports(81)) + intent("one", to=B))
    assert codes(plan) == [Code.PORT_TAKEN]


# ---------------------------------------------------------------- volumes


def test_a_volume_does_not_go_from_a_removed_service_to_a_new_one_while_that_one_runs() -> None:
    """Two databases on one folder, each in a process namespace of its own, would not even see each other's lock."""
    plan = after(
        volumes("data") + service("db", mounts=["data"]), volumes("data") + service("postgres", mounts=["data"])
    )
    assert codes(plan) == [Code.VOLUME_IN_USE]
    assert "volume data goes from service db to postgres" in plan.blockers[0].text


def test_a_volume_does_not_go_from_a_service_that_stays_to_another_beside_it() -> None:
    before = volumes("data") + service("db", on(A), mounts=["data"]) + service("other", on(A))
    plan = after(before, volumes("data") + service("db", on(A)) + service("other", on(A), mounts=["data"]))
    assert codes(plan) == [Code.VOLUME_IN_USE]


def test_a_service_that_comes_for_a_volume_does_not_meet_the_removed_one_that_has_it() -> None:
    before = volumes("data") + service("db", on(A), mounts=["data"]) + service("other", on(B))
    comes = service("other", mounts=["data"])
    assert codes(after(before, volumes("data") + comes)) == [Code.VOLUME_IN_USE]
    assert after(before, volumes("data") + service("db", on(A)) + comes).blockers == ()


def test_a_volume_that_was_given_up_before_is_free() -> None:
    before = volumes("data") + service("db", mounts=["data"])
    world = cluster(A, B)
    world.commit(HEAD + before)
    world.commit(HEAD + volumes("data"))
    assert planned(world.view, HEAD + volumes("data") + service("postgres", mounts=["data"])).blockers == ()


def test_services_may_share_a_volume() -> None:
    data, db = volumes("data"), service("db", mounts=["data"])
    backup = service("backup", mounts=["data"], readonly=True)
    assert after(data + db, data + db + backup).blockers == ()
    assert after(data + db + backup, data + db).blockers == ()
    assert after(data + db + backup, data + db + backup.replace("web:1", "postgres:17")).blockers == ()


@pytest.mark.parametrize("readonly", [True, False])
def test_a_reader_may_follow_a_reader(readonly: bool) -> None:
    data, reader = volumes("data"), service("one", mounts=["data"], readonly=True)
    plan = after(data + reader, data + service("two", mounts=["data"], readonly=readonly))
    assert codes(plan) == ([] if readonly else [Code.VOLUME_IN_USE])
