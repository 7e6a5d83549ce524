"""How a lab stands: looked up from the kernel and the state, then shown as a table or as JSON."""

from __future__ import annotations

from typing import Any

from attrs import asdict, frozen

from ployz.lab.lab import Lab
from ployz.lab.machine import Machine
from ployz.lab.state import LabState


@frozen
class MachineStatus:
    machine: str
    power: bool
    address: str
    pid: int | None
    """The holder's, on the host: `nsenter --all --target PID` enters the machine."""
    zfs: bool
    dockerd: bool
    ployzd: bool
    ployzd_pid: int | None
    """As the machine counts."""
    limit: str | None


@frozen
class LabStatus:
    name: str
    subnet: str
    switch_pid: int | None
    machines: tuple[MachineStatus, ...]
    cuts: tuple[tuple[str, str], ...]
    """(source, target): what the first sends to the second is dropped."""

    def to_json(self) -> dict[str, Any]:
        return {"ok": True, "code": "ok", "message": "", "payload": {"kind": "lab.status", **asdict(self)}}


def look(lab: Lab) -> LabStatus:
    known = lab.state()
    switch = lab.switch()
    return LabStatus(
        name=lab.name,
        subnet=f"10.77.{known.subnet}.0/24",
        switch_pid=switch.pid if switch else None,
        machines=tuple(_look(lab.machine(name), known) for name in known.machines),
        cuts=tuple((each.source, each.target) for each in sorted(known.cuts)),
    )


def _look(machine: Machine, known: LabState) -> MachineStatus:
    running = machine.find()
    ployzd_pid = machine.node(running).pid() if running else None
    return MachineStatus(
        machine=machine.name,
        power=running is not None,
        address=known.address(machine.name),
        pid=running.pid if running else None,
        zfs=running is not None and machine.pool(running).alive(),
        dockerd=running is not None and machine.engine(running).answers(),
        ployzd=ployzd_pid is not None,
        ployzd_pid=ployzd_pid,
        limit=known.limits.get(machine.name),
    )


def show(status: LabStatus) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("machine", "power", "address", "pid", "zfs", "dockerd", "ployzd", "limit", title=f"lab {status.name}")
    for each in status.machines:
        table.add_row(
            each.machine,
            "up" if each.power else "[red]crashed[/]",
            each.address,
            str(each.pid or "-"),
            *("up" if up else "[red]down[/]" for up in (each.zfs, each.dockerd, each.ployzd)),
            each.limit or "-",
        )
    console = Console()
    console.print(table)
    for source, target in status.cuts:
        console.print(f"[red]cut[/]: {source} → {target}")
