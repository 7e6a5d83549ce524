"""Whether a container that runs is still ready, from one look after the other: pure. Looking is actors/health.

A start has the time that its manifest gives it; after that, a few failed looks in a row mean that readiness is lost.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve, frozen

from ployz.manifest.model import ExecProbe, Readiness

FAILURES_MAX: Final = 3
"""In a row, or `retries` if that is less."""
SOCKET_EVERY_S: Final = 2.0
"""A service that runs is looked at no more often than this, whatever its `interval`: looks cost both sides."""
COMMAND_EVERY_S: Final = 5.0
"""The same for a command, for which a process is started in the container."""
WHY_MAX: Final = 300
"""Characters of what a look said."""


@frozen
class Health:
    """Of one container, since the start that `began_ms` says."""

    began_ms: int = 0
    """Wall time of that start; 0: not asked for yet, since no look has failed."""
    ready: bool | None = None
    """None: it is not known yet, as after a start."""
    failures: int = 0
    """In a row."""
    why: str = ""
    """What the last look said that failed."""
    since_ms: int = 0
    """When `ready` became what it is."""


def look_every_s(readiness: Readiness) -> float:
    least_s = COMMAND_EVERY_S if isinstance(readiness.probe, ExecProbe) else SOCKET_EVERY_S
    return max(readiness.interval_s, least_s)


def starts_within_s(readiness: Readiness) -> float:
    """How long a start may take before a look that fails says anything."""
    return readiness.start_period_s + readiness.interval_s * (readiness.retries + 1)


def answered(health: Health, now_ms: int) -> Health:
    if health.ready:
        return health if health.failures == 0 else evolve(health, failures=0, why="")
    return Health(health.began_ms, ready=True, since_ms=now_ms)


def failed(health: Health, readiness: Readiness, why: str, began_ms: int, now_ms: int) -> Health:
    """`began_ms`: when the container was started, by Docker's word."""
    if health.began_ms != began_ms:
        health = Health(began_ms, ready=None if health.began_ms else health.ready)
    starting = not health.ready and now_ms - began_ms < starts_within_s(readiness) * 1000
    if starting and health.ready is None:
        return health
    counted = evolve(health, failures=health.failures + 1, why=why[:WHY_MAX])
    if counted.failures < min(FAILURES_MAX, max(readiness.retries, 1)) or counted.ready is False:
        return counted
    return evolve(counted, ready=False, since_ms=now_ms)
