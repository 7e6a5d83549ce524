"""How an operation ended: what changed, the bytes of each round, and the cut-over as it was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from ployz.actors.messages.operations import Result
from ployz.cli import human
from ployz.cli.blocks import Block, Fields, Heading, Table
from ployz.cli.views.plan import headline, stopped_for_good, waits
from ployz.events.types import CutoverParts, RoundEvidence


def render(result: Result) -> Iterator[Block]:
    if result.plan is not None:
        yield Heading(f"{'done' if result.exit_code == 0 else 'ended'}: {headline(result.plan)}")
    yield Fields(
        (
            ("committed", f"as fact {result.position}" if result.committed else "no"),
            ("removed", stopped_for_good(result.plan) if result.plan and result.committed else ""),
            ("waits", waits(result.plan) if result.plan else ""),
            ("took", human.duration(result.duration_ms)),
            ("cut-over", _cutover(result)),
            ("of which", parts(result.parts) if result.cutover_ms else ""),
            ("last round", last_round(result.last_bytes, result.predicted_bytes) if result.cutover_ms else ""),
        ),
        indent=2,
    )
    yield from rounds(result.rounds)


def rounds(evidence: Sequence[RoundEvidence]) -> Iterator[Block]:
    if evidence:
        total = sum(each.sent_bytes for each in evidence)
        yield Heading(f"Sent: {human.size(total)}, every round checked by guid")
        yield Table(
            columns=("VOLUME", "ROUND", "SINCE", "SENT", "TIME", "RATE"),
            rows=tuple(
                (
                    str(each.volume),
                    str(each.round),
                    each.base or "all of it",
                    human.size(each.sent_bytes),
                    human.duration(each.duration_ms),
                    human.rate(each.sent_bytes, each.duration_ms),
                )
                for each in evidence
            ),
            right=frozenset({"ROUND", "SENT", "TIME", "RATE"}),
            spare=("RATE", "TIME"),
            indent=2,
        )


def _cutover(result: Result) -> str:
    if not result.cutover_ms:
        removed = result.plan is not None and stopped_for_good(result.plan)
        stopped = "nothing that goes on" if removed else "no running service"
        return f"none: {stopped} was stopped" if result.committed else ""
    return measured(result.cutover_ms, result.predicted_cutover_ms)


def measured(cutover_ms: int, predicted_ms: int) -> str:
    predicted = f" (predicted {human.duration(predicted_ms)})" if predicted_ms else ""
    return f"{human.duration(cutover_ms)}, measured{predicted}"


def last_round(sent_bytes: int, predicted_bytes: int) -> str:
    """Empty: no volume was moved."""
    return f"{human.size(sent_bytes)} (predicted {human.size(predicted_bytes)})" if sent_bytes else ""


def parts(parts: CutoverParts) -> str:
    taken = attrs.asdict(parts)
    return ", ".join(f"{name.removesuffix('_ms')} {human.duration(ms)}" for name, ms in taken.items() if ms)
