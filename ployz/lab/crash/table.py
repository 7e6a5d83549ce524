"""The outcomes in words: a line while they come, a summary in the end, and the page of a whole run."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Sequence

from ployz.lab.crash.case import NOT_REACHED, Outcome


def line(outcome: Outcome) -> str:
    how = f"FAILED: {outcome.problem}" if outcome.problem else outcome.ended
    return f"{outcome.name}: {how}, recovered in {outcome.recovered_s:.1f} s, down {outcome.down_s:.1f} s"


def summary(outcomes: Sequence[Outcome]) -> str:
    reached = [each for each in outcomes if each.ended != NOT_REACHED]
    failed = [each for each in outcomes if each.problem]
    aborted = [each for each in reached if each.ended == "aborted"]
    recovery_s = max((each.recovered_s for each in reached), default=0)
    down_s = max((each.down_s for each in reached), default=0)
    before_s = max((each.down_s for each in aborted), default=0)
    in_order = f"{len(outcomes) - len(failed)} in order, {len(failed)} not"
    acknowledged = sum(each.acknowledged for each in outcomes)
    lines = [
        f"{len(outcomes)} cases, {len(reached)} reached: {in_order}; {acknowledged} writes acknowledged",
        f"longest recovery {recovery_s:.1f} s",
        f"longest time without service {down_s:.1f} s, where it was not committed {before_s:.1f} s",
    ]
    return "\n".join([*lines, *(f"FAILED {line(each)}\n  alone: {alone(each)}" for each in failed)])


def alone(outcome: Outcome) -> str:
    """What tries that case again, and no other."""
    return f"bin/crash --again --points {shlex.quote(outcome.name)}"


def document(outcomes: Sequence[Outcome], cases: int, commit: str) -> str:
    """docs/crash-matrix.md. `cases`: how many there are, tried or not."""
    date = dt.datetime.now(dt.UTC).date().isoformat()
    rows = [
        f"| {each.coordinator} | {each.what} | {_code(each.when)} | {each.problem or each.ended} "
        f"| {each.recovered_s:.1f} | {each.down_s:.1f} |"
        for each in sorted(outcomes, key=lambda each: each.name)
    ]
    head = [
        "# The crash matrix",
        "",
        f"Written by `bin/crash --table docs/crash-matrix.md` on {date}, at commit {commit}:",
        f"{len(outcomes)} of {cases} cases.",
        "",
        "In each row a service with a volume was moved while a client wrote to it, and one thing went wrong: a ployzd",
        "was killed with SIGKILL at the point, and started again; or what the row says was done, and undone again.",
        "*Recovered*: from the kill, or from the end of what was done, until exactly one machine owned and ran the",
        "service, every acknowledged write was there, every log verified, and nothing was left over: container,",
        "dataset, snapshot, hold, lease, guard, door, route.",
        "",
        *(f"{text}  " for text in summary(outcomes).splitlines()),
        "",
        "| coordinator | what | when | ended | recovered in s | without service in s |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows, ""])


def _code(when: str) -> str:
    """A kill point as what it is in the source."""
    point = when.removeprefix("at ")
    return f"`{point}`" if "/" in point else when
