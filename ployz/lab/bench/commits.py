"""Commits to an etcd one after the other, run inside a machine: how long each takes, and when each was acknowledged.

`commits.py ACCESS COUNT`, or 0: until its input ends. In a fact log of its own beside the cluster's; prints JSON lines.
"""

# ruff: noqa: T201 - its lines are its record

from __future__ import annotations

import json
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
from attrs import evolve

from ployz.clock import SystemClock
from ployz.errors import Unreachable
from ployz.events.types import OperationAborted
from ployz.facts.etcd import forms
from ployz.facts.etcd.access import EtcdAccess
from ployz.facts.etcd.gateway import Gateway
from ployz.facts.etcd.log import TXN, EtcdFactLog, begin
from ployz.facts.port import Absent, Put, Transaction
from ployz.ids import MachineId, Namespace, OperationId

FACT_BYTES: Final = 2_000
RECORD_BYTES: Final = 100
_PUTS: Final = 3
"""What a commit writes: the fact, the record, the head."""


async def main(access_file: str, count: int) -> None:
    access = EtcdAccess.load(Path(access_file))
    if access is None:
        raise SystemExit(f"there is no {access_file}")
    own = evolve(access, prefix=f"{access.prefix}bench-{time.time_ns()}/")
    async with Gateway(own) as gateway:
        await begin(gateway)
        log = EtcdFactLog(gateway, SystemClock())
        if count:
            for number in range(count):
                took_s = await _took(partial(_commit, log, number))
                bare_s = await _took(partial(_bare, gateway, own, number))
                print(json.dumps({"commit_s": took_s, "bare_s": bare_s}), flush=True)
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_commit_all, log)
            await anyio.to_thread.run_sync(sys.stdin.read)
            tasks.cancel_scope.cancel()


async def _commit_all(log: EtcdFactLog) -> None:
    number = 0
    while True:
        number += 1
        try:
            await _commit(log, number)
        except Unreachable:
            continue
        print(json.dumps({"acknowledged_s": time.monotonic()}), flush=True)


async def _commit(log: EtcdFactLog, number: int) -> None:
    key = f"bench/{number}"
    operation = OperationId(f"op-{number}")
    fact = OperationAborted(operation, Namespace("bench"), MachineId("bench"), "x" * FACT_BYTES)
    await log.transact(Transaction((Absent(key),), (Put(key, b"x" * RECORD_BYTES),), (fact,)))


async def _bare(gateway: Gateway, access: EtcdAccess, number: int) -> None:
    """As many bytes, in as many keys."""
    value = b"x" * ((FACT_BYTES + RECORD_BYTES) // _PUTS)
    keys = [forms.encoded(f"{access.prefix}bare/{number}/{each}".encode()) for each in range(_PUTS)]
    await gateway.write(TXN, {"success": [forms.put(key, value) for key in keys]})


async def _took(do: Callable[[], Awaitable[object]]) -> float:
    began_s = time.perf_counter()
    await do()
    return time.perf_counter() - began_s


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], int(sys.argv[2]), backend="trio")
