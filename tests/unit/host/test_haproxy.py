"""HAProxy's configuration as text, and what it says and is told at run time."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from ployz.host.haproxy import config
from ployz.host.haproxy.config import Files, Setting
from ployz.host.haproxy.runtime import (
    HoldRow,
    ServerRow,
    commands,
    generation_of,
    holds_of,
    map_of,
    servers_of,
    workers_of,
)
from ployz.host.ports import GatewayBackend, GatewayServer, GatewayState, HttpEntry, Mode, TcpEntry

WEB, DB = "http.production.web.main", "tcp.production.db.pg"
SETTING = Setting(Files(Path("/run/ployz/gateway")), Path("/var/lib/ployz/certificates"), "haproxy", 8000)
STATE = GatewayState(
    http=(HttpEntry("www.example.com", "/", WEB), HttpEntry("www.example.com", "/api", DB), HttpEntry("", "/", WEB)),
    tcp=(TcpEntry(5432, DB),),
    backends=(
        GatewayBackend(
            WEB,
            Mode.HTTP,
            (GatewayServer("slot-1", "10.210.0.16", 8080), GatewayServer("slot-2", "fd00::17", 8080, is_out=True)),
        ),
        GatewayBackend(DB, Mode.TCP, (GatewayServer("slot-1", "10.210.0.18", 5432),)),
    ),
    holds={DB: 1_772_366_430_000},
)
GOLDEN = Path(__file__).parents[2] / "golden" / "haproxy"
HOLDS = SETTING.files.holds


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("haproxy.cfg", config.config_text(STATE, SETTING, "0123456789abcdef")),
        ("idle.cfg", config.config_text(GatewayState(), evolve(SETTING, certificates=None, user=None), "-")),
        ("routes.map", config.routes_text(STATE)),
        ("holds.map", config.holds_text(STATE)),
    ],
)
def test_a_state_is_this_text(name: str, text: str) -> None:
    assert text == (GOLDEN / name).read_text()


def test_a_longer_prefix_stands_before_a_shorter_one() -> None:
    assert config.routes_text(STATE).splitlines() == [
        f"www.example.com/api {DB}",
        f"www.example.com/ {WEB}",
        f"/ {WEB}",
    ]


def test_holds_and_servers_that_are_out_need_no_reload() -> None:
    (web, db) = STATE.backends
    back = evolve(
        STATE, holds={}, backends=(evolve(web, servers=tuple(evolve(e, is_out=False) for e in web.servers)), db)
    )
    assert config.generation(back, SETTING, "f") == config.generation(STATE, SETTING, "f")


@pytest.mark.parametrize(
    "changed",
    [
        evolve(STATE, http=STATE.http[:1]),
        evolve(STATE, tcp=()),
        evolve(STATE, backends=STATE.backends[:1]),
    ],
)
def test_everything_else_does(changed: GatewayState) -> None:
    assert config.generation(changed, SETTING, "f") != config.generation(STATE, SETTING, "f")
    assert config.generation(STATE, SETTING, "g") != config.generation(STATE, SETTING, "f")


def test_it_listens_for_http_only_if_something_is_routed_by_it() -> None:
    assert config.listen_ports(STATE, SETTING) == {80, 443, 5432}
    assert config.listen_ports(STATE, evolve(SETTING, certificates=None)) == {80, 5432}
    assert config.listen_ports(evolve(STATE, http=()), SETTING) == {5432}


# ---------------------------------------------------------------- what it says


def test_workers_are_read_newest_first_and_the_master_is_none() -> None:
    answer = (
        "#<PID>          <type>          <reloads>       <uptime>        <version>      \n"
        "9164            master          1 [failed: 0]   0d00h00m09s     2.6.12-1+deb12u4\n"
        "# workers\n9301            worker          0               0d00h00m01s     2.6.12-1+deb12u4\n"
        "# old workers\n9167            worker          1               0d00h00m09s     2.6.12-1+deb12u4\n"
        "# programs\n\n"
    )
    assert workers_of(answer) == [9301, 9167]


def test_a_generation_is_the_node_of_its_configuration() -> None:
    assert generation_of("Name: HAProxy\nVersion: 2.6.12\nnode: 0123456789abcdef\nUptime: 0d\n") == "0123456789abcdef"
    assert generation_of("Permission denied\n") == ""


def test_servers_are_read_from_the_statistics() -> None:
    answer = (
        "# pxname,svname,scur,econ,eresp,status,type,\n"
        f"{WEB},slot-1,3,1,2,no check,2,\n{WEB},slot-2,0,,,MAINT,2,\n{WEB},BACKEND,3,1,2,UP,1,\n\n"
    )
    assert list(servers_of(answer)) == [
        ServerRow(WEB, "slot-1", is_out=False, sessions=3, errors=3),
        ServerRow(WEB, "slot-2", is_out=True, sessions=0, errors=0),
    ]


def test_holds_and_maps_are_read_line_by_line() -> None:
    assert holds_of(f"{DB} 2 5 1 0\n\n") == {DB: HoldRow(2, 5, 1, 0)}
    assert map_of(f"0x55d1 {DB} 1772366430000\n\n") == {DB: 1_772_366_430_000}
    assert map_of("Unknown map identifier. Please use #<id> or <file>.\n") == {}


# ---------------------------------------------------------------- what it is told

UP = ServerRow(DB, "slot-1", is_out=False, sessions=0, errors=0)


def told(held: dict[str, int], wanted: dict[str, int], *, out: bool = False, server: ServerRow = UP) -> list[str]:
    return list(commands(held, wanted, {(DB, "slot-1"): out}, [server], HOLDS))


def test_what_agrees_is_told_nothing() -> None:
    assert told({DB: 7}, {DB: 7}) == []
    assert told({}, {}) == []


def test_a_hold_is_put_into_the_map_and_changed_there() -> None:
    assert told({}, {DB: 7}) == [f"add map {HOLDS} {DB} 7"]
    assert told({DB: 7}, {DB: 8}) == [f"set map {HOLDS} {DB} 8"]


def test_what_is_let_go_finds_no_connection_to_the_old_place() -> None:
    assert told({DB: 7}, {}) == [
        f"set server {DB}/slot-1 state maint",
        f"set server {DB}/slot-1 state ready",
        f"del map {HOLDS} {DB}",
    ]


def test_a_server_goes_out_and_comes_back() -> None:
    assert told({}, {}, out=True) == [f"set server {DB}/slot-1 state maint"]
    assert told({}, {}, server=evolve(UP, is_out=True)) == [f"set server {DB}/slot-1 state ready"]
    assert told({}, {}, out=True, server=evolve(UP, is_out=True)) == []


def test_a_server_that_nobody_knows_is_left_alone() -> None:
    assert list(commands({}, {}, {}, [UP], HOLDS)) == []
