"""What each frontend of a gateway may have of its connections: never so much that another has none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ployz.host.haproxy.driver import crowding
from ployz.host.haproxy.runtime import FrontendRow, frontends_of
from ployz.host.haproxy.shares import CONNECTIONS_MOST, connections_max, shares
from ployz.host.ports import GatewayState, HttpEntry, TcpEntry

HTTP = (HttpEntry("", "/", "http.a"),)


def tcp(*ports: int) -> tuple[TcpEntry, ...]:
    return tuple(TcpEntry(port, f"tcp.{port}") for port in ports)


@pytest.mark.parametrize(
    ("state", "tls", "expected"),
    [
        (GatewayState(http=HTTP, tcp=tcp(1, 2)), True, {"http": 250, "https": 250, "port-1": 250, "port-2": 250}),
        (GatewayState(http=HTTP, tcp=tcp(1)), False, {"http": 500, "port-1": 500}),
        (GatewayState(http=HTTP), False, {"http": 1000}),
        (GatewayState(tcp=tcp(1, 2)), True, {"port-1": 500, "port-2": 500}),
        (GatewayState(), True, {}),
    ],
)
def test_http_has_half_and_the_ports_share_the_rest(state: GatewayState, tls: bool, expected: dict[str, int]) -> None:
    assert shares(state, 1000, tls=tls) == expected


@given(st.integers(100, CONNECTIONS_MOST), st.sets(st.integers(1, 65535), max_size=90), st.booleans(), st.booleans())
def test_together_they_are_no_more_than_there_are(connections: int, ports: set[int], http: bool, tls: bool) -> None:
    found = shares(GatewayState(http=HTTP if http else (), tcp=tcp(*sorted(ports))), connections, tls=tls)
    assert sum(found.values()) <= connections
    assert all(found.values())


@pytest.mark.parametrize(("files", "expected"), [(1024, 262), (20_000, 9_750), (65_536, 32_518), (1 << 20, 50_000)])
def test_what_the_kernel_lets_it_open_is_the_bound(files: int, expected: int) -> None:
    assert connections_max(files) == expected


def test_frontends_are_read_from_the_statistics_and_the_full_are_named() -> None:
    answer = "# pxname,svname,scur,slim,dcon,type\nhttp,FRONTEND,4,100,0,0\nport-5432,FRONTEND,96,100,7,0\nx,s,1,,,2\n"
    rows = list(frontends_of(answer))
    assert rows == [FrontendRow("http", 4, 100, 0), FrontendRow("port-5432", 96, 100, 7)]
    assert [crowding(each) for each in rows] == [None, "port-5432 is full: 96 of 100 connections"]
    turned = crowding(FrontendRow("http", 4, 100, 7))
    assert turned == "http turned 7 connections away, of sources that have too many"
