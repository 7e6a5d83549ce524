"""What every program of ployz takes from where it runs. Apart from `config`, which takes long to import."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

SOCKET_PATH: Final = Path("/run/ployz/ployzd.sock")
"""Of the operator's socket, unless the configuration says otherwise."""
SLOWNESS: Final = float(os.environ.get("PLOYZ_SLOWNESS", "1"))
"""How many times slower than a real machine this one is, under emulation for example. It stretches how long answers are
waited for, and no lease: on those, machines must agree."""
