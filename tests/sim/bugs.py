"""An actor that breaks is started again, which would hide the bug: here it is something wrong with the run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ployz.actors.cell import declared_error
from ployz.errors import Code

if TYPE_CHECKING:
    from tests.sim.playing import Play

EXPECTED = (Code.LOG_FAILED, Code.MISSING_PART, Code.OUTCOME_UNKNOWN)
"""What a log without a disk, or a machine that is off, answers everybody: an actor may end on that."""


class Bugs(logging.Handler):
    def __init__(self, play: Play) -> None:
        super().__init__(logging.ERROR)
        self._play = play

    @classmethod
    def watched_by(cls, play: Play) -> None:
        logger = logging.getLogger("ployz")
        logger.propagate = False  # the story says it, if it is to be told
        logging.getLogger("ployz.actors").addHandler(cls(play))
        logger.addHandler(logging.NullHandler())

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        declared = declared_error(error) if error is not None else None
        if declared is None or declared.code not in EXPECTED:
            self._play.watch._say([f"{record.getMessage()} ({error!r})"])
