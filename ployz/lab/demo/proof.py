"""What the demo proves, each by looking at the machines themselves and not by asking ployz alone."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from ployz.lab.lab import Lab
from ployz.lab.operator import Operator
from ployz.lab.programs import failed
from ployz.plan import names

SERVICE, VOLUME = "production/db", "production/pgdata"


@frozen
class Address:
    machine: str
    ipv4: str
    ipv6: str


def place(operator: Operator) -> Address:
    """Where the database runs, and under which addresses."""
    (slot,) = operator.ask("service", "show", SERVICE)["slots"]
    return Address(slot["machine"], slot["ipv4"], slot["ipv6"])


def one_owner(lab: Lab, operator: Operator, machine: str) -> str:
    """Owner by the facts, mounted read-write there alone, a server process there alone."""
    detail = operator.ask("volume", "show", VOLUME)
    by_facts = [detail["row"]["owner"]]
    by_copies = [each["machine"] for each in detail["copies"] if each["owner"]]
    machines = lab.state().machines
    mounted = [each for each in machines if _is_mounted_writable(lab, each)]
    serving = [each for each in machines if _serves(lab, each)]
    for what, found in (
        ("the owner by the facts", by_facts),
        ("the owner by the datasets", by_copies),
        ("mounted read-write on", mounted),
        ("the server runs on", serving),
    ):
        _expect(found == [machine], f"{what}: {', '.join(found) or 'nobody'}, and not {machine} alone")
    return f"{VOLUME} is owned by, mounted and served on {machine} alone, at epoch {detail['row']['epoch']}"


def same_address(before: Address, after: Address) -> str:
    _expect((before.ipv4, before.ipv6) == (after.ipv4, after.ipv6), f"the address changed: {before} became {after}")
    _expect(before.machine != after.machine, f"the database did not move: it is on {after.machine}")
    return f"{SERVICE} is still at {after.ipv4} and {after.ipv6}"


def was_incremental(first_bytes: int, second_bytes: int, bases: Sequence[str | None]) -> str:
    _expect(all(bases), "the second move sent the whole volume: a round had no base")
    _expect(second_bytes < first_bytes // 2, f"the second move sent {second_bytes} bytes, the first {first_bytes}")
    return f"the second move sent {100 * second_bytes / first_bytes:.1f} % of what the first sent"


def all_there(acknowledged: set[tuple[int, int]], found: set[tuple[int, int]]) -> str:
    lost = sorted(acknowledged - found)
    _expect(bool(acknowledged), "no row was ever acknowledged")
    _expect(not lost, f"{len(lost)} acknowledged rows are lost; the first: client {lost[:1]}")
    return f"every one of {len(acknowledged)} acknowledged rows is there"


def _is_mounted_writable(lab: Lab, machine: str) -> bool:
    """In any mount namespace of the machine: a container could hold it where the machine itself does not."""
    look = "cat /proc/[0-9]*/mounts 2>/dev/null | sort -u"
    mounts = [line.split() for line in lab.running(machine).run(["sh", "-c", look]).splitlines()]
    dataset = f"{lab.machine(machine).pool(lab.running(machine)).name}/ployz/{VOLUME}"
    return any(fields[0] == dataset and "ro" not in fields[3].split(",") for fields in mounts)


def _serves(lab: Lab, machine: str) -> bool:
    running = lab.running(machine).run(
        ["docker", "ps", "--quiet", "--filter", f"label={names.LABEL_NAMESPACE}=production"]
    )
    return bool(running.split())


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise failed(f"the proof failed: {otherwise}")
