"""The ports: what the actors ask of ZFS, Docker, the overlay and the kernel, as small protocols of values.

Each has a real adapter, a fake, and one contract test suite that both pass. Every method may raise
`ployz.errors.Failed` with the program's own words; every method may be called twice with the same result.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

from attrs import field, frozen

Dataset = str
"""A full ZFS dataset name, `tank/ployz/production/pgdata`."""

# ---------------------------------------------------------------- ZFS


@frozen
class ZfsFeatures:
    """What the installed `zfs` can do, found by probing, never from a version string."""

    estimate: bool  # zfs send -nP
    resume: bool  # zfs receive -s
    multi_snapshot: bool  # several names in one `zfs snapshot`
    multi_set: bool  # several properties in one `zfs set`
    receive_unmounted: bool  # zfs receive -u


@frozen
class Snapshot:
    name: str
    """The part after '@'."""
    guid: int
    """Unsigned 64 bit. A received snapshot keeps it: two snapshots with one guid have the same content."""
    created_s: int
    referenced_bytes: int
    used_bytes: int
    """What only this snapshot holds on to."""


@frozen
class DatasetState:
    name: Dataset
    guid: int
    used_bytes: int
    referenced_bytes: int
    available_bytes: int
    quota_bytes: int
    """0: none."""
    mounted_at: str | None
    readonly: bool
    properties: Mapping[str, str]
    """The user properties that begin with `ployz:`, without that prefix (`epoch`, `operation`)."""
    snapshots: tuple[Snapshot, ...]
    """Oldest first."""

    def snapshot(self, name: str) -> Snapshot | None:
        return next((each for each in self.snapshots if each.name == name), None)


@frozen
class PoolSpace:
    size_bytes: int
    free_bytes: int
    """What datasets may still take, after ZFS' own reserve."""
    healthy: bool
    """It reads and writes. A degraded pool does: moving away from it must stay possible."""
    health: str
    """`ONLINE`, `DEGRADED`, `SUSPENDED`, …"""


@frozen
class Holder:
    """A process that keeps a dataset from being unmounted or handed over."""

    pid: int
    command: str
    container_id: str | None
    how: str
    """Ends the sentence "PID …": `has the file /x open`, `has it mounted at /data in a mount namespace of its own`."""


class Zfs(Protocol):
    async def features(self) -> ZfsFeatures: ...

    async def pool_space(self, pool: str) -> PoolSpace: ...

    async def state(self, dataset: Dataset) -> DatasetState | None:
        """None: there is no such dataset. A failed look is `Failed`, never None."""
        ...

    async def children(self, dataset: Dataset) -> Sequence[Dataset]:
        """Every dataset below this one, at any depth, without itself; empty if it does not exist."""
        ...

    async def create(self, dataset: Dataset, properties: Mapping[str, str]) -> None:
        """With its parents. `properties` are native (`quota`, `canmount`) and user ones (`ployz:epoch`)."""
        ...

    async def set(self, dataset: Dataset, properties: Mapping[str, str]) -> None: ...

    async def rename(self, dataset: Dataset, name: Dataset) -> None:
        """With its snapshots, to below a dataset that is there. It is unmounted. Renamed already is done."""
        ...

    async def destroy(self, dataset: Dataset) -> None:
        """The dataset and its snapshots; children are a failure. Absent is done."""
        ...

    async def snapshot(self, datasets: Sequence[Dataset], name: str) -> Mapping[Dataset, Snapshot]:
        """All datasets at one instant. Snapshots of this name that are there already are returned as they are, if they
        are of one instant; else it is `Failed`.

        Where one `zfs snapshot` takes one name only, the instant is `snapshot -r` on their parent, and the
        snapshots of datasets that were not asked for are removed again.
        """
        ...

    async def destroy_snapshot(self, dataset: Dataset, name: str) -> None:
        """Absent is done; held is `Failed`."""
        ...

    async def hold(self, dataset: Dataset, name: str, tag: str) -> None: ...

    async def release(self, dataset: Dataset, name: str, tag: str) -> None: ...

    async def rollback(self, dataset: Dataset, name: str) -> None:
        """To this snapshot; later snapshots go. The caller has proven that they may (their epoch is older)."""
        ...

    async def mount(self, dataset: Dataset, mountpoint: str, *, readonly: bool) -> None:
        """There, and so; a mount that is otherwise is renewed. From then on the dataset is `canmount=noauto`."""
        ...

    async def unmount(self, dataset: Dataset) -> None:
        """Until no mount of it is left in any mount namespace that a process is in.

        Busy is `Failed` with DATASET_BUSY, naming processes and containers, after two seconds in which they may let go.
        """
        ...

    async def holders(self, dataset: Dataset) -> Sequence[Holder]:
        """Who uses it: processes with files or folders of it, and mounts in other mount namespaces than ours.

        Our own mount is `DatasetState.mounted_at`. Unmounted and without holders, nobody can write to it.
        """
        ...

    async def estimate_bytes(self, dataset: Dataset, base: str | None, snapshot: str | None) -> int:
        """What a send from `base` (None: in full) to `snapshot` (None: to now) is expected to take.

        Good to about a tenth for large blocks. Without ZFS' own estimate it may be too large when the dataset has more
        than two snapshots, and when small blocks were rewritten here and there.
        """
        ...

    def send_argv(self, dataset: Dataset, base: str | None, snapshot: str) -> Sequence[str]:
        """The program that writes the stream to its standard output."""
        ...

    def receive_argv(self, dataset: Dataset) -> Sequence[str]:
        """The program that reads a stream from its standard input. Never forces, never mounts.

        An increment's dataset must be there, and only the caller can see to it: where it is not, zfs-fuse gives the
        increment to another dataset of the pool that has the base, or to none, and exits with 0. A dataset received in
        full has `canmount=on`: set it to `noauto` before it gets a mountpoint.
        """
        ...


