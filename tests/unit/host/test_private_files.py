"""What a node keeps is its owner's alone, also in a folder that somebody else made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ployz.errors import Code, Failed
from ployz.host.private_files import secure_folder

WRITES = """
import resource, sqlite3, sys
from pathlib import Path
from ployz.daemon import keep_to_itself
keep_to_itself()
folder = Path(sys.argv[1])
database = sqlite3.connect(folder / "log.db")
database.execute("PRAGMA journal_mode = WAL")
database.execute("CREATE TABLE t (x)")
(folder / "log.snapshot").write_text("")
print(*sorted(f"{each.name} {each.stat().st_mode & 0o777:o}" for each in folder.iterdir()), sep="\\n")
print(resource.getrlimit(resource.RLIMIT_CORE))
"""


def test_what_the_daemon_writes_into_a_folder_that_everybody_may_enter_is_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    argv = [sys.executable, "-P", "-c", WRITES, str(tmp_path)]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
    assert said == ["log.db 600", "log.db-shm 600", "log.db-wal 600", "log.snapshot 600", "(0, 0)"]


def test_files_that_are_open_are_made_private_and_named(tmp_path: Path) -> None:
    for name, mode in (("log.db", 0o644), ("facts.db", 0o640), ("identity.pem", 0o600)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert [each.name for each in secure_folder(tmp_path)] == ["facts.db", "log.db"]
    assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir() if not each.is_symlink()} == {0o600}
    assert secure_folder(tmp_path) == []
    assert Path("/etc/passwd").stat().st_mode & 0o044


@pytest.mark.parametrize("how", ["owned", "writable"])
def test_a_folder_in_which_others_could_exchange_files_is_refused(tmp_path: Path, how: str) -> None:
    if how == "owned":
        os.chown(tmp_path, 60_000, -1)
    else:
        tmp_path.chmod(0o775)
    with pytest.raises(Failed) as refused:
        secure_folder(tmp_path)
    assert refused.value.code is Code.PART_FAILED
    assert "go-w" in refused.value.problem.advice
