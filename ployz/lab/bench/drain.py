"""A drain of many services, each gap against the same service's when it moved alone, and the bandwidth it was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ployz.lab.bench.report import Row
from ployz.lab.bench.stage import MIB, Stage, Writer

DRAINED: Final = "machine-a"
ELSEWHERE: Final = "machine-b"
WRITTEN_MIB: Final = 16
"""Into each volume, before the drain: what its first round sends takes two seconds under the limit."""
LIMIT_MIB_S: Final = 8
BYTES_PER_S: Final = 20_000
"""Of each writer: as many run on one machine as there are services."""


def measure(stage: Stage) -> Sequence[Row]:
    writers = [Writer(stage, f"drain-{number}", BYTES_PER_S) for number in range(stage.effort.drain_services)]
    sources = [writer.deploy(1) for writer in writers]  # all run before the first moves: they share the processors
    alone_ms = {writer.service: _onto_it_alone(writer, source) for writer, source in zip(writers, sources, strict=True)}
    for writer in writers:
        stage.fill(WRITTEN_MIB)(stage.lab.running(DRAINED), writer.folder)
    stage.say(f"{len(writers)} services are on {DRAINED}, each with {WRITTEN_MIB} MiB to send")
    drained = stage.operator.drain(DRAINED, "--bandwidth", f"{LIMIT_MIB_S}M")
    stage.operator.ask("machine", "activate", DRAINED)
    results = {_service(each): each["result"] for each in drained["departed"] if _service(each) in alone_ms}
    if results.keys() != alone_ms.keys():
        raise AssertionError(f"these did not leave {DRAINED}: {sorted(alone_ms.keys() - results.keys())}")
    for service, result in results.items():
        stage.say(f"{service}: cut-over {result['cutover_ms']} ms, alone {alone_ms[service]:.0f} ms")
    what = f"drain of {len(writers)} services, one after the other"
    return [
        Row.of_medians(
            f"{what}: cut-over / of the same service alone",
            "ms",
            [float(results[service]["cutover_ms"]) for service in alone_ms],
            list(alone_ms.values()),
            at_most=1.1,
        ),
        Row.of_medians(
            f"{what}: first rounds / --bandwidth {LIMIT_MIB_S}M",
            "MiB/s",
            [_rate_mib_s(results[service]["rounds"][0]) for service in alone_ms],
            [float(LIMIT_MIB_S)] * len(alone_ms),
            at_most=1.05,
        ),
    ]


def _onto_it_alone(writer: Writer, source: str) -> float:
    """The cut-over of its move to the machine that is drained later."""
    if source == DRAINED:
        writer.stage.operator.migrate(writer.service, ELSEWHERE)
    return float(writer.stage.operator.migrate(writer.service, DRAINED).cutover_ms)


def _service(departed: Any) -> str:
    departure = departed["row"]["departure"]
    return f"{departure['namespace']}/{'+'.join(departure['services'])}"


def _rate_mib_s(first_round: Any) -> float:
    return float(first_round["sent_bytes"] / MIB / (first_round["duration_ms"] / 1000))
