from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.checking.changes import Unusable, changes, inside

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed: bin/check needs PATH then")
IDENTITY = ("-c", "user.name=a", "-c", "user.email=a@b")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A branch that left main, with one commit since."""
    for name in [each for each in os.environ if each.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    root = tmp_path / "clone"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch", "main")
    for name in ("committed.py", "edited.py", "gone.py", "same.py"):
        (root / name).write_text("1\n")
    (root / ".gitignore").write_text("ignored\n")
    git(root, "add", ".")
    git(root, *IDENTITY, "commit", "--quiet", "-m", "first")
    git(root, "checkout", "--quiet", "-b", "work")
    (root / "committed.py").write_text("2\n")
    git(root, *IDENTITY, "commit", "--quiet", "-a", "-m", "second")
    return root


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True)


def test_what_was_committed_edited_removed_and_added_since_main_was_changed(tree: Path) -> None:
    (tree / "edited.py").write_text("2\n")
    (tree / "gone.py").unlink()
    (tree / "new one.py").write_text("")
    (tree / "ignored").write_text("")
    assert changes(tree) == ("committed.py", "edited.py", "gone.py", "new one.py")


def test_on_main_it_is_what_is_not_committed(tree: Path) -> None:
    git(tree, "checkout", "--quiet", "main")
    assert changes(tree) == ()
    (tree / "edited.py").write_text("2\n")
    assert changes(tree) == ("edited.py",)


def test_without_a_branch_to_compare_with_it_is_what_is_not_committed(tree: Path) -> None:
    git(tree, "branch", "--quiet", "-D", "main")
    assert changes(tree) == ()


def test_a_folder_that_git_does_not_know_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(Unusable, match="git cannot say what was changed"):
        changes(tmp_path)


def test_that_there_is_no_git_is_told(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tree))
    with pytest.raises(Unusable, match="there is no git"):
        changes(tree)


def test_a_folder_stands_for_the_files_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("plan/b.py", "plan/a.toml", "plan/__pycache__/a.pyc", "ids.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert inside(tmp_path, ["plan", "ids.py", "plan/b.py"]) == ("plan/a.toml", "plan/b.py", "ids.py")


@pytest.mark.parametrize("path", ["absent.py", "/etc/passwd"])
def test_a_path_that_is_not_in_the_project_is_told(tmp_path: Path, path: str) -> None:
    with pytest.raises(Unusable, match=path):
        inside(tmp_path, [path])
