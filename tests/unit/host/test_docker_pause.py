"""The program that holds a network: it must run on this machine, and do nothing, for ever."""

from __future__ import annotations

import io
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from ployz.host.docker import pause


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    file = tmp_path / pause.PROGRAM
    with tarfile.open(fileobj=io.BytesIO(pause.root_tar())) as tar:
        content = tar.extractfile(pause.PROGRAM)
        assert content is not None
        file.write_bytes(content.read())
        file.chmod(tar.getmember(pause.PROGRAM).mode)
    return file


@pytest.mark.skipif(not pause.is_known(), reason="containers make their own networks on this machine")
def test_it_waits_without_a_library_until_it_is_killed(file: Path) -> None:
    assert file.stat().st_size < 256
    with subprocess.Popen([file], env={}) as running:
        time.sleep(0.2)
        assert running.poll() is None
        status = Path(f"/proc/{running.pid}/status").read_text()
        assert "State:\tS (sleeping)" in status
        running.kill()
        assert running.wait() == -signal.SIGKILL


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 62), ("aarch64", 183)])
def test_each_kind_of_machine_has_its_own(machine: str, number: int) -> None:
    content = pause.program(machine)
    assert content[:4] == b"\x7fELF"
    assert int.from_bytes(content[18:20], "little") == number
    assert int.from_bytes(content[24:32], "little") == 0x400000 + 64 + 56


def test_a_machine_that_nobody_wrote_it_for_is_known_to_be_one() -> None:
    assert not pause.is_known("riscv64")
