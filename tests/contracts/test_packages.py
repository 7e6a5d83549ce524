"""The table of packages, on the release that this machine is of: apt knows each name, and it brings the program."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path

import pytest

from ployz.lab.needs import TABLE, needs
from tests.real import need

pytestmark = pytest.mark.real

GROUPS = ("lab", "demo", "more")


def said(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def known(packages: Sequence[str]) -> set[str]:
    """Of these, what this release has."""
    told = said("apt-cache", "policy", *packages)
    return set(re.findall(r"^(\S+):\n.*\n +Candidate: [^(]", told, re.MULTILINE))


def installed(packages: Sequence[str]) -> set[str]:
    told = said("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages)
    return {line.split()[0] for line in told.splitlines() if line.endswith(" installed")}


def brought_by(package: str) -> set[str]:
    """The files of the package, and of those that it depends on: a meta package has none."""
    depends = said("dpkg-query", "-W", "-f", "${Depends}", package)
    below = (each.split()[0].partition(":")[0] for each in re.split("[,|]", depends) if each.strip())
    return set(said("dpkg", "-L", *installed([package, *below])).splitlines())


def places(program: str) -> Iterator[str]:
    """Where a package may have it. An alternative, as iptables is, leads to a file of another name."""
    if "/" in program:
        yield from glob(program)  # noqa: PTH207
        return
    where = shutil.which(program, path="/usr/bin:/usr/sbin:/bin:/sbin")
    names = {program, *([Path(where).resolve().name] if where else [])}
    yield from (f"{root}/{folder}/{name}" for root in ("", "/usr") for folder in ("bin", "sbin") for name in names)


def test_apt_has_every_package_of_the_table_and_it_brings_the_program() -> None:
    need("apt-cache", "dpkg-query", "dpkg")
    wanted = [each for each in needs(TABLE.read_text()) if each.group in GROUPS]
    names = [package for each in wanted for package in each.packages]
    there, here = known(names), installed(names)
    assert [each.packages for each in wanted if not there & set(each.packages)] == []
    chosen = [(each.program, next(name for name in each.packages if name in there)) for each in wanted]
    checked = [(program, package) for program, package in chosen if package in here]
    assert len(checked) > len(wanted) / 2, "bin/setup installed them"
    assert [each for each in checked if brought_by(each[1]).isdisjoint(places(each[0]))] == []