# ---------------------------------------------------------------- Docker

LABEL_PREFIX = "ployz."
"""Every label of ours begins so. A container without one is somebody else's, and its news is not ours."""


@frozen
class Image:
    id: str
    """`sha256:…`: the digest of its configuration, equal wherever it is loaded."""
    size_bytes: int
    tags: tuple[str, ...]


@frozen
class BindMount:
    source: str
    """A host path, which must exist."""
    target: str
    readonly: bool = False


@frozen
class PublishedPort:
    container_port: int
    host_port: int
    protocol: Literal["tcp", "udp"] = "tcp"


@frozen
class ContainerSpec:
    """Everything that a container is made from. Two equal specs make the same container."""

    name: str
    image_id: str
    labels: Mapping[str, str]
    ipv6: str
    ipv4: str
    hostname: str = ""
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    env: Mapping[str, str] = field(factory=dict)
    user: str = ""
    mounts: tuple[BindMount, ...] = ()
    tmpfs: tuple[str, ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = field(factory=dict)
    cpu_millicores: int = 0
    """0: no limit."""
    memory_bytes: int = 0
    """0: no limit."""
    stop_signal: str = ""
    """Empty: the image's own."""
    restart: Literal["no", "always", "on-failure", "unless-stopped"] = "no"


@frozen
class Container:
    id: str
    name: str
    image_id: str
    labels: Mapping[str, str]
    running: bool
    exit_code: int | None
    """None while it runs or before it ran."""
    pid: int
    """0 when it does not run."""


@frozen
class ExecResult:
    exit_code: int
    output: str


@frozen
class ContainerEvent:
    """Docker's own news: `start`, `die`, `oom` or `destroy` of a container that carries a label of ours."""

    action: str
    container_id: str
    labels: Mapping[str, str]
    """Only ours: Docker mixes the others with attributes of its own."""
    exit_code: int | None
    """Of `die`."""


@frozen
class BridgeNetwork:
    """The bridge that is the same on every machine, so that an address keeps its meaning when it moves."""

    name: str
    bridge: str
    ipv6_subnet: str
    ipv6_gateway: str
    ipv4_subnet: str
    ipv4_gateway: str
    mtu: int = 1420
    """The overlay's, so that what a container sends fits into the tunnel."""


class Docker(Protocol):
    async def version(self) -> str: ...

    async def image(self, reference: str) -> Image | None:
        """By tag or id."""
        ...

    async def pull(self, reference: str) -> Image: ...

    def save_argv(self, image_id: str) -> Sequence[str]:
        """The program that writes the image to its standard output."""
        ...

    def load_argv(self) -> Sequence[str]: ...

    async def tag(self, image_id: str, reference: str) -> None: ...

    async def ensure_network(self, network: BridgeNetwork) -> None: ...

    async def create(self, spec: ContainerSpec) -> str:
        """Its id. A container of this name with these labels that is there already is returned as it is.

        The source of every bind mount must be there now; what is mounted on it may follow until the start.
        """
        ...

    async def start(self, name: str) -> None: ...

    async def stop(self, name: str, *, grace_s: float) -> None:
        """SIGTERM (or its stop signal), after `grace_s` SIGKILL. Absent or stopped is done."""
        ...

    async def ended(self, name: str) -> None:
        """Returns when no process of it is left, and so nothing writes to its volumes any more: well before `stop`
        does, which also takes its network down. Absent or stopped is done.
        """
        ...

    async def remove(self, name: str) -> None:
        """Killed if it runs. Absent is done."""
        ...

    async def inspect(self, name: str) -> Container | None: ...

    async def containers(self, labels: Mapping[str, str]) -> Sequence[Container]:
        """Those that carry all these labels, running or not, by name."""
        ...

    async def exec(self, name: str, command: Sequence[str], *, timeout_s: float) -> ExecResult: ...

    async def logs(self, name: str, *, tail: int) -> str: ...

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[ContainerEvent]]:
        """Nothing that happens after entering is missed. The iterator ends when Docker goes away."""
        ...


