"""What was changed: the paths that were given, or what git says."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

BRANCHES: Final = ("@{upstream}", "origin/main", "main")
"""What a branch is compared with: the first that there is."""


class Unusable(Exception):
    """What was asked for cannot be found out; its text says why."""


def inside(root: Path, given: Sequence[str]) -> tuple[str, ...]:
    """Paths from the root: files as they are, folders as the files in them. Relative to where the command was given."""
    found: list[str] = []
    for each in given:
        path = Path(each).resolve()
        if not path.exists() or root not in [path, *path.parents]:
            raise Unusable(f"there is no {each} in {root}")
        files = [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if _is_source(file, root)]
        found += [str(file.relative_to(root)) for file in files]
    return tuple(dict.fromkeys(found))


def _is_source(file: Path, root: Path) -> bool:
    parts = file.relative_to(root).parts
    return file.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in parts)


def changes(root: Path) -> tuple[str, ...]:
    """Since the branch left main, and in the work tree: also what git does not know yet, and what is gone."""
    _git(root, "rev-parse", "--verify", "HEAD")
    since = next(filter(None, (_try_git(root, "merge-base", "HEAD", branch) for branch in BRANCHES)), "HEAD").strip()
    changed = _git(root, "diff", "--name-only", "--no-renames", "-z", since)
    unknown = _git(root, "ls-files", "--others", "--exclude-standard", "-z")
    return tuple(sorted(filter(None, {*changed.split("\0"), *unknown.split("\0")})))


def _try_git(root: Path, *arguments: str) -> str:
    try:
        return _git(root, *arguments)
    except Unusable:
        return ""


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Unusable("there is no git to ask what was changed") from None
    if done.returncode != 0:
        raise Unusable(f"git cannot say what was changed: {(done.stderr.strip() or 'no reason given').splitlines()[0]}")
    return done.stdout
