"""Programs that a lab has loaded: found by the words that start them, by whoever the environment says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ployz.lab.preloaded import programs, request

CTL = ("/somewhere/ployzctl",)


def test_without_a_server_each_start_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(programs.VARIABLE, raising=False)
    assert programs.find(CTL) is None


def test_a_program_is_found_while_it_is_served_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(programs.VARIABLE, raising=False)
    with programs.serving({CTL: ["ployz.errors"]}):
        place = programs.find(CTL)
        assert place is not None
        assert programs.find(("/elsewhere/ployzctl",)) is None
        with programs.serving({("/elsewhere/ployzctl",): ["ployz.errors"]}):
            assert programs.find(CTL) == place
    assert programs.find(CTL) is None
    assert not Path(place).exists()


def test_a_machine_that_is_away_is_an_error_and_ends_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(programs.VARIABLE, raising=False)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with programs.serving({CTL: ["ployz.errors"]}):
        place = programs.find(CTL)
        assert place is not None
        for _ in range(2):
            with pytest.raises(ConnectionError):
                request.ask(place, ended.pid, CTL, os.environ, [0, 1, 2], timeout_s=30)
