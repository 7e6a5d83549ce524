"""`ployzctl cluster status`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ployz.actors.messages.authority import ClusterState, EtcdMember, ShowCluster
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Fields, Lines, Table
from ployz.cli.call import ANSWER_S, Call
from ployz.cli.human import size


def add_arguments(parser: Parser) -> None:
    pass


def run(call: Call) -> None:
    call.out.show("cluster.state", call.node.ask("authority", ShowCluster(), timeout_s=ANSWER_S), render)


def render(state: ClusterState) -> Iterator[Block]:
    ordered_by = "etcd" if state.ordered_by == "etcd" else f"the founding machine, {state.founder}"
    yield Fields(
        (
            ("facts ordered by", ordered_by),
            ("last fact", "not known" if state.position is None else str(state.position)),
            ("this machine is at", str(state.mirrored)),
            ("no answer", state.why),
            ("isolation", "on" if state.isolation else ""),
        )
    )
    if state.members:
        yield from members(state.members)


def members(rows: Sequence[EtcdMember]) -> Iterator[Block]:
    yield Table(
        columns=("MEMBER", "ANSWERS", "ROLE", "SIZE", "BEHIND", "VERSION"),
        rows=tuple(_row(each) for each in rows),
        right=frozenset({"SIZE", "BEHIND"}),
    )
    yield Lines.of(dict.fromkeys(each.concern for each in rows if each.concern))


def _row(row: EtcdMember) -> tuple[str, ...]:
    name = row.machine or row.endpoint
    if not row.answers:
        return (name, "no", "-", "-", "-", "-")
    role = "leader" if row.leads else "follower"
    return (name, "yes", role, size(row.size_bytes), str(row.lag), row.version)
