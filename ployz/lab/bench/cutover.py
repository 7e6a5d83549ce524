"""The cut-over of a writer's migration, against the same move by hand, its prediction, and eight times the data.

Moves by ployz and by hand alternate, to and fro; the medians are compared. Who does not move is frozen meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from ployz.lab.bench.floor import Floor, HandMove
from ployz.lab.bench.gaps import WriterLog
from ployz.lab.bench.report import Row
from ployz.lab.bench.stage import Stage, Writer
from ployz.lab.operator import Moved

SMALL_MIB, LARGE_MIB = 512, 4096
THERE, BACK = "machine-a", "machine-b"


@define
class Moves:
    """What one volume's moves took."""

    writer: Writer
    gaps_ms: list[float] = field(factory=list)
    moved: list[Moved] = field(factory=list)

    def move(self, target: str) -> None:
        self.writer.unpause()
        lab = self.writer.stage.lab
        log = WriterLog.at_its_end(lab.running(self.writer.machine()), self.writer.log)
        moved = self.writer.stage.operator.migrate(self.writer.service, target)
        self.gaps_ms.append(log.longest_gap_ms(lab.running(target)))
        self.moved.append(moved)
        self.writer.pause()
        parts = ", ".join(f"{name.removesuffix('_ms')} {ms}" for name, ms in moved.result["parts"].items() if ms)
        self.writer.stage.say(
            f"{self.writer.service} to {target}: gap {self.gaps_ms[-1]:.0f} ms, "
            f"cut-over {moved.cutover_ms} ms, predicted {moved.result['predicted_cutover_ms']} ({parts}), "
            f"{len(moved.rounds)} rounds"
        )

    @property
    def cutovers_ms(self) -> list[float]:
        return [each.cutover_ms for each in self.moved]

    @property
    def mispredicted_percent(self) -> list[float]:
        """How far each prediction, as it was before anything stopped, was off."""
        predicted_ms = [int(each.result["predicted_cutover_ms"]) for each in self.moved]
        pairs = zip(predicted_ms, self.cutovers_ms, strict=True)
        return [abs(predicted - measured) / measured * 100 for predicted, measured in pairs]


def measure(stage: Stage) -> Sequence[Row]:
    sizes = (SMALL_MIB, LARGE_MIB) if stage.effort.with_large else (SMALL_MIB,)
    by_ployz = [deployed(stage, f"size-{mib}", mib) for mib in sizes]
    floor = Floor(stage, SMALL_MIB)
    stage.say(f"by hand: a writer with {SMALL_MIB} MiB")
    floor.set_up(THERE, (THERE, BACK))
    by_hand: list[HandMove] = []
    floor.pause(THERE)
    for number in range(stage.effort.cutover_moves):
        source, target = (THERE, BACK) if number % 2 == 0 else (BACK, THERE)
        for moves in by_ployz:
            moves.move(target)
        floor.unpause(source)
        by_hand.append(floor.move(source, target))
        floor.pause(target)
        stage.say(f"by hand to {target}: gap {by_hand[-1].gap_ms:.0f} ms, cut-over {by_hand[-1].cutover_ms:.0f} ms")
    return list(_rows(by_ployz, by_hand))


def deployed(stage: Stage, namespace: str, mib: int) -> Moves:
    """A frozen writer at `THERE` with `mib` of data, that has not been measured yet."""
    writer = Writer(stage, namespace)
    stage.say(f"{writer.service}: a writer with {mib} MiB")
    machine = writer.deploy(mib)
    if machine != THERE:
        stage.operator.migrate(writer.service, THERE)
    writer.pause()
    return Moves(writer)


def _rows(by_ployz: Sequence[Moves], by_hand: Sequence[HandMove]) -> Sequence[Row]:
    small, *large = by_ployz
    rows = [
        Row.of_medians(
            f"cut-over, {SMALL_MIB} MiB: longest gap of writes / by hand",
            "ms",
            small.gaps_ms,
            [each.gap_ms for each in by_hand],
            at_most=1.25,
        ),
        Row.of_medians(
            f"cut-over, {SMALL_MIB} MiB: as the command says / by hand",
            "ms",
            small.cutovers_ms,
            [each.cutover_ms for each in by_hand],
            at_most=1.25,
        ),
        Row.of_medians(
            f"cut-over, {SMALL_MIB} MiB: the prediction is off by", "%", small.mispredicted_percent, at_most=30
        ),
    ]
    return rows + [
        Row.of_medians(
            f"cut-over, {LARGE_MIB} MiB: longest gap of writes / {SMALL_MIB} MiB",
            "ms",
            each.gaps_ms,
            small.gaps_ms,
            at_most=1.1,
        )
        for each in large
    ]
