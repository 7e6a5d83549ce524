"""One cut-over as it is measured: what is predicted before anything stops, and its parts as they become known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import anyio
from attrs import define, evolve, field

from ployz.actors.story import Story
from ployz.events.types import Cutover, CutoverParts
from ployz.ids import ServiceRef
from ployz.plan import precopy
from ployz.plan.model import Plan
from ployz.plan.patience import patience, require_patience
from ployz.plan.precopy import Expected, Prediction, Round

MIB = 1 << 20


@define
class Measuring:
    plan: Plan
    services: tuple[ServiceRef, ...]
    """Those that are stopped for a move."""
    parts: CutoverParts = field(factory=CutoverParts, init=False)
    last_bytes: int = field(default=0, init=False)
    prediction: Prediction = field(init=False)
    """At first the plan's; then by what was sent."""
    began_s: float | None = field(default=None, init=False)
    """When the first service was about to be stopped for a move; None: none was."""
    took_ms: int = field(default=0, init=False)
    """0: it has not come to its end."""
    _held_s: float | None = field(default=None, init=False)
    """When gateways began to hold; None: they do not."""
    _committed_s: float | None = field(default=None, init=False)
    """None: not yet, or its answer was lost."""
    _reached_s: float | None = field(default=None, init=False)
    """When the last of those that do follow did: what a machine that is off is waited for costs no client anything."""

    def __attrs_post_init__(self) -> None:
        self.prediction = Prediction(self.plan.predicted_bytes, self.plan.predicted_cutover_ms)

    # ------------------------------------------------------------ before

    def predict(self, rounds: Iterable[Sequence[Round]]) -> None:
        """By the warm rounds of each machine that volumes leave: the slowest counts."""
        each = [precopy.predicted(sent, self._around) for sent in rounds if sent]
        if each:
            slowest = max(each, key=lambda one: one.cutover_ms)
            self.prediction = evolve(slowest, last_bytes=sum(one.last_bytes for one in each))

    def require_patience(self) -> None:
        """`Failed` (CUTOVER_TOO_LONG): it is expected to take longer than anybody has agreed to."""
        verified = any(each.verify for each in self.plan.moved_volumes)
        allowed = patience(self.plan.max_cutover_s, self.plan.predicted_cutover_ms)
        require_patience(allowed, self.prediction, verified=verified)

    def tell(self, story: Story) -> None:
        """What it is expected to take, and what that goes by."""
        left = f"send {self.prediction.last_bytes / MIB:.1f} MiB and " if self.prediction.last_bytes else ""
        story.tell(f"the cut-over is expected to {left}take {self.prediction.cutover_ms} ms, by {self._around.basis}")

    # ------------------------------------------------------------ while it goes on

    def hold(self) -> None:
        self._held_s = anyio.current_time()

    def begin(self) -> None:
        self.began_s = anyio.current_time()
        if self._held_s is not None:
            self.took(hold_ms=ms_since(self._held_s))

    def took(self, **parts_ms: int) -> None:
        """Of what several machines do side by side the slowest counts."""
        slower = {name: max(ms, getattr(self.parts, name)) for name, ms in parts_ms.items()}
        self.parts = evolve(self.parts, **slower)

    def committed(self, commit_ms: int) -> None:
        self.took(commit_ms=commit_ms)
        self._committed_s = self._reached_s = anyio.current_time()

    def followed(self) -> None:
        """Now one more machine sends requests to the new place."""
        if self._committed_s is not None:
            self._reached_s = anyio.current_time()
            self.took(follow_ms=ms_since(self._committed_s))

    def released(self) -> None:
        """Now what waited in one more gateway goes on to the new place."""
        if self._committed_s is not None:
            self._reached_s = anyio.current_time()
            self.took(release_ms=ms_since(self._committed_s))

    def end(self) -> None:
        """By its clients: when the last machine that answers had followed."""
        if self.began_s is not None:
            ended_s = anyio.current_time() if self._reached_s is None else self._reached_s
            self.took_ms = round((ended_s - (self.began_s if self._held_s is None else self._held_s)) * 1000)

    # ------------------------------------------------------------ after

    @property
    def cutover(self) -> Cutover | None:
        """None: no service was stopped for a move, or it did not come to the end."""
        if not self.took_ms:
            return None
        predicted = self.prediction
        return Cutover(
            services=self.services,
            predicted_ms=predicted.cutover_ms,
            took_ms=self.took_ms,
            predicted_bytes=predicted.last_bytes,
            last_bytes=self.last_bytes,
            stop_bytes=precopy.stop_bytes(predicted.last_bytes, self._around, self.last_bytes),
            parts=self.parts,
        )

    @property
    def _around(self) -> Expected:
        return self.plan.expected or precopy.expected(self.services, ())


def ms_since(began_s: float) -> int:
    return round((anyio.current_time() - began_s) * 1000)
