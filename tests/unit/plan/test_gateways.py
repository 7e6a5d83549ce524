"""What gateways serve, which services are held in a move, and whose route or port it is."""

from __future__ import annotations

from ployz.errors import Code
from ployz.events.types import MachineSettingChanged
from ployz.host.ports import GatewayServer, HttpEntry, Mode, TcpEntry
from ployz.ids import MachineId, ServiceRef, SlotName, SlotRef
from ployz.plan.effects import Phase, phases
from ployz.plan.gateways import gateway_state, gateways, served_routes
from ployz.plan.model import HoldPlan
from ployz.plan.route_clashes import in_the_way_of_gateway
from tests.unit.plan.examples import A, B, C, World, cluster, codes, intent, planned, service

HEAD = 'namespace = "production"\n'
WEB = ServiceRef.parse("production/web")
PORTS = 'service_ports = [{ name = "main", container_port = 8080 }, { name = "pg", container_port = 5432 }]'


def http(*hostnames: str, prefix: str = "/") -> str:
    names = ", ".join(f'"{each}"' for each in hostnames)
    return f'{{ http = {{ service_port = "main", hostnames = [{names}], path_prefix = "{prefix}" }} }}'


def tcp(port: int) -> str:
    return f'{{ tcp = {{ service_port = "pg", listen_port = {port} }} }}'


def web(*routes: str, name: str = "web", more: str = "", count: int = 1) -> str:
    return service(name, PORTS, f"placement = {{ replicated = {{ count = {count} }} }}", more, _routes(routes))


def _routes(routes: tuple[str, ...]) -> str:
    return f"routes = [{', '.join(routes)}]" if routes else ""


def with_gateway(*machines: MachineId) -> World:
    world = cluster()
    for machine in machines or (C,):
        world.fact(MachineSettingChanged(machine, "gateway", "on"))
    return world


# ---------------------------------------------------------------- serving


def test_every_committed_route_is_served_with_the_slots_that_the_facts_place() -> None:
    world = with_gateway()
    world.commit(HEAD + web(http("a.example", "*", prefix="/api"), tcp(5432), count=2))
    slots = world.view.placement.of_service(WEB)
    state = gateway_state(world.view, holds={}, out=())
    assert state.http == (
        HttpEntry("", "/api", "http.production.web.main"),
        HttpEntry("a.example", "/api", "http.production.web.main"),
    )
    assert state.tcp == (TcpEntry(5432, "tcp.production.web.pg"),)
    assert [(each.name, each.mode) for each in state.backends] == [
        ("http.production.web.main", Mode.HTTP),
        ("tcp.production.web.pg", Mode.TCP),
    ]
    assert state.backends[0].servers == tuple(GatewayServer(each.slot, each.ipv4, 8080) for each in slots)
    assert gateways(world.view) == [C]


def test_a_move_changes_nothing_of_what_is_served() -> None:
    world = with_gateway()
    world.commit(HEAD + web(tcp(5432), more=f'on = ["{A}", "{B}"]'))
    before = gateway_state(world.view, holds={}, out=())
    (slot,) = world.view.placement.of_service(WEB)
    to = B if slot.machine == A else A
    world.commit(HEAD + web(tcp(5432), more=f'on = ["{A}", "{B}"]') + intent("web", to=to))
    assert gateway_state(world.view, holds={}, out=()) == before


def test_a_hold_is_on_every_backend_of_a_service_and_on_none_of_one_that_has_no_route() -> None:
    world = with_gateway()
    world.commit(HEAD + web(http("a.example"), tcp(5432)) + web(name="quiet"))
    held = gateway_state(world.view, holds={WEB: 7, ServiceRef.parse("production/quiet"): 8}, out=()).holds
    assert held == {"http.production.web.main": 7, "tcp.production.web.pg": 7}


def test_a_slot_is_out_as_long_as_another_one_is_not() -> None:
    world = with_gateway()
    world.commit(HEAD + web(tcp(5432), count=2))
    first, second = (SlotRef(WEB, SlotName(f"slot-{number}")) for number in (1, 2))
    for out, expected in (([first], [True, False]), ([first, second], [False, False]), ([], [False, False])):
        (backend,) = gateway_state(world.view, holds={}, out=out).backends
        assert [each.is_out for each in backend.servers] == expected


def test_routes_are_shown_as_people_write_them() -> None:
    world = cluster()
    world.commit(HEAD + web(http("a.example", "*", prefix="/api"), tcp(5432)))
    assert [str(each) for each in served_routes(world.view)] == ["http://a.example/api", "http://*/api", "tcp 5432"]


# ---------------------------------------------------------------- holding


def holds(world: World, text: str) -> tuple[HoldPlan, ...]:
    return planned(world.view, text).holds


def test_a_service_that_moves_is_held_on_every_gateway_for_as_long_as_its_manifest_says() -> None:
    world = with_gateway(A, C)
    text = HEAD + web(tcp(5432), more=f'on = ["{A}", "{B}"]\ncutover_hold = "45s"')
    world.commit(text)
    (slot,) = world.view.placement.of_service(WEB)
    moving = text + intent("web", to=B if slot.machine == A else A)
    assert holds(world, moving) == (
        HoldPlan(A, WEB, (), 45_000, 10_000),
        HoldPlan(C, WEB, (), 45_000, 10_000),
    )
    words = dict(phases(planned(world.view, moving)).in_words())
    assert words[Phase.HOLD] == [
        f"{gateway}: hold new requests to production/web for at most 45 s, running HTTP requests get 10 s"
        for gateway in (A, C)
    ]


