"""Who a machine is, settled once: founder of a cluster, or member of one.

Doing the same again is done; a machine that is somebody already is never made somebody else.
"""

from __future__ import annotations

from pathlib import Path

from attrs import evolve, frozen

from ployz.config import Config, Founding, Join
from ployz.errors import Code, Failed, Refused, Usage
from ployz.host.wireguard.keys import ensure_private_key
from ployz.ids import Certificate, ClusterName
from ployz.install.files import write_durably
from ployz.install.identity import ensure_identity
from ployz.plan.addresses import Subnets, unique_local_prefix

CONFIG_MODE = 0o644
"""It holds no secret: keys are files of their own."""
STATE_DIR_MODE = 0o700
BEGIN_ANEW = "To begin anew, stop ployzd, and remove the configuration and the state folder."


@frozen
class Founded:
    config: Config
    founding: Founding
    public_key: str
    certificate: Certificate


@frozen
class Keys:
    """What this machine is known by; the private halves stay in its state folder."""

    public_key: str
    """WireGuard's, base64."""
    certificate: Certificate


def found(
    setup: Config,
    path: Path,
    cluster: ClusterName,
    *,
    machine_ipv4_subnet: str,
    workload_ipv4_subnet: str,
    entropy: bytes,
) -> Founded:
    """Makes this machine the first one of a cluster. `entropy`: 5 random bytes, for its address range.

    `Refused` (CONFLICT): it belongs to a cluster already. `Usage`: subnets that are none, or that overlap.
    """
    founding = Founding(unique_local_prefix(entropy), machine_ipv4_subnet, workload_ipv4_subnet)
    check_subnets(founding)
    existing = _existing(path)
    if existing is not None and existing.founding is not None:
        founding = evolve(founding, ipv6_prefix=existing.founding.ipv6_prefix)
    config = evolve(setup, cluster=cluster, founding=founding)
    if existing is not None and existing.cluster is not None:
        _same_or_refuse(existing, config, path)
    keys = _settle(config, path)
    return Founded(config, founding, keys.public_key, keys.certificate)


def prepare_to_join(setup: Config, path: Path, cluster: ClusterName) -> Keys:
    """Makes the keys, and nothing else: what goes wrong from here on leaves a machine that is in no cluster.

    `Refused` (CONFLICT): it belongs to a cluster already, and not as this machine to this one.
    """
    existing = _existing(path)
    if existing is not None and existing.cluster is not None:
        _same_or_refuse(existing, evolve(setup, cluster=cluster, join=existing.join), path)
    return _keys(setup)


def join(setup: Config, path: Path, cluster: ClusterName, way: Join) -> Config:
    """Makes this machine a member, by what the member said that invited it.

    `Refused` (CONFLICT): it belongs to a cluster already.
    """
    existing = _existing(path)
    config = evolve(setup, cluster=cluster, join=way)
    if existing is not None and existing.cluster is not None:
        _same_or_refuse(existing, config, path)
    write_durably(path, config.to_toml(), mode=CONFIG_MODE)
    return config


def check_subnets(founding: Founding) -> None:
    """`Usage`: they are no IPv4 subnets, too small, or overlap."""
    try:
        subnets = Subnets.of(founding.ipv6_prefix, founding.machine_ipv4_subnet, founding.workload_ipv4_subnet)
    except ValueError as error:
        raise Usage(Code.USAGE, str(error), "Write for example 10.211.0.0/16.") from None
    machines, workloads = subnets.machines_ipv4, subnets.workloads_ipv4
    if machines.overlaps(workloads):
        raise Usage(
            Code.USAGE, f"{machines} and {workloads} overlap", "Give machines and workloads subnets of their own."
        )
    for subnet in (machines, workloads):
        if subnet.prefixlen > 24:  # noqa: PLR2004 - 254 addresses: room for 200 machines
            raise Usage(Code.USAGE, f"{subnet} is too small", "A cluster needs a /24 at least for each.")


def _settle(config: Config, path: Path) -> Keys:
    """The keys before the configuration: who reads the configuration finds them."""
    keys = _keys(config)
    write_durably(path, config.to_toml(), mode=CONFIG_MODE)
    return keys


def _keys(config: Config) -> Keys:
    try:
        config.state_dir.mkdir(mode=STATE_DIR_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise Failed(Code.PART_FAILED, f"{config.state_dir} cannot be made: {error.strerror}") from error
    return Keys(ensure_private_key(config.private_key), ensure_identity(config.identity, config.machine))


def _existing(path: Path) -> Config | None:
    return Config.load(path) if path.exists() else None


def _same_or_refuse(existing: Config, wanted: Config, path: Path) -> None:
    if existing != wanted:
        raise _conflict(path, f"this machine is {existing.machine} of cluster {existing.cluster}, set up otherwise")


def _conflict(path: Path, text: str) -> Refused:
    return Refused(Code.CONFLICT, f"{text}: see {path}", BEGIN_ANEW)
