"""What the documentation points to is there: files, headings, commands, tests. And it says nothing that it must not."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from ployz.cli.arguments import PROGRAM, Parser
from ployz.cli.tree import GROUPS, load
from ployz.errors import Code
from ployz.manifest import parse
from tests.runner.parts import DEFAULT

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

FORBIDDEN = re.compile(r"/wor[k]\b|\bissu[e]s?\b", re.IGNORECASE)
"""Where it was made, and how: nothing that a reader has. Spelled so that this line is not one of them."""
HOSTS = {"keepachangelog.com", "semver.org"}
"""The only ones that a page sends its readers to."""

_CODE_BLOCK = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_TEST = re.compile(r"`(tests/[a-z0-9_/]+\.py)(?:::(test_[a-z0-9_]+))?`")
_ENDS = {"|", ">", "<", "&&", ";", "||", "#", "…"}


@pytest.fixture(params=PAGES, ids=NAMES)
def page(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


# ---------------------------------------------------------------- links


def test_every_relative_link_leads_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(_prose(page)) if "://" not in link]
    assert [link for link in links if not _leads_somewhere(page, link)] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, pending = set[Path](), [ROOT / "README.md"]
    while pending:
        here = pending.pop()
        if here not in reached and here.exists():  # what is not there is told above
            reached.add(here)
            links = (here.parent / link.partition("#")[0] for link in _LINK.findall(_prose(here)) if "://" not in link)
            pending += [link.resolve() for link in links if link.suffix == ".md"]
    assert [name for name, each in zip(NAMES, PAGES, strict=True) if each not in reached] == []


def _leads_somewhere(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(page: Path) -> set[str]:
    """As the usual renderers make them of headings."""
    headings = _HEADING.findall(_prose(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _prose(page: Path) -> str:
    return _CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))


# ---------------------------------------------------------------- words


def test_a_page_does_not_speak_of_where_it_was_made(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if FORBIDDEN.search(line)] == []


def test_a_page_sends_its_readers_to_no_other_host(page: Path) -> None:
    """192.0.2.0/24 is for documentation: nobody is there."""
    hosts = re.findall(r"\bhttps?://(?!192\.0\.2\.)([^/\s)]+)", page.read_text(encoding="utf-8"))
    assert sorted(set(hosts) - HOSTS) == []


# ---------------------------------------------------------------- commands, codes and tests


def test_every_command_that_a_page_shows_exists(page: Path) -> None:
    wrong = [f"{line}: {why}" for line in _commands(page) if (why := _mistake(line))]
    assert wrong == []


def _commands(page: Path) -> Iterator[str]:
    """Every command line of ployzctl, from its name on."""
    text = page.read_text(encoding="utf-8")
    shown = [line for block in _CODE_BLOCK.findall(text) for line in _typed(block)]
    for line in [*shown, *_INLINE.findall(_CODE_BLOCK.sub("", text))]:
        for part in re.split(r"[|;]|&&", line):
            if (found := re.search(rf"(?<![\w/]){PROGRAM} (.*)", part)) is not None:
                yield found[1]


def _typed(block: str) -> Iterator[str]:
    """In a console, what follows a prompt; elsewhere the lines that begin like a command."""
    lines = block.splitlines()
    prompted = [line for line in lines if re.match(r"\s*[a-z-]*[$#] ", line)]
    yield from (prompted or [line for line in lines if line.lstrip().startswith(("bin/", PROGRAM, "sudo"))])


def _mistake(line: str) -> str:
    """Empty: its group, its command and its options exist."""
    words = [word for word in _words(line) if word != "--json"]
    if not words or words[0].isupper() or words[0].startswith("["):
        return ""
    group = GROUPS.get(words[0])
    if group is None:
        return "there is no such group"
    if len(words) == 1:
        return ""
    rest = words[1:]
    if rest[0].startswith("-") and group.default:
        rest.insert(0, group.default)
    if rest[0].isupper() or rest[0].startswith("-"):
        return ""
    if rest[0] not in group.commands:
        return "there is no such command"
    parser = Parser(PROGRAM, "")
    load(words[0], rest[0]).add_arguments(parser)
    return _unknown_options(parser, rest[1:])


def _words(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    return words[: next((at for at, word in enumerate(words) if word in _ENDS), len(words))]


def _unknown_options(parser: Parser, words: list[str]) -> str:
    """Only options: in prose the arguments are left out."""
    known = {option for action in parser._actions for option in action.option_strings}
    unknown = [word for word in words if word.startswith("-") and word != "-" and word not in known]
    return f"there is no {', '.join(unknown)}" if unknown else ""


def test_every_error_code_that_a_page_shows_exists(page: Path) -> None:
    shown = re.findall(r"error \[([a-z-]+)\]", page.read_text(encoding="utf-8"))
    assert [code for code in shown if code not in set(Code)] == []


def test_every_test_that_a_page_names_exists(page: Path) -> None:
    named = _TEST.findall(page.read_text(encoding="utf-8"))
    assert [f"{path}::{test}" for path, test in named if not _is_there(path, test)] == []


def _is_there(path: str, test: str) -> bool:
    file = ROOT / path
    return file.exists() and (not test or f"def {test}(" in file.read_text(encoding="utf-8"))


def test_what_holds_a_guarantee_runs_by_default_or_is_said_to_be_on_demand() -> None:
    by_default = {word for part in DEFAULT for step in part.steps for word in step.argv if word.startswith("tests/")}
    lines = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8").splitlines()
    elsewhere = [
        line
        for line in lines
        if any("/".join(path.split("/")[:2]) not in by_default for path, _ in _TEST.findall(line))
        and "on demand" not in line
    ]
    assert elsewhere == []


# ---------------------------------------------------------------- the checks themselves


@pytest.mark.parametrize("line", ["migrat apply a/b", "migrate start a/b", "migrate apply a/b --target machine-b"])
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    assert _mistake(line)


def test_a_manifest_that_a_guide_shows_is_read_without_a_mistake(page: Path) -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for block in blocks:
        if block.lstrip().startswith("namespace"):
            parse(block)
