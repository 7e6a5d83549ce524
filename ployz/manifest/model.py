"""The manifest as values: what a namespace should be, and optionally how to get there.

Only shapes belong here: spelling is in `schema`, what must agree with what is in `check`.

A default is part of the stored format. Committed manifests leave out what equals its default, so a default
never changes; a new field gets one that means what its absence meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import evolve, field, frozen

from ployz.ids import MachineId, Name, Namespace, SecretName, ServiceName, VolumeName

Protocol = Literal["tcp", "udp"]
Restart = Literal["no", "on-failure", "always", "unless-stopped"]
OnUnready = Literal["tell", "restart"]
PullPolicy = Literal["missing", "always", "never"]
Verify = Literal["guid", "digest"]
Logbias = Literal["latency", "throughput"]
Sync = Literal["standard", "always"]


class PortName(Name):
    """A service port's name: publishing, routes and readiness speak of ports by name."""

    __slots__ = ()
    kind = "port name"


# ---------------------------------------------------------------- volumes


@frozen
class Owner:
    uid: int
    gid: int


@frozen
class Volume:
    name: VolumeName
    quota_bytes: int | None = None
    """None: bounded by the pool alone."""
    mode: int | None = None
    """Of the volume's root folder, set when the volume is made. None: as the file system makes it."""
    owner: Owner | None = None
    """Likewise."""
    verify: Verify = "guid"
    """What source and target compare after each round of a move: guids, or the digest of every file too."""
    recordsize_bytes: int | None = None
    """ZFS' `recordsize`: of files that are written from then on. None: as the dataset has it."""
    compression: str | None = None
    """ZFS' `compression`: of what is written from then on. None: as the dataset has it."""
    atime: bool | None = None
    """Whether reading a file writes when. None: as the dataset has it."""
    logbias: Logbias | None = None
    """None: as the dataset has it."""
    sync: Sync | None = None
    """When a write that was asked to be stored is answered. None: as the dataset has it. `disabled` is refused."""


@frozen
class Secret:
    """That the namespace has it. Its value is set by `ployzctl secret set`, and is in no manifest."""

    name: SecretName


# ---------------------------------------------------------------- placement and ports


@frozen
class Replicated:
    """So many slots, each on a machine that the planner picks and then keeps."""

    count: int = 1


@frozen
class Global:
    """One slot on every active machine."""


Placement = Replicated | Global


@frozen
class ServicePort:
    name: PortName
    container_port: int
    protocol: Protocol = "tcp"


@frozen
class Publish:
    """A service port on the machine's own addresses, outside the overlay."""

    service_port: PortName
    host_port: int
    host_ip: str = ""
    """Of one of the machine's addresses, `127.0.0.1` for example. Empty: on all of them."""


@frozen
class HttpRoute:
    """The gateway sends requests for any of these hosts, whose path begins so, to the service."""

    service_port: PortName
    hostnames: tuple[str, ...]
    """`*`: any host that no other route names."""
    path_prefix: str = "/"


@frozen
class TcpRoute:
    """The gateway listens on this port of every machine and passes connections to the service."""

    service_port: PortName
    listen_port: int


Route = HttpRoute | TcpRoute


# ---------------------------------------------------------------- readiness


@frozen
class TcpProbe:
    """Ready when a connection is accepted."""

    service_port: PortName


@frozen
class HttpProbe:
    """Ready when GET answers with a status of 200 to 399."""

    service_port: PortName
    path: str = "/"


@frozen
class ExecProbe:
    """Ready when the command, run in the container, exits with 0."""

    command: tuple[str, ...]


Probe = TcpProbe | HttpProbe | ExecProbe


@frozen
class Readiness:
    """After `start_period_s` the probe runs every `interval_s`; `retries` failures in a row mean never ready."""

    probe: Probe
    interval_s: float = 1.0
    timeout_s: float = 2.0
    retries: int = 30
    start_period_s: float = 0.0


# ---------------------------------------------------------------- the container


@frozen
class VolumeSource:
    volume: VolumeName


@frozen
class BindSource:
    """A folder or file of the host. It does not move: a service that has one cannot be migrated."""

    path: str


@frozen
class TmpfsSource:
    """Memory, gone when the container is."""


Source = VolumeSource | BindSource | TmpfsSource


@frozen
class Mount:
    source: Source
    target: str
    readonly: bool = False


SECRETS_FOLDER = "/run/secrets"


@frozen
class SecretMount:
    """A secret as a file in memory, which the container can read and not write."""

    secret: SecretName
    target: str = ""
    """Empty: /run/secrets and its name."""
    mode: int = 0o444
    """Of the file. As it is, whatever user the container runs as can read it."""
    owner: Owner = Owner(0, 0)

    @property
    def path(self) -> str:
        return self.target or f"{SECRETS_FOLDER}/{self.secret}"


@frozen
class Resources:
    cpu_millicores: int | None = None
    """None: no limit."""
    memory_bytes: int | None = None
    """None: no limit."""


