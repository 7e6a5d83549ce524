"""Names on every machine: they follow the commits, and stay what they were while nobody can say otherwise."""

from __future__ import annotations

import anyio

from ployz.actors.messages.operations import ApplyMigration, RemoveService
from ployz.errors import Code, Failed
from ployz.ids import MachineId
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.manifests import DB, WEB, A, B, C, manifest, service
from tests.cluster.scenes import deployed, slot_addresses

NAME = "db.production.ployz.internal"
SOON_S = 30.0


def resolved(cluster: Cluster, machine: MachineId, name: str = NAME) -> set[str]:
    names = cluster[machine].names
    return names.resolve(name, 4) | names.resolve(name, 6)


async def knows(cluster: Cluster, machine: MachineId, addresses: set[str], name: str = NAME) -> None:
    await cluster.until(lambda: resolved(cluster, machine, name) == addresses, within_s=SOON_S, what=f"{name} there")


def test_every_machine_says_where_a_service_is_and_a_move_changes_nothing_of_it() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        addresses = slot_addresses(cluster, DB)
        assert len(addresses) == 2
        for machine in cluster.machines:
            await knows(cluster, machine, addresses)
            await knows(cluster, machine, addresses, f"slot-1.{NAME}")
        assert (await cluster.run(A, ApplyMigration(DB, B))).exit_code == 0
        for machine in cluster.machines:
            assert resolved(cluster, machine) == addresses

    simulate(body)


def test_what_was_removed_has_no_name_any_more() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, manifest(service("db"), service("web")))
        await knows(cluster, C, slot_addresses(cluster, WEB), "web.production.ployz.internal")
        await cluster.run(A, RemoveService(WEB))
        await knows(cluster, C, set(), "web.production.ployz.internal")
        await knows(cluster, C, slot_addresses(cluster, DB))

    simulate(body)


def test_names_stay_while_ployzd_or_the_authority_is_away_and_are_served_again_after_a_power_cut() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        addresses = slot_addresses(cluster, DB)
        await knows(cluster, C, addresses)
        cluster.kill(C)
        assert resolved(cluster, C) == addresses
        cluster.crash(A)
        await cluster.start(C)
        await anyio.sleep(SOON_S)
        assert resolved(cluster, C) == addresses
        cluster.crash(C)
        assert resolved(cluster, C) == set()
        await cluster.boot(C)  # without the authority, by its own log
        await knows(cluster, C, addresses)

    simulate(body)


def test_a_name_server_that_ended_is_started_again_and_one_that_cannot_be_is_tried_again() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        addresses = slot_addresses(cluster, DB)
        await knows(cluster, B, addresses)
        cluster.effects.fail(B, "names.serve", Failed(Code.PART_FAILED, "dnsmasq did not start"), times=3)
        cluster[B].names.power_cut()
        await knows(cluster, B, addresses)

    simulate(body)
