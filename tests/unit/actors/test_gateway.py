"""Gateways in the simulated cluster: what they serve, and what they hold while a service moves."""

from __future__ import annotations

import anyio
import pytest

from ployz.actors.messages.gateway import ListRoutes, ShowGateways
from ployz.actors.messages.machine import SetMachine
from ployz.actors.messages.operations import ApplyDeploy, ApplyMigration, PreviewMigration
from ployz.errors import Code, Refused, Unreachable
from ployz.host.fakes.docker import Program
from ployz.host.fakes.gateway import FakeGateway
from ployz.host.ports import TcpEntry
from ployz.ids import MachineId
from tests.cluster.cluster import Cluster, Outcome, simulate
from tests.cluster.effects import Effect
from tests.cluster.endings import after, before
from tests.cluster.manifests import DB, A, B, C, manifest, service, volume
from tests.cluster.scenes import deployed, events_of, owner, running

BACKEND = "tcp.production.db.main"
HTTP = "http.production.db.main"
ROUTES = """routes = [
  { tcp = { service_port = "main", listen_port = 5432 } },
  { http = { service_port = "main", hostnames = ["db.example.com"] } },
]
cutover_hold = "20s"
"""
ROUTED = manifest(volume(), service(volumes=("pgdata",), extra=ROUTES))


async def routed(cluster: Cluster, *gateways: MachineId) -> None:
    """`db` runs on machine-a, behind these gateways."""
    for each in gateways or (C,):
        await cluster.ask(A, "machine", SetMachine(each, ("gateway=on",)))
    await deployed(cluster, ROUTED)
    await cluster.agreed()
    for each in gateways or (C,):
        await cluster.until(lambda each=each: serves(cluster[each].gateway), within_s=5)  # type: ignore[misc]


def serves(gateway: FakeGateway) -> bool:
    return gateway.state is not None and gateway.state.tcp == (TcpEntry(5432, BACKEND),)


async def released(cluster: Cluster, gateway: MachineId = C, *, within_s: float = 10) -> None:
    await cluster.until(lambda: not cluster[gateway].parts.local.holds, within_s=within_s)
    await cluster.until(lambda: not cluster[gateway].gateway.is_held(BACKEND), within_s=1)


async def move(cluster: Cluster) -> Outcome:
    return await cluster.run(A, ApplyMigration(DB, B))


# ---------------------------------------------------------------- serving


def test_a_gateway_serves_the_routes_and_stops_when_it_is_none_any_more() -> None:
    async def body(cluster: Cluster) -> None:
        await routed(cluster)
        assert cluster[B].gateway.state is None
        state = cluster[C].gateway.state
        assert state is not None
        assert [(each.hostname, each.path_prefix, each.backend) for each in state.http] == [
            ("db.example.com", "/", HTTP)
        ]
        (slot,) = cluster[A].parts.view.placement.of_service(DB)
        assert [(each.address, each.port) for each in state.backends[0].servers] == [(slot.ipv4, 5432)]
        await cluster.ask(A, "machine", SetMachine(C, ("gateway=off",)))
        await cluster.until(lambda: cluster[C].gateway.state is None, within_s=5)

    simulate(body)


def test_a_gateway_serves_on_while_its_ployzd_is_dead_and_is_taken_over_by_the_next() -> None:
    async def body(cluster: Cluster) -> None:
        await routed(cluster)
        cluster.kill(C)
        assert serves(cluster[C].gateway)
        changes = len(cluster[C].gateway.applied)
        await cluster.start(C)
        await anyio.sleep(5)
        assert len(cluster[C].gateway.applied) == changes

    simulate(body)


def test_a_machine_without_haproxy_is_no_gateway() -> None:
    async def body(cluster: Cluster) -> None:
        cluster[C].gateway.lacking = "HAProxy is not installed"
        with pytest.raises(Refused, match="machine-c cannot be a gateway: HAProxy is not installed") as refusal:
            await cluster.ask(A, "machine", SetMachine(C, ("gateway=on",)))
        assert refusal.value.code == Code.MISSING_PART
        cluster.crash(B)
        with pytest.raises(Unreachable):
            await cluster.ask(A, "machine", SetMachine(B, ("gateway=on",)))
        assert not any(member.settings.gateway for member in cluster[A].parts.view.machines.in_order())

    simulate(body)


