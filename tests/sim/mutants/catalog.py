"""All mutants. Each is caught by a few runs; without its bug, nothing is wrong with the same runs."""

from __future__ import annotations

from typing import Final

from tests.sim.mutants import arriving, deciding, leaving
from tests.sim.mutants.mutant import Mutant

MUTANTS: Final[dict[str, Mutant]] = {
    each.name: each for each in (*deciding.MUTANTS, *leaving.MUTANTS, *arriving.MUTANTS)
}
