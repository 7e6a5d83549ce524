"""`ployzctl volume show NAMESPACE/VOLUME`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.services import CopyRow, ShowVolume, VolumeDetail, VolumeRow
from ployz.cli import human
from ployz.cli.arguments import Parser, named
from ployz.cli.blocks import Block, Fields, Heading, Table
from ployz.cli.call import ANSWER_S, Call
from ployz.cli.commands.volume.ls import size
from ployz.ids import VolumeRef


def add_arguments(parser: Parser) -> None:
    parser.add_argument("volume", type=named(VolumeRef.parse), metavar="NAMESPACE/VOLUME")


def run(call: Call) -> None:
    detail = call.node.ask("services", ShowVolume(call.arguments.volume), timeout_s=ANSWER_S)
    call.out.show("volume.detail", detail, render)


def render(detail: VolumeDetail) -> Iterator[Block]:
    row = detail.row
    yield Fields(
        (
            ("volume", str(row.volume)),
            ("owner", f"{row.owner}, epoch {row.epoch}"),
            ("size", size(row)),
            ("quota", human.size(row.quota_bytes) if row.quota_bytes else "none"),
            ("snapshots", _held(row)),
            ("used by", human.listed(row.used_by)),
            ("no answer from", ", ".join(detail.unanswered)),
        )
    )
    yield Heading("Copies")
    yield Table(
        columns=("MACHINE", "EPOCH", "ROLE", "SIZE", "SNAPSHOTS"),
        rows=tuple(_copy(copy) for copy in detail.copies),
        right=frozenset({"EPOCH", "SIZE"}),
        empty="none was found",
        indent=2,
    )
    if detail.asides:
        yield Heading("Kept aside after a takeover: no part of the volume. Look at it, take what you need, destroy it.")
        yield Table(
            columns=("MACHINE", "DATASET", "SIZE"),
            rows=tuple((each.machine, each.dataset, human.size(each.referenced_bytes)) for each in detail.asides),
            right=frozenset({"SIZE"}),
            empty="none",
            indent=2,
        )


def _held(row: VolumeRow) -> str:
    """Apart from the quota, which does not count it."""
    if row.referenced_bytes is None:
        return human.NOTHING
    return f"hold {human.size(row.snapshots_bytes)} of the pool, beside the quota"


def _copy(copy: CopyRow) -> tuple[str, ...]:
    return (
        copy.machine,
        str(copy.epoch),
        "owner" if copy.owner else "kept as a base",
        human.size(copy.referenced_bytes),
        human.listed(copy.snapshots),
    )
