"""The `postgres` image: the host's newest PostgreSQL, with the environment variables that its users know.

POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB and POSTGRES_HOST_AUTH_METHOD=trust count when the data folder is empty.
"""

from __future__ import annotations

from pathlib import Path

from ployz.lab.images.archive import Image
from ployz.lab.images.root import File, Folder, Link, Root
from ployz.lab.programs import refused

SERVERS = Path("/usr/lib/postgresql")
PROGRAMS = ("postgres", "initdb", "pg_ctl", "psql", "pg_isready", "pgbench", "pg_controldata")
LEFT_OUT = frozenset({"bitcode", "llvmjit.so", "man", "locale"})
"""The just-in-time compiler alone would triple the image; without it PostgreSQL does without."""


def build() -> Image:
    versions = [each.name for each in SERVERS.glob("[0-9]*") if (each / "bin/postgres").exists()]
    if not versions:
        raise refused(f"no PostgreSQL server below {SERVERS}: the image is made of it", "Run bin/setup.")
    version = max(versions, key=int)
    installed = SERVERS / version
    root = Root.with_shell()
    for program in PROGRAMS:
        root.add_program(str(installed / "bin" / program), at=f"usr/lib/postgresql/{version}/bin/{program}")
    root.add_program("setpriv")
    root.add_tree(installed / "lib", LEFT_OUT)
    root.add_tree(Path("/usr/share/postgresql") / version, LEFT_OUT)
    root.add("etc/passwd", File(b"root:x:0:0:root:/root:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n"))
    root.add("etc/group", File(b"root:x:0:\npostgres:x:999:\n"))
    root.add("usr/share/zoneinfo/UTC", File(Path("/usr/share/zoneinfo/UTC").resolve()))
    root.add("usr/share/zoneinfo/Etc/UTC", Link("../UTC"))
    root.add("run/postgresql", Folder(mode=0o3775, owner=999))
    root.add("var/lib/postgresql", Folder(owner=999))
    root.add("var/lib/postgresql/data", Folder(mode=0o700, owner=999))
    root.add("usr/local/bin/entrypoint", File(Path(__file__).with_name("postgres.sh"), mode=0o755))
    return Image(
        tags=(f"postgres:{version}", "postgres:latest"),
        root=root,
        entrypoint=("entrypoint",),
        command=("postgres",),
        environment={
            "PATH": f"/usr/lib/postgresql/{version}/bin:/usr/local/bin:/usr/bin:/bin",
            "PGDATA": "/var/lib/postgresql/data/pgdata",  # not the volume's root, where a file system may keep things
            "LANG": "C.UTF-8",
            "TZ": "UTC",
        },
        stop_signal="SIGINT",  # PostgreSQL's fast shutdown: SIGTERM would wait for every client to leave
        ports=(5432,),
    )
