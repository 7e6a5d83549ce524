"""Which programs the adapter runs, and what it makes of their answers: with a `zfs` that only says what it is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import anyio
import pytest

from ployz.errors import Code, Failed
from ployz.host.zfs import commands, sizes, turns
from ployz.host.zfs.adapter import SystemZfs
from tests.unit.host.test_zfs_parse import OPENZFS_USAGE

T = TypeVar("T")


def proc_of_a_kernel_with_zfs(folder: Path) -> Path:
    (folder / "self").mkdir(parents=True)
    (folder / "filesystems").write_text("nodev\ttmpfs\n\text4\nnodev\tzfs\n")
    (folder / "self/mountinfo").write_text("")
    return folder


SCRIPT = """\
#!/bin/sh
cd "$(dirname "$0")"
[ $# = 0 ] && cat usage >&2 && exit 2
echo "$*" >> calls
line=$(sed -n 1p answers)
sed -i 1d answers
case "$line" in
  "") exit 0 ;;
  fail:*) echo "${line#fail:}" >&2; exit 1 ;;
  *) printf "$line" ;;
esac
"""


class Script:
    """A `zfs` program: each call is noted down, and takes the next answer; without one it succeeds silently."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "usage").write_text(OPENZFS_USAGE)
        (folder / "zfs").write_text(SCRIPT)
        (folder / "zfs").chmod(0o755)

    def answer(self, *lines: str) -> None:
        (self._folder / "answers").write_text("".join(f"{line}\n" for line in lines))

    @property
    def calls(self) -> list[str]:
        told = self._folder / "calls"
        return [line for line in told.read_text().splitlines() if line != "receive -u"] if told.exists() else []


@pytest.fixture
def zfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(turns, "PROC", proc_of_a_kernel_with_zfs(tmp_path / "proc"))
    script = Script(tmp_path)
    script.answer()
    return script


def go(main: Callable[[], Awaitable[T]]) -> T:
    return anyio.run(main, backend="trio")


def tree(name: str, guid: int, txg: int) -> str:
    values = {"guid": guid, "createtxg": txg, "creation": 1795443668, "used": 0, "referenced": 4096, "userrefs": 0}
    return "".join(rf"{name}\t{key}\t{value}\n" for key, value in values.items())


def test_openzfs_takes_several_snapshots_in_one_call(zfs: Script) -> None:
    zfs.answer("", "", tree("tank/a@x", 5, 9) + tree("tank/b@x", 6, 9))
    taken = go(lambda: SystemZfs().snapshot(["tank/a", "tank/b"], "x"))
    assert zfs.calls[0] == "snapshot tank/a@x tank/b@x"
    assert len(zfs.calls) == 2
    assert [each.guid for each in taken.values()] == [5, 6]


def test_openzfs_sets_several_properties_in_one_call(zfs: Script) -> None:
    go(lambda: SystemZfs().set("tank/a", {"readonly": "on", "ployz:epoch": "3"}))
    assert zfs.calls == ["set readonly=on ployz:epoch=3 tank/a"]


def test_openzfs_estimates_a_stream_between_snapshots_itself(zfs: Script) -> None:
    zfs.answer("", r"incremental\ttank/a@x\ttank/a@y\t5260592\nsize\t5260592\n")
    assert go(lambda: SystemZfs().estimate_bytes("tank/a", "x", "y")) == 5260592
    assert zfs.calls == ["send -nP -i @x tank/a@y"]


def test_what_was_written_until_now_is_accounted_for_before_a_stream_to_now_is_estimated(zfs: Script) -> None:
    values = dict.fromkeys(sizes.PROPERTIES.split(","), "9") | {"compressratio": "1.00x", "recordsize": "131072"}
    rows = [rf"{name}\t{each}\t{value}\n" for name in ("tank/a", "tank/a@x") for each, value in values.items()]
    zfs.answer("", "", "".join(rows))
    assert go(lambda: SystemZfs().estimate_bytes("tank/a", None, None)) == 9
    assert [call.split()[0] for call in zfs.calls] == ["inherit", "get"]


