"""Invitations in a whole cluster: one machine, once, in time, through the machine that invited it."""

from __future__ import annotations

import anyio
import pytest
from attrs import evolve

from ployz.actors.messages.invites import ListInvites, MakeInvite, RevokeInvite, UseInvite, Welcome
from ployz.actors.messages.machine import Ping
from ployz.errors import Code, PloyzError, Refused
from ployz.host.fakes.overlay import made_up_key
from ployz.ids import Certificate, MachineId
from ployz.wire.invitation import Invitation, from_token
from ployz.wire.message import Newcomer
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.machine import certificate, endpoint
from tests.cluster.manifests import A, B, C

D, E = MachineId("machine-d"), MachineId("machine-e")
SOMEBODY = Newcomer("192.0.2.4")


async def invited(cluster: Cluster, by: MachineId = A, ttl_s: float = 900.0) -> Invitation:
    return from_token((await cluster.ask(by, "invites", MakeInvite(ttl_s))).token)


def showing(invitation: Invitation, name: MachineId = D, secret: bytes | None = None, key: str = "d") -> UseInvite:
    shown = invitation.secret if secret is None else secret
    return UseInvite(invitation.invite, shown, name, endpoint(4), made_up_key(key), certificate(name))


async def use(cluster: Cluster, asked: UseInvite, at: MachineId = A) -> Welcome:
    return await cluster.ask_as(SOMEBODY, at, "invites", asked)


async def refusal(cluster: Cluster, asked: UseInvite, at: MachineId = A) -> PloyzError:
    """It is refused, and nothing has changed."""
    before = cluster.head
    with pytest.raises(Refused) as caught:
        await use(cluster, asked, at)
    assert cluster.head == before
    return caught.value


async def states(cluster: Cluster) -> list[str]:
    """Of the invitations of these tests: the first two made the other machines of the cluster members."""
    return [each.state for each in (await cluster.ask(B, "invites", ListInvites())).invites[:-2]]


def test_an_invitation_makes_one_machine_a_member() -> None:
    async def body(cluster: Cluster) -> None:
        invitation = await invited(cluster, by=B)
        assert await states(cluster) == ["open"]
        welcome = await use(cluster, showing(invitation), at=B)
        assert (welcome.cluster, welcome.way.founder) == ("sim", A)
        await cluster.agreed()
        member = cluster[C].parts.view.machines[D]
        assert (member.ipv6, member.certificate) == (welcome.way.ipv6, certificate(D))
        assert await states(cluster) == ["used by machine-d"]
        assert (await refusal(cluster, showing(invitation, E), at=B)).code is Code.INVITE

    simulate(body)


def test_who_lost_the_answer_gets_it_again_and_nobody_else_does() -> None:
    async def body(cluster: Cluster) -> None:
        invitation = await invited(cluster)
        assert await use(cluster, showing(invitation)) == await use(cluster, showing(invitation))
        assert (await refusal(cluster, showing(invitation, key="another"))).code is Code.INVITE

    simulate(body)


def test_of_two_that_use_it_at_once_one_joins() -> None:
    async def body(cluster: Cluster) -> None:
        invitation = await invited(cluster)
        joined: list[MachineId] = []

        async def try_(name: MachineId) -> None:
            try:
                await use(cluster, showing(invitation, name))
            except Refused:
                return
            joined.append(name)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(try_, D)
            tasks.start_soon(try_, E)
        assert len(joined) == 1
        await cluster.agreed()
        assert [each in cluster[B].parts.view.machines.members for each in (D, E)].count(True) == 1

    simulate(body)


def test_of_two_that_join_at_once_through_two_members_each_gets_a_number_of_its_own() -> None:
    async def body(cluster: Cluster) -> None:
        addresses: list[str] = []

        async def join(by: MachineId, name: MachineId) -> None:
            asked = showing(await invited(cluster, by), name)
            try:
                welcome = await use(cluster, asked, by)
            except Refused:
                await cluster.agreed()
                welcome = await use(cluster, asked, by)
            addresses.append(welcome.way.ipv6)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(join, B, D)
            tasks.start_soon(join, C, E)
        assert len(set(addresses)) == 2

    simulate(body)


def test_an_invitation_that_does_not_hold_is_refused() -> None:
    async def body(cluster: Cluster) -> None:
        invitation = await invited(cluster, ttl_s=60.0)
        wrong = bytes(32)
        assert (await refusal(cluster, showing(invitation, secret=wrong))).code is Code.INVITE
        assert (await refusal(cluster, showing(invitation), at=B)).code is Code.INVITE  # A made it
        assert (await refusal(cluster, showing(invitation, B))).code is Code.MACHINE_EXISTS
        await anyio.sleep(61)
        assert "expired" in (await refusal(cluster, showing(invitation))).problem.text
        assert await states(cluster) == ["expired"]

    simulate(body)


def test_any_member_revokes_an_invitation() -> None:
    async def body(cluster: Cluster) -> None:
        invitation = await invited(cluster)
        await cluster.agreed()
        for _ in range(2):
            await cluster.ask(C, "invites", RevokeInvite(invitation.invite))
        await cluster.agreed()
        assert "revoked" in (await refusal(cluster, showing(invitation))).problem.text

    simulate(body)


def test_a_newcomer_may_show_an_invitation_and_nothing_else() -> None:
    async def body(cluster: Cluster) -> None:
        with pytest.raises(Refused) as caught:
            await cluster.ask_as(SOMEBODY, A, "machine", Ping())
        assert caught.value.code is Code.NOT_ALLOWED

    simulate(body)


def test_the_secret_of_an_invitation_is_in_no_log() -> None:
    async def body(cluster: Cluster) -> None:
        invitation = await invited(cluster)
        await use(cluster, showing(invitation))
        await cluster.agreed()
        for machine in cluster.machines.values():
            for row in await machine.disk.log.rows(0, 10_000):
                assert invitation.secret not in row.payload

    simulate(body)


def test_who_comes_with_a_certificate_that_is_none_does_not_join() -> None:
    async def body(cluster: Cluster) -> None:
        invitation = await invited(cluster)
        bad = evolve(showing(invitation), certificate=Certificate("bm9uZQ=="))
        assert (await refusal(cluster, bad)).code is Code.IDENTITY
        another = evolve(showing(invitation), certificate=certificate(B))
        assert (await refusal(cluster, another)).code is Code.IDENTITY
        await use(cluster, showing(invitation))

    simulate(body)
