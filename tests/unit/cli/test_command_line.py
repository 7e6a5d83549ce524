"""The command line itself: typos, help, names, confirmations, and what is imported before anything happens."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ployz.actors.messages.invites import ListInvites, MakeInvite, RevokeInvite
from ployz.actors.messages.machine import ListMachines
from ployz.actors.messages.operations import Accepted, ApplyDeploy, RemoveService, WatchOperation, WatchPage
from ployz.actors.messages.secrets import PrepareSecret, Recipient, SealFor, SecretIsSet, SetSecret
from ployz.actors.messages.services import ReadServiceLogs, RemoveVolume, ServiceLogText
from ployz.actors.messages.takeover import PreviewTakeover, TakenOver, TakeOverVolume
from ployz.cli.reference import reference
from ployz.cli.tree import GROUPS, load
from ployz.errors import Code, Refused
from ployz.ids import SECRET_BYTES_MAX, SlotName
from ployz.install.identity import ensure_identity, read_sealing_key
from ployz.plan.secrets import opened
from ployz.projections.secrets import Secret
from ployz.wire.message import Done, Message
from tests.unit.cli import samples
from tests.unit.cli.terminal import Answer, Ended, Keyboard, Screen, ployzctl

ROOT = Path(__file__).resolve().parents[3]

# ---------------------------------------------------------------- usage


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["machien", "ls"], "there is no group 'machien'. Did you mean 'machine'?"),
        (["machine", "jion"], "machine has no command 'jion'. Did you mean 'join'?"),
        (["quux"], "there is no group 'quux'."),
        (["migrate", "render_manifest"], "Did you mean 'render-manifest'?"),
        ([], "the command is missing"),
        (["deploy"], "the command is missing"),
        (["migrate", "apply", "production/db"], "the following arguments are required: --to"),
        (["machine", "ls", "--jsn"], "unrecognized arguments: --jsn"),
        (["deploy", "ls", "--limit", "0"], "'0' is no whole number from 1"),
        (["deploy", "ls", "--limit", "-3"], "'-3' is no whole number from 1"),
        (["events", "show", "x"], "'x' is no whole number from 1"),
        (["events", "replay", "--until", "yesterday"], "'yesterday' is neither a seq nor a time"),
        (["events", "tail", "-f", "--file", "copy"], "an exported log does not grow"),
        (["volume", "rm", "production/pgdata"], "nobody is there to answer"),
    ],
)
def test_a_wrong_command_line_is_refused_with_2_and_a_hint(argv: list[str], said: str) -> None:
    ended = ployzctl(*argv)
    assert ended.exit_code == 2
    assert ended.err.startswith("error [usage]: ")
    assert said in ended.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["migrate", "apply", "db", "--to", "machine-b"], "'db' is no service: write NAMESPACE/SERVICE"),
        (["migrate", "apply", "production/../etc", "--to", "b"], "is no service"),
        (["migrate", "apply", "production/db", "--to", "-rf"], "expected one argument"),
        (["migrate", "apply", "production/db", "--to", "A B"], "'A B' is no machine name"),
        (["volume", "show", "production/" + "x" * 64], "at most 63 characters"),
        (["deploy", "show", "op@1"], "'op@1' is no operation id"),
        (["machine", "join", "-", "--machine", "a\nb", "--endpoint", "192.0.2.7:1"], "is no machine name"),
        (["machine", "set", "machine-b", "gatway=on"], "a machine has no setting 'gatway'"),
        (["machine", "set", "machine-b", "gateway=yes"], "gateway is on or off, not 'yes'"),
    ],
)
def test_a_name_that_is_none_is_refused_with_its_sentence(argv: list[str], said: str) -> None:
    ended = ployzctl(*argv)
    assert ended.exit_code == 2
    assert said in ended.err


def test_the_global_options_may_stand_anywhere() -> None:
    for argv in (["--json", "machine", "ls"], ["machine", "--json", "ls"], ["machine", "ls", "--json"]):
        ended = ployzctl(*argv, answers={ListMachines: samples.MACHINES})
        assert ended.lines[0]["ok"]


def test_a_usage_error_is_json_too() -> None:
    assert ployzctl("--json", "machine", "sl").lines[0]["code"] == "usage"


def test_help_is_an_answer_at_every_level() -> None:
    for argv in (["--help"], ["machine", "-h"], ["migrate", "apply", "--help"], ["deploy", "--help"]):
        ended = ployzctl(*argv)
        assert (ended.exit_code, ended.err) == (0, "")
        assert ended.out.startswith("usage: ployzctl")


@pytest.mark.parametrize(("group", "command"), [(group, each) for group in GROUPS for each in GROUPS[group].commands])
def test_every_command_of_the_tree_is_there_and_has_help(group: str, command: str) -> None:
    assert callable(load(group, command).run)
    assert ployzctl(group, command, "--help").exit_code == 0


def test_every_command_file_is_in_the_tree() -> None:
    files = {path.relative_to(ROOT / "ployz/cli/commands") for path in (ROOT / "ployz/cli/commands").glob("*/*.py")}
    known = {Path(group) / f"{each.replace('-', '_')}.py" for group in GROUPS for each in GROUPS[group].commands}
    assert {path for path in files if path.name != "__init__.py"} == known


def test_deploy_with_a_file_alone_is_deploy_apply() -> None:
    answers: dict[type[Message[Any]], Answer] = {
        ApplyDeploy: Accepted(samples.OPERATION),
        WatchOperation: WatchPage((), samples.RESULT),
    }
    short = ployzctl("deploy", "-f", "-", answers=answers, stdin=io.StringIO("namespace = 'x'"))
    long = ployzctl("deploy", "apply", "-f", "-", answers=answers, stdin=io.StringIO("namespace = 'x'"))
    assert short.exit_code == 0
    assert short.asked == long.asked
    assert short.asked[0] == ("operations", ApplyDeploy("namespace = 'x'"))


def _unless_agreed(message: Any) -> Accepted:
    if message.remove:
        return Accepted(samples.OPERATION)
    raise Refused(Code.REMOVES, "this stops and removes 1 slot of x", "If that is meant, add --remove.")


LEAVING_OUT: dict[type[Message[Any]], Answer] = {
    ApplyDeploy: _unless_agreed,
    WatchOperation: WatchPage((), samples.RESULT),
}


def test_a_deploy_that_removes_services_says_which_and_goes_on_after_a_yes(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("namespace = 'x'")
    agreed = ployzctl("deploy", "-f", str(file), answers=LEAVING_OUT, stdin=Keyboard("yes\n"))
    assert agreed.exit_code == 0
    assert "this stops and removes 1 slot of x" in agreed.err
    assert [asked[1].remove for asked in agreed.asked[:2]] == [False, True]  # type: ignore[attr-defined]
    declined = ployzctl("deploy", "-f", str(file), answers=LEAVING_OUT, stdin=Keyboard("no\n"))
    assert (declined.exit_code, len(declined.asked)) == (1, 1)


@pytest.mark.parametrize(("options", "exit_code"), [((), 1), (("--remove",), 0), (("--yes",), 0)])
def test_a_script_removes_services_only_with_an_option(options: tuple[str, ...], exit_code: int) -> None:
    ended = ployzctl("deploy", "-f", "-", *options, answers=LEAVING_OUT, stdin=io.StringIO("namespace = 'x'"))
    assert ended.exit_code == exit_code
    assert ("error [removes]" in ended.err) == (exit_code == 1)


def test_logs_of_one_slot_are_asked_for_as_they_were_meant() -> None:
    ended = ployzctl(
        "service",
        "logs",
        "production/db",
        "--slot",
        "slot-1",
        "--tail",
        "5",
        answers={ReadServiceLogs: ServiceLogText("")},
    )
    assert ended.out == ""
    assert ended.asked == (("services", ReadServiceLogs(samples.SERVICE, SlotName("slot-1"), 5)),)


@pytest.mark.parametrize("text", ["", "ployz1-", "ployz1-AAAA", "ployz2-dG9rZW4", "x" * 100_000])
def test_a_bad_token_is_refused_before_anything_is_made(tmp_path: Path, text: str) -> None:
    describe = ("--machine", "machine-b", "--endpoint", "192.0.2.2:51820", "--state-dir", str(tmp_path / "state"))
    ended = ployzctl("machine", "join", "-", *describe, answers={}, stdin=io.StringIO(text))
    assert (ended.exit_code, ended.asked) == (1, ())
    assert "ployzctl machine invite" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_token_stands_alone_in_the_output() -> None:
    ended = ployzctl("machine", "invite", "--ttl", "1h", answers={MakeInvite: samples.INVITE})
    assert ended.asked == (("invites", MakeInvite(3600.0)),)
    assert ended.out == f"{samples.INVITE.token}\n"
    assert "ployzctl machine join" in ended.err


def test_one_invitation_is_revoked_by_its_id_alone() -> None:
    answers: dict[type[Message[Any]], Answer] = {RevokeInvite: Done(), ListInvites: samples.INVITES}
    assert ployzctl("machine", "invites", "revoke", answers={}).exit_code == 2
    ended = ployzctl("machine", "invites", "revoke", samples.INVITE.invite, answers=answers)
    assert ended.asked[0] == ("invites", RevokeInvite(samples.INVITE.invite))


# ---------------------------------------------------------------- confirmations

REMOVING: dict[type[Message[Any]], Answer] = {
    RemoveVolume: Done(),
    RemoveService: Accepted(samples.OPERATION),
    WatchOperation: WatchPage((), samples.RESULT),
}


def test_a_volume_is_destroyed_when_its_name_was_typed() -> None:
    ended = ployzctl("volume", "rm", "production/pgdata", answers=REMOVING, stdin=Keyboard("production/pgdata\n"))
    assert (ended.exit_code, ended.out) == (0, "production/pgdata is destroyed\n")
    assert ended.asked == (("services", RemoveVolume(samples.PGDATA)),)


@pytest.mark.parametrize("typed", ["yes\n", "production/pgdat\n", "\n", ""])
def test_a_volume_is_kept_when_anything_else_was_typed(typed: str) -> None:
    ended = ployzctl("volume", "rm", "production/pgdata", answers=REMOVING, stdin=Keyboard(typed))
    assert (ended.exit_code, ended.asked) == (1, ())
    assert "error [declined]: nothing was changed" in ended.err


TAKEOVER = ("volume", "takeover", "production/pgdata", "--to", "machine-b", "--source-is-off")
TAKING: dict[type[Message[Any]], Answer] = {
    PreviewTakeover: samples.TAKEOVER_PLAN,
    TakeOverVolume: TakenOver(samples.OPERATION, 19, samples.TAKEOVER_PLAN),
}


def test_a_takeover_shows_what_is_lost_and_asks_for_the_volumes_name() -> None:
    ended = ployzctl(*TAKEOVER, answers=TAKING, stdin=Keyboard("yes\n"))
    assert (ended.exit_code, [type(message) for _, message in ended.asked]) == (1, [PreviewTakeover])
    shown = ended.out + ended.err
    for words in ("3 h 0 min ago", "Everything that was written to production/pgdata after that is lost", "machine-c"):
        assert words in shown
    ended = ployzctl(*TAKEOVER, answers=TAKING, stdin=Keyboard("production/pgdata\n"))
    assert ended.exit_code == 0
    assert ended.asked[1] == (
        "takeover",
        TakeOverVolume(samples.PGDATA, samples.B, (samples.TAKEOVER_PLAN.volumes[0].snapshot,)),
    )


def test_a_takeover_needs_the_operators_word_that_the_source_is_off() -> None:
    ended = ployzctl(*TAKEOVER[:-1], "--yes", answers=TAKING)
    assert (ended.exit_code, ended.asked) == (2, ())
    assert "--source-is-off" in ended.err


@pytest.mark.parametrize("argv", [("volume", "rm", "production/pgdata"), ("service", "rm", "production/db")])
def test_yes_answers_for_the_operator(argv: tuple[str, ...]) -> None:
    assert ployzctl(*argv, "--yes", answers=REMOVING).exit_code == 0


def test_a_service_is_removed_after_a_yes_and_watched_to_the_end() -> None:
    ended = ployzctl("service", "rm", "production/db", answers=REMOVING, stdin=Keyboard("yes\n"))
    assert ended.exit_code == 0
    assert ended.asked[0] == ("operations", RemoveService(samples.SERVICE))
    assert "Its volumes stay." in ended.err


def test_a_question_never_reaches_the_standard_output() -> None:
    ended = ployzctl(
        "--json", "volume", "rm", "production/pgdata", answers=REMOVING, stdin=Keyboard("production/pgdata\n")
    )
    assert [line["payload"] for line in ended.lines] == [{"kind": "volume.removed", "volume": "production/pgdata"}]


# ---------------------------------------------------------------- terminals


def test_a_terminal_gets_the_same_words_with_style(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    piped = ployzctl("machine", "ls", answers={ListMachines: samples.MACHINES}).out
    shown = ployzctl("machine", "ls", answers={ListMachines: samples.MACHINES}, stdout=Screen()).out
    assert "\x1b[" in shown
    assert _without_style(shown).split() == piped.split()


def test_a_migration_on_a_terminal_keeps_its_milestones_and_leaves_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.setenv("TERM", "xterm")
    answers: dict[type[Message[Any]], Answer] = {WatchOperation: WatchPage(samples.PROGRESS, samples.RESULT)}
    ended = ployzctl("deploy", "watch", samples.OPERATION, answers=answers, stdout=Screen())
    assert ended.exit_code == 0
    told = _without_style(ended.out)
    assert "round 1 arrived, guids equal" in told
    assert "720 ms, measured (predicted 850 ms)" in told


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    shown = ployzctl("machine", "ls", answers={ListMachines: samples.MACHINES}, stdout=Screen()).out
    assert not [code for code in _style_codes(shown) if code.startswith(("3", "4", "9", "10")) and code not in "3 4 9"]


def test_brackets_in_an_answer_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.setenv("TERM", "xterm")
    shown = ployzctl("machine", "ls", answers={ListMachines: samples.MACHINES}, stdout=Screen()).out
    assert "[2001:db8::9]:51820" in _without_style(shown)


def _style_codes(text: str) -> list[str]:
    import re

    return [code for codes in re.findall(r"\x1b\[([0-9;]*)m", text) for code in codes.split(";") if code]


def _without_style(text: str) -> str:
    import re

    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


# ---------------------------------------------------------------- the process

LISTS_ITS_MODULES = """
import sys
from io import StringIO
from ployz.cli.main import run
run(["--json", "--socket", "/nonexistent/sock", "machine", "ls"], sys.stdin, StringIO(), StringIO())
print("\\n".join(sys.modules))
"""


HAS_NO_TIME_FOR = (
    *("anyio", "trio", "httpx", "asyncio", "sqlite3", "msgpack.fallback", "rich", "tomllib", "shutil"),
    *("ployz.manifest", "ployz.plan", "ployz.config", "ployz.events.types", "ployz.facts", "ployz.projections"),
)
"""What `machine ls` does not use, and what took a third of its time when it was imported all the same."""


def test_a_table_imports_no_event_loop_no_rich_no_plan_and_no_vocabulary_of_events() -> None:
    listed = _python("-c", LISTS_ITS_MODULES)
    modules = set(listed.stdout.split())
    assert "ployz.actors.messages.machine" in modules
    assert modules.isdisjoint(HAS_NO_TIME_FOR)


def test_a_reader_that_goes_away_is_no_error() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "ployz.cli.main", "--help"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=environment,
        )
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")


@pytest.mark.parametrize("program", ["ployzctl", "ployzd"])
def test_the_programs_of_a_checkout_run_from_any_folder_and_through_links(program: str, tmp_path: Path) -> None:
    link = tmp_path / "with a space"
    link.symlink_to(ROOT / "bin" / program)
    ended = subprocess.run([str(link), "--help"], cwd="/", capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"usage: {program}" in ended.stdout


def test_the_reference_is_what_the_commands_say() -> None:
    stale = "run: .venv/bin/python -m ployz.cli.reference > docs/reference/cli.md"
    assert (ROOT / "docs/reference/cli.md").read_text() == reference(), stale


def _python(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", *argv],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_a_letter_that_the_terminal_does_not_have_is_no_error() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "ployz.cli.main", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert "GROUP COMMAND \\u2026" in ended.stdout


# ---------------------------------------------------------------- secrets


def _setting(value: str, tmp_path: Path) -> Ended:
    certificate = ensure_identity(tmp_path / "identity.pem", samples.A)
    answers: dict[type[Message[Any]], Answer] = {
        PrepareSecret: SealFor(3, (Recipient(samples.A, certificate),)),
        SetSecret: SecretIsSet(samples.PASSWORD, 3, (samples.A,), (samples.SERVICE,)),
    }
    return ployzctl("secret", "set", "production/db-password", answers=answers, stdin=io.StringIO(value))


def test_a_secret_leaves_the_command_encrypted_for_every_member(tmp_path: Path) -> None:
    ended = _setting("correct horse", tmp_path)
    assert (ended.exit_code, ended.err) == (0, "")
    assert "version 3" in ended.out
    assert "production/db keep the value of before" in ended.out
    _, (_, sent) = ended.asked
    assert isinstance(sent, SetSecret)
    assert "correct horse" not in repr(ended.asked) + ended.out
    secret = Secret(sent.secret, sent.version, sent.sealed, {each.machine: each for each in sent.shares}, 0)
    assert opened(secret, samples.A, read_sealing_key(tmp_path / "identity.pem")) == b"correct horse"


def test_a_line_break_at_the_end_of_a_secret_is_kept_and_told(tmp_path: Path) -> None:
    assert "ends with a line break" in _setting("correct horse\n", tmp_path).err


@pytest.mark.parametrize("value", ["", "x" * (SECRET_BYTES_MAX + 1)])
def test_a_secret_that_is_empty_or_too_long_is_sent_nowhere(value: str, tmp_path: Path) -> None:
    ended = _setting(value, tmp_path)
    assert (ended.exit_code, ended.asked) == (1, ())