def test_routes_and_gateways_are_shown_from_everywhere() -> None:
    async def body(cluster: Cluster) -> None:
        await routed(cluster)
        for machine in (A, B, C):
            listed = await cluster.ask(machine, "gateway", ListRoutes())
            assert [(each.route, each.machines) for each in listed.routes] == [
                ("tcp 5432", (A,)),
                ("http://db.example.com/", (A,)),
            ]
            (row,) = (await cluster.ask(machine, "gateway", ShowGateways())).gateways
            assert (row.machine, row.runs, row.position) == (C, True, cluster.head)
            assert {each.state for each in row.backends} == {"serving"}
        with pytest.raises(Refused, match="machine-b is no gateway"):
            await cluster.ask(A, "gateway", ShowGateways(B))
        cluster.crash(C)
        (row,) = (await cluster.ask(A, "gateway", ShowGateways())).gateways
        assert not row.answers

    simulate(body)


# ---------------------------------------------------------------- holding


def test_requests_wait_from_before_the_stop_until_the_commit_is_followed() -> None:
    async def body(cluster: Cluster) -> None:
        await routed(cluster)
        gateway = cluster[C].gateway
        seen: list[bool] = []

        async def stopping(effect: Effect) -> None:
            seen.append(gateway.request(BACKEND))

        cluster.effects.at(before(A, "docker.stop"), stopping)
        previewed = await cluster.ask(A, "operations", PreviewMigration(DB, B))
        hold = "machine-c: hold new requests to production/db for at most 20 s, running HTTP requests get 10 s"
        assert [each.effects for each in previewed.phases if each.name == "hold"] == [(hold,)]
        outcome = await move(cluster)
        assert outcome.exit_code == 0, outcome.text
        assert seen == [False]
        assert not gateway.is_held(BACKEND), "the result is there after what waited went on"
        assert outcome.result.parts.hold_ms > 0
        assert 0 < outcome.result.parts.release_ms <= outcome.result.cutover_ms
        await released(cluster)
        assert gateway.request(BACKEND)
        assert gateway.expired == {}
        found = await events_of(cluster, C, outcome.operation_id)
        assert [each for each in found if each.startswith("routes.")] == ["routes.held", "routes.released"]
        records = await cluster[C].disk.log.of_operation(outcome.operation_id)
        assert [each.event.held for each in records if each.event.event_name == "routes.released"] == [1]  # type: ignore[attr-defined]

    simulate(body)


def redeployed(text: str) -> ApplyDeploy:
    return ApplyDeploy(text.replace('image = "postgres:17"', 'image = "postgres:17"\nenv = { NEW = "1" }'))


def test_requests_wait_while_a_slot_is_replaced_where_it_is_and_go_on_when_it_is_ready() -> None:
    async def body(cluster: Cluster) -> None:
        await routed(cluster)
        gateway = cluster[C].gateway
        seen: dict[str, bool] = {}

        async def stopping(effect: Effect) -> None:
            seen["stop"] = gateway.request(BACKEND)

        async def starting(effect: Effect) -> None:
            seen["start"] = gateway.request(BACKEND)

        async def committing(effect: Effect) -> None:
            seen["settle"] = gateway.request(BACKEND)

        cluster.effects.at(before(A, "docker.stop"), stopping)
        cluster.effects.at(after(A, "docker.start"), starting)
        cluster.effects.at(before(A, "docker.remove"), committing)
        outcome = await cluster.run(A, redeployed(ROUTED))
        assert outcome.exit_code == 0, outcome.text
        assert seen == {"stop": False, "start": False, "settle": True}
        await released(cluster)
        assert (gateway.held_ever[BACKEND], gateway.expired) == (2, {})
        found = await events_of(cluster, C, outcome.operation_id)
        assert [each for each in found if each.startswith("routes.")] == ["routes.held", "routes.released"]

    simulate(body)


def test_of_two_slots_that_are_replaced_one_serves_at_each_moment_and_nothing_waits() -> None:
    async def body(cluster: Cluster) -> None:
        await cluster.ask(A, "machine", SetMachine(C, ("gateway=on",)))
        two = manifest(service(placement="{ replicated = { count = 2 } }", extra=ROUTES))
        await deployed(cluster, two)
        gateway = cluster[C].gateway
        await cluster.until(lambda: serves(gateway), within_s=5)
        out: list[list[bool]] = []

        async def stopping(effect: Effect) -> None:
            assert gateway.state is not None
            out.append([each.is_out for each in gateway.state.backends[0].servers])

        for machine in {slot.machine for slot in cluster[A].parts.view.placement.of_service(DB)}:
            cluster.effects.at(before(machine, "docker.stop"), stopping)
        outcome = await cluster.run(A, redeployed(two))
        assert outcome.exit_code == 0, outcome.text
        assert out == [[True, False], [False, True]]
        await released(cluster)
        assert gateway.held_ever == {}

    simulate(body)


