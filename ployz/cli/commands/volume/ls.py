"""`ployzctl volume ls`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.services import ListVolumes, VolumeList, VolumeRow
from ployz.cli import human
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Table
from ployz.cli.call import ANSWER_S, Call


def add_arguments(parser: Parser) -> None:
    pass


def run(call: Call) -> None:
    call.out.show("volume.list", call.node.ask("services", ListVolumes(), timeout_s=ANSWER_S), render)


def render(listed: VolumeList) -> Iterator[Block]:
    yield Table(
        columns=("VOLUME", "OWNER", "EPOCH", "SIZE", "QUOTA", "USED BY"),
        rows=tuple(_row(row) for row in listed.volumes),
        right=frozenset({"EPOCH", "SIZE", "QUOTA"}),
        empty="there is no volume",
    )


def _row(row: VolumeRow) -> tuple[str, ...]:
    return (
        str(row.volume),
        row.owner,
        str(row.epoch),
        size(row),
        human.size(row.quota_bytes) if row.quota_bytes else human.NOTHING,
        human.listed(row.used_by),
    )


def size(row: VolumeRow) -> str:
    return "unknown" if row.referenced_bytes is None else human.size(row.referenced_bytes)
