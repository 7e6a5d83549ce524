"""Sending a whole volume, against the raw pipeline between the same machines; and the way back after a few changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ployz.lab.bench.raw import Sent, raw_pipe
from ployz.lab.bench.report import Row
from ployz.lab.bench.stage import MIB, Stage, Writer
from ployz.lab.operator import Moved
from ployz.lab.pool import in_turn

SOURCE, TARGET = "machine-a", "machine-b"
DATASET, RECEIVED, MOUNTPOINT = "raw", "raw-received", "/var/lib/raw"
CHANGED_MIB: Final = 5
BACK_AT_MOST_MIB: Final = 1.2 * CHANGED_MIB + 1
QUIET_BYTES_PER_S: Final = 1
"""A writer that hardly writes: the first round is then the volume as it was filled."""


def measure(stage: Stage) -> Sequence[Row]:
    mib = stage.effort.bulk_mib
    raw = _Raw(stage)
    by_ployz: list[float] = []
    by_hand: list[float] = []
    back: list[float] = []
    previews: list[float] = []
    for number in range(stage.effort.bulk_moves):
        by_hand.append(raw.send(mib).mib_per_s)
        writer = Writer(stage, f"bulk-{number}", QUIET_BYTES_PER_S)
        source = writer.deploy(mib)
        target = TARGET if source == SOURCE else SOURCE
        said_bytes = stage.operator.first_send_bytes(writer.service, target)
        moved = stage.operator.migrate(writer.service, target)
        by_ployz.append(_first_round(moved).mib_per_s)
        off_percent = [_off_percent(said_bytes, moved)]
        stage.fill(CHANGED_MIB)(stage.lab.running(writer.machine()), writer.folder)
        said_bytes = stage.operator.first_send_bytes(writer.service, source)
        returned = stage.operator.migrate(writer.service, source)
        back.append(returned.sent_bytes / MIB)
        off_percent.append(_off_percent(said_bytes, returned))
        previews.append(max(off_percent))
        writer.pause()
        stage.say(
            f"{mib} MiB: {by_ployz[-1]:.1f} MiB/s, by hand {by_hand[-1]:.1f} MiB/s; "
            f"back after {CHANGED_MIB} MiB of changes: {back[-1]:.2f} MiB sent; "
            f"previews were off by {off_percent[0]:.1f} % and {off_percent[1]:.1f} %"
        )
    return [
        Row.of_medians(
            f"send of {mib} MiB / zfs send | socket | zfs receive", "MiB/s", by_ployz, by_hand, at_least=0.9
        ),
        Row.of_medians("first send, all and changes: the preview is off by", "%", previews, at_most=10),
        Row.of_medians(f"way back after {CHANGED_MIB} MiB of changes: sent", "MiB", back, at_most=BACK_AT_MOST_MIB),
    ]


def _off_percent(said_bytes: int, moved: Moved) -> float:
    """Of what the first round sent. The preview was made just after the writing."""
    sent_bytes: int = moved.rounds[0]["sent_bytes"]
    return abs(said_bytes - sent_bytes) / sent_bytes * 100


def _first_round(moved: Moved) -> Sent:
    first = moved.rounds[0]
    if first["base"] is not None:
        raise AssertionError("nothing was there to send it from")
    return Sent(first["sent_bytes"], first["duration_ms"] / 1000)


class _Raw:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._source, self._target = stage.lab.running(SOURCE), stage.lab.running(TARGET)
        self._dataset = f"{stage.pool(SOURCE)}/{DATASET}"
        self._received = f"{stage.pool(TARGET)}/{RECEIVED}"
        self._address = stage.overlay_addresses()[TARGET]

    def send(self, mib: int) -> Sent:
        """A volume that was filled just now, like the product's: a part of it is still in memory."""
        self._source.run(in_turn(["zfs", "create", "-o", f"mountpoint={MOUNTPOINT}", self._dataset]))
        self._stage.fill(mib)(self._source, MOUNTPOINT)
        self._source.run(["zfs", "snapshot", f"{self._dataset}@whole"])
        send = ["zfs", "send", f"{self._dataset}@whole"]
        receive = ["zfs", "receive", self._received]
        with raw_pipe(self._source, send, self._target, receive, self._address) as pipe:
            sent = pipe.run()
        self._source.run(["zfs", "destroy", "-r", self._dataset])
        self._target.run(["zfs", "destroy", "-r", self._received])
        return sent
