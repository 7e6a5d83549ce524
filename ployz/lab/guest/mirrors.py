"""Which Debian mirrors a guest, or a root of another release, is built from: those that this host itself uses.

Pure: the text of sources.list(5) files in, one-line sources out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from attrs import frozen

from ployz.lab.guest.recipe import COMPONENTS, SUITE

_STANZA = re.compile(r"\n[ \t]*\n")
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.*)\Z")


@frozen
class Source:
    uri: str
    suite: str
    components: str
    signed_by: str


def sources(
    texts: Iterable[str], suite: str = SUITE, *, become: str | None = None, components: str = COMPONENTS
) -> list[str]:
    """Of these files, the lines with Debian's own `suite`. Empty: this host is of another release.

    `become`: in its place, since a mirror that has one release has the others.
    """
    found = (source for text in texts for source in (*_stanzas(text), *_lines(text)))
    return list(dict.fromkeys(_line(each, suite, become or suite, components) for each in found if _has(each, suite)))


def _stanzas(text: str) -> Iterator[Source]:
    """The form of `*.sources`."""
    for stanza in _STANZA.split(text):
        fields = _fields(stanza)
        if fields.get("types", "").split()[:1] == ["deb"] and fields.get("enabled", "yes") != "no":
            for uri in fields.get("uris", "").split():
                for suite in fields.get("suites", "").split():
                    yield Source(uri, suite, fields.get("components", ""), fields.get("signed-by", ""))


def _fields(stanza: str) -> Mapping[str, str]:
    pairs = (line.partition(":") for line in stanza.splitlines() if line[:1] not in {"#", " ", "\t"})
    return {key.lower(): value.strip() for key, colon, value in pairs if colon}


def _lines(text: str) -> Iterator[Source]:
    """The form of `sources.list`."""
    for line in text.splitlines():
        if source := _ONE_LINE.match(line.strip()):
            options = dict(each.partition("=")[::2] for each in (source["options"] or "").split())
            yield Source(source["uri"], source["suite"], source["components"], options.get("signed-by", ""))


def _has(source: Source, suite: str) -> bool:
    """Third parties have suites of the same name: Debian's own have a component `main`."""
    return (source.suite == suite or source.suite.startswith(f"{suite}-")) and "main" in source.components.split()


def _line(source: Source, suite: str, become: str, components: str) -> str:
    option = f"[signed-by={source.signed_by}] " if source.signed_by.startswith("/") else ""
    return f"deb {option}{source.uri} {become}{source.suite.removeprefix(suite)} {components}"
