"""Moves in a row with faults at random leave nothing behind; `bin/crash --moves 50` makes more of them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ployz.lab.crash.many import Many
from ployz.lab.crash.stage import NAMESPACE, Stage
from ployz.lab.lab import Lab
from ployz.lab.state import LabName
from tests.e2e.cluster import MACHINES, Cluster, no_trace_on
from tests.e2e.conftest import put_right, remove

pytestmark = [pytest.mark.lab, pytest.mark.moves]

MOVES = 5


def test_moves_to_and_fro_with_faults_at_random_leave_nothing_behind(cluster: Cluster, tmp_path: Path) -> None:
    lab = Lab(LabName(cluster.name))
    stage = Stage(lab)
    try:
        stage.prepare()
        Many(stage, tmp_path, seed=int(time.time()), say=print).run(MOVES)
    finally:
        put_right(cluster)
        remove(cluster, NAMESPACE)
        for machine in MACHINES:
            cluster.get("machine", "set", machine, "gateway=off")
    assert all(no_trace_on(cluster, machine, NAMESPACE) for machine in MACHINES)
