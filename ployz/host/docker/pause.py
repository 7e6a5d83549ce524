"""The container that holds a network while nothing runs in it, as pods have one: its program, its image, its request.

What takes longest in Docker's start is the network: a namespace, a pair of interfaces, rules. Held by a container of
its own, it is made before a cut-over, and the service's container joins it when its time has come.

The program is this file's own, of a few bytes: there may be no registry, and what an image has inside is not ours.
"""

from __future__ import annotations

import io
import platform
import struct
import tarfile
from collections.abc import Mapping
from typing import Any, Final

from ployz.host.ports import ContainerSpec

REFERENCE: Final = "ployz-pause:1"
PROGRAM: Final = "pause"
LABEL: Final = "ployz-network-of"
"""Not with our prefix: it is no container of a service, and its news is not theirs."""
KEEPER_LABEL: Final = "ployz-keeps-for"
"""Of a container that only keeps an image in use; its value says for whom."""
KEEPER_PROGRAM: Final = ".ployz-pause"
MEMORY_BYTES: Final = 16 << 20
_NOBODY: Final = "65534:65534"
_HOST: Final[Mapping[str, Any]] = {
    "RestartPolicy": {"Name": "no"},
    "CapDrop": ["ALL"],
    "SecurityOpt": ["no-new-privileges"],
    "Memory": MEMORY_BYTES,
    "LogConfig": {"Type": "none"},
}

_PAUSE: Final[Mapping[str, tuple[int, bytes]]] = {
    # mov $34, %eax; syscall; jmp to the first: pause(2) for ever.
    "x86_64": (62, bytes.fromhex("b8220000000f05ebf7")),
    # x0 to x3 = 0, x8 = 73; svc 0; b to the first: ppoll(2) of nothing for ever.
    "aarch64": (
        183,
        struct.pack("<7I", 0xD2800000, 0xD2800001, 0xD2800002, 0xD2800003, 0xD2800928, 0xD4000001, 0x17FFFFFA),
    ),
}
"""By `uname -m`: the machine's number in ELF, and its code."""
_ELF_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER: Final = struct.Struct("<IIQQQQQQ")
_BASE: Final = 0x400000


def is_known(machine: str = platform.machine()) -> bool:
    """False: on such a machine every container makes its own network, in its start."""
    return machine in _PAUSE


def program(machine: str = platform.machine()) -> bytes:
    """An ELF executable of one segment that needs nothing: no library, no stack, no memory but its own page."""
    number, code = _PAUSE[machine]
    head = _ELF_HEADER.size + _PROGRAM_HEADER.size
    identity = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = _ELF_HEADER.pack(
        identity, 2, number, 1, _BASE + head, _ELF_HEADER.size, 0, 0, _ELF_HEADER.size, _PROGRAM_HEADER.size, 1, 0, 0, 0
    )
    size = head + len(code)
    return header + _PROGRAM_HEADER.pack(1, 5, 0, _BASE, _BASE, size, size, 0x1000) + code


def root_tar(name: str = PROGRAM) -> bytes:
    """The image's whole file system: this program, under this name."""
    content, archive = program(), io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def holder(name: str) -> str:
    """Of a container's network."""
    return f"{name}.net"


def holder_body(spec: ContainerSpec, network: Mapping[str, Any]) -> dict[str, Any]:
    """What POST /containers/create is given. `network`: everything of the container that is about its network."""
    host: dict[str, Any] = {**network["HostConfig"], **_HOST, "ReadonlyRootfs": True}
    return {
        **network,
        "Image": REFERENCE,
        "Entrypoint": [f"/{PROGRAM}"],
        "User": _NOBODY,
        "Labels": {LABEL: spec.name},
        "HostConfig": host,
    }


def keeper_body(image_id: str, keeps_for: str) -> dict[str, Any]:
    """Of a container of this image in which nothing of it runs: the program is put into it before its start."""
    return {
        "Image": image_id,
        "Entrypoint": [f"/{KEEPER_PROGRAM}"],
        "User": _NOBODY,
        "Labels": {KEEPER_LABEL: keeps_for},
        "HostConfig": {**_HOST, "NetworkMode": "none"},
    }
