"""Whether an exited container is started again, and after how long. Docker's own policies, decided behind the gate."""

from __future__ import annotations

from typing import Final

from ployz.config import RESTART_DELAY_MAX_S
from ployz.manifest.model import Restart

DELAY_FIRST_S: Final = 0.5
SETTLED_AFTER_S: Final = 10.0
"""A container that ran this long begins again at the first delay, as Docker's does."""


def should_restart(policy: Restart, exit_code: int) -> bool:
    match policy:
        case "always" | "unless-stopped":
            return True
        case "on-failure":
            return exit_code != 0
        case "no":
            return False


def delay_s(failures: int) -> float:
    """Before start number `failures`, counted from 1 since it last settled."""
    doublings = min(failures - 1, 16)  # enough for any maximum; a float overflows after a night of crashes
    return min(DELAY_FIRST_S * float(2**doublings), RESTART_DELAY_MAX_S)
