"""The gateway: what is routed, held and released, on the fake and on a real HAProxy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from attrs import evolve, frozen

from ployz.clock import SystemClock
from ployz.host.fakes.gateway import FakeGateway
from ployz.host.haproxy.driver import HaproxyGateway
from ployz.host.ports import Gateway, GatewayBackend, GatewayServer, GatewayState, HttpEntry, Mode, TcpEntry
from tests.upstreams import Upstream, free_port

WEB, DB = "http.production.web.main", "tcp.production.db.main"


@frozen
class Bench:
    gateway: Gateway
    again: Gateway
    """As the next ployzd has it."""


@pytest.fixture(name="bench", params=["fake", pytest.param("real", marks=pytest.mark.real)])
def _bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "fake":
        fake = FakeGateway(SystemClock())
        yield Bench(fake, fake)
        return
    gateway, again = (HaproxyGateway(tmp_path / "run", tmp_path / "certificates") for _ in range(2))
    yield Bench(gateway, again)
    anyio.run(gateway.stop, backend="trio")


@pytest.fixture(name="upstream")
def _upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


def state(upstream: Upstream, *, servers: int = 1) -> GatewayState:
    """A TCP route alone: the HTTP ports of the host may be anybody's."""
    slots = tuple(GatewayServer(f"slot-{number}", "127.0.0.1", upstream.port) for number in range(1, servers + 1))
    return GatewayState(
        tcp=(TcpEntry(free_port(), DB),),
        backends=(GatewayBackend(DB, Mode.TCP, slots),),
    )


def in_ms(milliseconds: int) -> int:
    return time.time_ns() // 1_000_000 + milliseconds


def run(body: object) -> None:
    anyio.run(body, backend="trio")  # type: ignore[arg-type]


def test_nothing_runs_before_the_first_state_and_after_a_stop(bench: Bench, upstream: Upstream) -> None:
    async def body() -> None:
        assert not (await bench.gateway.status()).runs
        await bench.gateway.stop()
        await bench.gateway.apply(state(upstream))
        assert (await bench.gateway.status()).runs
        await bench.gateway.stop()
        await bench.gateway.stop()
        assert not (await bench.gateway.status()).runs

    run(body)


def test_it_has_what_was_applied_and_is_found_again(bench: Bench, upstream: Upstream) -> None:
    async def body() -> None:
        assert await bench.gateway.lacks() is None
        wanted = state(upstream)
        await bench.gateway.apply(wanted)
        await bench.again.apply(wanted)
        found = (await bench.again.status()).backend(DB)
        assert found is not None
        assert [(each.name, each.is_out, each.sessions) for each in found.servers] == [("slot-1", False, 0)]
        assert (found.held, found.held_until_ms, found.errors) == (0, None, 0)

    run(body)


def test_a_hold_is_seen_and_ends_when_it_is_taken_away(bench: Bench, upstream: Upstream) -> None:
    async def body() -> None:
        wanted = state(upstream)
        until_ms = in_ms(60_000)
        await bench.gateway.apply(wanted)
        await bench.gateway.apply(evolve(wanted, holds={DB: until_ms}))
        found = (await bench.again.status()).backend(DB)
        assert found is not None
        assert found.held_until_ms == until_ms
        await bench.again.apply(evolve(wanted, holds={DB: until_ms + 1}))
        await bench.gateway.apply(wanted)
        found = (await bench.gateway.status()).backend(DB)
        assert found is not None
        assert found.held_until_ms is None

    run(body)


def test_a_server_goes_out_and_comes_back(bench: Bench, upstream: Upstream) -> None:
    async def body() -> None:
        wanted = state(upstream, servers=2)
        (backend,) = wanted.backends
        first, second = backend.servers
        without = evolve(wanted, backends=(evolve(backend, servers=(evolve(first, is_out=True), second)),))
        for applied, out in ((without, [True, False]), (wanted, [False, False]), (without, [True, False])):
            await bench.gateway.apply(applied)
            found = (await bench.gateway.status()).backend(DB)
            assert found is not None
            assert [each.is_out for each in found.servers] == out

    run(body)


def test_routes_come_and_go(bench: Bench, upstream: Upstream) -> None:
    async def body() -> None:
        wanted = state(upstream)
        await bench.gateway.apply(wanted)
        more = GatewayBackend(WEB, Mode.TCP, wanted.backends[0].servers)
        await bench.gateway.apply(
            evolve(wanted, tcp=(*wanted.tcp, TcpEntry(free_port(), WEB)), backends=(*wanted.backends, more))
        )
        assert {each.name for each in (await bench.gateway.status()).backends} == {DB, WEB}
        await bench.gateway.apply(GatewayState())
        status = await bench.gateway.status()
        assert status.runs
        assert status.backends == ()

    run(body)


def test_entries_of_http_are_values_in_order() -> None:
    assert HttpEntry("", "/", WEB) < HttpEntry("a", "/", WEB)
