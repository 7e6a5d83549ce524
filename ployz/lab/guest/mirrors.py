"""Which Debian mirrors a guest is built from: those that this host itself uses, if it is of the guest's release.

Pure: the text of sources.list(5) files in, one-line sources out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from ployz.lab.guest.recipe import COMPONENTS, SUITE

_STANZA = re.compile(r"\n[ \t]*\n")
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.*)\Z")


def sources(texts: Iterable[str]) -> list[str]:
    """Of these files, the lines for the guest. Empty: this host is of another release."""
    found = dict.fromkeys(line for text in texts for line in (*_stanzas(text), *_lines(text)))
    return list(found)


def _stanzas(text: str) -> Iterator[str]:
    """The form of `*.sources`."""
    for stanza in _STANZA.split(text):
        fields = _fields(stanza)
        if fields.get("types", "").split()[:1] == ["deb"] and fields.get("enabled", "yes") != "no":
            for uri in fields.get("uris", "").split():
                for suite in fields.get("suites", "").split():
                    yield from _line(uri, suite, fields.get("components", ""), fields.get("signed-by", ""))


def _fields(stanza: str) -> Mapping[str, str]:
    pairs = (line.partition(":") for line in stanza.splitlines() if line[:1] not in {"#", " ", "\t"})
    return {key.lower(): value.strip() for key, colon, value in pairs if colon}


def _lines(text: str) -> Iterator[str]:
    """The form of `sources.list`."""
    for line in text.splitlines():
        if source := _ONE_LINE.match(line.strip()):
            options = dict(each.partition("=")[::2] for each in (source["options"] or "").split())
            yield from _line(source["uri"], source["suite"], source["components"], options.get("signed-by", ""))


def _line(uri: str, suite: str, components: str, signed_by: str) -> Iterator[str]:
    """Third parties have suites of the same name: Debian's own have a component `main`."""
    if (suite == SUITE or suite.startswith(f"{SUITE}-")) and "main" in components.split():
        option = f"[signed-by={signed_by}] " if signed_by.startswith("/") else ""
        yield f"deb {option}{uri} {suite} {COMPONENTS}"