def test_a_replacement_that_does_not_get_ready_is_undone_and_what_waited_goes_to_what_was_there() -> None:
    async def body(cluster: Cluster) -> None:
        await routed(cluster)
        gateway = cluster[C].gateway
        program = cluster[A].docker.program
        cluster[A].docker.program = lambda spec: Program(ready_s=3600) if "NEW" in spec.env else program(spec)

        async def starting(effect: Effect) -> None:
            if not gateway.held_ever:
                assert not gateway.request(BACKEND)

        cluster.effects.at(after(A, "docker.start"), starting)
        outcome = await cluster.run(A, redeployed(ROUTED))
        assert outcome.exit_code == 3
        await released(cluster, within_s=30)
        assert running(cluster) == {A: ["db/slot-1"]}
        assert (gateway.held_ever[BACKEND], gateway.expired) == (1, {})

    simulate(body)


def test_a_coordinator_that_dies_while_a_slot_is_replaced_is_not_needed_to_let_go() -> None:
    async def body(cluster: Cluster) -> None:
        await routed(cluster)
        gateway = cluster[C].gateway

        async def die(effect: Effect) -> None:
            assert not gateway.request(BACKEND)
            cluster.kill(B)

        cluster.effects.at(before(A, "docker.stop"), die)
        await cluster.begin(B, redeployed(ROUTED))
        await cluster.until(lambda: cluster[B].life is None, within_s=30)
        await released(cluster, within_s=120)
        assert running(cluster) == {A: ["db/slot-1"]}

    simulate(body)


def test_gateways_on_the_source_and_the_target_hold_and_let_go_too() -> None:
    async def body(cluster: Cluster) -> None:
        await routed(cluster, A, B, C)
        seen: list[bool] = []

        async def starting(effect: Effect) -> None:
            seen.extend(cluster[each].gateway.request(BACKEND) for each in (A, B, C))

        cluster.effects.at(after(B, "docker.start"), starting)
        outcome = await move(cluster)
        assert outcome.exit_code == 0, outcome.text
        assert seen == [False, False, False]
        for each in (A, B, C):
            await released(cluster, each)
            assert cluster[each].gateway.held_ever[BACKEND] == 1
            assert cluster[each].gateway.expired == {}

    simulate(body)


def test_nothing_is_let_go_to_a_service_that_does_not_answer_yet() -> None:
    async def body(cluster: Cluster) -> None:
        await routed(cluster)
        gateway = cluster[C].gateway

        async def cut(effect: Effect) -> None:
            cluster.network.cut(C, B)

        cluster.effects.at(after(B, "docker.start"), cut)
        outcome = await move(cluster)
        assert outcome.result.committed
        assert any("machine-c has not let requests to production/db go yet" in each.text for each in outcome.progress)
        assert gateway.is_held(BACKEND)
        cluster.network.heal(C, B)
        await released(cluster)

    simulate(body)


def test_a_look_that_was_lost_is_followed_by_another_one_soon() -> None:
    async def body(cluster: Cluster) -> None:
        await routed(cluster)

        async def late(effect: Effect) -> None:
            await anyio.sleep(0.1)

        def opens_its_door(effect: Effect) -> bool:
            # The commit is known there, and the candidate's door still shut.
            committed = owner(cluster, by=B)[0] == B
            return committed and (effect.machine, effect.name, effect.done) == (B, "overlay.apply", False)

        cluster.effects.at(opens_its_door, late)
        outcome = await move(cluster)
        assert 100 < outcome.result.parts.release_ms < 300
        await released(cluster)

    simulate(body)


def test_of_several_slots_the_silent_one_gets_nothing_until_it_answers() -> None:
    async def body(cluster: Cluster) -> None:
        await cluster.ask(A, "machine", SetMachine(C, ("gateway=on",)))
        extra = 'routes = [{ tcp = { service_port = "main", listen_port = 5432 } }]'
        two = service(placement="{ replicated = { count = 2 } }", restart="no", extra=extra)
        await deployed(cluster, manifest(two))
        await cluster.until(lambda: serves(cluster[C].gateway), within_s=5)

        def out() -> list[bool]:
            state = cluster[C].gateway.state
            return [each.is_out for each in state.backends[0].servers] if state else []

        assert out() == [False, False]
        (slot, _) = cluster[A].parts.view.placement.of_service(DB)
        docker = cluster[slot.machine].docker
        name = docker.names()[0]
        docker.exit(name, 1)
        await cluster.until(lambda: out() == [True, False], within_s=10)
        await docker.start(name)
        await cluster.until(lambda: out() == [False, False], within_s=10)

    simulate(body)


