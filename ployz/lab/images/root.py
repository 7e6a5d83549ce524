"""An image's root folder, collected from the programs of this host and the libraries they need.

It is a value until it is written: a map from path to what is there.
"""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath

from attrs import define, field, frozen

from ployz.lab.programs import refused, run

MERGED = ("bin", "sbin", "lib", "lib64")
"""Since Debian 12 and Ubuntu 20.04 these are links into /usr, and so they are in an image."""


@frozen
class Folder:
    mode: int = 0o755
    owner: int = 0


@frozen
class File:
    content: Path | bytes
    """A file of this host, read when the image is written, or the bytes themselves."""
    mode: int = 0o644


@frozen
class Link:
    target: str


Entry = Folder | File | Link


@define
class Root:
    entries: dict[PurePosixPath, Entry] = field(factory=dict)
    """By path from the root, without a leading slash."""

    @classmethod
    def with_shell(cls) -> Root:
        """The folders that programs take for granted, one user for services, and busybox as shell and tools."""
        root = cls()
        for name in MERGED:
            root.add(f"usr/{name}", Folder())
            root.add(name, Link(f"usr/{name}"))
        for name in ("etc", "root", "run", "var", "usr/bin", "usr/local/bin"):
            root.add(name, Folder())
        root.add("tmp", Folder(mode=0o1777))
        root.add("var/run", Link("../run"))
        root.add("etc/passwd", File(b"root:x:0:0:root:/root:/bin/sh\nservice:x:999:999::/:/bin/sh\n"))
        root.add("etc/group", File(b"root:x:0:\nservice:x:999:\n"))
        root.add("etc/nsswitch.conf", File(b"passwd: files\ngroup: files\nhosts: files dns\n"))
        busybox = root.add_program("busybox")
        for tool in run([busybox, "--list"]).split():
            root.entries.setdefault(PurePosixPath("usr/bin") / tool, Link("busybox"))
        return root

    def add(self, path: str, entry: Entry) -> None:
        self.entries[PurePosixPath(path)] = entry

    def add_program(self, program: str, at: str | None = None) -> str:
        """A name found on the PATH, or a path; goes to /usr/bin unless `at` says where. Returns where it is here."""
        found = shutil.which(program)
        if found is None:
            raise refused(f"{program} is not installed: the image is made of it", "Run bin/setup.")
        real = Path(found).resolve()
        self.add(at or f"usr/bin/{Path(program).name}", File(real, mode=0o755))
        self.add_libraries(real)
        return found

    def add_libraries(self, binary: Path) -> None:
        """All that the loader would load for it, and the loader."""
        for line in run(["sh", "-c", 'ldd "$1" || true', "sh", str(binary)]).splitlines():
            words = line.split()
            path = next((word for word in words if word.startswith("/")), None)
            if path is not None:
                self.add(_merged(path), File(Path(path).resolve(), mode=0o755))

    def add_tree(self, source: Path, leave_out: frozenset[str] = frozenset()) -> None:
        """A folder of this host, at the same place, with the libraries of its shared objects."""
        for path in sorted(source.rglob("*")):
            if leave_out.intersection(path.relative_to(source).parts):
                continue
            if path.is_dir():
                self.add(_merged(str(path)), Folder())
            elif path.is_file():
                self.add(_merged(str(path)), File(path.resolve(), mode=path.stat().st_mode & 0o755))
                if path.suffix == ".so":
                    self.add_libraries(path)


def _merged(path: str) -> str:
    inner = path.lstrip("/")
    return f"usr/{inner}" if inner.split("/")[0] in MERGED else inner
