"""Which release the root is of, and what of this host's settings goes along, so that apt and pip work as they do here.

Pure: the text of this host's files in, values out.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from configparser import ConfigParser
from pathlib import Path
from typing import Final

from attrs import frozen

from ployz.errors import Code, Refused

_WITH_US: Final = re.compile(
    r"(?i:(?:https?|ftp|all|no)_proxy)|PIP_\w+|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
)
"""Of the environment: the ways out, and whom they trust. What the tests read (PLOYZ_…) is the root's own."""
_APT: Final = (
    "Acquire::http",
    "Acquire::ftp",
    "Acquire::Check-",
    "Acquire::Languages",
    "Acquire::ForceIPv",
    "Acquire::Retries",
)
_INDEXES: Final = frozenset({"index-url", "extra-index-url"})
_LINKS: Final = "find-links"
_TRUST: Final = frozenset({"PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"})


@frozen
class Release:
    number: str
    suite: str

    def __str__(self) -> str:
        return f"Debian {self.number} ({self.suite})"


BOOKWORM: Final = Release("12", "bookworm")
TRIXIE: Final = Release("13", "trixie")
RELEASES: Final = (BOOKWORM, TRIXIE)


@frozen
class Host:
    suite: str
    """Its codename: of any distribution."""
    is_debian: bool


def host(os_release: str) -> Host:
    """Of os-release(5)."""
    pairs = (line.partition("=")[::2] for line in os_release.splitlines())
    fields = {key: "".join(shlex.split(value)) for key, value in pairs if re.fullmatch("[A-Z_]+", key)}
    if "ID" not in fields:
        raise Refused(Code.MISSING_PART, "/etc/os-release does not say what this host is")
    return Host(fields.get("VERSION_CODENAME", ""), fields["ID"] == "debian")


def other(of: Host) -> Release:
    """The one that this host is not; on what is no Debian at all, the older one."""
    return TRIXIE if of == Host(BOOKWORM.suite, is_debian=True) else BOOKWORM


def named(number: str) -> Release:
    return next(each for each in RELEASES if each.number == number)


def environment(ours: Mapping[str, str]) -> Mapping[str, str]:
    """A login of root's, with our ways to the registries."""
    taken = {key: value for key, value in sorted(ours.items()) if _WITH_US.fullmatch(key)}
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        **taken,
    }


def apt_settings(dump: str) -> Sequence[str]:
    """Of what `apt-config dump` prints, the lines about how to reach the mirrors."""
    return [line for line in dump.splitlines() if line.startswith(_APT) and not line.endswith(' "";')]


def keys(lines: Iterable[str]) -> Sequence[Path]:
    """The keyrings that these lines of sources.list name. Each release has names of its own for them."""
    found = (each.group(1) for line in lines if (each := re.search(r"\[signed-by=(/[^]\s]+)\]", line)))
    return [Path(each) for each in dict.fromkeys(found)]


def pip_folders(texts: Iterable[str], ours: Mapping[str, str]) -> Sequence[Path]:
    """Where pip finds packages on this host's own disk: of its configuration files, and of the environment.

    An index has the files that its pages link to beside it.
    """
    named = [option for text in texts for option in _options(text)]
    named += [(key.removeprefix("PIP_").lower().replace("_", "-"), value) for key, value in ours.items()]
    places = ((key, Path(each.removeprefix("file://"))) for key, value in named for each in value.split())
    found = [place.parent if key in _INDEXES else place for key, place in places if key in {*_INDEXES, _LINKS}]
    return [each for each in dict.fromkeys(found) if each.is_absolute()]


def certificates(texts: Iterable[str], ours: Mapping[str, str]) -> Sequence[Path]:
    """The files that say whom pip trusts."""
    named = [value for text in texts for key, value in _options(text) if key == "cert"]
    named += [value for key, value in environment(ours).items() if key in _TRUST]
    return [Path(each) for each in dict.fromkeys(named) if each.startswith("/")]


def _options(text: str) -> Iterator[tuple[str, str]]:
    parser = ConfigParser(interpolation=None)
    parser.read_string(text)
    for section in parser.sections():
        yield from ((key.replace("_", "-"), value) for key, value in parser.items(section))