def test_running_requests_are_answered_before_the_service_is_stopped() -> None:
    async def body(cluster: Cluster) -> None:
        await routed(cluster)
        gateway = cluster[C].gateway
        gateway.running[HTTP] = 3
        left: list[int] = []

        async def stopping(effect: Effect) -> None:
            left.append(gateway.running[HTTP])

        async def answer() -> None:
            await cluster.until(lambda: gateway.is_held(HTTP), within_s=30)
            await anyio.sleep(2)
            gateway.running[HTTP] = 0

        cluster.effects.at(before(A, "docker.stop"), stopping)
        cluster.tasks.start_soon(answer)
        assert (await move(cluster)).exit_code == 0
        assert left == [0]

    simulate(body)


def test_requests_that_never_end_hold_a_move_up_for_their_grace_alone() -> None:
    async def body(cluster: Cluster) -> None:
        await routed(cluster)
        cluster[C].gateway.running[HTTP] = 1
        outcome = await move(cluster)
        assert outcome.exit_code == 0
        assert any("1 requests to production/db were not answered in time" in each.text for each in outcome.progress)

    simulate(body)


def test_an_abort_lets_what_waits_go_when_the_source_answers_again() -> None:
    async def body(cluster: Cluster) -> None:
        await routed(cluster)
        gateway = cluster[C].gateway
        cluster[B].docker.program = lambda _: Program(ready_s=3600)
        held_without_source: list[bool] = []

        async def starting(effect: Effect) -> None:
            held_without_source.append(gateway.is_held(BACKEND))

        cluster.effects.at(after(B, "docker.start"), starting)
        operation_id = await cluster.begin(A, ApplyMigration(DB, B))
        await cluster.until(lambda: not gateway.request(BACKEND), within_s=30)
        outcome = await cluster.watch(A, operation_id)
        assert outcome.exit_code == 3
        assert held_without_source == [True]
        await released(cluster, within_s=30)
        assert running(cluster)[A] == ["db/slot-1"]

    simulate(body)


def test_a_gateway_that_is_dead_delays_a_move_by_seconds_and_the_operator_hears_of_it() -> None:
    async def body(cluster: Cluster) -> None:
        await routed(cluster)
        cluster.crash(C)
        outcome = await move(cluster)
        assert running(cluster) == {B: ["db/slot-1"]}
        told = [each for each in outcome.progress if "machine-c does not hold requests" in each.text]
        assert len(told) == 1
        stop = next(each for each in outcome.progress if each.phase == "cut-over")
        hold = next(each for each in outcome.progress if each.phase == "hold")
        assert stop.at_ms - hold.at_ms < 4_000

    simulate(body)


def test_a_gateway_that_is_cut_off_ends_its_hold_by_itself_and_follows_when_it_is_back() -> None:
    async def body(cluster: Cluster) -> None:
        await routed(cluster)
        gateway = cluster[C].gateway

        async def cut(effect: Effect) -> None:
            gateway.request(BACKEND)
            for other in (A, B):
                cluster.network.cut(C, other)

        cluster.effects.at(before(A, "docker.stop"), cut)
        await move(cluster)
        assert running(cluster) == {B: ["db/slot-1"]}
        await cluster.until(lambda: not gateway.is_held(BACKEND), within_s=25)
        await gateway.status()
        assert gateway.expired == {BACKEND: 1}
        for other in (A, B):
            cluster.network.heal(C, other)
        await cluster.agreed()
        await released(cluster)

    simulate(body)


@pytest.mark.parametrize("ready_s", [0.1, 3600])
def test_a_hold_outlives_ployzd_and_ends_as_the_operation_was_decided(ready_s: float) -> None:
    async def body(cluster: Cluster) -> None:
        await routed(cluster)
        gateway = cluster[C].gateway
        cluster[B].docker.program = lambda _: Program(ready_s=ready_s)

        async def die(effect: Effect) -> None:
            gateway.request(BACKEND)
            cluster.kill(C)

        cluster.effects.at(before(A, "docker.stop"), die)
        operation_id = await cluster.begin(A, ApplyMigration(DB, B))
        await cluster.until(lambda: cluster[C].life is None, within_s=30)
        assert gateway.held == {BACKEND: 1}
        await cluster.start(C)
        await anyio.sleep(0.2)
        if ready_s > 1:
            assert gateway.is_held(BACKEND)
        outcome = await cluster.watch(A, operation_id)
        assert outcome.exit_code == (3 if ready_s > 1 else 0)
        await released(cluster, within_s=30)

    simulate(body)


def test_a_service_that_is_not_to_be_held_is_not() -> None:
    async def body(cluster: Cluster) -> None:
        await cluster.ask(A, "machine", SetMachine(C, ("gateway=on",)))
        extra = ROUTES.replace('"20s"', '"0s"')
        await deployed(cluster, manifest(volume(), service(volumes=("pgdata",), extra=extra)))
        outcome = await move(cluster)
        assert outcome.exit_code == 0
        assert all(each.phase != "hold" for each in outcome.progress)

    simulate(body)