def test_something_busy_gets_time_to_let_go(zfs: Script) -> None:
    zfs.answer("fail:cannot destroy: dataset is busy", "fail:cannot destroy: dataset is busy")
    go(lambda: SystemZfs().rollback("tank/a", "x"))
    assert zfs.calls == ["rollback -r tank/a@x"] * 3


def test_something_that_stays_busy_is_a_failure(zfs: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "BUSY_S", 0.0)
    zfs.answer("fail:cannot rollback: dataset is busy")
    with pytest.raises(Failed) as caught:
        go(lambda: SystemZfs().rollback("tank/a", "x"))
    assert caught.value.code is Code.DATASET_BUSY


def test_a_suspended_pool_is_a_failure_and_no_dataset_is_absent(zfs: Script) -> None:
    zfs.answer("fail:cannot open 'tank/a': pool I/O is currently suspended")
    with pytest.raises(Failed, match="currently suspended"):
        go(lambda: SystemZfs().state("tank/a"))


def test_a_stream_is_sent_plain_and_received_unmounted_and_unforced() -> None:
    assert SystemZfs().send_argv("tank/a", None, "x") == ("zfs", "send", "tank/a@x")
    assert SystemZfs().send_argv("tank/a", "w", "x") == ("zfs", "send", "-i", "@w", "tank/a@x")
    assert SystemZfs().receive_argv("tank/a") == ("zfs", "receive", "-u", "tank/a")
    assert SystemZfs().receive_argv("tank/a", resumable=True) == ("zfs", "receive", "-s", "-u", "tank/a")


TOLD = (
    r"resume token contents:\nnvlist version: 0\n\ttoguid = 0x69be\n\ttoname = tank/a@x\nfull\ttank/a@x\t65\nsize\t65\n"
)


def test_a_stream_is_resumed_by_a_token_of_its_own_snapshot_alone(zfs: Script) -> None:
    guid = r"tank/a@x\tguid\t27070\n"
    zfs.answer(TOLD, guid)
    argv = go(lambda: SystemZfs().resume_argv("tank/a", "x", "1-bbecd29da-b8-789c"))
    assert argv == ("zfs", "send", "-t", "1-bbecd29da-b8-789c")
    assert zfs.calls[0] == "send -nvP -t 1-bbecd29da-b8-789c"
    for answers, why in (
        ((TOLD, guid.replace("27070", "27071")), "and not of tank/a@x"),
        ((TOLD.replace("tank/a@x", "tank/b@x"), guid), "and not of tank/a@x"),
        ((TOLD, "fail:cannot open 'tank/a@x': dataset does not exist"), "and not of tank/a@x"),
        (("fail:cannot resume send: 'tank/a@x' used in the initial send no longer exists",), "no longer exists"),
    ):
        zfs.answer(*answers)
        with pytest.raises(Failed, match=why):
            go(lambda: SystemZfs().resume_argv("tank/a", "x", "1-bbecd29da-b8-789c"))


@pytest.mark.parametrize("token", ["", "-t", "--help", "1-abc; reboot", "1-abc\n", "x" * 1000])
def test_what_is_no_token_reaches_no_program(zfs: Script, token: str) -> None:
    with pytest.raises(Failed, match="is no resume token"):
        go(lambda: SystemZfs().resume_argv("tank/a", "x", token))
    assert zfs.calls == []


def test_dropping_what_was_kept_where_nothing_was_is_done(zfs: Script) -> None:
    zfs.answer("", "fail:'tank/a' does not have any resumable receive state to abort")
    go(lambda: SystemZfs().abort_receive("tank/a"))
    assert zfs.calls == ["receive -A tank/a"]
    zfs.answer("", "fail:cannot destroy 'tank/a': permission denied")
    with pytest.raises(Failed, match="permission denied"):
        go(lambda: SystemZfs().abort_receive("tank/a"))
