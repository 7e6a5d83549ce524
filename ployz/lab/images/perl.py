"""The `web` and `writer` images: small Perl programs.

Perl's base is on every Debian, is one binary, and starts in 5 ms. A Python image would be ten times as large, and
the start of its interpreter the longest part of a cut-over.
"""

from __future__ import annotations

from pathlib import Path

from ployz.lab.images.archive import Image
from ployz.lab.images.root import File, Folder, Root
from ployz.lab.programs import run


def build_web() -> Image:
    """Answers `/` with its machine's name (PLOYZ_MACHINE, else the host name) and a counter that it keeps in /data."""
    return Image(
        tags=("web:latest",),
        root=_root("web"),
        entrypoint=("/usr/local/bin/web",),
        environment={"PORT": "8080"},
        ports=(8080,),
    )


def build_writer() -> Image:
    """Appends numbered lines to /data/log and syncs each batch: RATE bytes a second, a batch every INTERVAL_MS."""
    return Image(
        tags=("writer:latest",),
        root=_root("writer"),
        entrypoint=("/usr/local/bin/writer",),
        environment={"RATE": "1048576", "INTERVAL_MS": "20"},
    )


def _root(program: str) -> Root:
    root = Root.with_shell()
    perl = root.add_program("perl")
    for place in run([perl, "-e", r'print "$_\n" for @INC']).split():
        if place.endswith("/perl-base"):  # its modules, the compiled ones too
            root.add_tree(Path(place))
    root.add("data", Folder())
    root.add(f"usr/local/bin/{program}", File(Path(__file__).with_name(f"{program}.pl"), mode=0o755))
    return root
