import fcntl
import os
from pathlib import Path

import pytest

from ployz.errors import Failed
from ployz.lab.lock import locked


def test_a_lock_makes_its_folder_for_root_alone(tmp_path: Path) -> None:
    with locked(tmp_path / "root" / "lab"):
        assert (tmp_path / "root" / "lab").stat().st_mode & 0o777 == 0o700


def test_a_held_lock_is_not_given_out_again(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    with locked(folder), pytest.raises(Failed, match="the lock of"), locked(folder, deadline_s=0):
        pass


def test_a_lock_is_free_again_after_an_error_inside(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "lab"):
        raise ZeroDivisionError
    with locked(tmp_path / "lab"):
        pass


def test_whoever_holds_it_may_remove_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    with locked(folder):
        folder.rmdir()
    with locked(folder):
        assert folder.is_dir()


def test_a_lock_on_a_folder_that_was_removed_meanwhile_is_taken_again_on_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "lab"
    real_flock, calls = fcntl.flock, list[int]()

    def flock_as_the_last_holder_leaves(descriptor: int, operation: int) -> None:
        real_flock(descriptor, operation)
        if not calls:
            folder.rmdir()
        calls.append(descriptor)

    monkeypatch.setattr(fcntl, "flock", flock_as_the_last_holder_leaves)
    with locked(folder):
        assert len(calls) == 2
        assert folder.is_dir()


def test_a_folder_of_someone_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(Failed, match="belongs to someone else"), locked(tmp_path / "lab"):
        pass
