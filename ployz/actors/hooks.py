"""Hooks are run here: commands in the containers of a namespace, each recorded."""

from __future__ import annotations

from functools import partial

from ployz.actors.containers import Containers
from ployz.actors.messages.workload import HooksRan, RunHooks
from ployz.actors.parts import Parts
from ployz.actors.together import together
from ployz.errors import Code, Failed, PloyzError
from ployz.events.types import HookRan
from ployz.host.ports import Container
from ployz.plan import names
from ployz.plan.hooks import HookCall
from ployz.printable import one_line

WORDS_MAX = 200
"""Of what a hook printed last, in characters."""


class Hooks:
    """Of one namespace on one machine."""

    def __init__(self, parts: Parts, containers: Containers) -> None:
        self._parts = parts
        self._containers = containers

    async def run(self, message: RunHooks) -> HooksRan:
        """All of them side by side; what went wrong with each is told, not raised."""
        await self._parts.in_operation(message.operation_id, message.position)
        found = [(slot, each) for slot, each in await self._containers.found() if each.running]
        problems = await together(
            *(
                partial(self._run_one, message, call, each)
                for call in message.calls
                for slot, each in found
                if slot == call.slot and each.labels[names.LABEL_OPERATION] != message.operation_id
            )
        )
        return HooksRan(tuple(each for each in problems if each))

    async def _run_one(self, message: RunHooks, call: HookCall, container: Container) -> str:
        """Empty: it went well."""
        try:
            await self._parts.journal.perform(
                message.operation_id,
                names.step("hook", f"{message.moment}/{call.slot}", message.round),
                self._containers.stream(call.slot.service.service),
                " ".join(call.command),
                lambda: self._exec(message, call, container),
            )
        except PloyzError as error:
            return f"{message.moment} of {call.slot}: {error.problem.text}"
        return ""

    async def _exec(self, message: RunHooks, call: HookCall, container: Container) -> HookRan:
        ended = await self._parts.docker.exec(container.name, call.command, timeout_s=call.timeout_s)
        if ended.exit_code != 0:
            said = one_line(ended.output.strip()[-WORDS_MAX:])
            words = f"; it said last: {said}" if said else ""
            raise Failed(Code.HOOK_FAILED, f"{call.command[0]} ended with {ended.exit_code}{words}")
        return HookRan(call.slot, message.moment, container.name)
