"""Two guests for the whole run, with the project in both, and what they do told as it happens."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ployz.lab.guest.guest import Guest
from ployz.lab.guest.image import image
from ployz.lab.guest.pair import pair
from ployz.lab.guest.wheels import wheels
from ployz.lab.programs import side_by_side
from tests.labs import REPOSITORY
from tests.openzfs.start import commands

ON_DEMAND = "PLOYZ_OPENZFS"
"""What `bin/test openzfs` sets. No other run of the tests collects these."""
collect_ignore_glob = [] if os.environ.get(ON_DEMAND) == "1" else ["test_*.py"]

INSTALL_S = 1800
CLONE = "/opt/ployz"
BROUGHT = ("ployz", "tests", "bin", "docs", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")

SLOWNESS = 8
SLOW_NODE = f"PLOYZ_SLOWNESS={SLOWNESS}"
"""For ployzd and ployzctl there."""

Say = Callable[[str], None]


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Say:
    """A line on the terminal, at once: all of this is slow."""
    plugins = request.config.pluginmanager
    reporter, capture = plugins.get_plugin("terminalreporter"), plugins.get_plugin("capturemanager")
    assert reporter is not None
    assert capture is not None

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(f"    {line}")
            reporter.flush()

    return write


@pytest.fixture(scope="session")
def guests(say: Say) -> Iterator[tuple[Guest, Guest]]:
    """With a clone where docs/start.md has it, and everything that installing it asks for. Nothing is installed."""
    files: dict[str, Path | bytes] = {f"{CLONE}/{each}": REPOSITORY / each for each in BROUGHT}
    files["/etc/systemd/system/ployzd.service.d/slow.conf"] = f"[Service]\nEnvironment={SLOW_NODE}\n".encode()
    files["/root/wheels"] = wheels(REPOSITORY, say)
    with pair(image(say), say) as both:
        side_by_side(lambda guest: guest.put(files), both)
        yield both


@pytest.fixture(scope="session")
def installed(guests: tuple[Guest, Guest], say: Say) -> tuple[Guest, Guest]:
    """As docs/start.md says, from the clone; and what the tests need that run in a guest."""
    first, *rest = [each.text for each in commands("Install")]
    assert first.startswith("git clone"), "the clone was brought instead"
    tools = f"{CLONE}/.venv/bin/pip install pytest hypothesis"
    say("installing ployz in both, as docs/start.md says")

    def install(guest: Guest) -> None:
        guest.run("sh", "-ec", "\n".join([*rest, tools]), deadline_s=INSTALL_S)

    side_by_side(install, guests)
    return guests
