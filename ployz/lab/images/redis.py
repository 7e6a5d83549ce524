"""The `redis` image: the host's Redis, which keeps an append-only file in /data."""

from __future__ import annotations

from pathlib import Path

from ployz.lab.images.archive import Image
from ployz.lab.images.root import File, Folder, Root


def build() -> Image:
    root = Root.with_shell()
    for program in ("redis-server", "redis-cli", "setpriv"):
        root.add_program(program)
    root.add("data", Folder(owner=999))
    root.add("usr/local/bin/entrypoint", File(Path(__file__).with_name("redis.sh"), mode=0o755))
    return Image(
        tags=("redis:latest",), root=root, entrypoint=("entrypoint",), command=("redis-server",), ports=(6379,)
    )