# ---------------------------------------------------------------- Guards


class Guards(Protocol):
    """Who ends a container when its lease is over, also when ployzd is dead. A power cut ends leases and containers.

    `until_s` is on `Clock.monotonic_s`.
    """

    async def guard(self, container: str, until_s: float) -> None:
        """Before it is started: from here on it does not outlive its lease."""
        ...

    async def renew(self, container: str, until_s: float) -> None: ...

    async def release(self, container: str) -> None:
        """It needs no guard any more. Not guarded is done."""
        ...

    async def until_s(self, container: str) -> float | None:
        """When its lease ends. None: it has none."""
        ...


# ---------------------------------------------------------------- Overlay


@frozen
class OverlayPeer:
    public_key: str
    endpoint: str
    """`192.0.2.7:51820` or `[2001:db8::7]:51820`."""
    addresses: frozenset[str]
    """Every single address that lives behind this peer: its own, and those of the instances it runs."""


@frozen
class OverlayState:
    """Where every overlay address is, as one machine sees it. The driver makes the kernel agree with it."""

    peers: tuple[OverlayPeer, ...]
    local: frozenset[str]
    """Addresses of instances on this machine: they are reached over the bridge, not through a peer."""
    closed: frozenset[str] = frozenset()
    """Those on this machine's bridge that nothing reaches but ployzd's own looks: what is written there may be lost."""


@frozen
class OverlayConfig:
    interface: str
    ipv6: str
    """This machine's own address, without prefix length."""
    ipv4: str
    listen_port: int
    bridge: str
    ipv6_subnet: str
    """The workloads' subnet, `fd…::/64`."""
    ipv4_subnet: str
    mtu: int = 1420


@frozen
class PeerStatus:
    public_key: str
    handshake_age_s: float | None
    """None: never."""
    received_bytes: int
    sent_bytes: int


class Overlay(Protocol):
    async def public_key(self) -> str: ...

    async def up(self, config: OverlayConfig) -> None:
        """Makes the interface, its addresses, forwarding and proxy settings. Up already is done."""
        ...

    async def apply(self, state: OverlayState) -> None:
        """Makes peers, allowed addresses, routes and proxy neighbours agree with `state`, and nothing else."""
        ...

    async def status(self) -> Sequence[PeerStatus]: ...


# ---------------------------------------------------------------- Folders


class Folders(Protocol):
    """The folders of the host that volumes are mounted on."""

    async def ensure(self, path: str) -> None:
        """With its parents, for root alone. One that is there stays as it is."""
        ...

    async def own(self, path: str, *, mode: int | None, owner: tuple[int, int] | None) -> None:
        """Of the folder itself, not of what is in it. `owner`: (uid, gid). None: as it is."""
        ...


# ---------------------------------------------------------------- Looks


class Looks(Protocol):
    """One look from this machine whether a container answers. None: it does; else why not, in words."""

    async def tcp_answers(self, address: str, port: int, *, timeout_s: float) -> str | None:
        """A connection is accepted."""
        ...

    async def http_answers(self, address: str, port: int, path: str, *, timeout_s: float) -> str | None:
        """GET is answered with a status of 200 to 399."""
        ...
