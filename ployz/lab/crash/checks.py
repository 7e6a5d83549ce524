"""What must be true when a crash is over, each by looking at the machines themselves: the first thing that is not."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ployz.errors import Failed
from ployz.lab.crash.record import Record, now_us
from ployz.lab.crash.stage import NAMESPACE, VOLUME, Stage
from ployz.plan import names

PORT = 8080
_FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=2).read().decode())"


def problem(stage: Stage, record: Record, address: str) -> str | None:
    """None: one owner runs and answers, and nothing is left over. Cheap looks first: it is asked again and again."""
    try:
        return next(_problems(stage, record, address), None)
    except Failed as error:
        return error.problem.text


def _problems(stage: Stage, record: Record, address: str) -> Iterator[str]:
    running = {machine: _containers(stage, machine) for machine in stage.machines}
    (owner, *more) = [machine for machine, found in running.items() if found] or ["nobody"]
    if more or owner == "nobody" or running[owner] != ["running"]:
        yield f"containers: {running}"
    if not record.wrote_since(now_us() - 1_000_000):
        yield "nothing was acknowledged for a second"
    for machine in stage.machines:
        if (said := stage.slot(machine)["machine"]) != owner:
            yield f"it runs on {owner}, and by the facts of {machine} on {said}"
        yield from _undecided(stage, machine)
    if (by_facts := stage.ask(owner, "volume", "show", VOLUME)["row"]["owner"]) != owner:
        yield f"it runs on {owner}, and by the facts the volume is owned by {by_facts}"
    for machine in stage.machines:
        yield from _left_on(stage, machine, owner)
        answered = json.loads(stage.inside(machine, "python3", "-c", _FETCH, f"http://{address}:{PORT}/healthz"))
        if answered != {"ok": True}:
            yield f"{machine} was answered {answered}"


def _containers(stage: Stage, machine: str) -> list[str]:
    """The state of each, stopped ones too."""
    wanted = ["--all", "--filter", f"label={names.LABEL_NAMESPACE}={NAMESPACE}", "--format", "{{.State}}"]
    return stage.inside(machine, "docker", "ps", *wanted).split()


def _undecided(stage: Stage, machine: str) -> Iterator[str]:
    for row in stage.ask(machine, "deploy", "ls")["deploys"][:1]:
        if row["status"] == "undecided":
            yield f"{row['operation_id']} is undecided on {machine}"


def _left_on(stage: Stage, machine: str, owner: str) -> Iterator[str]:
    leases = stage.inside(machine, "sh", "-c", "ls /run/ployz/leases 2>/dev/null || true").split()
    if leases:
        yield f"{machine} has leases: {', '.join(leases)}"
    pool = stage.lab.machine(machine).pool(stage.lab.running(machine)).name
    dataset = f"{pool}/ployz/{VOLUME}"
    listed = stage.inside(machine, "zfs", "list", "-H", "-t", "all", "-o", "name,readonly,mounted").splitlines()
    rows = {name: (readonly, mounted) for name, readonly, mounted in (line.split("\t") for line in listed)}
    if machine == owner and rows.get(dataset) != ("off", "yes"):
        yield f"{machine} owns {dataset}, and has it as {rows.get(dataset)}"
    if machine != owner and rows.get(dataset, ("on", "no")) != ("on", "no"):
        yield f"{machine} does not own {dataset}, and has it as {rows[dataset]}"
    snapshots = [name for name in rows if name.startswith(f"{dataset}@")]
    if len(snapshots) > 1:
        yield f"{machine} has more than a base: {', '.join(snapshots)}"


def verified(stage: Stage) -> None:
    """`Failed`: the log of a machine is damaged."""
    for machine in stage.machines:
        stage.ask(machine, "events", "verify")
