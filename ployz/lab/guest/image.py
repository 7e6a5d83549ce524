"""The guest's disk, kernel and initrd, built once from Debian's packages and kept in a cache.

An image is there or not: it is built beside its place, and moved there when it is whole.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Final

from attrs import frozen

from ployz.errors import Code, Refused
from ployz.lab.guest import mirrors, recipe
from ployz.lab.lock import locked
from ployz.lab.mmdebstrap import Say, host_sources, run_told
from ployz.lab.programs import run

CACHE: Final = Path("/var/cache/ployz-guest")
DISK_SIZE: Final = "6G"
"""Virtual: the file is sparse, and a guest writes to a layer of its own."""
PROGRAMS: Final = ("qemu-system-x86_64", "qemu-img", "mmdebstrap", "mkfs.ext4", "ssh", "ssh-keygen", "setpriv")
BUILD_S: Final = 3600
"""On one busy core. Five minutes on two idle ones, most of it the compiler's."""


@frozen
class Image:
    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk.img"

    @property
    def kernel(self) -> Path:
        return self.folder / "kernel"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd"

    @property
    def key(self) -> Path:
        """Opens every guest of this image, and nothing else."""
        return self.folder / "key"


def image(say: Say, cache: Path = CACHE) -> Image:
    """The image of today's recipe; built, if it is not there, which takes minutes. Older ones go."""
    _require_programs()
    wanted = Image(cache / recipe.digest())
    with locked(cache, deadline_s=BUILD_S):
        if not wanted.disk.exists():
            _remove_all(cache)
            say(f"building the guest's image in {cache}: five minutes on two idle cores, and 1.5 GB")
            building = cache / "building"
            building.mkdir()
            _build(Image(building), say)
            building.rename(wanted.folder)
        say(f"the guest's image is in {wanted.folder}; `bin/guest remove` removes it")
    return wanted


def remove(cache: Path = CACHE) -> None:
    """Nothing is left of any image. None is there: done."""
    if cache.exists():
        with locked(cache):
            shutil.rmtree(cache)


def _require_programs() -> None:
    missing = [each for each in PROGRAMS if shutil.which(each, path="/usr/bin:/usr/sbin:/bin:/sbin") is None]
    if missing:
        raise Refused(Code.MISSING_PART, f"the guest needs {', '.join(missing)}", "Run: bin/setup openzfs")


def _remove_all(cache: Path) -> None:
    for left in cache.iterdir():
        shutil.rmtree(left)


# ---------------------------------------------------------------- building


def _build(image: Image, say: Say) -> None:
    tree = image.folder / "tree"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ployz-guest", "-f", str(image.key)])
    _install(tree, image.key.with_suffix(".pub"), image.folder / "sources.list", say)
    say("packing")
    for name, place in (("kernel", image.kernel), ("initrd", image.initrd)):
        shutil.move(tree / "boot" / name, place)
    run(["truncate", "--size", DISK_SIZE, str(image.disk)])
    # What a kernel writes into checksums of metadata is more than a disk that is thrown away needs.
    run(["mkfs.ext4", "-q", "-F", "-m", "0", "-d", str(tree), str(image.disk)], deadline_s=BUILD_S)
    shutil.rmtree(tree)


def _install(tree: Path, key: Path, sources: Path, say: Say) -> None:
    """Debian's packages into a folder; `zfs-dkms` builds the modules for the guest's kernel on its way."""
    lines = mirrors.sources(host_sources())
    sources.write_text("".join(f"{line}\n" for line in lines))
    origin = [str(sources)] if lines else []
    options = {
        "Acquire::Check-Valid-Until": "false",  # a mirror may be a frozen one: the guest is thrown away
        "Acquire::Check-Date": "false",
        "APT::Install-Recommends": "false",
    }
    files, script, public = (shlex.quote(str(each)) for each in (recipe.ROOT, recipe.SETTLE, key))
    hooks = (
        f'tar -C {files} --owner=0 --group=0 --mode=u=rwX,go=rX -cf - . | tar -C "$1" --no-overwrite-dir -xf -',
        f'mkdir -p "$1/root/.ssh" && cp {public} "$1/root/.ssh/authorized_keys"',
        f'chroot "$1" sh -eu <{script}',
    )
    argv = [
        *("mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(recipe.PACKAGES)}"),
        f"--components={recipe.COMPONENTS.replace(' ', ',')}",
        *(f'--aptopt={key} "{value}"' for key, value in options.items()),
        *(f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in ("doc", "man", "locale")),
        *(f"--customize-hook={each}" for each in hooks),
        *(recipe.SUITE, str(tree), *origin),
    ]
    run_told(argv, say, what="the guest's image", deadline_s=BUILD_S)
