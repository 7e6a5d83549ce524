"""What a machine needs, where it is reached, and its systemd unit."""

from __future__ import annotations

import configparser
import grp
import os
import re
import shutil
import socket
from grp import struct_group
from pathlib import Path

import pytest

from ployz.config import Config
from ployz.errors import Code, Refused, Usage
from ployz.ids import MachineId
from ployz.install import requirements
from ployz.install.endpoint import endpoint
from ployz.install.groups import ensure_groups
from ployz.install.requirements import PROGRAMS, find_missing, require
from ployz.install.systemd import capabilities_dropped, install_unit, program, unit_text
from ployz.wire.local_groups import LocalGroups
from tests.dockers import answering


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("192.0.2.7:51820", "192.0.2.7:51820"),
        ("[2001:db8::7]:51820", "[2001:db8::7]:51820"),
        ("[2001:DB8:0::7]:051820", "[2001:db8::7]:51820"),
    ],
)
def test_an_endpoint_is_an_address_and_a_port(text: str, normal: str) -> None:
    assert endpoint(text) == normal


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.0.2.7",
        "192.0.2.7:",
        "192.0.2.7:0",
        "192.0.2.7:65536",
        "192.0.2.7:99999999999999999999",
        "192.0.2.7:-1",
        "192.0.2.7:\N{ARABIC-INDIC DIGIT FIVE}",
        "2001:db8::7:51820",
        "[192.0.2.7]:51820",
        "[2001:db8::7:51820",
        "host.example:51820",
        "0.0.0.0:51820",
        "[::]:51820",
        "224.0.0.1:51820",
        "192.0.2.7:51820\n",
    ],
)
def test_anything_else_is_no_endpoint(text: str) -> None:
    with pytest.raises(Usage):
        endpoint(text)


# ---------------------------------------------------------------- requirements


SAID = {"zpool": "tank"}
INFO = {"ServerVersion": "20.10.24+dfsg1", "LiveRestoreEnabled": True}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with every program that is needed, and nothing else: no Docker client. `zpool` lists a pool."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in (*PROGRAMS, "wireguard-go"):
        file = folder / name
        file.write_text(f"#!/bin/sh\necho {SAID.get(name, '')}\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(requirements, "IPV6_SWITCHES", switches(tmp_path, "0", "0"))
    return folder


def switches(tmp_path: Path, every: str, new: str) -> Path:
    """As the kernel shows whether IPv6 is switched off, for all interfaces and for new ones."""
    for name, value in (("all", every), ("default", new)):
        folder = tmp_path / "conf" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "disable_ipv6").write_text(f"{value}\n")
    return tmp_path / "conf"


def setup(tmp_path: Path, pool: str = "tank") -> Config:
    return Config(
        machine=MachineId("machine-a"), endpoint="192.0.2.7:51820", pool=pool, docker_socket=tmp_path / "docker.sock"
    )


def missing(config: Config) -> list[str]:
    """Their names; root apart, which depends on who runs the tests."""
    return [each.partition(":")[0] for each in find_missing(config) if not each.startswith("root")]


def test_a_machine_that_has_everything_lacks_nothing_and_needs_no_docker_client(tmp_path: Path, programs: Path) -> None:
    assert shutil.which("docker") is None
    with answering(tmp_path / "docker.sock", {"/info": (200, INFO)}):
        assert missing(setup(tmp_path)) == []
        if os.geteuid() == 0:
            require(setup(tmp_path))


def test_everything_that_is_missing_is_named_at_once(tmp_path: Path, programs: Path) -> None:
    for name in ("zfs", "nft"):
        (programs / name).unlink()
    config = setup(tmp_path, pool="fast")
    assert missing(config) == ["zfs", "nft", "dockerd", "pool fast"]
    with pytest.raises(Refused) as error:
        require(config)
    assert error.value.code is Code.MISSING_PART
    for words in (
        "things are missing",
        "zfs: install OpenZFS",
        "install Docker (Debian, Ubuntu: docker.io)",
        "pool fast: there is no such ZFS pool (there is: tank)",
    ):
        assert words in error.value.problem.text


