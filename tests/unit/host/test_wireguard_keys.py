from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ployz.errors import Failed
from ployz.host.wireguard import ensure_private_key
from tests.real import need

pytestmark = pytest.mark.real


@pytest.fixture(autouse=True)
def _wg() -> None:
    need("wg")


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "wireguard.key"
    public = ensure_private_key(path)
    content = path.read_bytes()
    assert ensure_private_key(path) == public
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_two_machines_have_two_keys(tmp_path: Path) -> None:
    assert ensure_private_key(tmp_path / "a") != ensure_private_key(tmp_path / "b")


def test_a_draft_that_a_crash_left_behind_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / f"key.{os.getpid()}.draft").write_text("half a k")
    assert ensure_private_key(tmp_path / "key")
    assert list(tmp_path.iterdir()) == [tmp_path / "key"]


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    ensure_private_key(path)
    path.chmod(0o640)
    with pytest.raises(Failed, match="can be read by others"):
        ensure_private_key(path)


def test_a_file_that_is_no_key_is_refused_without_showing_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("not a key\n")
    path.chmod(0o600)
    with pytest.raises(Failed, match="holds no WireGuard private key") as failure:
        ensure_private_key(path)
    assert "not a key" not in str(failure.value)
    assert path.read_text() == "not a key\n"
