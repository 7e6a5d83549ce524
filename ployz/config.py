"""A machine's configuration file, and every limit of the daemon with its unit.

The file says who this machine is and where its parts are. Membership, placement and routes are facts, never
configuration.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final, Self

import cattrs
from attrs import frozen

from ployz.errors import Code, Refused
from ployz.ids import Certificate, ClusterName, InvalidName, MachineId
from ployz.surroundings import SLOWNESS, SOCKET_PATH

CONFIG_PATH: Final = Path("/etc/ployz/config.toml")

STATE_DIR: Final = Path("/var/lib/ployz")
LOG_NAME: Final = "log.db"
PEER_PORT: Final = 7701
STREAM_PORT: Final = 7702
ETCD_PORTS: Final = (2379, 2380)
"""Of the cluster's own etcd: for clients, and for its other members."""

ASK_TIMEOUT_S: Final = 10.0 * SLOWNESS
"""An ask that reads or decides, here or over the overlay."""
EFFECT_TIMEOUT_S: Final = 120.0 * SLOWNESS
"""An ask that drives one program or container to its end."""
TRANSFER_TIMEOUT_S: Final = 24 * 3600.0
"""One send of one volume. A send that moves nothing ends much sooner."""
STALL_S: Final = 20.0 * SLOWNESS
"""A program at the end of a stream that moves no byte for this long is taken for dead."""
LINK_PATIENCE_S: Final = 300.0 * SLOWNESS
"""How long a transfer waits for a link, or for a machine, that is gone, while its service runs."""
CUTOVER_PATIENCE_S: Final = 15.0 * SLOWNESS
"""The same in the cut-over, where the service is down meanwhile."""
ATTEMPTS_MAX: Final = 3
"""How often a volume is sent in one round, when what was received is lost: its ployzd was restarted, say."""
CUTOVER_ATTEMPTS_MAX: Final = 2
PROBE_TIMEOUT_S: Final = 5.0 * SLOWNESS
"""How long a participant may take to say that it is there."""
FOLLOW_TIMEOUT_S: Final = 10.0 * SLOWNESS
"""How long a commit waits for every machine to follow before it says which one lags."""
ALONE_START_S: Final = 300.0
"""How long a machine that reaches nobody when it starts waits with services that have volumes."""
UNDECIDED_LOOK_S: Final = 2.0
"""How often a participant looks whether an undecided operation has lost its lock."""
CANDIDATE_LEASE_S: Final = 15.0
"""How long a candidate may run after its machine last asked for "undecided", and hence how long a source waits after
an abort for a machine that does not answer."""
RESTART_DELAY_MAX_S: Final = 30.0
"""The longest pause before an exited container is started again; it doubles from 0.5 s."""
MACHINES_MAX: Final = 200
PRECOPY_ROUNDS_MAX: Final = 8
PRECOPY_TARGET_BYTES: Final = 1 << 20
"""What rounds aim to leave for the cut-over: sending it takes less than anything else there."""
ANYWAY_S: Final = 86_400.0
"""More than any cut-over: what somebody asks for who wants it however long it takes."""
SPACE_RESERVE: Final = 0.05
"""Of a target pool's size: kept free, since a full copy-on-write pool cannot even delete."""


@frozen
class Founding:
    """Only at the founding machine: what the cluster's first fact says."""

    ipv6_prefix: str
    machine_ipv4_subnet: str = "10.211.0.0/16"
    workload_ipv4_subnet: str = "10.210.0.0/16"


@frozen
class Join:
    """Only at a machine that was admitted: how it first reaches the founder."""

    ipv6_prefix: str
    machine_ipv4_subnet: str
    workload_ipv4_subnet: str
    ipv6: str
    ipv4: str
    founder: MachineId
    founder_ipv6: str
    founder_ipv4: str
    founder_endpoint: str
    founder_public_key: str
    founder_certificate: Certificate


