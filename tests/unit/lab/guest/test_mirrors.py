"""Which of this host's sources a guest is built from."""

from __future__ import annotations

import pytest

from ployz.lab.guest.mirrors import sources

KEY = "/usr/share/keyrings/debian-archive-keyring.gpg"

STANZAS = f"""\
# a comment: of nothing
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: {KEY}

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main non-free-firmware
Signed-By: {KEY}
"""


def test_every_suite_of_debian_is_taken_with_contrib() -> None:
    assert sources([STANZAS]) == [
        f"deb [signed-by={KEY}] http://mirror.example/debian bookworm main contrib",
        f"deb [signed-by={KEY}] http://mirror.example/debian bookworm-updates main contrib",
        f"deb [signed-by={KEY}] http://mirror.example/debian-security bookworm-security main contrib",
    ]


def test_the_older_form_says_the_same() -> None:
    text = (
        f"deb [arch=amd64 signed-by={KEY}] http://mirror.example/debian bookworm main\n# deb http://no bookworm main\n"
    )
    assert sources([text]) == [f"deb [signed-by={KEY}] http://mirror.example/debian bookworm main contrib"]


@pytest.mark.parametrize(
    "text",
    [
        "deb http://third.example/linux/debian bookworm stable\n",
        "deb http://mirror.example/debian trixie main\n",
        "deb-src http://mirror.example/debian bookworm main\n",
        STANZAS.replace("bookworm", "noble"),
        STANZAS.replace("URIs:", "Enabled: no\nURIs:"),
        "",
    ],
)
def test_other_releases_third_parties_and_what_is_switched_off_are_left_out(text: str) -> None:
    assert sources([text]) == []


def test_a_mirror_that_is_named_twice_is_taken_once() -> None:
    assert len(sources([STANZAS, STANZAS])) == 3
