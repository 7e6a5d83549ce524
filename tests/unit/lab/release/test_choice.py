"""Which release is made, and what of this host's settings goes along."""

from __future__ import annotations

from pathlib import Path

import pytest

from ployz.errors import Refused
from ployz.lab.guest.mirrors import sources
from ployz.lab.release import choice
from ployz.lab.release.choice import BOOKWORM, TRIXIE, Host


@pytest.mark.parametrize(
    ("os_release", "host", "other"),
    [
        ('ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n', Host("bookworm", is_debian=True), TRIXIE),
        ('ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n', Host("trixie", is_debian=True), BOOKWORM),
        ('ID=debian\nPRETTY_NAME="Debian GNU/Linux forky/sid"\n', Host("", is_debian=True), BOOKWORM),
        ('ID="ubuntu"\nID_LIKE=debian\nVERSION_CODENAME=noble\n', Host("noble", is_debian=False), BOOKWORM),
        ("ID=mine\nVERSION_CODENAME=bookworm\n", Host("bookworm", is_debian=False), BOOKWORM),
    ],
)
def test_the_other_release_is_the_one_that_this_host_is_not(os_release: str, host: Host, other: choice.Release) -> None:
    assert choice.host(os_release) == host
    assert choice.other(host) == other


def test_a_host_that_does_not_say_what_it_is_is_refused() -> None:
    with pytest.raises(Refused):
        choice.host("")


def test_a_release_is_named_by_its_number() -> None:
    assert [choice.named(each.number) for each in choice.RELEASES] == [BOOKWORM, TRIXIE]


def test_the_mirrors_of_this_host_have_the_other_release_too() -> None:
    text = (
        "deb [signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib\n"
        "deb http://mirror.example/debian-security bookworm-security main\n"
        "deb http://third.example/debian bookworm stable\n"
    )
    assert sources([text], "bookworm", become="trixie", components="main") == [
        "deb [signed-by=/k.gpg] http://mirror.example/debian trixie main",
        "deb http://mirror.example/debian-security trixie-security main",
    ]


def test_the_keys_of_the_mirrors_are_those_that_their_lines_name() -> None:
    lines = ["deb [signed-by=/k.pgp] http://a.example trixie main", "deb http://b.example trixie main"]
    assert choice.keys([*lines, *lines]) == [Path("/k.pgp")]


def test_the_ways_out_go_along_and_the_rest_of_the_environment_does_not() -> None:
    ours = {
        "http_proxy": "http://proxy.example:3128",
        "NO_PROXY": "localhost",
        "PIP_INDEX_URL": "https://index.example/simple",
        "SSL_CERT_FILE": "/etc/ssl/one.crt",
        "SSL_CERT_DIR": "/etc/ssl/certs",
        "PLOYZ_REAL": "1",
        "PYTHONPATH": "/here",
        "PATH": "/opt/bin",
        "HOME": "/home/me",
    }
    taken = choice.environment(ours)
    assert set(taken) == {"PATH", "HOME", "LANG", "http_proxy", "NO_PROXY", "PIP_INDEX_URL", "SSL_CERT_FILE"}
    assert taken["HOME"] == "/root"
    assert "/opt/bin" not in taken["PATH"]


def test_of_apt_the_ways_to_the_mirrors_go_along() -> None:
    dump = (
        'APT::Architecture "amd64";\nAcquire "";\nAcquire::http "";\nAcquire::http::Proxy "http://proxy.example:3128";\n'
        'Acquire::Check-Valid-Until "false";\nAcquire::GzipIndexes "true";\nDPkg::Post-Invoke:: "rm -rf /";\n'
    )
    assert choice.apt_settings(dump) == [
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::Check-Valid-Until "false";',
    ]


PIP = """\
[global]
cert = /etc/ssl/ours.crt
find-links = /srv/wheels
extra-index-url = file:///srv/index/simple https://index.example/simple
timeout = 60
"""


def test_what_pip_finds_on_the_disk_is_shown_with_the_files_beside_an_index() -> None:
    ours = {"PIP_FIND_LINKS": "/srv/more /srv/wheels", "PIP_CACHE_DIR": "/var/cache/pip", "HOME": "/home/me"}
    assert choice.pip_folders([PIP], ours) == [Path("/srv/wheels"), Path("/srv/index"), Path("/srv/more")]


def test_whom_pip_trusts_goes_along() -> None:
    ours = {"PIP_CERT": "/etc/ssl/ours.crt", "SSL_CERT_FILE": "/etc/ssl/more.crt", "AWS_CA_BUNDLE": "/etc/ssl/no.crt"}
    assert choice.certificates([PIP], ours) == [Path("/etc/ssl/ours.crt"), Path("/etc/ssl/more.crt")]
