"""How commands end: exit codes, what is said on the standard error, and that nobody ever sees a traceback."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from ployz.actors.messages.events import Finding, Verified, VerifyEvents
from ployz.actors.messages.machine import ListMachines
from ployz.actors.messages.operations import (
    Accepted,
    ApplyDeploy,
    ApplyMigration,
    PreviewMigration,
    WatchOperation,
    WatchPage,
)
from ployz.errors import CleanupPending, Code, Failed, PloyzError, Problem, Refused, Unreachable
from ployz.wire.message import Message
from tests.unit.cli import samples
from tests.unit.cli.terminal import Answer, CtrlC, Ended, GoAway, golden, pages, ployzctl

APPLY = ("migrate", "apply", "production/db", "--to", "machine-b")
WATCH_AGAIN = (
    f"Watch it again with `ployzctl operation watch {samples.OPERATION}`, or end it, and have undone what it did, "
    f"with `ployzctl operation abort {samples.OPERATION}`."
)


def watching(*watched: Any) -> dict[type[Message[Any]], Answer]:
    return {ApplyMigration: Accepted(samples.OPERATION), WatchOperation: pages(*watched)}


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (Refused(Code.LOCK_HELD, "production is locked by machine-b", "Wait."), 1),
        (Failed(Code.ZFS_FAILED, "no such pool", "Look."), 3),
        (CleanupPending(Code.CLEANUP_PENDING, "committed", "Run it."), 4),
        (Unreachable(Code.MACHINE_UNREACHABLE, "machine-b does not answer", "Go there."), 5),
    ],
)
def test_a_refusal_of_the_node_is_an_error_with_its_code_advice_and_exit_code(
    error: PloyzError, exit_code: int
) -> None:
    ended = ployzctl("machine", "ls", answers={ListMachines: error})
    assert ended.exit_code == exit_code
    assert ended.out == ""
    assert ended.err == f"error [{error.code}]: {error.problem.text}\n{error.problem.advice}\n"


def test_an_error_is_json_on_the_standard_output_and_words_on_the_standard_error() -> None:
    error = Refused(Code.LOCK_HELD, "production is locked", "Wait.")
    ended = ployzctl("--json", "machine", "ls", answers={ListMachines: error})
    assert ended.lines == [
        {
            "ok": False,
            "code": "lock-held",
            "message": "production is locked",
            "payload": {"kind": "error", "advice": "Wait.", "exit_code": 1},
        }
    ]
    assert ended.err == "error [lock-held]: production is locked\nWait.\n"


def test_without_a_node_the_error_says_where_it_was_looked_for() -> None:
    ended = ployzctl("machine", "ls")
    assert ended.exit_code == 5
    assert ended.err.startswith("error [node-unreachable]: no node answers on ")
    assert "systemctl status ployzd" in ended.err


# ---------------------------------------------------------------- previews


def test_a_preview_lists_every_blocker_at_once_and_ends_with_1() -> None:
    blocked = evolve(samples.MIGRATION, blockers=(samples.NO_SPACE, samples.BUSY))
    ended = ployzctl("migrate", "preview", *APPLY[2:], answers={PreviewMigration: samples.previewed(blocked)})
    assert ended.exit_code == 1
    assert ended.err == "error [blocked]: 2 things stand in the way\nThey are listed above.\n"
    golden("migrate-preview-blocked.txt", ended.out)


def test_a_single_blocker_is_the_error_that_apply_would_end_with() -> None:
    blocked = evolve(samples.MIGRATION, blockers=(samples.NO_SPACE,))
    ended = ployzctl("--json", "migrate", "preview", *APPLY[2:], answers={PreviewMigration: samples.previewed(blocked)})
    assert ended.exit_code == 1
    (line,) = ended.lines
    assert (line["ok"], line["code"]) == (False, "no-space")
    assert line["payload"]["plan"]["blockers"][0]["code"] == "no-space"


# ---------------------------------------------------------------- operations


def test_a_failed_operation_ends_with_its_own_exit_code_and_problem() -> None:
    ended = ployzctl(*APPLY, answers=watching(WatchPage(samples.PROGRESS, samples.UNDONE)))
    assert ended.exit_code == 3
    assert ended.err == f"error {samples.UNDONE.problem}\nSee its logs.\n"
    golden("migrate-apply-undone.txt", ended.out)


def test_the_last_json_line_of_a_failed_operation_is_its_result() -> None:
    ended = ployzctl("--json", *APPLY, answers=watching(WatchPage((), samples.UNDONE)))
    last = ended.lines[-1]
    assert (last["ok"], last["code"], last["payload"]["kind"]) == (False, "not-ready", "operation.result")
    assert last["payload"]["exit_code"] == 3


def test_clean_up_that_is_pending_ends_with_4() -> None:
    problem = Problem(Code.CLEANUP_PENDING, "committed; machine-a lags", "It catches up by itself.")
    result = evolve(samples.RESULT, exit_code=4, problem=problem)
    ended = ployzctl(*APPLY, answers=watching(WatchPage((), result)))
    assert ended.exit_code == 4
    assert "It catches up by itself." in ended.err


def test_an_operation_that_is_refused_is_never_watched() -> None:
    refused = Refused(Code.ALREADY_THERE, "production/db is on machine-b already")
    ended = ployzctl(*APPLY, answers={ApplyMigration: refused})
    assert (ended.exit_code, len(ended.asked)) == (1, 1)
    assert ended.err == "error [already-there]: production/db is on machine-b already\n"


def test_ctrl_c_says_that_the_operation_goes_on_and_how_to_watch_it() -> None:
    ended = ployzctl(*APPLY, answers=watching(*samples.WATCHED), stdout=CtrlC("sending round 1"))
    assert ended.exit_code == 130
    assert ended.err == f"error [interrupted]: operation {samples.OPERATION} goes on without you\n{WATCH_AGAIN}\n"


def test_watching_attaches_to_an_operation_again() -> None:
    ended = ployzctl("deploy", "watch", samples.OPERATION, answers=watching(*samples.WATCHED))
    assert ended.exit_code == 0
    assert "720 ms, measured" in ended.out


def test_a_node_that_goes_away_while_it_is_watched_leaves_the_outcome_unknown() -> None:
    ended = ployzctl(*APPLY, answers=watching(samples.WATCHED[0], GoAway))
    assert ended.exit_code == 5
    assert f"error [outcome-unknown]: the node was lost while operation {samples.OPERATION}" in ended.err
    assert f"ployzctl operation show {samples.OPERATION}" in ended.err


def test_a_manifest_that_cannot_be_read_is_refused_before_the_node_is_asked() -> None:
    ended = ployzctl("deploy", "-f", "/nonexistent/manifest.toml", answers={})
    assert (ended.exit_code, ended.asked) == (1, ())
    assert ended.err == "error [usage]: /nonexistent/manifest.toml: No such file or directory\n"


def test_a_refused_manifest_shows_every_mistake() -> None:
    text = "the manifest has 2 mistakes:\n  namespace: is missing\n  services[0].name: is missing"
    answers: dict[type[Message[Any]], Answer] = {ApplyDeploy: Refused(Code.INVALID_MANIFEST, text)}
    ended = ployzctl("deploy", "-f", "-", answers=answers)
    assert (ended.exit_code, ended.err) == (1, f"error [invalid-manifest]: {text}\n")


# ---------------------------------------------------------------- logs


def test_a_log_that_was_tampered_with_is_shown_row_by_row_and_ends_with_1() -> None:
    verified = Verified(8, (Finding(3, "it was changed after it was written"), Finding(5, "4 is missing")))
    ended = ployzctl("events", "verify", answers={VerifyEvents: verified})
    assert ended.exit_code == 1
    assert "error [log-corrupt]: the log is not what was written: 2 of its events are wrong" in ended.err
    golden("events-verify-corrupt.txt", ended.out)


# ---------------------------------------------------------------- mistakes of ours


def wrong_reply(_: object) -> object:
    return samples.SERVICES


def test_an_answer_of_the_wrong_kind_is_an_error_of_one_line() -> None:
    ended = ployzctl("machine", "ls", answers={ListMachines: wrong_reply})
    assert ended.exit_code != 0
    assert ended.err.startswith("error [")
    assert "Traceback" not in ended.err


def test_a_bug_is_reported_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLOYZ_DEBUG", raising=False)
    ended = _bug()
    assert ended.exit_code == 70
    assert ended.err.startswith("error [bug]: ValueError: a bug\nThis is a mistake in ployz.")
    assert "Traceback" not in ended.err


def test_a_bug_shows_its_traceback_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLOYZ_DEBUG", "1")
    assert "Traceback (most recent call last)" in _bug().err


def _bug() -> Ended:
    class Broken(CtrlC):
        def write(self, text: str) -> int:
            raise ValueError("a bug")

    return ployzctl("machine", "ls", answers={ListMachines: samples.MACHINES}, stdout=Broken(""))
