"""Which files of tests belong to what was changed: a function of the paths, the imports and what each file costs.

Those that are meant first, then by the distance of their imports until the budget is spent, the cheap ones of one
distance first. So a change at the bottom, which everything imports, takes no longer than any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Final

from attrs import frozen

from tests.checking.graph import Graph, is_test

BUDGET_S: Final = 50.0
"""Of CPU, for the tests of one run: with the static checks beside them, well under a minute on two cores."""

UNLISTED_S: Final = 0.3
"""What a file of tests costs that the table of costs does not list."""

HERE: Final = ("tests/unit/", "tests/golden/", "tests/fuzz/", "tests/contracts/")
"""What can be run without root and real parts. Of contracts, the tests on fakes."""

ALWAYS: Final = ("tests/unit/test_clock.py", "tests/unit/test_docs.py", "tests/unit/test_killpoints.py")
"""They read the sources or the pages of the whole project, and cost little: whatever was changed, they run."""

EVERYTHING: Final = "*"

READERS: Final[Sequence[tuple[str, tuple[str, ...]]]] = (
    ("CONTRIBUTING.md", ("tests/unit/test_contributing.py",)),
    ("docs/reference/cli.md", ("tests/unit/test_reference.py", "tests/unit/cli/test_command_line.py")),
    ("docs/reference/*.md", ("tests/unit/test_reference.py",)),
    ("*.md", ("tests/unit/test_docs.py",)),
    ("tests/golden/events/*", ("tests/golden/test_events.py",)),
    ("tests/golden/cli/*", ("tests/unit/cli/terminal.py",)),
    ("tests/golden/haproxy/*", ("tests/unit/host/test_haproxy.py",)),
    ("tests/checking/costs.txt", ("tests/checking/costs.py",)),
    ("ployz/host/haproxy/hold.lua", ("ployz/host/haproxy/config.py",)),
    ("ployz/install/units/*", ("ployz/install/systemd.py",)),
    ("ployz/lab/images/*", ("tests/unit/lab/test_images.py",)),
    ("ployz/lab/guest/*", ("ployz/lab/guest/recipe.py",)),
    ("ployz/lab/bench/*", ("ployz/lab/bench/gateway.py",)),
    ("ployz/lab/demo/*", ("ployz/lab/demo/story.py",)),
    ("ployz/lab/packages.*", ("tests/unit/lab/test_packages.py",)),
    ("bin/*", ("tests/unit/checking/test_programs.py", "tests/unit/cli/test_command_line.py")),
    ("pyproject.toml", (EVERYTHING,)),
    (".ci/*", ()),
    (".gitignore", ()),
    ("LICENSE", ()),
)
"""Who reads a file that is no Python: a file of tests, or a module whose importers count as its own. The first row
that matches."""


@frozen
class Chosen:
    path: str
    why: str


@frozen
class Selection:
    chosen: tuple[Chosen, ...]
    too_far: tuple[str, ...]
    """They import what was changed, and the budget was spent."""
    elsewhere: tuple[str, ...]
    """Changed themselves, or named after what was, and not for this check: they need real parts, or many minutes."""
    cost_s: float


def readers(path: str) -> tuple[str, ...]:
    """Of a file that is no Python. What nobody knows may be read by anything."""
    return next((found for pattern, found in READERS if fnmatchcase(path, pattern)), (EVERYTHING,))


def named_after(path: str) -> tuple[str, ...]:
    """Patterns of tests: of ployz/host/zfs/parse.py tests/unit/host/zfs/test_parse.py, host/test_zfs_parse.py, ..."""
    file = PurePosixPath(path)
    if file.suffix != ".py" or file.parts[0] not in {"ployz", "tests"}:
        return ()
    names = file.with_suffix("").parts
    names = names[1:] if names[0] == "ployz" else names[1:] if names[1:2] == ("checking",) else ()
    if names[-1:] == ("__init__",):
        names = names[:-1]
    stems = ["/".join(("tests/unit", *names[:at], "test_" + "_".join(names[at:]))) for at in range(len(names))]
    return tuple(pattern for stem in stems for pattern in (f"{stem}.py", f"{stem}_*.py"))


def select(changed: Iterable[str], graph: Graph, costs: Mapping[str, float], budget_s: float = BUDGET_S) -> Selection:
    """`changed` are paths from the root, of files that may be gone. A budget of infinity: all that can be run here."""
    changed = sorted(set(changed))
    tests = sorted(path for path in graph.importers if is_test(path))
    meant = list(_meant(changed, tests))
    chosen = {each.path: each for each in reversed(meant) if each.path.startswith(HERE)}
    chosen = {path: chosen[path] for path in dict.fromkeys(each.path for each in meant) if path in chosen}
    spent_s = sum(costs.get(path, UNLISTED_S) for path in chosen)
    too_far = []
    for distance, cost_s, path in _by_distance(changed, tests, graph, costs):
        if path in chosen or not path.startswith(HERE):
            continue
        if spent_s + cost_s > budget_s:
            too_far.append(path)
            continue
        chosen[path] = Chosen(path, f"{distance} import{'s' * (distance != 1)} away" if distance else "reads it")
        spent_s += cost_s
    elsewhere = tuple(sorted({each.path for each in meant if not each.path.startswith(HERE)}))
    return Selection(tuple(chosen.values()), tuple(sorted(too_far)), elsewhere, spent_s)


def _meant(changed: Sequence[str], tests: Sequence[str]) -> Iterator[Chosen]:
    """Whatever they cost; the first reason counts."""
    yield from (Chosen(path, "changed") for path in changed if path in tests)
    for path in changed:
        yield from (Chosen(each, "named after it") for each in _matching(tests, named_after(path)))
        if not path.endswith(".py"):
            yield from (Chosen(each, "reads it") for each in readers(path) if each in tests)
    yield from (Chosen(path, "whatever was changed") for path in ALWAYS if path in tests)


def _matching(tests: Sequence[str], patterns: Sequence[str]) -> Iterator[str]:
    return (path for path in tests if any(fnmatchcase(path, pattern) for pattern in patterns))


def _by_distance(
    changed: Sequence[str], tests: Sequence[str], graph: Graph, costs: Mapping[str, float]
) -> list[tuple[int, float, str]]:
    begun = {each for path in changed for each in ([path] if path.endswith(".py") else readers(path))}
    distances = dict.fromkeys(tests, 0) if EVERYTHING in begun else graph.distances(begun)
    return sorted((distances[path], costs.get(path, UNLISTED_S), path) for path in tests if path in distances)