@frozen
class Config:
    machine: MachineId
    endpoint: str
    """Where other machines reach this one's WireGuard: `192.0.2.7:51820`."""
    cluster: ClusterName | None = None
    """None until it founded or joined one."""
    pool: str = "tank"
    state_dir: Path = STATE_DIR
    socket: Path = SOCKET_PATH
    docker_socket: Path = Path("/run/docker.sock")
    interface: str = "ployz0"
    bridge: str = "ployz-br0"
    peer_port: int = PEER_PORT
    stream_port: int = STREAM_PORT
    founding: Founding | None = None
    join: Join | None = None

    @property
    def listen_port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    @property
    def machine_ports(self) -> frozenset[int]:
        """TCP ports at which only machines have business, and one that is about to become one."""
        return frozenset({self.peer_port, self.stream_port, self.listen_port, *ETCD_PORTS})

    @property
    def private_key(self) -> Path:
        return self.state_dir / "wireguard.key"

    @property
    def identity(self) -> Path:
        """The key that never leaves this machine, and its certificate."""
        return self.state_dir / "identity.pem"

    @property
    def log_path(self) -> Path:
        return self.state_dir / LOG_NAME

    @property
    def snapshot_path(self) -> Path:
        """What the log folds into, up to one of its records."""
        return self.state_dir / "log.snapshot"

    @property
    def compaction_path(self) -> Path:
        """Which of the log's records still count, up to one of them."""
        return self.state_dir / "log.compaction"

    @property
    def facts_path(self) -> Path:
        return self.state_dir / "facts.db"

    @property
    def etcd_path(self) -> Path:
        """How etcd is reached, once the facts are there. Written by ployzd: the founding machine said so."""
        return self.state_dir / "etcd.json"

    @property
    def etcd_dir(self) -> Path:
        """Of this machine's member of the cluster's own etcd: its data, its keys, and what all members know."""
        return self.state_dir / "etcd"

    @property
    def etcd_programs_dir(self) -> Path:
        return self.socket.parent / "etcd"

    @property
    def volumes_dir(self) -> Path:
        return self.state_dir / "volumes"

    @property
    def leases_dir(self) -> Path:
        return self.socket.parent / "leases"

    @property
    def secrets_dir(self) -> Path:
        """A tmpfs of its own."""
        return self.socket.parent / "secrets"

    @property
    def gateway_dir(self) -> Path:
        return self.socket.parent / "gateway"

    @property
    def certificates_dir(self) -> Path:
        return self.state_dir / "certificates"

    @property
    def names_dir(self) -> Path:
        """Beside the socket's folder, which not everybody may read."""
        return self.socket.parent.with_name(f"{self.socket.parent.name}-names")

    @property
    def programs_dir(self) -> Path:
        """For the name server's number and log."""
        return self.socket.parent / "names"

    @property
    def root_dataset(self) -> str:
        return f"{self.pool}/ployz"

    @classmethod
    def load(cls, path: Path) -> Self:
        try:
            raw = tomllib.loads(path.read_text())
        except FileNotFoundError:
            raise Refused(
                Code.INVALID_CONFIG,
                f"{path} does not exist: this machine is not set up",
                "Found a cluster with `ployzctl cluster init`, or join one with `ployzctl machine join`.",
            ) from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise Refused(Code.INVALID_CONFIG, f"{path}: {error}") from error
        try:
            return _converter.structure(raw, cls)
        except cattrs.BaseValidationError as error:
            text = "; ".join(cattrs.transform_error(error))
            raise Refused(Code.INVALID_CONFIG, f"{path}: {text}") from error

    def to_toml(self) -> str:
        tables: list[str] = []
        lines: list[str] = []
        for key, value in _converter.unstructure(self).items():
            if isinstance(value, dict):
                tables += ["", f"[{key}]", *(f"{name} = {_toml(each)}" for name, each in value.items())]
            elif value is not None:
                lines.append(f"{key} = {_toml(value)}")
        return "\n".join([*lines, *tables, ""])


def _toml(value: object) -> str:
    return str(value) if isinstance(value, int) else '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _checked_name(value: object, kind: type) -> object:
    try:
        return kind(value)
    except InvalidName as error:
        raise ValueError(str(error)) from error


_converter = cattrs.Converter(forbid_extra_keys=True)
_converter.register_structure_hook(MachineId, _checked_name)
_converter.register_structure_hook(ClusterName, _checked_name)
_converter.register_structure_hook(Certificate, _checked_name)
_converter.register_structure_hook(Path, lambda value, _: Path(value))
_converter.register_unstructure_hook(Path, str)
