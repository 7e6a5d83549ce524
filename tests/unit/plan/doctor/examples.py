"""Machines that are well, for tests to spoil."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from ployz.ids import MachineId
from ployz.plan.doctor.findings import Finding, findings
from ployz.plan.doctor.readings import Authority, Clock, Examined, LogReading, PeerReading, PoolReading, Readings

A, B = MachineId("machine-a"), MachineId("machine-b")
NOW_MS = 1_700_000_000_000
GIB = 1 << 30
WELL = Authority(7, None)
POOL = PoolReading("tank", 100 * GIB, 60 * GIB, works=True, health="ONLINE")


def readings(machine: MachineId, **changed: Any) -> Readings:
    said = Readings(
        machine=machine,
        version="1.4.2",
        position=7,
        removed=False,
        missing=(),
        pool=POOL,
        peers=(PeerReading(B if machine == A else A, 9_000),),
        log=LogReading(40, ()),
        identity="",
        certificates=(),
        leftovers=(),
        failed=(),
    )
    return evolve(said, **changed)


def examined(machine: MachineId, **changed: Any) -> Examined:
    return Examined(machine, readings(machine, **changed), Clock(0, 2), None)


def found(*machines: Examined, authority: Authority = WELL) -> tuple[Finding, ...]:
    """Of these, and of machine-a and machine-b, which are well unless they are among them."""
    there = {each.machine: each for each in (examined(A), examined(B), *machines)}
    return findings(tuple(there.values()), authority, NOW_MS)


def kinds(*machines: Examined, authority: Authority = WELL) -> list[tuple[str, str, MachineId | None]]:
    return [(each.severity.value, each.kind, each.machine) for each in found(*machines, authority=authority)]
