"""Whether the log, the identity and the name that ployzd finds at a start are of one machine: pure.

ployzd makes what runs here agree with its log. With another machine's name, what that log places here is nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ployz.errors import Code, Refused
from ployz.ids import Certificate, ClusterName, MachineId
from ployz.projections.machines import Machines

_ADVICE: Final = (
    "Nothing was touched. Put config.toml, log.db and identity.pem of one machine together again. A machine keeps its "
    "name for life: to have another one it leaves the cluster and joins it anew."
)


def require_belonging(
    machine: MachineId,
    cluster: ClusterName,
    founds: bool,
    named: str,
    certificate: Certificate,
    logged: MachineId | None,
    machines: Machines,
) -> None:
    """`machine`, `cluster` and `founds` (it is the founding one) are of the configuration, `named` and `certificate`
    of the identity, `logged` is who last started with this log, and `machines` are those that its facts name.

    `Refused` (IDENTITY): they are not of one machine; everything that does not fit is listed.
    """
    found = [
        *_misnamed(machine, named, logged),
        *_of_another_cluster(machine, cluster, founds, machines),
        *_misidentified(machine, certificate, machines),
    ]
    if found:
        raise Refused(
            Code.IDENTITY, f"this is not the machine that it is configured to be: {'; '.join(found)}", _ADVICE
        )


def _misnamed(machine: MachineId, named: str, logged: MachineId | None) -> Iterator[str]:
    if named != machine:
        yield f"config.toml says {machine}, and the identity is {named}'s"
    if logged is not None and logged != machine:
        yield f"config.toml says {machine}, and the log is {logged}'s"


def _of_another_cluster(machine: MachineId, cluster: ClusterName, founds: bool, machines: Machines) -> Iterator[str]:
    founded = machines.cluster
    if founded is None:  # no fact yet
        return
    if founded.cluster != cluster:
        yield f"config.toml says cluster {cluster}, and the log is of {founded.cluster}"
    if founds and founded.founder != machine:
        yield f"config.toml says that {machine} founded the cluster, and the log that {founded.founder} did"
    if not founds and founded.founder == machine:
        yield f"config.toml says that {machine} joined the cluster, and the log that it founded it"


def _misidentified(machine: MachineId, certificate: Certificate, machines: Machines) -> Iterator[str]:
    member = machines.get(machine)
    if member is not None and member.certificate not in (None, certificate):
        yield f"by the log, {machine} has another identity than the one that is here"
    for other, theirs in sorted(machines.certificates.items()):
        if theirs == certificate and other != machine:
            yield f"by the log, the identity that is here is {other}'s"
