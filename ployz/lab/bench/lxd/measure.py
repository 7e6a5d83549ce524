"""The cut-over of a writer's migration, against LXD's own of the same writer between the same machines.

Moves by each of LXD's recipes and by ployz alternate, to and fro. Who does not move is stopped or frozen meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ployz.lab.bench.cutover import BACK, SMALL_MIB, THERE, Moves, deployed
from ployz.lab.bench.lxd.container import container
from ployz.lab.bench.lxd.daemon import refusal
from ployz.lab.bench.lxd.recipes import RECIPES, best_of
from ployz.lab.bench.report import Row
from ployz.lab.bench.stage import Stage

HOOK: Final = Path("/usr/share/lxcfs/lxc.reboot.hook")
"""Run at every stop of a container. The package of LXD brings it along."""


def measure(stage: Stage) -> Sequence[Row]:
    refused = refusal()
    if refused:
        raise refused
    by_ployz = deployed(stage, "beside-lxd", SMALL_MIB)
    gaps_ms: dict[str, list[float]] = {recipe.name: [] for recipe in RECIPES}
    stage.say(f"LXD: a writer with {SMALL_MIB} MiB")
    with container(stage, (THERE, BACK), SMALL_MIB) as peer:
        version = peer.daemons[THERE].run("lxd --version").strip()
        here, there = THERE, BACK
        for _ in range(stage.effort.lxd_rounds):
            by_ployz.move(BACK if by_ployz.writer.machine() == THERE else THERE)
            for recipe in RECIPES:
                gap_ms = peer.move(recipe, here, there)
                gaps_ms[recipe.name].append(gap_ms)
                stage.say(f"LXD to {there}, {recipe.name}: gap {gap_ms:.0f} ms")
                here, there = there, here
    return list(_rows(version, by_ployz, gaps_ms))


def _rows(version: str, by_ployz: Moves, gaps_ms: Mapping[str, Sequence[float]]) -> Sequence[Row]:
    what = f"cut-over, {SMALL_MIB} MiB: longest gap of writes"
    best = gaps_ms[best_of(gaps_ms)]
    rows = [Row.of_medians(f"{what} / LXD's best recipe", "ms", by_ployz.gaps_ms, best, at_most=0.8)]
    slept_ms = _slept_ms()
    if slept_ms:
        less = [each - slept_ms for each in best]
        rows.append(Row.of_medians("the same / LXD's without the sleep of its stop hook", "ms", by_ployz.gaps_ms, less))
    return rows + [Row.of_medians(f"LXD {version}, {name}: longest gap", "ms", each) for name, each in gaps_ms.items()]


def _slept_ms() -> float:
    """How long LXD's stop waits for nothing, as it is packaged."""
    if not HOOK.exists():
        return 0
    return sum(float(each) * 1000 for each in re.findall(r"^sleep ([0-9.]+)s?$", HOOK.read_text(), re.MULTILINE))
