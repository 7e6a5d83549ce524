"""Every effect of a machine as something that a test can see, make fail, or crash the machine at.

An effect is one call of a port: `zfs.mount`, `docker.start`, `log.append`, `facts.transact`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import define, field, frozen

from ployz.errors import Code, Failed
from ployz.ids import MachineId


@frozen
class Effect:
    machine: MachineId
    name: str
    """`docker.start`."""
    args: tuple[Any, ...]
    done: bool
    """False: it is about to happen."""


Action = Callable[[Effect], Awaitable[None]]
"""Raising makes the effect fail; crashing its machine never returns."""


@define(eq=False)
class _Rule:
    where: Callable[[Effect], bool]
    action: Action
    times: int


@define(eq=False)
class Effects:
    """The effects of all machines, and what is to happen at which of them."""

    seen: list[Effect] = field(factory=list, init=False)
    _rules: list[_Rule] = field(factory=list, init=False)

    def at(self, where: Callable[[Effect], bool], action: Action, *, times: int = 1) -> None:
        self._rules.append(_Rule(where, action, times))

    def fail(self, machine: MachineId, name: str, error: Exception, *, times: int = 1, skip: int = 0) -> None:
        """The next `times` of them raise `error` and do nothing; before that, `skip` of them go well."""
        passed = 0

        def where(effect: Effect) -> bool:
            nonlocal passed
            if (effect.machine, effect.name, effect.done) != (machine, name, False):
                return False
            passed += 1
            return passed > skip

        async def action(effect: Effect) -> None:
            raise error

        self.at(where, action, times=times)

    async def pass_through(self, effect: Effect) -> None:
        self.seen.append(effect)
        for rule in list(self._rules):
            if rule.times and rule.where(effect):
                rule.times -= 1
                await rule.action(effect)


class Interposed:
    """A port of one life of a machine. From the moment the machine is off, every call of it fails."""

    def __init__(self, port: Any, name: str, machine: MachineId, effects: Effects, is_on: Callable[[], bool]) -> None:
        self._port = port
        self._name = name
        self._machine = machine
        self._effects = effects
        self._is_on = is_on

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._port, method)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            given = (*args, *kwargs.values())
            self._require_on()
            await self._effects.pass_through(Effect(self._machine, f"{self._name}.{method}", given, done=False))
            self._require_on()
            result = await found(*args, **kwargs)
            await self._effects.pass_through(Effect(self._machine, f"{self._name}.{method}", given, done=True))
            return result

        self.__dict__[method] = call  # asked for once in a life
        return call

    def _require_on(self) -> None:
        if not self._is_on():
            raise Failed(Code.MISSING_PART, f"{self._machine} is off")
