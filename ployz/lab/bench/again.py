"""What a cut of the link costs: at ninety per cent of a volume, how much of it is sent again when the link is back."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Sequence
from typing import IO, Any, Final

from attrs import frozen

from ployz.lab.bench.report import Row
from ployz.lab.bench.stage import MIB, Stage, Writer
from ployz.lab.machine import PROGRAMS
from ployz.lab.programs import failed
from ployz.wire.stream_window import WINDOW_BYTES

SOURCE, TARGET = "machine-a", "machine-b"
QUIET_BYTES_PER_S: Final = 1
CUT_AT: Final = 0.9
AT_MOST: Final = 0.05
"""Of the volume; or one window, where that is more: what is on its way when a link is lost."""
TRANSFER_S: Final = 40
"""For the whole volume, by a limit on the link: its last tenth takes longer than seeing that it is reached."""
_AGAIN: Final = re.compile(r"(\d+) bytes sent again after \d+ lost links")

Line = dict[str, Any]


def measure(stage: Stage) -> Sequence[Row]:
    mib = stage.effort.bulk_mib
    found = [_cut(stage, f"again-{number}", mib) for number in range(stage.effort.bulk_moves)]
    again, volume = [each.again_bytes / MIB for each in found], [each.volume_bytes / MIB for each in found]
    at_most = max(AT_MOST, *(WINDOW_BYTES / each.volume_bytes for each in found))
    return [Row.of_medians(f"cut at 90 % of {mib} MiB: sent again / the volume", "MiB", again, volume, at_most=at_most)]


@frozen
class _Cost:
    again_bytes: int
    volume_bytes: int


def _cut(stage: Stage, namespace: str, mib: int) -> _Cost:
    """Of one move, which ends well."""
    writer = Writer(stage, namespace, QUIET_BYTES_PER_S)
    source = writer.deploy(mib)
    target = TARGET if source == SOURCE else SOURCE
    stage.lab.limit(target, f"{mib * MIB * 8 // TRANSFER_S // 1_000_000}mbit")
    argv = [str(PROGRAMS / "ployzctl"), "--json", "migrate", "apply", writer.service, "--to", target]
    with subprocess.Popen(
        stage.lab.running(source).enter(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as move:
        try:
            assert move.stdout is not None  # noqa: S101 - it was opened with a pipe
            reached = _next(move.stdout, _is_nearly_there)
            stage.lab.cut(source, target, one_way=False)
            _next(move.stdout, lambda line: "the link is lost" in line.get("text", ""))
            stage.lab.heal(source, target)
            again = _next(move.stdout, lambda line: _AGAIN.search(line.get("text", "")) is not None)
            move.stdout.read()
            if move.wait() != 0:
                raise failed(f"the move of {writer.service} ended with {move.returncode}")
        finally:
            move.kill()
            stage.lab.heal_all()
            stage.lab.limit(target, None)
    writer.pause()
    (told,) = _AGAIN.findall(again["text"])
    cost = _Cost(int(told), int(reached["total_bytes"]))
    stage.say(
        f"{mib} MiB to {target}, cut at {reached['sent_bytes'] / MIB:.0f} MiB: {cost.again_bytes / MIB:.2f} MiB again"
    )
    return cost


def _is_nearly_there(line: Line) -> bool:
    return bool(line["kind"] == "operation.progress" and line["sent_bytes"] > CUT_AT * line["total_bytes"] > 0)


def _next(told: IO[str], wanted: Callable[[Line], bool]) -> Line:
    """The next line of an operation's story that is wanted."""
    last = ""
    for last in told:
        line: Line = json.loads(last)["payload"]
        if wanted(line):
            return line
    raise failed(f"the move ended before its link was cut and back: {last.strip()}")
