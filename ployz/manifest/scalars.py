"""The leaves of the manifest: each kind of single value, with its pattern, its bounds, and what to write instead.

A mistake never shows a value that may be a secret (env, labels, commands) or that may be long.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import TypeVar

from ployz.ids import MachineId, Name, Namespace
from ployz.manifest.cursor import kind_of
from ployz.manifest.mistakes import did_you_mean
from ployz.manifest.model import BindSource, Owner, Sync
from ployz.manifest.quantities import KIB, MIB, duration_text, parse_duration, parse_size, size_text
from ployz.manifest.shapes import Leaf, Raw, Unfit

NameT = TypeVar("NameT", bound=Name)
WordT = TypeVar("WordT", bound=str)

UNREAD = "?"
"""Stands in for a name that could not be read. It is no name, so it never meets a real one."""

UNREAD_PORT = 0

_TEXT_LENGTH_MAX = 4095  # PATH_MAX without its NUL; images, users and URL paths are shorter
_ID_MAX = 2**32 - 2  # the highest uid and gid of Linux
_SIZE_MAX_BYTES = 2**63 - 1
_DURATION_MAX_S = 24 * 3600.0

_SURROGATE = re.compile("[\ud800-\udfff]")
_ENV_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_LABEL_KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?\Z")
_SYSCTL_KEY = re.compile(r"[a-z0-9_]+(?:[./][A-Za-z0-9_-]+)+\Z")
_CAPABILITY = re.compile(r"[A-Z][A-Z_]*[A-Z]\Z")
_SIGNAL = re.compile(r"SIG[A-Z0-9]+(?:[+-][0-9]{1,2})?\Z")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?::[A-Za-z0-9_][A-Za-z0-9_.-]*)?\Z")
_HOSTNAME = re.compile(
    r"(?:\*|(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*)\Z"
)
# URL characters without quotes, spaces and '$': both end up in the gateway's configuration or in a request line.
_URL_PREFIX = re.compile(r"/[A-Za-z0-9._~:@%+=,/-]*\Z")
_URL_PATH = re.compile(r"/[A-Za-z0-9._~:@%+=,/?&-]*\Z")
_MODE = re.compile(r"[0-7]{3,4}\Z")
_COMPRESSION = re.compile(r"(on|off|lzjb|lz4|zle|gzip(-[1-9])?|zstd(-[1-9]|-1[0-9])?|zstd-fast(-[1-9][0-9]{0,3})?)\Z")
_OWNER = re.compile(r"([0-9]{1,10}):([0-9]{1,10})\Z")


# ---------------------------------------------------------------- text


def _text(raw: Raw) -> str:
    if not isinstance(raw, str):
        hint = "; write it in quotes" if isinstance(raw, (bool, int, float)) else ""
        raise Unfit(f"is text, not {kind_of(raw)}{hint}")
    if "\0" in raw:
        raise Unfit("has a NUL character")
    if _SURROGATE.search(raw):
        raise Unfit("has half of a surrogate pair, which no encoding can carry")
    return raw


def _line(raw: Raw) -> str:
    """Text that is shown, passed as an argument, or written into a line of configuration."""
    text = _text(raw)
    if not text:
        raise Unfit("is empty")
    if len(text) > _TEXT_LENGTH_MAX:
        raise Unfit(f"has at most {_TEXT_LENGTH_MAX} characters, not {len(text)}")
    if not text.isprintable():
        raise Unfit("has a control character or a line break")
    return text


def _pattern(pattern: re.Pattern[str], advice: str) -> Callable[[Raw], str]:
    def parse(raw: Raw) -> str:
        text = _line(raw)
        if not pattern.match(text):
            raise Unfit(f"{text[:64]!r} is not {advice}")
        return text

    return parse


def _image(raw: Raw) -> str:
    text = _line(raw)
    if " " in text:
        raise Unfit(f"{text[:64]!r} has a space: no image reference has one")
    if text.startswith("-"):
        raise Unfit(f"{text[:64]!r} begins with '-', as an option does")
    return text


def _absolute_path(raw: Raw) -> str:
    text = _line(raw)
    if not text.startswith("/"):
        raise Unfit(f"{text[:64]!r} is no absolute path: it begins with '/'")
    if text != "/" and any(part in {"", ".", ".."} for part in text[1:].split("/")):
        raise Unfit(f"{text[:64]!r} is no plain path: write it without '.', '..', '//' and a '/' at the end")
    return text


def _host_ip(raw: Raw) -> str:
    text = _line(raw)
    try:
        address = ip_address(text)
    except ValueError:
        raise Unfit(f'{text[:64]!r} is no IP address, such as "127.0.0.1"') from None
    if address.is_unspecified:
        raise Unfit(f"{text!r} is no address of a machine: leave it out for all of them")
    if address.version == 6 and address.scope_id:  # noqa: PLR2004 - of IP
        raise Unfit(f"{text[:64]!r} is of one interface: name an address that the machine has alone")
    return str(address)


def _target(raw: Raw) -> str:
    if (path := _absolute_path(raw)) == "/":
        raise Unfit("is '/': a mount there would hide the image")
    return path


def _of_text(parse: Callable[[Raw], str]) -> Leaf[str]:
    return Leaf(parse, str, UNREAD)


TEXT = _of_text(_text)
"""Any text but NUL; it may be empty and have line breaks."""
IMAGE = _of_text(_image)
TARGET = _of_text(_target)
HOST_IP = _of_text(_host_ip)
BIND = Leaf(lambda raw: BindSource(_absolute_path(raw)), lambda bind: bind.path, BindSource(UNREAD))
USER = _of_text(_pattern(_USER, 'a user: write a name or a number, and a group if you like, such as "999:999"'))
CAPABILITY = _of_text(_pattern(_CAPABILITY, 'a capability, such as "NET_ADMIN"'))
SIGNAL = _of_text(_pattern(_SIGNAL, 'a signal, such as "SIGTERM"'))
HOSTNAME = _of_text(_pattern(_HOSTNAME, 'a host name in lower case, such as "www.example.com", or "*"'))
URL_PREFIX = _of_text(_pattern(_URL_PREFIX, 'the beginning of a URL path, such as "/api/"'))
URL_PATH = _of_text(_pattern(_URL_PATH, 'a URL path, such as "/healthz"'))


def check_env_key(key: str) -> None:
    if not _ENV_KEY.match(key):
        raise Unfit("is no name of a variable: use letters, digits and '_', and no digit first")


def check_label_key(key: str) -> None:
    if not _LABEL_KEY.match(key):
        raise Unfit("is no label: use letters, digits, '.', '_', '/' and '-', with a letter or a digit at both ends")
    if key.startswith("ployz."):
        raise Unfit("begins with 'ployz.': those labels say which operation made a container")


def check_sysctl_key(key: str) -> None:
    if not _SYSCTL_KEY.match(key):
        raise Unfit("is no sysctl, such as net.core.somaxconn")


# ---------------------------------------------------------------- names and choices


def name(kind: type[NameT]) -> Leaf[NameT]:
    return Leaf(kind, str, str.__new__(kind, UNREAD))


MACHINE = name(MachineId)
EVERYBODY = "*"


def _namespace(raw: Raw) -> str:
    text = _text(raw)
    return text if text == EVERYBODY else Namespace(text)


NAMESPACE_OR_ALL = Leaf(_namespace, str, UNREAD)


def word(*words: WordT) -> Leaf[WordT]:
    """One of these words; the first one stands in."""

    def parse(raw: Raw) -> WordT:
        text = _text(raw)
        if text not in words:
            choices = ", ".join(f'"{each}"' for each in words)
            raise Unfit(f"is one of {choices}, not {text[:32]!r}{did_you_mean(text, words)}")
        return next(each for each in words if each == text)

    return Leaf(parse, str, words[0])


def _flag(raw: Raw) -> bool:
    if not isinstance(raw, bool):
        raise Unfit(f"is true or false, not {kind_of(raw)}")
    return raw


FLAG = Leaf(_flag, bool, stand_in=False)

# ---------------------------------------------------------------- numbers


def integer(least: int, most: int, stand_in: int | None = None) -> Leaf[int]:
    """From `least` to `most`. What stands in is `least`, unless that would look like a choice of the user."""

    def parse(raw: Raw) -> int:
        if not isinstance(raw, int) or isinstance(raw, bool):
            raise Unfit(f"is an integer, not {kind_of(raw)}")
        if not least <= raw <= most:
            shown = str(raw) if abs(raw) < 2**64 else "a number of more than 64 bits"
            raise Unfit(f"is {least} to {most}, not {shown}")
        return raw

    return Leaf(parse, int, least if stand_in is None else stand_in)


PORT = integer(1, 65535, UNREAD_PORT)


def size(least_bytes: int) -> Leaf[int]:
    """An integer of bytes or text with a unit."""

    def parse(raw: Raw) -> int:
        if isinstance(raw, bool) or not isinstance(raw, (int, str)):
            raise Unfit(f'is a size such as "20G" or an integer of bytes, not {kind_of(raw)}')
        number = raw if isinstance(raw, int) else parse_size(raw)
        if number < least_bytes:
            raise Unfit(
                f"is at least {size_text(least_bytes)}, not {'less than nothing' if number < 0 else f'{number} bytes'}"
            )
        if number > _SIZE_MAX_BYTES:
            raise Unfit("is more bytes than 63 bits count")
        return number

    return Leaf(parse, size_text, least_bytes)


_ANY_SIZE = size(512)


def _recordsize(raw: Raw) -> int:
    number = _ANY_SIZE.parse(raw)
    if number > 16 * MIB or number & (number - 1):
        raise Unfit(f"is a power of 2 from 512 bytes to 16M, not {size_text(number)}")
    return number


RECORDSIZE = Leaf(_recordsize, size_text, 128 * KIB)
COMPRESSION = _of_text(_pattern(_COMPRESSION, 'a compression of ZFS, such as "lz4", "zstd-3", "gzip", "on" or "off"'))


def _sync(raw: Raw) -> Sync:
    if raw == "disabled":
        raise Unfit('is "standard" or "always": with "disabled", a power cut loses what the service was told is stored')
    return _SYNC.parse(raw)


_SYNC: Leaf[Sync] = word("standard", "always")
SYNC = Leaf(_sync, str, "standard")
QUOTA = size(MIB)
"""At least 1 MiB: below it an empty dataset is full, and a unit was forgotten."""
BANDWIDTH = size(64 * KIB)
"""A second. Less would look like a stream that has stalled."""
MEMORY = size(6 * MIB)
"""Docker refuses less."""


def duration(least_s: float, most_s: float = _DURATION_MAX_S) -> Leaf[float]:
    def parse(raw: Raw) -> float:
        if not isinstance(raw, str):
            raise Unfit(f'is a duration such as "500ms" or "10s", not {kind_of(raw)}')
        number_s = parse_duration(raw)
        if not least_s <= number_s <= most_s:
            raise Unfit(f"is {duration_text(least_s)} to {duration_text(most_s)}, not {raw[:32]!r}")
        return number_s

    return Leaf(parse, duration_text, least_s)


def _mode(raw: Raw) -> int:
    if not isinstance(raw, str) or not _MODE.match(raw):
        raise Unfit('is an octal mode in quotes, such as "0700"')
    return int(raw, 8)


MODE = Leaf(_mode, lambda mode: f"{mode:04o}", 0)


def _owner(raw: Raw) -> Owner:
    match = _OWNER.match(raw) if isinstance(raw, str) else None
    if match is None:
        raise Unfit('is "UID:GID" in numbers, such as "999:999": names differ from image to image')
    uid, gid = int(match[1]), int(match[2])
    if max(uid, gid) > _ID_MAX:
        raise Unfit(f"has a number above {_ID_MAX}")
    return Owner(uid, gid)


OWNER = Leaf(_owner, lambda owner: f"{owner.uid}:{owner.gid}", Owner(0, 0))
