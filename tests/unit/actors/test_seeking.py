"""Two machines whose addresses change at once find each other by a third, which hears both."""

from __future__ import annotations

import anyio

from ployz.actors.messages.routing import AskWhereabouts
from ployz.ids import MachineId
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.manifests import A, B, C

MOVED = "203.0.113.9:51820"


def endpoint(cluster: Cluster, at: MachineId, of: MachineId) -> str | None:
    return cluster[at].overlay.heard_at.get(cluster[of].key)


def test_a_machine_that_is_not_heard_any_more_is_looked_for_where_another_hears_it() -> None:
    async def body(cluster: Cluster) -> None:
        await anyio.sleep(10)
        before = cluster.head
        cluster[C].overlay.heard_at[cluster[B].key] = MOVED
        cluster[A].overlay.unheard = {cluster[B].key}
        await cluster.until(lambda: endpoint(cluster, A, B) == MOVED, within_s=30)
        cluster[A].overlay.unheard = set()
        await anyio.sleep(120)
        assert endpoint(cluster, A, B) == MOVED, "there it is heard"
        assert cluster.head == before, "it becomes no fact"

    simulate(body)


def test_one_that_is_not_there_either_is_looked_for_where_the_facts_have_it_again() -> None:
    async def body(cluster: Cluster) -> None:
        await anyio.sleep(10)
        said = cluster[A].parts.view.machines[B].endpoint
        cluster[C].overlay.heard_at[cluster[B].key] = MOVED
        cluster[A].overlay.unheard = {cluster[B].key}
        for place in (MOVED, said, MOVED):
            await cluster.until(lambda place=place: endpoint(cluster, A, B) == place, within_s=30)  # type: ignore[misc]

    simulate(body)


def test_who_hears_nothing_of_it_says_so_and_nothing_is_tried() -> None:
    async def body(cluster: Cluster) -> None:
        await anyio.sleep(10)
        for each in (A, C):
            cluster[each].overlay.unheard = {cluster[B].key}
        await anyio.sleep(30)
        cluster[C].overlay.heard_at[cluster[B].key] = MOVED
        await anyio.sleep(120)
        assert endpoint(cluster, A, B) is None
        told = await cluster[A].system.remote(C, "routing").ask(AskWhereabouts(B), timeout_s=5)
        assert (told.endpoint, told.silent_ms > 100_000) == ("", True)

    simulate(body)
