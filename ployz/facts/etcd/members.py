"""How the members of an etcd are: asked one by one, each within a deadline, so that one that is away hides no other."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
from attrs import evolve, frozen

from ployz.errors import Code, PloyzError, Refused
from ployz.facts.etcd.forms import Json, number
from ployz.facts.etcd.gateway import Declined, Gateway
from ployz.facts.etcd.version import support


@frozen
class Member:
    endpoint: str
    answers: bool
    version: str = ""
    leads: bool = False
    size_bytes: int = 0
    lag: int = 0
    """How many entries of etcd's own log it is behind the member that is furthest."""
    concern: str = ""
    """What an operator should know of it; empty: nothing."""


async def look(gateway: Gateway) -> Sequence[Member]:
    """In the order of the endpoints."""
    found: dict[str, tuple[Member, int]] = {}

    async def ask(endpoint: str) -> None:
        try:
            status = await gateway.read_at(endpoint, "/v3/maintenance/status", {})
        except (PloyzError, Declined) as error:
            text = error.problem.text if isinstance(error, PloyzError) else str(error)
            found[endpoint] = (Member(endpoint, answers=False, concern=text), 0)
        else:
            found[endpoint] = _member(endpoint, status)

    async with anyio.create_task_group() as tasks:
        for endpoint in gateway.access.endpoints:
            tasks.start_soon(ask, endpoint)
    furthest = max(applied for _, applied in found.values())
    return [
        evolve(member, lag=furthest - applied) if member.answers else member
        for member, applied in (found[endpoint] for endpoint in gateway.access.endpoints)
    ]


async def endpoints(gateway: Gateway) -> tuple[str, ...]:
    """Of the members that etcd has now, and that have a vote: in the order in which they are known, new ones last."""
    listed = await gateway.read("/v3/cluster/member/list", {})
    there = {url for each in listed["members"] if not each.get("isLearner") for url in each.get("clientURLs", [])}
    known = gateway.access.endpoints
    return (*(each for each in known if each in there), *sorted(there.difference(known)))


async def require_fit(gateway: Gateway) -> Sequence[Member]:
    """`Refused` (MACHINE_UNREACHABLE, MISSING_PART): a member is away, or cannot be used."""
    members = await look(gateway)
    for each in members:
        if not each.answers:
            raise Refused(Code.MACHINE_UNREACHABLE, each.concern, "Begin with all members of etcd up.")
        if not support(each.version).works:
            raise Refused(Code.MISSING_PART, each.concern, "Nothing was changed.")
    return members


def _member(endpoint: str, status: Json) -> tuple[Member, int]:
    version = str(status.get("version", ""))
    alarms = ", ".join(str(each) for each in status.get("errors", []))
    leader = status.get("leader", "0")
    concerns = (support(version).concern, alarms, "" if leader != "0" else "it knows no leader")
    member = Member(
        endpoint,
        answers=True,
        version=version,
        leads=leader == status["header"].get("member_id"),
        size_bytes=number(status, "dbSize"),
        concern="; ".join(filter(None, concerns)),
    )
    return member, number(status, "raftAppliedIndex")
