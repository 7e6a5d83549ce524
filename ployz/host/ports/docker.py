"""The port to Docker: images, containers and the bridge as values."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from ipaddress import IPv4Address
from typing import Literal, Protocol

from attrs import field, frozen

from ployz.ids import MTU_MAX

LABEL_PREFIX = "ployz."
"""Every label of ours begins so. A container without one is somebody else's, and its news is not ours."""


@frozen
class Image:
    id: str
    """`sha256:…`: the digest of its configuration, equal wherever it is loaded."""
    size_bytes: int
    tags: tuple[str, ...]
    volumes: tuple[str, ...] = ()
    """Folders that it calls a VOLUME."""


@frozen
class BindMount:
    source: str
    """A host path, which must exist."""
    target: str
    readonly: bool = False
    follows: bool = False
    """What the host mounts and unmounts below it later comes and goes in the container too, where the host passes that
    on (mount_namespaces(7)).
    """


@frozen
class PublishedPort:
    container_port: int
    host_port: int
    protocol: Literal["tcp", "udp"] = "tcp"
    host_ip: str = ""
    """Empty: on every address of the machine."""


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
    nameservers: tuple[str, ...] = ()
    """Empty: those of the host."""
    search_domains: tuple[str, ...] = ()
    ndots: int = 0
    """A name with fewer dots is looked for in the search domains first. 0: as Docker has it."""
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
class AnonymousVolume:
    """What Docker gives a container for a VOLUME of its image that nothing is mounted on."""

    path: str
    """In the container."""
    folder: str
    """On the host."""


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
    paused: bool = False
    """It runs, and none of its processes goes on."""
    changed_ms: int = 0
    """Wall time: when it was started, or when it ended. 0: never."""
    created_ms: int = 0
    volumes: tuple[AnonymousVolume, ...] = ()


@frozen
class ExecResult:
    exit_code: int
    output: str


@frozen
class Census:
    """What is there of ours, in one look that costs the same for one container and for hundreds."""

    network: bool
    """The bridge's network is there."""
    containers: Mapping[str, bool] = field(factory=dict)
    """By name, whether each runs."""
    cut_off: frozenset[str] = frozenset()
    """Containers that run, and are on no network any more: what held it was removed, stopped or disconnected."""
    orphans: tuple[str, ...] = ()
    """Names of containers that are gone, of which the network is still held: their addresses are taken here. Who
    removes such a container gets rid of that."""
    keepers: Mapping[str, str] = field(factory=dict)
    """By name, what `keep_image` made, and for whom."""


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
    mtu: int = MTU_MAX
    """The overlay's, so that what a container sends fits into the tunnel."""


def hardware_address(ipv4: str) -> str:
    """Of a container that has this address: the same on every machine, so that a neighbour may go on believing it."""
    return ":".join(f"{each:02x}" for each in (0x02, 0x42, *IPv4Address(ipv4).packed))


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

    async def prepare(self, name: str) -> None:
        """Makes its network, in which nothing runs yet: its addresses and ports are taken here from now on, and its
        start is quick. For containers that were created here; it may be done twice, and need not be done at all.
        """
        ...

    async def start(self, name: str) -> None: ...

    async def stop(self, name: str, *, grace_s: float) -> None:
        """SIGTERM (or its stop signal), after `grace_s` SIGKILL. Absent or stopped is done. Its addresses and ports are
        free then.
        """
        ...

    async def ended(self, name: str) -> None:
        """Returns when no process of it is left, and so nothing writes to its volumes any more: well before `stop`
        does, which also takes its network down. Absent or stopped is done.
        """
        ...

    async def remove(self, name: str, *, with_volumes: bool = True) -> None:
        """Killed if it runs. Absent is done. `with_volumes`: its anonymous volumes go, too."""
        ...

    async def drop_network(self, name: str) -> None:
        """Of a container that is stopped, and stays with all that it wrote: `create` gives it another one."""
        ...

    async def inspect(self, name: str) -> Container | None: ...

    async def containers(self, labels: Mapping[str, str]) -> Sequence[Container]:
        """Those that carry all these labels, running or not, by name."""
        ...

    async def keep_image(self, image_id: str, name: str, keeps_for: str) -> None:
        """From here on the image is in use, whatever is pruned: by a container of this name, until that is removed."""
        ...

    async def census(self) -> Census: ...

    async def plugged(self) -> Mapping[str, int]:
        """Who is on the bridge's network now, whosever it is: by IPv4 address, the id of a process in the network."""
        ...

    async def exec(self, name: str, command: Sequence[str], *, timeout_s: float) -> ExecResult: ...

    async def logs(self, name: str, *, tail: int) -> str: ...

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[ContainerEvent]]:
        """Nothing that happens after entering is missed. The iterator ends when Docker goes away."""
        ...