@frozen
class Template:
    """What the container of a slot is made from."""

    image: str
    """A tag is resolved once: the service keeps that image, by id, until the manifest names another."""
    command: tuple[str, ...] = ()
    """Empty: the image's own."""
    entrypoint: tuple[str, ...] = ()
    """Empty: the image's own."""
    user: str = ""
    """Empty: the image's own."""
    env: Mapping[str, str] = field(factory=dict)
    """PLOYZ_MACHINE, PLOYZ_NAMESPACE, PLOYZ_SERVICE and PLOYZ_SLOT are added."""
    mounts: tuple[Mount, ...] = ()
    disposable: tuple[str, ...] = ()
    """Folders that the image calls a VOLUME, that no mount covers, and whose content may be lost with the container."""
    secrets: tuple[SecretMount, ...] = ()
    """The container has the values that they have when it starts."""
    labels: Mapping[str, str] = field(factory=dict)
    cap_add: tuple[str, ...] = ()
    """Beside what Docker gives. That is without NET_RAW here, by which it could take other slots' addresses."""
    cap_drop: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = field(factory=dict)
    resources: Resources = Resources()
    pull_policy: PullPolicy = "missing"
    """`always`: the tag is looked up again with each deploy. `never`: the image must be on one of the machines."""
    stop_signal: str = ""
    """Empty: the image's own."""
    stop_grace_period_s: float = 10.0
    """From the stop signal to SIGKILL."""

    @property
    def volumes(self) -> tuple[VolumeName, ...]:
        """Each volume that is mounted, once, in order of the mounts."""
        mounted = (mount.source.volume for mount in self.mounts if isinstance(mount.source, VolumeSource))
        return tuple(dict.fromkeys(mounted))


@frozen
class Hook:
    """A command that is run in the container."""

    command: tuple[str, ...]
    timeout_s: float = 10.0
    """Then it has failed. It may go on running in the container."""


@frozen
class Hooks:
    """What a service is told around the snapshots of a move: `CHECKPOINT` for a database.

    They make snapshots and cut-overs better, and nothing depends on them. `after_snapshot` is not run when a machine
    dies in between: whatever `before_snapshot` does must not keep the service from going on.
    """

    before_snapshot: Hook | None = None
    """Before each snapshot while it runs, where a failure is told and the move goes on; and before it is stopped, where
    a failure undoes the move, with nothing stopped."""
    after_snapshot: Hook | None = None
    """After each snapshot while it runs; and if it is not stopped after all. A failure is told."""


@frozen
class Service:
    name: ServiceName
    template: Template
    placement: Placement = Replicated()
    on: tuple[MachineId, ...] = ()
    """The machines that may run it. Empty: any."""
    service_ports: tuple[ServicePort, ...] = ()
    """What it listens on, by names that publishing, routes and readiness use."""
    publish: tuple[Publish, ...] = ()
    """Ports of the machine that lead to it, beside its overlay address."""
    routes: tuple[Route, ...] = ()
    readiness: Readiness | None = None
    """None: ready when it runs."""
    restart: Restart = "unless-stopped"
    """What ployzd does when the container ends by itself. `always` and `unless-stopped` mean the same."""
    on_unready: OnUnready = "tell"
    """What ployzd does when a container that runs is not ready any more: it tells, or also stops and starts it."""
    cutover_hold_s: float = 30.0
    """How long gateways let new requests and connections wait while it moves or is replaced; 0: not at all."""
    hooks: Hooks = Hooks()
    """For services with volumes."""

    def port(self, name: PortName) -> ServicePort | None:
        return next((port for port in self.service_ports if port.name == name), None)


# ---------------------------------------------------------------- intent and the whole


@frozen
class VolumeMove:
    volume: VolumeName
    from_machine: MachineId
    to_machine: MachineId
    verify: Verify = "guid"
    """As the volume's own, for this move. The stricter one counts."""


@frozen
class ServiceMove:
    service: ServiceName
    to_machine: MachineId


@frozen
class Leave:
    """What needs no volume leaves a machine: replicas go where new ones would, and a global service ends there."""

    from_machine: MachineId
    to_machines: tuple[MachineId, ...] = ()
    """Where replicas may go. Empty: to any other machine."""
    services: tuple[ServiceName, ...] = ()
    """Which of them leave. Empty: all."""
    gone: bool = False
    """It does not answer, and what leaves is made elsewhere without asking it. What comes back there ends."""


@frozen
class Intent:
    """How to get there: what moves. It holds for one deploy and is not kept with the committed manifest."""

    volumes: tuple[VolumeMove, ...] = ()
    services: tuple[ServiceMove, ...] = ()
    bandwidth_bytes_s: int | None = None
    """What each machine sends the volumes with that leave it, all together, in every round; unset: as fast as it goes.
    The machine's own `bandwidth` limits it too."""
    leave: Leave | None = None
    max_cutover_s: float | None = None
    """What the cut-over may be expected to take, when all that can be sent before it was sent: with more than that
    nothing is stopped, and it is undone. Unset: three times what was previewed, and 10 s at least."""

    @property
    def moves(self) -> bool:
        """It changes places and nothing else."""
        return bool(self.services or self.volumes) or self.leave is not None


@frozen
class Manifest:
    namespace: Namespace
    volumes: tuple[Volume, ...] = ()
    secrets: tuple[Secret, ...] = ()
    services: tuple[Service, ...] = ()
    reachable_from: tuple[str, ...] | None = None
    """Namespaces whose containers reach those of this one; its own always do, and machines with their gateways. `*`:
    all. None: as the cluster has it."""
    intent: Intent = Intent()

    def volume(self, name: VolumeName) -> Volume | None:
        return next((volume for volume in self.volumes if volume.name == name), None)

    def secret(self, name: SecretName) -> Secret | None:
        return next((secret for secret in self.secrets if secret.name == name), None)

    def service(self, name: ServiceName) -> Service | None:
        return next((service for service in self.services if service.name == name), None)


def without_intent(manifest: Manifest) -> Manifest:
    """What is committed: the namespace as it is from then on."""
    return evolve(manifest, intent=Intent())
