"""The root folder: a minimal Debian of the wanted release, with the project, and with this host's ways to apt and pip.

Nothing of what the project needs is in it: that its commands install all of that is what is tried there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ployz.errors import Code, Refused
from ployz.lab.guest.mirrors import sources
from ployz.lab.mmdebstrap import Say, host_sources, run_told
from ployz.lab.programs import run
from ployz.lab.release import choice

BUILD_S: Final = 900
"""Forty seconds on two idle cores."""
PROJECT: Final = Path("/srv/ployz")
PROGRAMS: Final = ("mmdebstrap", "setpriv", "unshare", "nsenter", "pivot_root")
TRUSTED: Final = "usr/local/share/ca-certificates"
_SEARCHED: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
_LEFT: Final = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info")
_PIP: Final = ("/etc/pip.conf", "/root/.config/pip/pip.conf", "/root/.pip/pip.conf")


def require_programs() -> None:
    missing = [each for each in PROGRAMS if shutil.which(each, path=_SEARCHED) is None]
    if missing:
        raise Refused(Code.MISSING_PART, f"{', '.join(missing)}: not installed here", "Run: bin/setup other-debian")


def make(root: Path, release: choice.Release, project: Path, say: Say) -> None:
    """`root` is there, and empty."""
    of = choice.host(Path("/etc/os-release").read_text())
    lines = sources(host_sources(), of.suite, become=release.suite, components="main") if of.is_debian else []
    mirrors = root.with_name("sources.list")
    mirrors.write_text("".join(f"{line}\n" for line in lines))
    settings = choice.apt_settings(run(["apt-config", "dump"]))
    say(f"the mirrors: {f'those of this host, for {release.suite}' if lines else 'the default ones'}")
    run_told(
        [
            *("mmdebstrap", "--mode=root", "--variant=minbase", *(f"--aptopt={each}" for each in settings)),
            *(release.suite, str(root), *([str(mirrors)] if lines else [])),
        ],
        say,
        what=f"the root of {release}",
        deadline_s=BUILD_S,
    )
    (root / "etc/apt/apt.conf.d/90ployz").write_text("".join(f"{line}\n" for line in settings))
    _take_along(root, lines, say)
    shutil.copytree(project, root / PROJECT.relative_to("/"), ignore=_LEFT, symlinks=True)


def _take_along(root: Path, mirrors: Sequence[str], say: Say) -> None:
    """How names are found, the settings of pip, and whom apt and pip trust, as this host has them."""
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    resolver = root / "etc/resolv.conf"
    resolver.unlink(missing_ok=True)
    shutil.copyfile("/etc/resolv.conf", resolver)
    for place in choice.keys(mirrors):
        if not (root / place.relative_to("/")).exists():
            _copy(place, root / place.relative_to("/"))
            say(f"taken along: {place}")
    for place in map(Path, _PIP):
        if place.is_file():
            _copy(place, root / place.relative_to("/"))
            say(f"taken along: {place}")
    for number, place in enumerate(choice.certificates(_pip_texts(), os.environ)):
        if place.is_file():
            _copy(place, root / place.relative_to("/"))
            # Installing ca-certificates writes that file anew, of Debian's own and of what lies here.
            _copy(place, root / f"{TRUSTED}/of-the-host-{number}.crt")
            say(f"taken along: {place}")


def _copy(place: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(place, to)  # with its mode: an index may want a password


def folders() -> Sequence[Path]:
    """Where this host's pip finds packages on its own disk: shown in the root, not to be written."""
    return [each for each in choice.pip_folders(_pip_texts(), os.environ) if each.is_dir()]


def _pip_texts() -> Sequence[str]:
    return [path.read_text() for path in map(Path, _PIP) if path.is_file()]
