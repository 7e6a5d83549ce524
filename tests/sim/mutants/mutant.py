"""A mutant: a deliberate bug of the protocol, what strikes so that it shows, and how it shows.

Mutants are applied by patching, in the fork of one run; nothing of them is in the product.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from tests.sim.faults import Fault, Faults
from tests.sim.orders import Order
from tests.sim.scenario import SHAPES, Scenario, Shape

FOUR = SHAPES[-1]


@frozen
class Mutant:
    name: str
    spoil: Callable[[], None]
    """Patches the product, in a process that ends with the run."""
    shows: str
    """A pattern that what is found to be wrong must match: caught for its own reason, not for any."""
    orders: tuple[Order, ...]
    faults: Callable[[int], tuple[Fault, ...]] = lambda _: ()
    """By the number of the try: what strikes moves a little from one to the next."""
    shape: Shape = FOUR

    def scenario(self, number: int) -> Scenario:
        return Scenario(number, self.shape, self.orders, Faults(self.faults(number)), restarts=True)


def patch(owner: object, name: str, bug: object) -> Any:
    """Replaces a part of the product by `bug`, and returns what was there. A part that was renamed is no mutant."""
    there = getattr(owner, name)
    setattr(owner, name, bug)
    return there
