"""bin/demo as a user runs it: to its end, and interrupted in the middle of a migration."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ployz.lab.preloaded.programs import VARIABLE
from tests.labs import REPOSITORY, Lab
from tests.real import need

pytestmark = pytest.mark.lab

END_S = 120
LAB = Lab("test-demo")


@contextmanager
def demo() -> Iterator[subprocess.Popen[str]]:
    need("dockerd", "nft", "ip", "nsenter", "psql", "busybox")
    with subprocess.Popen(
        [REPOSITORY / "bin/demo", "--name", LAB.name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={name: value for name, value in os.environ.items() if name != VARIABLE},  # it starts all that it runs
    ) as running:
        try:
            yield running
        finally:
            running.terminate()
            running.wait(END_S)
            LAB.try_("down")


def test_a_database_moves_there_and_back_under_load_and_nothing_is_left_of_the_demo() -> None:
    with demo() as running:
        told, _ = running.communicate(timeout=10 * END_S)
        assert running.returncode == 0, told
        assert LAB.remains() == []
    (counts,) = re.findall(r"^rows acknowledged: (\d+), of these found: (\d+)$", told, re.MULTILINE)
    assert counts[0] == counts[1]
    assert int(counts[0]) > 0
    assert len(re.findall(r"^machine-\w to machine-\w +\d.* MiB ", told, re.MULTILINE)) == 2


def test_an_interrupted_demo_leaves_nothing() -> None:
    with demo() as running:
        assert running.stdout is not None
        assert any("migrate apply" in line for line in iter(running.stdout.readline, ""))
        running.send_signal(signal.SIGINT)
        after = running.stdout.read()
        assert running.wait(END_S) == 130, after
        assert LAB.remains() == []
