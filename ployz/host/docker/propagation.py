"""Which folders of the host pass on what is mounted and unmounted below them: mount_namespaces(7), shared subtrees."""

from __future__ import annotations

import os
from collections.abc import Sequence

from attrs import evolve

from ployz.host.ports import ContainerSpec
from ployz.host.zfs.mounts import Mount, innermost


def following(spec: ContainerSpec, mounts: Sequence[Mount]) -> ContainerSpec:
    """With mounts that follow where the host passes it on: Docker refuses to follow what is private.

    systemd makes all that it mounts shared. `mounts`: of this machine.
    """
    return evolve(
        spec,
        mounts=tuple(evolve(each, follows=each.follows and _is_passed_on(each.source, mounts)) for each in spec.mounts),
    )


def _is_passed_on(path: str, mounts: Sequence[Mount]) -> bool:
    its = innermost(os.path.realpath(path), mounts)
    return its is not None and (its.shared is not None or its.master is not None)
