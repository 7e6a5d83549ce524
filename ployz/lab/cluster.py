"""Making one cluster of a lab's machines, with the commands that an operator would type on them.

The first machine founds the cluster; every other one asks (`machine init`), is admitted by the first, and joins.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from ployz.errors import Failed
from ployz.lab.machine import PROGRAMS, Machine
from ployz.lab.namespaces import Namespaces
from ployz.lab.programs import failed, wait_until
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
    for machine in others:
        if not machine.has_joined():
            request = _ployzctl(machine, ["machine", "init", machine.name, *_describe(machine, known)])
            invitation = _ployzctl(founder, ["machine", "admit", "-"], stdin=request)
            _ployzctl(machine, ["machine", "join", "-"], stdin=invitation)
            say(f"{machine.name}: joined")
        launch_node(machine)
    names = {machine.name for machine in machines}

    def all_active() -> bool:
        return names <= _active(founder)

    wait_until("all machines active", all_active, deadline_s=ALL_ACTIVE_S)
    say(f"{len(names)} machines are active")


def launch_node(machine: Machine) -> None:
    machine.node(_running(machine)).start()


def start_node(machine: Machine) -> None:
    """Returns when ployzd answers on its socket."""
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
    pool = machine.pool(_running(machine)).name
    return ["--endpoint", known.endpoint(machine.name), "--pool", pool]


def _active(founder: Machine) -> set[str]:
    answer = json.loads(_ployzctl(founder, ["--json", "machine", "ls"]))
    return {
        each["machine"] for each in answer["payload"]["machines"] if each["lifecycle"] == "active" and each["reachable"]
    }


def _ployzctl(machine: Machine, arguments: Sequence[str], stdin: str | None = None) -> str:
    return _running(machine).run([str(PROGRAMS / "ployzctl"), *arguments], stdin=stdin)


def _running(machine: Machine) -> Namespaces:
    running = machine.find()
    if running is None:
        raise failed(f"{machine.name} lost its power")
    return running
