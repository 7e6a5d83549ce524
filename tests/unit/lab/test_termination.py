from __future__ import annotations

import os
import signal

import pytest

from ployz.lab.termination import termination_as_interrupt


def end_and_be_asked_again(first: int, again: int, steps: list[str]) -> None:
    with termination_as_interrupt():
        try:
            os.kill(os.getpid(), first)
        finally:
            steps.append("taking down")
            os.kill(os.getpid(), again)
            steps.append("down")


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_what_is_taken_down_is_taken_down_whole_when_it_is_asked_for_twice(first: int) -> None:
    before = signal.getsignal(signal.SIGTERM)
    steps: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        end_and_be_asked_again(first, signal.SIGTERM, steps)
    assert steps == ["taking down", "down"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_ctrl_c_by_hand_counts_every_time() -> None:
    steps: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        end_and_be_asked_again(signal.SIGTERM, signal.SIGINT, steps)
    assert steps == ["taking down"]
