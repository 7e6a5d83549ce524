"""The ports: what the actors ask of ZFS, Docker, the overlay and the kernel, as small protocols of values.

Each has a real adapter, a fake, and one contract test suite that both pass. Every method may raise
`ployz.errors.Failed` with the program's own words; every method may be called twice with the same result.
"""

from ployz.host.ports.docker import (
    LABEL_PREFIX,
    BindMount,
    BridgeNetwork,
    Census,
    Container,
    ContainerEvent,
    ContainerSpec,
    Docker,
    ExecResult,
    Image,
    PublishedPort,
    hardware_address,
)
from ployz.host.ports.gateway import (
    BackendStatus,
    Gateway,
    GatewayBackend,
    GatewayServer,
    GatewayState,
    GatewayStatus,
    HttpEntry,
    Mode,
    ServerStatus,
    TcpEntry,
)
from ployz.host.ports.machine import ExpiringCertificate, Folders, Guards, Looks, Premises, SecretFile, SecretFiles
from ployz.host.ports.names import HostRecord, NameServer
from ployz.host.ports.overlay import Overlay, OverlayConfig, OverlayPeer, OverlayState, PeerStatus
from ployz.host.ports.zfs import (
    Dataset,
    DatasetState,
    HangingMount,
    Holder,
    Keep,
    PoolSpace,
    Snapshot,
    Zfs,
    ZfsFeatures,
)

__all__ = [
    "LABEL_PREFIX",
    "BackendStatus",
    "BindMount",
    "BridgeNetwork",
    "Census",
    "Container",
    "ContainerEvent",
    "ContainerSpec",
    "Dataset",
    "DatasetState",
    "Docker",
    "ExecResult",
    "ExpiringCertificate",
    "Folders",
    "Gateway",
    "GatewayBackend",
    "GatewayServer",
    "GatewayState",
    "GatewayStatus",
    "Guards",
    "HangingMount",
    "Holder",
    "HostRecord",
    "HttpEntry",
    "Image",
    "Keep",
    "Looks",
    "Mode",
    "NameServer",
    "Overlay",
    "OverlayConfig",
    "OverlayPeer",
    "OverlayState",
    "PeerStatus",
    "PoolSpace",
    "Premises",
    "PublishedPort",
    "SecretFile",
    "SecretFiles",
    "ServerStatus",
    "Snapshot",
    "TcpEntry",
    "Zfs",
    "ZfsFeatures",
    "hardware_address",
]
