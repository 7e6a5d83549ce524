"""What must be true when it is over, each by looking at the machines themselves: the first thing that is not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from attrs import frozen

from ployz.actors.messages.gateway import GatewayRow
from ployz.errors import PloyzError
from ployz.lab.crash.look import Look, look
from ployz.lab.crash.record import Record, now_us
from ployz.lab.crash.stage import HOSTNAME, VOLUME, Stage

PORT = 8080
_FETCH: Final = """
import sys, urllib.request as web
for url in sys.argv[2:]:
    print(web.urlopen(web.Request(url, headers={"Host": sys.argv[1]}), timeout=2).read().decode(), end="")
"""
HEALTHY: Final = '{"ok": true}'
WAYS: Final = 2
"""To the service: by its own address, and by the machine's gateway."""
ROUTES_ELSEWHERE: Final = 2
"""Of an address that is elsewhere: WireGuard's allowed address, and the route."""
FILES_MAX: Final = 64
"""That a ployzd with nothing to do has open; it begins with about half of that."""
MEMORY_MAX_MIB: Final = 160


@frozen
class Service:
    """The service that moves."""

    ipv4: str
    ipv6: str


def problem(stage: Stage, record: Record, service: Service) -> str | None:
    """None: one owner runs and answers, and nothing is left over. Cheap looks first: it is asked again and again."""
    try:
        return next(_problems(stage, record, service), None)
    except PloyzError as error:
        return error.problem.text


def _problems(stage: Stage, record: Record, service: Service) -> Iterator[str]:
    if not record.wrote_since(now_us() - 1_000_000):
        yield "nothing was acknowledged for a second"
    with ThreadPoolExecutor() as threads:
        found = threads.map(lambda machine: look(stage, machine, [service.ipv4, service.ipv6]), stage.machines)
        looks = dict(zip(stage.machines, found, strict=True))
    (owner, *more) = [machine for machine, found in looks.items() if found.containers] or ["nobody"]
    if more or owner == "nobody" or looks[owner].containers != ["running"]:
        yield f"containers: { ({machine: each.containers for machine, each in looks.items()}) }"
    for machine in stage.machines:
        if (said := stage.slot(machine).machine) != owner:
            yield f"it runs on {owner}, and by the facts of {machine} on {said}"
        if (undecided := stage.undecided(machine)) is not None:
            yield f"{undecided} is undecided on {machine}"
    if (by_facts := stage.owner(owner)) != owner:
        yield f"it runs on {owner}, and by the facts the volume is owned by {by_facts}"
    for machine in stage.machines:
        yield from _left_on(stage, machine, owner, looks[machine])
        urls = [f"http://{service.ipv4}:{PORT}/healthz", "http://127.0.0.1/healthz"]
        answered = stage.inside(machine, "python3", "-I", "-S", "-c", _FETCH, HOSTNAME, *urls).splitlines()
        if answered != [HEALTHY] * WAYS:
            yield f"{machine} was answered {answered}"


def _left_on(stage: Stage, machine: str, owner: str, found: Look) -> Iterator[str]:
    for what, left in (("leases", found.leases), ("guards", found.guards), ("doors", found.doors)):
        if left:
            yield f"{machine} has {what}: {', '.join(left)}"
    yield from _datasets_on(stage, machine, owner, found)
    yield from _in_gateway(stage.gateway(machine))
    expected = 0 if machine == owner else ROUTES_ELSEWHERE
    for address, times in found.routes_to.items():
        if times != expected:
            yield f"{machine} has {times} ways to {address} on another machine, and {owner} has it"
    files, memory_mib = stage.resources(machine)
    if files > FILES_MAX:
        yield f"ployzd on {machine} has {files} files open"
    if memory_mib > MEMORY_MAX_MIB:
        yield f"ployzd on {machine} has {memory_mib:.0f} MiB of memory"


def _in_gateway(row: GatewayRow) -> Iterator[str]:
    for each in row.problems:
        yield f"the gateway of {row.machine}: {each}"
    for backend in row.backends:
        if (backend.state, backend.held) != ("serving", 0):
            yield f"the gateway of {row.machine} is {backend.state} for {backend.backend}, and {backend.held} wait"


def _datasets_on(stage: Stage, machine: str, owner: str, found: Look) -> Iterator[str]:
    pool = stage.pool(machine)
    dataset = f"{pool}/ployz/{VOLUME}"
    known = {pool, f"{pool}/ployz", f"{pool}/ployz/{VOLUME.partition('/')[0]}", dataset}
    if strange := {name.partition("@")[0] for name in found.datasets} - known:
        yield f"{machine} has datasets: {', '.join(sorted(strange))}"
    held = found.datasets.get(dataset)
    if machine == owner and (held is None or (held.readonly, held.mounted) != ("off", "yes")):
        yield f"{machine} owns {dataset}, and has it as {held}"
    if machine != owner and held is not None and (held.readonly, held.mounted) != ("on", "no"):
        yield f"{machine} does not own {dataset}, and has it as {held}"
    snapshots = {name: each for name, each in found.datasets.items() if "@" in name}
    if len(snapshots) > 1:
        yield f"{machine} has more than a base: {', '.join(snapshots)}"
    for name, each in snapshots.items():
        if each.holds > 1:
            yield f"{machine} holds {name} {each.holds} times"


def verified(stage: Stage) -> None:
    """`Failed`: the log of a machine is damaged."""
    for machine in stage.machines:
        stage.ask(machine, "events", "verify")
