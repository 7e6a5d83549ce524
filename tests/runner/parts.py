"""What `bin/test` can run, as values: each part with its commands, the lane that it runs in, and a line of help.

Which of them run, and in which order, is a function of the arguments and of the commit alone.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from attrs import evolve, field, frozen

ROOT: Final = Path(__file__).parents[2]
BIN: Final = Path(sys.executable).parent
"""Of the virtual environment, where the tools are."""
PYTHON: Final = (sys.executable, "-P")
LABS: Final = 2
"""Side by side in `e2e`: one test waits for a lease while another computes."""
CRASH_LABS: Final = 2
NICE: Final = 10
"""Of what only computes, on a virtual clock: beside it run tests whose parts have deadlines of the real one."""
JOURNAL: Final = "{folder}/crash.jsonl"
"""In the folder of the run, which goes with it."""
LONG_MINUTES: Final = 30
OWN_S: Final = 7200
"""What a part may take that is only run on demand."""


class Lane(StrEnum):
    """Lanes run side by side, and the parts of one lane one after the other."""

    PROCESSOR = "processor"
    LABS = "labs"
    CRASH = "crash"


@frozen
class Step:
    """One command. `suite`: it is pytest's, whose closing line says how many passed."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(factory=dict)
    suite: bool = False
    nice: int = 0


@frozen
class Part:
    name: str
    about: str
    lane: Lane
    steps: tuple[Step, ...]
    on_demand: bool = False


def suite(name: str, folder: str, *options: str, nice: int = 0, **environment: str) -> Step:
    """The tests of a folder below `tests`. Properties draw the same each time (`same`, see tests/conftest.py)."""
    argv = (*PYTHON, "-m", "pytest", "--quiet", "--durations=5", "--hypothesis-profile=same", *options)
    argv = (*argv, f"tests/{folder}")
    return Step(name, argv, environment, suite=True, nice=nice)


def tool(name: str, *argv: str, nice: int = 0) -> Step:
    return Step(name, (str(BIN / argv[0]), *argv[1:]), nice=nice)


def command(name: str, *argv: str) -> Step:
    """A program of `bin/`."""
    return Step(name, (str(ROOT / "bin" / argv[0]), *argv[1:]))


def side_by_side(labs: int) -> tuple[str, ...]:
    """A lab for each, which takes one file of tests after the other: some files have a lab of their own."""
    return ("-n", str(labs), "--dist", "loadfile")


DEFAULT: Final = (
    Part(
        "static",
        "format, lint, types and layers",
        Lane.PROCESSOR,
        (
            tool("format", "ruff", "format", "--check", ".", nice=NICE),
            tool("lint", "ruff", "check", ".", nice=NICE),
            tool("types", "mypy", nice=NICE),
            tool("layers", "lint-imports", nice=NICE),
        ),
    ),
    Part("unit", "pure parts, and clusters on fakes", Lane.PROCESSOR, (suite("unit", "unit", "-n", "2", nice=NICE),)),
    Part(
        "golden",
        "stored bytes and printed words, as they were",
        Lane.PROCESSOR,
        (suite("golden", "golden", nice=NICE),),
    ),
    Part("fuzz", "a bounded part of bin/fuzz", Lane.PROCESSOR, (suite("fuzz", "fuzz", "-n", "2", nice=NICE),)),
    Part(
        "sim",
        "2,000 simulated runs with faults, and every mutant",
        Lane.PROCESSOR,
        (suite("sim", "sim", nice=NICE),),
    ),
    Part(
        "contracts",
        "each driver, fake and real, against one suite",
        Lane.CRASH,
        (suite("contracts", "contracts", "-n", "2", "--dist", "loadfile"),),
    ),
    Part("e2e", "moves and all else in a lab, on real parts", Lane.LABS, (suite("e2e", "e2e", *side_by_side(LABS)),)),
    Part(
        "crash-steps",
        "one kill at each step of each role, one fault of each kind; which one, the commit says",
        Lane.CRASH,
        (command("crash-steps", "crash", "--steps", "--again", "--labs", str(CRASH_LABS), "--journal", JOURNAL),),
    ),
)

ON_DEMAND: Final = (
    Part(
        "crash",
        "the whole matrix: about an hour",
        Lane.CRASH,
        (command("crash", "crash", "--again", "--labs", str(CRASH_LABS)),),
        on_demand=True,
    ),
    Part(
        "etcd",
        "the moves of e2e with the facts on an etcd: about half an hour",
        Lane.LABS,
        (suite("etcd", "e2e", "-m", "moves", *side_by_side(LABS), PLOYZ_FACTS="etcd"),),
        on_demand=True,
    ),
    Part(
        "openzfs",
        "two virtual machines with OpenZFS in their kernel: an hour or more",
        Lane.LABS,
        (
            command("packages", "setup", "openzfs"),
            command("guest", "guest", "build"),
            suite("openzfs", "openzfs", "--verbose", PLOYZ_OPENZFS="1"),
        ),
        on_demand=True,
    ),
    Part(
        "other-debian",
        "bin/demo and the quick tests on a fresh root of the other Debian release: some minutes",
        Lane.LABS,
        (command("packages", "setup", "other-debian"), Step("other-debian", (*PYTHON, "-m", "ployz.lab.release.cli"))),
        on_demand=True,
    ),
    Part(
        "lxd",
        "the same move by LXD, measured: half an hour",
        Lane.LABS,
        (command("packages", "setup", "lxd"), command("lxd", "bench", "lxd")),
        on_demand=True,
    ),
    Part(
        "fuzz-long",
        f"every reader with new numbers, {LONG_MINUTES} minutes",
        Lane.PROCESSOR,
        (command("fuzz-long", "fuzz", "--minutes", str(LONG_MINUTES)),),
        on_demand=True,
    ),
    Part(
        "sim-long",
        f"simulated runs with new seeds, {LONG_MINUTES} minutes",
        Lane.PROCESSOR,
        (command("sim-long", "sim", "--minutes", str(LONG_MINUTES)),),
        on_demand=True,
    ),
)

QUICK: Final = (
    *(each for each in DEFAULT if each.name in ("unit", "golden", "fuzz")),
    Part(
        "sim-part",
        "some hundred simulated runs",
        Lane.PROCESSOR,
        (suite("sim-part", "sim/test_scenarios.py", nice=NICE, PLOYZ_SIM_RUNS="500"),),
    ),
    Part(
        "contracts-fakes",
        "the suites of the drivers, on their fakes",
        Lane.PROCESSOR,
        (suite("contracts-fakes", "contracts", "-m", "not real", "-n", "2", nice=NICE),),
    ),
)
"""What needs no part of the system."""

PARTS: Final[Mapping[str, tuple[Part, ...]]] = {
    **{each.name: (each,) for each in (*DEFAULT, *ON_DEMAND)},
    "quick": QUICK,
}
"""By what may be asked for."""


def chosen(names: Sequence[str], arguments: Sequence[str] = ()) -> tuple[Part, ...]:
    """What was asked for, each part once; without names all that has to be green.

    `arguments` go to every pytest. `KeyError`: a name that is none.
    """
    wanted = [part for name in names for part in PARTS[name]] if names else list(DEFAULT)
    parts = {part.name: part for part in wanted}.values()
    return tuple(evolve(part, steps=tuple(_with(step, arguments) for step in part.steps)) for part in parts)


def _with(step: Step, arguments: Sequence[str]) -> Step:
    return evolve(step, argv=(*step.argv, *arguments)) if step.suite else step
