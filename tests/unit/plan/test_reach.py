from __future__ import annotations

from ployz.events.types import ClusterSettingChanged, MachineSettingChanged
from ployz.host.ports import Offer
from ployz.ids import MachineId, Namespace, ServiceRef, SlotName, SlotRef
from ployz.plan.reach import circles, offered, reachable_from
from tests.unit.plan.examples import A, B, C, World, cluster, service

WEB_PORTS = """
service_ports = [{ name = "http", container_port = 80 }, { name = "dns", container_port = 53, protocol = "udp" }]
publish = [
  { service_port = "http", host_port = 8080 },
  { service_port = "dns", host_port = 5353, host_ip = "127.0.0.1" },
]
"""
ROUTED = """
service_ports = [{ name = "http", container_port = 80 }]
routes = [
  { http = { service_port = "http", hostnames = ["*"] } },
  { tcp = { service_port = "http", listen_port = 5432 } },
]
"""


def commit(world: World, namespace: str, machine: MachineId, reachable: str = "", more: str = "") -> set[str]:
    """One service `web` there. Its addresses."""
    body = service("web", f'on = ["{machine}"]', more)
    world.commit(f'namespace = "{namespace}"\n{reachable}\n{body}')
    (slot,) = world.view.placement.of_service(ServiceRef.parse(f"{namespace}/web"))
    return {slot.ipv6, slot.ipv4}


def test_where_nothing_is_said_everybody_reaches_everybody() -> None:
    world = cluster()
    commit(world, "production", A)
    commit(world, "shop", A, 'reachable_from = ["*"]')
    assert circles(world.view, A) == ()


def test_a_namespace_is_reached_by_itself_and_by_those_that_it_names_wherever_they_run() -> None:
    world = cluster()
    shop, web, other = commit(world, "shop", B), commit(world, "web", C), commit(world, "other", B)
    own = commit(world, "production", A, 'reachable_from = ["shop", "web", "not-there"]')
    (circle,) = circles(world.view, A)
    assert circle.namespace == "production"
    assert circle.inside == own
    assert circle.admitted == own | shop | web
    assert not circle.admitted & other
    assert circles(world.view, B) == (), "the rules are where the containers are"
    assert reachable_from(world.view, Namespace("production")) == ("shop", "web", "not-there")


def test_a_cluster_with_isolation_turns_round_what_holds_where_nothing_is_said() -> None:
    world = cluster()
    shop, own = commit(world, "shop", A, 'reachable_from = ["*"]'), commit(world, "production", A)
    world.fact(ClusterSettingChanged("isolation", "on"))
    (circle,) = circles(world.view, A)
    assert circle.admitted == circle.inside == own
    assert not own & shop
    world.fact(ClusterSettingChanged("isolation", "off"))
    assert circles(world.view, A) == ()


def test_an_empty_list_is_for_its_own_alone() -> None:
    world = cluster()
    own = commit(world, "production", A, "reachable_from = []")
    (circle,) = circles(world.view, A)
    assert circle.admitted == circle.inside == own


def test_the_target_of_a_move_has_the_rules_before_the_commit_and_the_source_none_after_it() -> None:
    world = cluster()
    own = commit(world, "production", A, "reachable_from = []")
    (slot,) = world.view.placement.of_service(ServiceRef.parse("production/web"))
    candidate = (SlotRef(ServiceRef.parse("production/web"), slot.slot), slot.ipv6, slot.ipv4)
    (before,) = circles(world.view, B, [candidate])
    assert before.inside == own
    commit(world, "production", B, "reachable_from = []")
    assert circles(world.view, B) == (before,)
    assert circles(world.view, A) == ()


def test_a_candidate_that_no_fact_has_yet_reaches_what_its_namespace_does() -> None:
    world = cluster()
    own = commit(world, "production", A, "reachable_from = []")
    new = (SlotRef(ServiceRef.parse("production/api"), SlotName("slot-1")), "fd00:1:0:1::99", "10.210.0.99")
    (circle,) = circles(world.view, A, [new])
    assert circle.inside == circle.admitted == own | {"fd00:1:0:1::99", "10.210.0.99"}


def test_a_machine_offers_what_services_publish_there_and_what_its_gateway_serves() -> None:
    world = cluster()
    commit(world, "production", A, more=WEB_PORTS)
    commit(world, "shop", B, more=ROUTED)
    assert offered(world.view, A) == {Offer("tcp", 8080), Offer("udp", 5353, "127.0.0.1")}
    assert offered(world.view, B) == frozenset()
    world.fact(MachineSettingChanged(C, "gateway", "on"))
    assert offered(world.view, C) == {Offer("tcp", 80), Offer("tcp", 443), Offer("tcp", 5432)}
