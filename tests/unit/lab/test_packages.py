"""Which packages are installed on which release, and what the lab says that it needs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from ployz.errors import Code, Refused
from ployz.install.requirements import PROGRAMS
from ployz.lab import needs

FOLDER = needs.TABLE.parent
TABLE = list(needs.needs(needs.TABLE.read_text()))
EVERYWHERE = (
    *(
        "btrfs-progs",
        "busybox-static",
        "debian-archive-keyring",
        "dnsmasq-base",
        "docker.io",
        "e2fsprogs",
        "etcd-client",
    ),
    *("etcd-server", "git", "haproxy", "iproute2", "iptables", "iputils-ping", "libc-bin", "mmdebstrap", "nftables"),
    *(
        "openssh-client",
        "openssh-server",
        "openssl",
        "perl-base",
        "postgresql",
        "procps",
        "qemu-system-x86",
        "qemu-utils",
    ),
    *("redis-server", "util-linux", "wireguard-go", "wireguard-tools", "zfs-fuse"),
)
"""Of the table, what all three releases have."""
RELEASES = {
    "debian-12": (*EVERYWHERE, "lxd", "lxd-client"),
    "debian-13": (*EVERYWHERE, "lxd", "lxd-client", "docker-cli"),
    "ubuntu-24.04": EVERYWHERE,
}
"""Debian's as `apt-cache policy` has them there. Ubuntu's was not looked up: its docker.io has the client, as 12's."""

POLICY = """#!/bin/sh
shift
for each; do
    case " {known} " in
    *" $each "*) printf '%s:\\n  Installed: (none)\\n  Candidate: 1:2.3-4\\n  Version table:\\n' "$each" ;;
    *) [ "$each" != virtual ] || printf '%s:\\n  Installed: (none)\\n  Candidate: (none)\\n' "$each" ;;
    esac
done
"""


def sh(tmp_path: Path, line: str, *, known: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """`line` after packages.sh, where apt knows these packages. The table names no program that is here."""
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "apt-cache").write_text(POLICY.format(known=known))
    (programs / "apt-cache").chmod(0o755)
    bare = re.sub(r"(?m)^([a-z-]+ +)/?", r"\1absent-", needs.TABLE.read_text())
    (tmp_path / "table").write_text(bare)
    script = f'set -euo pipefail; export PATH="{programs}:$PATH"; . "{FOLDER}/packages.sh"; {line}'
    return subprocess.run(
        ["bash", "-c", script], input=stdin, cwd=tmp_path, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("release", RELEASES)
def test_on_a_bare_machine_of_each_release_every_program_gets_a_package_that_it_has(
    tmp_path: Path, release: str
) -> None:
    groups = "lab demo more zfs-fuse wireguard-go other-debian openzfs"
    done = sh(tmp_path, f"lacking table {groups} | chosen", known=" ".join(RELEASES[release]))
    assert (done.returncode, done.stderr) == (0, "")
    chosen = done.stdout.split()
    assert len(chosen) == len([each for each in TABLE if each.group in groups.split()])
    assert set(chosen) <= set(RELEASES[release])
    assert ("docker-cli" in chosen) == (release == "debian-13")
    assert {"docker.io", "postgresql", "zfs-fuse", "nftables"} <= set(chosen)


def test_what_no_release_has_is_said_and_so_is_what_is_only_virtual(tmp_path: Path) -> None:
    for lacks in ("nowhere", "virtual"):
        done = sh(tmp_path, "chosen", known="docker.io", stdin=f"docker-cli docker.io\n{lacks} neither\ndocker.io\n")
        assert (done.returncode, done.stdout) == (1, f"docker.io\n{lacks} neither\n")


def test_what_is_here_is_not_installed_again(tmp_path: Path) -> None:
    (tmp_path / "some").write_text("lab sh dash\nlab /b*n/sh dash\nlab absent-sh absent\nmore absent-too other\n")
    assert sh(tmp_path, "lacking some lab", known="").stdout == "absent\n"
    assert sh(tmp_path, "lacking some lab more", known="").stdout == "absent\nother\n"


@pytest.mark.parametrize(
    ("command", "code", "shown"),
    [
        ("echo WARNING: running as root >&2; echo a new release of pip", 0, ""),
        (
            "echo Err:1 no mirror; echo E: failed >&2; exit 100",
            1,
            "Err:1 no mirror\nE: failed\nerror [setup-failed]: this failed",
        ),
    ],
)
def test_what_apt_and_pip_say_is_shown_only_where_they_fail(
    tmp_path: Path, command: str, code: int, shown: str
) -> None:
    text = (FOLDER.parents[1] / "bin/setup").read_text()
    functions = text[text.index("\nstop()") : text.index("\n# ------")]
    script = f"set -euo pipefail{functions}\nquietly sh -c '{command}'\n"
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(shown)
    assert bool(done.stderr) == bool(shown)
    assert list(tmp_path.iterdir()) == []


def test_every_group_of_the_table_is_one_that_bin_setup_asks_for() -> None:
    text = (FOLDER.parents[1] / "bin/setup").read_text()
    for group in {each.group for each in TABLE}:
        assert re.search(rf"\b{group}\b", text), group


def test_whatever_a_node_needs_the_lab_installs() -> None:
    """ZFS comes from the one or the other package, with both of its programs."""
    installed = {each.program for each in TABLE if each.group == "lab"}
    assert set(PROGRAMS) - {"zfs", "zpool"} <= installed
    assert {each.program for each in TABLE if each.group.startswith("zfs-")} == {"zfs-fuse", "zpool"}


def test_a_lab_names_all_that_it_lacks_with_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "bin"
    here.mkdir()
    for each in TABLE:
        if each.group == "lab":
            (here / each.program).write_text("#!/bin/sh\n")
            (here / each.program).chmod(0o755)
    monkeypatch.setenv("PATH", str(here))
    needs.require()
    for program in ("docker", "nft"):
        (here / program).unlink()
    with pytest.raises(Refused) as caught:
        needs.require()
    assert caught.value.code is Code.MISSING_PART
    assert "docker: install docker-cli or docker.io\n  nft: install nftables" in caught.value.problem.text
    assert "bin/setup" in caught.value.problem.advice
