"""The operation actor: one deploy or migration that was asked for. Its whole life is one run of the coordinator."""

from __future__ import annotations

from ployz.actors.coordinator import Coordinator, Order
from ployz.actors.core import Actor
from ployz.actors.parts import Parts
from ployz.actors.story import Story
from ployz.ids import OperationId


class OperationActor(Actor):
    """`operations/OPERATION`."""

    def __init__(self, parts: Parts, operation_id: OperationId, order: Order, story: Story) -> None:
        self._parts = parts
        self._operation_id = operation_id
        self._order = order
        self._story = story

    async def run(self) -> None:
        """Once: started again after a bug it leaves the operation to whoever resolves abandoned ones."""
        if not self._story.begun:
            self._story.begun = True
            await Coordinator(self._parts, self.system, self._operation_id, self._order, self._story).run()
        self.finish()
