"""The Python packages that a guest installs ployz with: fetched once on this host, since a guest reaches nobody."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ployz.lab.guest.image import CACHE
from ployz.lab.lock import locked
from ployz.lab.programs import run

PYTHON: Final = "3.11"
"""Of the guest's release, whatever this host has."""
PLATFORMS: Final = ("manylinux2014_x86_64", "manylinux_2_28_x86_64")
TESTS: Final = ("pytest", "hypothesis")
"""Of the dev group: what the tests need that run in a guest."""
FETCH_S: Final = 600


def wheels(project: Path, say: Callable[[str], None], cache: Path = CACHE) -> Path:
    """A folder with everything that `pip install` of the project asks for. `project` has the pyproject.toml."""
    text = (project / "pyproject.toml").read_text()
    declared = tomllib.loads(text)
    dev = [each for each in declared["dependency-groups"]["dev"] if each.startswith(TESTS)]
    wanted = [*declared["build-system"]["requires"], *declared["project"]["dependencies"], *dev]
    key = hashlib.sha256(repr((PYTHON, PLATFORMS, sorted(wanted))).encode()).hexdigest()[:16]
    with locked(cache, deadline_s=FETCH_S):
        folder = cache / f"wheels-{key}"
        if not folder.exists():
            say("fetching the Python packages for the guests")
            for old in cache.glob("wheels-*"):
                shutil.rmtree(old)
            unfinished = cache / "wheels-unfinished"
            platforms = [word for each in PLATFORMS for word in ("--platform", each)]
            options = ["--quiet", "--only-binary=:all:", "--python-version", PYTHON, *platforms]
            run([sys.executable, "-m", "pip", "download", *options, "--dest", str(unfinished), *wanted],
                deadline_s=FETCH_S)  # fmt: skip
            unfinished.rename(folder)
    return folder