def test_a_docker_that_does_not_run_is_missing(tmp_path: Path, programs: Path) -> None:
    assert missing(setup(tmp_path)) == ["dockerd"]


@pytest.mark.parametrize(
    ("status", "told", "names"),
    [
        (200, {**INFO, "LiveRestoreEnabled": False}, ["live-restore"]),
        (200, {"ServerVersion": "24.0.7"}, ["live-restore"]),
        (200, {**INFO, "ServerVersion": "19.03.15"}, ["dockerd"]),
        (200, {**INFO, "ServerVersion": "20.9.1"}, ["dockerd"]),
        (200, {**INFO, "ServerVersion": "19.03.15", "LiveRestoreEnabled": False}, ["dockerd", "live-restore"]),
        (200, {**INFO, "ServerVersion": "28.0.0-rc.1"}, []),
        (200, {}, ["dockerd"]),
        (200, "something else", ["dockerd"]),
        (500, {"message": "the daemon is shutting down"}, ["dockerd"]),
    ],
)
def test_a_docker_that_is_too_old_or_would_take_containers_with_it_will_not_do(
    tmp_path: Path, programs: Path, status: int, told: object, names: list[str]
) -> None:
    with answering(tmp_path / "docker.sock", {"/info": (status, told)}):
        assert missing(setup(tmp_path)) == names


def test_a_docker_that_refuses_is_told_with_its_own_words(tmp_path: Path, programs: Path) -> None:
    with answering(tmp_path / "docker.sock", {"/info": (500, {"message": "the daemon is\nshutting down"})}):
        (said,) = [each for each in find_missing(setup(tmp_path)) if each.startswith("dockerd")]
    assert said.endswith("the daemon is shutting down")


def test_a_docker_that_hangs_or_is_gone_is_named(
    tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "ANSWER_S", 0.05)
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as dockerd:
        dockerd.bind(str(path))
        (gone,) = [each for each in find_missing(setup(tmp_path)) if each.startswith("dockerd")]
        dockerd.listen()
        (hangs,) = [each for each in find_missing(setup(tmp_path)) if each.startswith("dockerd")]
    assert "it could not be asked" in gone
    assert "did not answer" in hangs


def test_a_zpool_that_fails_is_told_with_its_own_words(tmp_path: Path, programs: Path) -> None:
    (programs / "zpool").write_text("#!/bin/sh\necho 'internal error: failed to initialize ZFS library' >&2\nexit 1\n")
    said = [each for each in find_missing(setup(tmp_path)) if each.startswith("zfs")]
    assert said == ["zfs: `zpool list` failed: internal error: failed to initialize ZFS library"]


@pytest.mark.parametrize(
    ("every", "new", "named"),
    [
        ("1", "1", "sysctl -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0"),
        ("1", "0", "sysctl -w net.ipv6.conf.all.disable_ipv6=0,"),
        ("0", "1", "sysctl -w net.ipv6.conf.default.disable_ipv6=0,"),
    ],
)
def test_ipv6_that_is_switched_off_is_named_with_the_switch(
    tmp_path: Path, programs: Path, every: str, new: str, named: str
) -> None:
    switches(tmp_path, every, new)
    with answering(tmp_path / "docker.sock", {"/info": (200, INFO)}):
        (said,) = [each for each in find_missing(setup(tmp_path)) if not each.startswith("root")]
    assert said.startswith("IPv6: it is switched off")
    assert named in said


def test_a_kernel_without_ipv6_is_named_with_its_parameter(
    tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "IPV6_SWITCHES", tmp_path / "none")
    with answering(tmp_path / "docker.sock", {"/info": (200, INFO)}):
        (said,) = [each for each in find_missing(setup(tmp_path)) if not each.startswith("root")]
    assert said.startswith("IPv6: ")
    assert "ipv6.disable=1" in said


# ---------------------------------------------------------------- systemd


