"""Deploys of three new volumes each on one machine, hundreds of them: their mounts at once leave no mount hanging.

Only when it is asked for by name: it takes long, and measures endurance rather than speed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from ployz.lab.bench.report import Row
from ployz.lab.bench.stage import Stage
from ployz.lab.machine import programs_preloaded

NAMESPACE: Final = "mounts"
VOLUMES: Final = ("one", "two", "three")
LONGEST_S: Final = 3_600
"""No further deploy is begun after it."""
SAID_EVERY: Final = 20


def measure(stage: Stage) -> Sequence[Row]:
    """A deploy that fails or hangs ends it: the lab's logs are kept."""
    with programs_preloaded():  # of 2,000 commands, none is what this is about
        return _measure(stage)


def _measure(stage: Stage) -> Sequence[Row]:
    wanted = stage.effort.mount_deploys
    give_up_s = time.monotonic() + LONGEST_S
    taken_ms: list[float] = []
    while len(taken_ms) < wanted and time.monotonic() < give_up_s:
        number = len(taken_ms)
        began_s = time.monotonic()
        stage.operator.deploy(_manifest(number))
        taken_ms.append((time.monotonic() - began_s) * 1000)
        if number:
            for name in VOLUMES:  # a zfs-fuse serves a thousand file systems at most
                stage.operator.ask("volume", "rm", "--yes", f"{NAMESPACE}/{name}-{number - 1}")
        if len(taken_ms) % SAID_EVERY == 0:
            stage.say(f"{len(taken_ms)} of {wanted} deploys went through")
    what = f"{wanted} deploys of {len(VOLUMES)} new volumes on one machine"
    return [
        Row(f"{what}: without a hang", "deploys", len(taken_ms), at_least=wanted),
        Row.of_medians(f"{what}: one takes", "ms", taken_ms),
    ]


def _manifest(number: int) -> str:
    """One service, which leaves the volumes of the deploy before it."""
    volumes = "".join(f'[[volumes]]\nname = "{name}-{number}"\n' for name in VOLUMES)
    mounts = ", ".join(f'{{ source = {{ volume = "{name}-{number}" }}, target = "/{name}" }}' for name in VOLUMES)
    return (
        f'namespace = "{NAMESPACE}"\n{volumes}'
        '[[services]]\nname = "web"\n'
        f'[services.template]\nimage = "web:latest"\nmounts = [{mounts}]\n'
    )