def test_if_some_slots_stay_those_that_move_get_nothing_and_nothing_waits() -> None:
    world = with_gateway()
    world.commit(HEAD + web(tcp(5432), count=2, more=f'on = ["{A}", "{B}"]'))
    (moving,) = (slot for slot in world.view.placement.of_service(WEB) if slot.machine == B)
    (hold,) = holds(world, HEAD + web(tcp(5432), count=2, more=f'on = ["{A}", "{C}"]'))
    assert (hold.service, hold.slots) == (WEB, (moving.slot,))


def replaced(text: str) -> str:
    return text.replace('image = "web:1"', 'image = "web:1"\nenv = { NEW = "1" }')


def test_a_slot_that_is_replaced_where_it_is_is_held_and_another_one_only_gets_nothing_meanwhile() -> None:
    for count, slots in ((1, [()]), (2, [("slot-1",), ("slot-2",)])):
        world = with_gateway(A, C)
        text = HEAD + web(tcp(5432), count=count)
        world.commit(text)
        assert [(each.gateway, each.slots) for each in holds(world, replaced(text))] == [
            (gateway, each) for each in slots for gateway in (A, C)
        ]


def test_slots_are_replaced_and_held_one_after_the_other() -> None:
    world = with_gateway()
    text = HEAD + web(tcp(5432), count=2, more=f'on = ["{A}", "{B}"]')
    world.commit(text)
    words = dict(phases(planned(world.view, replaced(text))).in_words())
    assert Phase.HOLD not in words
    first, start, second, *_ = words[Phase.START]
    assert "send nothing new to slot-1 of production/web" in first
    assert "stop the old container, start production/web/slot-1" in start
    assert "send nothing new to slot-2 of production/web" in second


def test_what_does_not_move_has_no_route_or_wants_no_hold_is_not_held() -> None:
    for routes, more in (((), ""), ((tcp(5432),), 'cutover_hold = "0s"')):
        world = with_gateway()
        text = HEAD + web(*routes, more=f'on = ["{A}", "{B}"]\n{more}')
        world.commit(text)
        (slot,) = world.view.placement.of_service(WEB)
        assert holds(world, text + intent("web", to=B if slot.machine == A else A)) == ()
    world = with_gateway()
    world.commit(HEAD + web(tcp(5432)))
    assert holds(world, HEAD + web(tcp(5433))) == ()


# ---------------------------------------------------------------- whose it is


def beside(other: str, text: str, *machines: MachineId) -> list[Code]:
    world = with_gateway(*machines)
    world.commit('namespace = "other"\n' + other)
    return codes(planned(world.view, HEAD + text))


def test_a_route_of_another_namespace_is_taken() -> None:
    assert beside(web(http("a.example")), web(http("a.example"))) == [Code.ROUTE_TAKEN]
    assert beside(web(tcp(5432)), web(tcp(5432))) == [Code.ROUTE_TAKEN]
    assert beside(web(http("*")), web(http("*"))) == [Code.ROUTE_TAKEN]


def test_another_path_host_or_port_is_free() -> None:
    assert beside(web(http("a.example")), web(http("a.example", prefix="/api"))) == []
    assert beside(web(http("a.example")), web(http("b.example", "*"))) == []
    assert beside(web(tcp(5432)), web(tcp(5433))) == []


def test_the_ports_of_http_are_no_tcp_route_s() -> None:
    assert beside(web(tcp(443)), web(http("a.example"))) == [Code.ROUTE_TAKEN]
    assert beside(web(http("a.example")), web(tcp(80))) == [Code.ROUTE_TAKEN]
    assert beside(web(tcp(443)), web(tcp(5432))) == []
    assert codes(planned(cluster().view, HEAD + web(http("a.example"), tcp(80)))) == [Code.ROUTE_TAKEN]


def test_ployzd_s_own_ports_are_taken() -> None:
    assert codes(planned(cluster().view, HEAD + web(tcp(7701)))) == [Code.ROUTE_TAKEN]


def published(port: int, machine: MachineId) -> str:
    return web(name="pub", more=f'on = ["{machine}"]\npublish = [{{ service_port = "pg", host_port = {port} }}]')


def test_a_port_that_is_published_on_a_gateway_is_not_its_gateway_s() -> None:
    assert beside(published(5432, C), web(tcp(5432))) == [Code.PORT_TAKEN]
    assert beside(web(tcp(5432)), published(5432, C)) == [Code.PORT_TAKEN]
    assert beside(web(http("a.example")), published(80, C)) == [Code.PORT_TAKEN]
    assert beside(published(5432, A), web(tcp(5432))) == []


def test_a_machine_with_such_a_port_cannot_become_a_gateway() -> None:
    world = cluster()
    world.commit(HEAD + published(5432, A) + web(tcp(5432)))
    assert [each.code for each in in_the_way_of_gateway(world.view, A)] == [Code.PORT_TAKEN]
    assert in_the_way_of_gateway(world.view, B) == []
