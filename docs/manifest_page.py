"""The page about the manifest: its schema, table by table, as the reader of manifests has it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from attrs import frozen

from docs.told import about, about_attributes
from ployz.ids import InvalidName, Name
from ployz.manifest import limits, scalars, schema
from ployz.manifest.quantities import InvalidQuantity
from ployz.manifest.shapes import Leaf, ListOf, MapOf, Unfit
from ployz.manifest.tables import Case, Field, OneOf, Table, Variant, Within

WORDS: Final[dict[int, str]] = {
    id(scalars.TEXT): "text",
    id(scalars.IMAGE): "image reference",
    id(scalars.NAMESPACE_OR_ALL): 'namespace, or `"*"`',
    id(scalars.TARGET): "absolute path in the container",
    id(scalars.BIND): "absolute path on the host",
    id(scalars.USER): 'name or number, with a group if you like: `"999:999"`',
    id(scalars.CAPABILITY): '`"NET_ADMIN"` and the like',
    id(scalars.SIGNAL): 'signal: `"SIGINT"`',
    id(scalars.HOSTNAME): "lower-case host name",
    id(scalars.HOST_IP): "IP address of the machine",
    id(scalars.URL_PREFIX): "beginning of a URL path",
    id(scalars.URL_PATH): "URL path",
    id(scalars.FLAG): "true or false",
    id(scalars.PORT): "integer, 1 to 65535",
    id(scalars.QUOTA): "size, at least 1M",
    id(scalars.RECORDSIZE): "size, a power of 2, 512 to 16M",
    id(scalars.COMPRESSION): '`"lz4"`, `"zstd-3"`, `"gzip"`, `"on"`, `"off"` and the like',
    id(scalars.SYNC): '`"standard"`, `"always"`',
    id(scalars.BANDWIDTH): "size a second, at least 64K",
    id(scalars.MEMORY): "size, at least 6M",
    id(scalars.MODE): 'octal in quotes: `"0700"`',
    id(scalars.OWNER): 'numbers: `"UID:GID"`',
    id(schema._VOLUME_SOURCE): "volume name",  # noqa: SLF001 - the one leaf that is made in the schema itself
}
BEYOND: Final = (2**70, "?", "1000h")
"""Wrong for every number, word and duration: a leaf is asked for its bounds by being given these."""


def manifest() -> str:
    return "\n".join([*_manifest(), ""])


def _manifest() -> Iterator[str]:
    yield from (
        "# Manifest",
        "",
        "This page is generated from `ployz/manifest/schema.py` and `model.py` by `docs/generate.py`.",
        "[The guide](../guides/deploy.md) shows manifests by example.",
        "",
        "TOML or JSON of one shape. A text that begins with `{` is JSON. Unknown keys are errors, and every mistake is",
        "listed at once with its path, such as `services[0].template.mounts[1].source`.",
        "",
        "| kind of value | how it is written |",
        "|---|---|",
        "| name | a-z, 0-9 and `-`, at most 63 characters, a letter or digit at both ends |",
        '| size | bytes, or text with K, M, G or T (base 2): `"20G"`, `"1.5G"` |',
        '| duration | text with ms, s, m or h: `"500ms"`, `"10s"`, `"5m"` |',
        "",
        f"Limits: a text of {limits.TEXT_BYTES_MAX >> 10} KiB, {limits.SERVICES_MAX} services,",
        f"{limits.VOLUMES_MAX} volumes, {limits.REPLICAS_MAX} replicas of a service.",
        "",
        "`routes` are checked and kept with the manifest. The gateway that acts on them is not there yet.",
    )
    pending = [Section("The whole", "", schema.MANIFEST)]
    while pending:
        section = pending.pop(0)
        page = _Page(section.path)
        yield from ("", f"## {section.title}", "")
        if words := about(section.makes):
            yield from (words, "")
        yield from ("| key | value | default | meaning |", "|---|---|---|---|")
        yield from page.rows(section)
        pending = page.below + pending


@frozen
class Section:
    title: str
    path: str
    table: Table[Any]
    within: Within | None = None
    """Only these keys of the table's class."""

    @property
    def makes(self) -> type:
        made: type = self.table._makes  # type: ignore[assignment]  # noqa: SLF001 - what a table makes is a class
        return made


