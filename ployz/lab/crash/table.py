"""The outcomes in words: a line while they come, a summary in the end, and the page of a whole run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from ployz.lab.crash.case import Outcome


def line(outcome: Outcome) -> str:
    how = f"FAILED: {outcome.problem}" if outcome.problem else outcome.ended
    return f"{outcome.case}: {how}, recovered in {outcome.recovered_s:.1f} s, down {outcome.down_s:.1f} s"


def summary(outcomes: Sequence[Outcome], acknowledged: int) -> str:
    reached = [each for each in outcomes if each.ended != "not reached"]
    failed = [each for each in outcomes if each.problem]
    aborted = [each for each in reached if each.ended == "aborted"]
    kills = f"{len(reached)} kills: {len(reached) - len(failed)} recovered, {len(failed)} not"
    recovery_s = max((each.recovered_s for each in reached), default=0)
    down_s = max((each.down_s for each in reached), default=0)
    before_s = max((each.down_s for each in aborted), default=0)
    lines = [
        f"{len(outcomes)} cases, {kills}; {acknowledged} writes acknowledged",
        f"longest recovery {recovery_s:.1f} s",
        f"longest time without service {down_s:.1f} s, where it was not committed {before_s:.1f} s",
    ]
    return "\n".join([*lines, *(f"FAILED {line(each)}" for each in failed)])


def document(outcomes: Sequence[Outcome], acknowledged: int, cases: int, commit: str) -> str:
    """docs/crash-matrix.md. `cases`: how many there are, tried or not."""
    date = dt.datetime.now(dt.UTC).date().isoformat()
    rows = [
        f"| {each.case.coordinator} | {each.case.victim} | `{each.case.point}` | {each.problem or each.ended} "
        f"| {each.recovered_s:.1f} | {each.down_s:.1f} |"
        for each in outcomes
    ]
    head = [
        "# The crash matrix",
        "",
        f"Written by `bin/crash --table docs/crash-matrix.md` on {date}, at commit {commit}:",
        f"{len(outcomes)} of {cases} cases.",
        "",
        "In each row a service with a volume was moved while a client wrote to it; one machine's ployzd was killed",
        "with SIGKILL at the point, and started again. *Recovered*: from the kill until exactly one machine owned and",
        "ran the service, every acknowledged write was there, nothing was left over, and every log verified.",
        "",
        *(f"{text}  " for text in summary(outcomes, acknowledged).splitlines()),
        "",
        "| coordinator | killed | at | ended | recovered in s | without service in s |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows, ""])