def test_the_unit_survives_its_reader_and_keeps_what_must_outlive_ployzd() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(unit_text(Path("/opt/ployz/bin/ployzd"), Path("/etc/ployz/config.toml")))
    service = unit["Service"]
    assert service["ExecStart"] == '"/opt/ployz/bin/ployzd" --config "/etc/ployz/config.toml"'
    assert (service["KillMode"], service["Restart"]) == ("process", "always")
    assert (service["RuntimeDirectory"], service["RuntimeDirectoryMode"]) == ("ployz", "0750")
    assert {"docker.service", "zfs.target"} <= set(unit["Unit"]["After"].split())


def test_the_unit_takes_away_what_ployzd_never_needs_and_leaves_it_the_mounts_of_the_host() -> None:
    text = unit_text(Path("/opt/ployz/bin/ployzd"), Path("/etc/ployz/config.toml"))
    assert {"CAP_SYS_MODULE", "CAP_SYS_BOOT", "CAP_SYS_TIME", "CAP_IPC_OWNER"} <= set(capabilities_dropped())
    assert all(re.fullmatch("CAP_[A-Z_]+", each) for each in capabilities_dropped())
    needed = {"CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_CHOWN", "CAP_SYS_PTRACE", "CAP_KILL", "CAP_SETUID"}
    assert needed.isdisjoint(capabilities_dropped())
    settings = {line.partition("=")[0] for line in text.splitlines() if "=" in line and not line.startswith("#")}
    assert {"RestrictNamespaces", "SystemCallFilter", "NoNewPrivileges"} <= settings
    assert {"LimitCORE=0", "UMask=0077"} <= set(text.splitlines())
    own_mounts = {"ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "ProtectKernelModules", "ProtectProc"}
    own_mounts |= {
        "ProtectKernelTunables",
        "ProtectKernelLogs",
        "ProtectControlGroups",
        "ReadOnlyPaths",
        "PrivateMounts",
    }
    assert settings.isdisjoint(own_mounts)


def test_a_path_with_odd_characters_is_one_word_of_the_unit() -> None:
    text = unit_text(Path("/opt/my ployz/100%"), Path('/etc/"x"/$y'))
    assert 'ExecStart="/opt/my ployz/100%%" --config "/etc/\\"x\\"/$$y"\n' in text


def test_no_unit_is_installed_where_systemd_does_not_run(tmp_path: Path) -> None:
    assert install_unit(Path("/etc/ployz/config.toml"), running=tmp_path / "absent", units=tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_unit_is_installed_once_and_systemd_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = tmp_path / "calls"
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(f'#!/bin/sh\necho "$@" >>{calls}\n')
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(systemctl.parent), prepend=":")
    running, units = tmp_path / "systemd", tmp_path / "units"
    running.mkdir()
    for _ in range(2):
        unit = install_unit(Path("/etc/ployz/config.toml"), running=running, units=units)
    assert unit == units / "ployzd.service"
    assert unit.read_text() == unit_text(program(), Path("/etc/ployz/config.toml"))
    assert calls.read_text() == "daemon-reload\n"


def test_the_program_of_the_unit_can_be_run() -> None:
    assert shutil.which(program()) is not None


# ---------------------------------------------------------------- groups


def test_groups_that_are_missing_are_made_once_and_what_did_not_work_is_said(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {"ployz": 990}

    def find(name: str) -> struct_group:
        if name not in there:
            raise KeyError(name)
        return struct_group((name, "x", there[name], []))

    monkeypatch.setattr(grp, "getgrnam", find)
    assert LocalGroups.of_this_machine() == LocalGroups(990, None)
    assert ensure_groups() == ["groupadd --system ployz-admin"]
    asked = tmp_path / "asked"
    (programs / "groupadd").write_text(f"#!/bin/sh\necho $* >> {asked}\n")
    (programs / "groupadd").chmod(0o755)
    assert ensure_groups() == []
    assert asked.read_text() == "--system ployz-admin\n"
    there["ployz-admin"] = 991
    assert ensure_groups() == []
    assert asked.read_text() == "--system ployz-admin\n"