class _Page:
    """The rows of one section, and the sections that its rows point to."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.below: list[Section] = []

    def rows(self, section: Section) -> Iterator[str]:
        meanings = about_attributes(section.makes)
        defaults = section.table._defaults  # noqa: SLF001 - what the reader itself goes by
        for part in section.within.parts if section.within else section.table._parts:  # noqa: SLF001 - as above
            match part:
                case Field():
                    needed = part.attribute not in defaults
                    default = "required" if needed else _default(part, defaults[part.attribute])
                    value = self._value(part.shape, part.key)
                    yield f"| `{part.key}` | {value} | {default} | {meanings[part.attribute]} |"
                case Within():
                    path = self._below(part.key)
                    self.below.append(Section(f"`{path}`", path, section.table, part))
                    yield f"| `{part.key}` | table | required | |"
                case Variant():
                    for case in part.cases:
                        value = self._value(case.shape, case.key)
                        yield f"| `{case.key}` | {value} | exactly one of {_keys(part)} | {about(case.makes)} |"
                case _:
                    raise AssertionError(f"{part} is no part that this page knows")

    def _value(self, shape: Any, key: str) -> str:
        match shape:
            case Leaf():
                return _leaf(shape)
            case Table():
                path = self._below(key)
                self.below.append(Section(f"`{path}`", path, shape))
                return "table"
            case ListOf():
                return f"list of {_plural(self._value(shape.element, f'{key}[]'))}, at most {shape.at_most}"
            case MapOf():
                return f"table of {_plural(self._value(shape.element, key))}, at most {shape.at_most}"
            case OneOf():
                words = [f'`"{word}"`' for word in shape._words]  # noqa: SLF001 - what the reader itself goes by
                cases = [self._case(each, key) for each in shape._variant.cases]  # noqa: SLF001 - as above
                return " or ".join(words + cases)
            case _:
                raise AssertionError(f"{shape} is no shape that this page knows")

    def _case(self, case: Case, key: str) -> str:
        inner = self._value(case.shape, f"{key}.{case.key}")
        return f"`{{ {case.key} = … }}`" + ("" if inner == "table" else f" ({inner})")

    def _below(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key


def _leaf(leaf: Leaf[Any]) -> str:
    if id(leaf) in WORDS:
        return WORDS[id(leaf)]
    if isinstance(leaf.stand_in, Name):
        return leaf.stand_in.kind
    for wrong in BEYOND:
        if (bounds := re.match(r"is (one of )?(\S+ to \S+|\".*\"), not ", _complaint(leaf, wrong))) is not None:
            kind = "" if bounds[1] else "integer, " if isinstance(wrong, int) else "duration, "
            return kind + (", ".join(f"`{word}`" for word in bounds[2].split(", ")) if bounds[1] else bounds[2])
    raise AssertionError(f"{leaf} is no leaf that this page knows: give it words")


def _complaint(leaf: Leaf[Any], wrong: object) -> str:
    try:
        leaf.parse(wrong)
    except (Unfit, InvalidName, InvalidQuantity) as error:
        return str(error)
    return ""


def _default(part: Field, default: object) -> str:
    if default is None:
        return "none"
    written = part.shape.write(default)
    return f"`{json.dumps(written)}`" if written else "empty" if written != 0 and written is not False else "false"


def _plural(words: str) -> str:
    return f"{words}s" if words != "text" and not set(words) & set("`(:") else words


def _keys(variant: Variant) -> str:
    return ", ".join(f"`{key}`" for key in variant.keys)
