"""What the kernel shows a machine on which IPv6 is switched off: `cluster init` names it, and makes nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ployz.errors import Code
from tests.real import need

pytestmark = pytest.mark.real


INIT = ("cluster", "init", "home", "--machine", "machine-a", "--endpoint", "192.0.2.7:51820")


def init_behind(switch: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """`cluster init` in a network namespace of its own, in which `switch` was thrown first."""
    folders = [
        *("--config", str(tmp_path / "config.toml")),
        *("--state-dir", str(tmp_path / "state")),
        *("--docker-socket", str(tmp_path / "docker.sock")),
    ]
    program = [sys.executable, "-P", "-m", "ployz.cli.main", *INIT, *folders]
    script = 'sysctl -q -w "$1" && shift && exec "$@"'
    argv = ["unshare", "--net", "sh", "-c", script, "sh", switch, *program]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def test_ipv6_that_is_switched_off_is_named_before_anything_is_made(tmp_path: Path) -> None:
    need("unshare", "sysctl")
    said = init_behind("net.ipv6.conf.all.disable_ipv6=1", tmp_path)
    assert said.returncode != 0
    assert Code.MISSING_PART in said.stderr
    assert "IPv6: it is switched off" in said.stderr
    assert "net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0" in said.stderr
    assert list(tmp_path.iterdir()) == []
    switched_on = init_behind("net.ipv6.conf.all.disable_ipv6=0", tmp_path)
    assert Code.MISSING_PART in switched_on.stderr  # dockerd is not there either, so that nothing is made
    assert "IPv6" not in switched_on.stderr
