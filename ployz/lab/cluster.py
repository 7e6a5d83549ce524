"""Making one cluster of a lab's machines, with the commands that an operator would type on them.

The first machine founds the cluster; every other one is invited by the first, and joins.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from ployz.errors import Failed
from ployz.lab.facts import start_member
from ployz.lab.machine import PROGRAMS, Machine
from ployz.lab.namespaces import Namespaces
from ployz.lab.programs import failed, side_by_side, wait_until
from ployz.lab.state import LabName, LabState

NODE_READY_S = 30
ALL_ACTIVE_S = 60


def bring_up(lab: LabName, machines: Sequence[Machine], known: LabState, say: Callable[[str], None]) -> None:
    """Every machine a member, every ployzd running, and all of them active and in reach of the first."""
    founder, *others = machines
    if not founder.has_joined():
        _ployzctl(founder, ["cluster", "init", lab, "--machine", founder.name, *_describe(founder, known)])
        say(f"{founder.name}: founded the cluster {lab}")
    start_node(founder)

    def join(machine: Machine) -> None:
        if not machine.has_joined():
            token = _ployzctl(founder, ["machine", "invite"])
            _ployzctl(machine, ["machine", "join", "-", "--machine", machine.name, *_describe(machine, known)], token)
            say(f"{machine.name}: joined")
        start_node(machine)

    side_by_side(join, others)
    names = {machine.name for machine in machines}
    wait_until("all machines active and in reach", lambda: names <= _active(founder), deadline_s=ALL_ACTIVE_S)
    say(f"{len(names)} machines are active in the cluster {lab}")


def start_node(machine: Machine) -> None:
    """Returns when ployzd answers on its socket."""
    start_member(machine)
    node = machine.node(_running(machine))
    node.start()

    def answers() -> bool:
        node.require_alive()
        try:
            _ployzctl(machine, ["--json", "machine", "ls"])
        except Failed:
            return False
        return True

    wait_until(f"{machine.name}: ployzd", answers, deadline_s=NODE_READY_S)


def _describe(machine: Machine, known: LabState) -> list[str]:
    return ["--endpoint", known.endpoint(machine.name), "--pool", machine.pool(_running(machine)).name]


def _active(founder: Machine) -> set[str]:
    answer = json.loads(_ployzctl(founder, ["--json", "machine", "ls"]))
    rows = answer["payload"]["machines"]
    return {each["machine"] for each in rows if each["lifecycle"] == "active" and each["reachable"]}


def _ployzctl(machine: Machine, arguments: Sequence[str], stdin: str | None = None) -> str:
    return _running(machine).run([str(PROGRAMS / "ployzctl"), *arguments], stdin=stdin)


def _running(machine: Machine) -> Namespaces:
    running = machine.find()
    if running is None:
        raise failed(f"{machine.name} lost its power")
    return running
