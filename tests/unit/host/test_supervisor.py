"""Telling systemd: what is sent, and to whom."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ployz.host.supervisor import VARIABLE, Supervisor


def listener(address: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(address)
    listening.settimeout(10)
    return listening


def test_systemd_is_told_when_the_node_is_up(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with listener(address) as listening:
        Supervisor(address).ready()
        assert listening.recv(100).splitlines()[0] == b"READY=1"


def test_an_abstract_address_is_told_too() -> None:
    with listener("\0ployz-test-supervisor") as listening:
        Supervisor("@ployz-test-supervisor").status("waiting for\nthe pool")
        assert listening.recv(100) == b"STATUS=waiting for the pool"


def test_no_program_that_is_started_later_inherits_the_address() -> None:
    environment = {VARIABLE: "/run/systemd/notify", "PATH": "/bin"}
    assert Supervisor.taken_from(environment).address == "/run/systemd/notify"
    assert environment == {"PATH": "/bin"}


def test_without_systemd_nobody_is_told() -> None:
    Supervisor.taken_from({}).ready()


def test_a_systemd_that_went_away_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Supervisor(str(tmp_path / "gone")).ready()
    assert "systemd could not be told" in caplog.text
