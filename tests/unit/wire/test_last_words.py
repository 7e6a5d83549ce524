"""Whoever finds that ployzd does not answer is told what it said itself, if it said anything."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ployz.errors import Code, Unreachable
from ployz.wire import last_words
from ployz.wire.local import ADVICE, LocalNode


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "ployzd.sock"


def told(place: Path) -> tuple[str, str]:
    with pytest.raises(Unreachable) as caught, LocalNode(place):
        pass
    assert caught.value.code is Code.NODE_UNREACHABLE
    return caught.value.problem.text, caught.value.problem.advice


def test_without_words_it_is_asked_whether_it_runs(place: Path) -> None:
    assert told(place) == (f"no node answers on {place}: No such file or directory", ADVICE)


def test_what_it_said_and_what_helps_is_passed_on_until_it_answers_again(place: Path) -> None:
    last_words.leave(place, "it ended: [log-failed]: no space left on /var/lib/ployz", "Make room there.")
    text, advice = told(place)
    assert text.endswith(" ployzd said: it ended: [log-failed]: no space left on /var/lib/ployz")
    assert advice == "Make room there."
    last_words.leave(place, "it waits for Docker")
    assert told(place)[1] == ADVICE
    last_words.take_back(place)
    last_words.take_back(place)
    assert " ployzd said" not in told(place)[0]


def test_whoever_may_use_the_socket_may_read_them(place: Path) -> None:
    before = os.umask(0o077)
    try:
        last_words.leave(place, "it ended")
    finally:
        os.umask(before)
    (found,) = place.parent.iterdir()
    assert stat.S_IMODE(found.stat().st_mode) == 0o644


@pytest.mark.parametrize("damaged", ["", "[]", '{"text": 1}', "x" * 100_000, json.dumps(["text", "advice"])])
def test_a_damaged_file_says_nothing(place: Path, damaged: str) -> None:
    last_words.leave(place, "it ended")
    (found,) = place.parent.iterdir()
    found.write_text(damaged)
    assert last_words.read(place) is None


def test_where_they_cannot_be_written_nothing_happens(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    last_words.leave(tmp_path / "file" / "ployzd.sock", "it ended")


def test_a_ployzd_that_cannot_start_leaves_its_reason(place: Path, tmp_path: Path) -> None:
    """Which its caller sees, too, and nobody else would."""
    config = tmp_path / "config.toml"
    config.write_text(f'machine = "machine-a"\nendpoint = "192.0.2.1:1"\nsocket = "{place}"\n')  # not founded
    argv = [sys.executable, "-P", "-m", "ployz.daemon", "--config", str(config)]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    reason = ended.stderr.split("error ", 1)[1].splitlines()[0]
    assert told(place)[0].endswith(f"ployzd said: it ended: {reason}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(place))  # one that hangs
        assert reason in told(place)[0]
