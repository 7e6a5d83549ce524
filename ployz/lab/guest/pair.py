"""Guests for the time of one command: booted side by side, joined by a cable, and gone again however it ends."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ployz.lab.guest.guest import Guest
from ployz.lab.guest.image import Image
from ployz.lab.guest.qemu import Cable
from ployz.lab.programs import side_by_side

NAMES: Final = ("machine-a", "machine-b")


@contextmanager
def pair(image: Image, say: Callable[[str], None]) -> Iterator[tuple[Guest, Guest]]:
    """Two, of which each reaches the other as 10.77.0.1 and 10.77.0.2, and nobody else."""
    with tempfile.TemporaryDirectory(prefix="ployz-guest-") as name:
        folder = Path(name)
        ends = [folder / each for each in ("end-1", "end-2")]
        cables = (Cable(1, ends[0], ends[1]), Cable(2, ends[1], ends[0]))
        guests = [Guest(image, name, folder / name, cable=cable) for name, cable in zip(NAMES, cables, strict=True)]
        try:
            say(f"booting {' and '.join(NAMES)} under emulation, which takes a minute")
            for each in guests:
                each.power_on()
            side_by_side(Guest.wait_until_up, guests)
            say("both are up")
            yield guests[0], guests[1]
        finally:
            for each in guests:
                each.power_cut()
