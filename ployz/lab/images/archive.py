"""An image as the archive that `docker load` takes.

The same root and settings give the same bytes, hence the same image id, on every build.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile
from typing import IO

from attrs import field, frozen

from ployz.lab.images.root import File, Folder, Link, Root

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
EPOCH = "1970-01-01T00:00:00Z"
CHUNK_BYTES = 1 << 20


@frozen
class Image:
    tags: Sequence[str]
    root: Root
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(factory=dict)
    stop_signal: str = "SIGTERM"
    ports: Sequence[int] = ()


def write(image: Image, path: Path) -> None:
    """As `docker save` would: one layer, its configuration, and a manifest."""
    with NamedTemporaryFile(dir=path.parent) as layer_file:
        write_root(image.root, layer_file)
        layer_file.flush()
        layer_file.seek(0)
        layer_id = _sha256(layer_file)
        config = json.dumps(_config(image, layer_id), sort_keys=True).encode()
        config_name = f"{hashlib.sha256(config).hexdigest()}.json"
        layer_name = f"{layer_id}/layer.tar"
        manifest = [{"Config": config_name, "RepoTags": list(image.tags), "Layers": [layer_name]}]
        with tarfile.open(path, mode="w", format=tarfile.GNU_FORMAT) as archive:
            _add_bytes(archive, config_name, config)
            _add_stream(archive, layer_name, layer_file, Path(layer_file.name).stat().st_size)
            _add_bytes(archive, "manifest.json", json.dumps(manifest, sort_keys=True).encode())


def _config(image: Image, layer_id: str) -> dict[str, object]:
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {"PATH": path, **image.environment}
    return {
        "architecture": ARCHITECTURES[platform.machine()],
        "os": "linux",
        "created": EPOCH,
        "config": {
            "Env": [f"{name}={value}" for name, value in environment.items()],
            "Entrypoint": list(image.entrypoint),
            "Cmd": list(image.command),
            "WorkingDir": "/",
            "StopSignal": image.stop_signal,
            "ExposedPorts": {f"{port}/tcp": {} for port in image.ports},
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_id}"]},
        "history": [{"created": EPOCH, "created_by": "bin/lab image"}],
    }


def write_root(root: Root, file: IO[bytes]) -> None:
    """The bare root folder as a tar archive, without an image around it."""
    written: set[PurePosixPath] = {PurePosixPath()}
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as layer:
        for path in sorted(root.entries):
            for parent in (*reversed(path.parents), path):
                if parent not in written:
                    written.add(parent)
                    _write_entry(layer, str(parent), root.entries.get(parent, Folder()))


def _write_entry(layer: tarfile.TarFile, name: str, entry: Folder | File | Link) -> None:
    info = tarfile.TarInfo(name)  # time 0, owned by root
    match entry:
        case Folder(mode, owner):
            info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, mode, owner, owner
            layer.addfile(info)
        case Link(target):
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
            layer.addfile(info)
        case File(bytes() as content, mode):
            info.mode, info.size = mode, len(content)
            layer.addfile(info, io.BytesIO(content))
        case File(Path() as source, mode):
            info.mode, info.size = mode, source.stat().st_size
            with source.open("rb") as opened:
                layer.addfile(info, opened)


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    _add_stream(archive, name, io.BytesIO(content), len(content))


def _add_stream(archive: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size = size
    archive.addfile(info, content)


def _sha256(content: IO[bytes]) -> str:
    """And rewinds."""
    digest = hashlib.sha256()
    while chunk := content.read(CHUNK_BYTES):
        digest.update(chunk)
    content.seek(0)
    return digest.hexdigest()
