from __future__ import annotations

import pytest

from ployz.errors import Code, Refused
from ployz.events.types import ClusterFounded, Lifecycle, MachineIdentified, MachineJoined
from ployz.ids import ClusterName, MachineId
from ployz.plan.belonging import require_belonging
from ployz.projections.machines import Machines
from tests.identities import certificate

A, B, C = MachineId("machine-a"), MachineId("machine-b"), MachineId("machine-c")
HERE, ELSEWHERE = ClusterName("here"), ClusterName("elsewhere")


def known(cluster: ClusterName = HERE) -> Machines:
    """A founded it, and B joined it."""
    machines = Machines()
    machines.apply(ClusterFounded(cluster, A, "fd00::/48", "10.211.0.0/16", "10.210.0.0/16"))
    for number, machine in enumerate((A, B), 1):
        machines.apply(MachineJoined(machine, number, f"fd00::{number}", "10.211.0.1", "", "", Lifecycle.ACTIVE))
        machines.apply(MachineIdentified(machine, certificate(machine)))
    return machines


def require(
    machine: MachineId = B,
    *,
    cluster: ClusterName = HERE,
    founds: bool = False,
    identity: MachineId = B,
    logged: MachineId | None = B,
    machines: Machines | None = None,
) -> None:
    by_log = known() if machines is None else machines
    require_belonging(machine, cluster, founds, identity, certificate(identity), logged, by_log)


def test_what_is_of_one_machine_belongs_together_from_the_first_start_on() -> None:
    require()
    require(logged=None, machines=Machines())
    require(logged=None)
    require(A, founds=True, identity=A, logged=A)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"machine": C}, "config.toml says machine-c, and the identity is machine-b's"),
        ({"machine": C, "logged": None, "machines": Machines()}, "the identity is machine-b's"),
        ({"machine": C, "identity": C}, "config.toml says machine-c, and the log is machine-b's"),
        ({"machine": A}, "config.toml says that machine-a joined the cluster, and the log that it founded it"),
        ({"founds": True}, "config.toml says that machine-b founded the cluster, and the log that machine-a did"),
        ({"cluster": ELSEWHERE}, "config.toml says cluster elsewhere, and the log is of here"),
        ({"identity": A, "logged": None}, "by the log, machine-b has another identity than the one that is here"),
        ({"identity": A, "logged": None}, "by the log, the identity that is here is machine-a's"),
    ],
)
def test_what_is_not_of_one_machine_is_refused_and_named(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(Refused) as refused:
        require(**wrong)  # type: ignore[arg-type]
    assert refused.value.code is Code.IDENTITY
    assert said in str(refused.value)
    assert "Nothing was touched." in refused.value.problem.advice
