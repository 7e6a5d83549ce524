"""bin/crash: the command line, labs for as long as it takes, and the table in the end."""
# ruff: noqa: T201 - a command prints

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ployz.errors import Code, Failed, PloyzError, Refused
from ployz.facts.lock import LEASE_S
from ployz.lab.crash import case, table
from ployz.lab.crash.faults import POOL_SIZE, FaultCase, all_faults
from ployz.lab.crash.journal import Journal
from ployz.lab.crash.many import Many
from ployz.lab.crash.matrix import Case, listen
from ployz.lab.crash.stage import Stage
from ployz.lab.temporary import temporary_lab

INTERRUPTED = 130
DAY_S = 24 * 3600
SHARES_MAX = 64
"""Labs side by side: what a lab tries and what a day tries are chosen by different digits."""
STRIDE = 37
"""Far from one case to the next: neighbours in the list are points close to each other."""
JOURNAL = Path("/var/tmp/ployz-crash.jsonl")  # noqa: S108 - written by root, for the next run of root

AnyCase = Case | FaultCase


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    arguments.share = arguments.share or (0, arguments.labs)
    journal = Journal(arguments.journal)
    code = 0
    try:
        if os.geteuid() != 0:
            raise Refused(Code.MISSING_PART, "this makes a lab: it needs root", "Use sudo.")
        if arguments.share[0] == 0 and not (arguments.list or arguments.moves):
            journal.begin(_commit(), again=arguments.again)
        with _other_labs(arguments):
            _work(arguments, journal)
    except PloyzError as error:
        print(f"error {error.problem}", *filter(None, [error.problem.advice]), sep="\n", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("interrupted: the lab is down, and the same command goes on from here", file=sys.stderr)
        code = INTERRUPTED
    return code if arguments.list or arguments.moves or arguments.share[0] > 0 else _report(arguments, journal, code)


def _work(arguments: argparse.Namespace, journal: Journal) -> None:
    """This lab's share of what is not tried yet."""
    began_s = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began_s:6.1f} s  {arguments.name}: {line}", flush=True)

    with (
        temporary_lab(arguments.name, ["web"], say, pool_size=POOL_SIZE) as lab,
        TemporaryDirectory(prefix="ployz-crash-") as folder,
    ):
        stage = Stage(lab)
        stage.prepare()
        if arguments.moves:
            seed = arguments.seed if arguments.seed is not None else int(time.time())
            say(f"{arguments.moves} moves, seed {seed}")
            Many(stage, Path(folder), seed, say).run(arguments.moves)
            return
        cases = _chosen(stage, arguments)
        if arguments.list:
            print(*cases, sep="\n")
            return
        journal.expect(len(cases))
        done = journal.done()
        todo = [each for each in cases if str(each) not in done and _is_mine(each, arguments.share)]
        say(f"{len(cases)} cases, {len(todo)} of them to be tried here")
        for number, each in enumerate(todo, start=1):
            if time.monotonic() - began_s > arguments.seconds:
                say(f"the time is over: {len(todo) - number + 1} cases were left out")
                break
            outcome = _try(stage, Path(folder), each)
            journal.add(outcome)
            say(f"{number}/{len(todo)} {table.line(outcome)}")
            if outcome.problem and arguments.stop:
                break


def _report(arguments: argparse.Namespace, journal: Journal, code: int) -> int:
    """Of everything that was tried so far, however this run ended."""
    outcomes = journal.outcomes()
    print(f"\n{table.summary(outcomes)}")
    if arguments.table and outcomes:
        arguments.table.write_text(table.document(outcomes, max(journal.expected(), len(outcomes)), _commit()))
    return code or (0 if outcomes and not any(each.problem for each in outcomes) else 3)


def _try(stage: Stage, folder: Path, each: AnyCase) -> case.Outcome:
    """What a case leaves in disorder is put in order for the next one, as far as an `up` can."""
    try:
        outcome = case.run(stage, folder, each)
    except Failed as error:
        outcome = case.failing(each, error)
    if outcome.problem:
        stage.lab.heal_all()
        stage.lab.up(len(stage.machines), pool_size=POOL_SIZE, bare=False)
        time.sleep(LEASE_S)  # for the lock of what was left undone
    return outcome


@contextmanager
def _other_labs(arguments: argparse.Namespace) -> Iterator[None]:
    """Each in a process of its own, with its share of the cases and the same journal."""
    argv = [sys.executable, "-P", "-m", "ployz.lab.crash.cli", *_passed_on(arguments)]
    others = [
        subprocess.Popen([*argv, "--share", f"{number}/{arguments.labs}", "--name", f"{arguments.name}-{number + 1}"])
        for number in range(1, arguments.labs if arguments.share[0] == 0 and not arguments.list else 0)
    ]
    try:
        yield
    except BaseException:
        for each in others:
            each.terminate()
        raise
    finally:
        for each in others:
            each.wait()


def _passed_on(arguments: argparse.Namespace) -> Iterator[str]:
    for name in ("faults", "kills", "stop"):
        if getattr(arguments, name):
            yield f"--{name}"
    yield from ("--rotate", str(arguments.rotate))
    yield from ("--seconds", str(arguments.seconds), "--journal", str(arguments.journal))
    if arguments.points:
        yield from ("--points", *arguments.points)


def _chosen(stage: Stage, arguments: argparse.Namespace) -> list[AnyCase]:
    cases: list[AnyCase] = []
    if not arguments.faults:
        cases += listen(stage)
    if not arguments.kills:
        cases += all_faults()
    cases = [each for each in cases if not arguments.points or any(word in str(each) for word in arguments.points)]
    return todays(cases, int(time.time() // DAY_S), arguments.rotate)


def _is_mine(each: AnyCase, share: tuple[int, int]) -> bool:
    """By its name alone: labs that listened to different migrations agree on it."""
    return _number(each) % share[1] == share[0]


def todays(cases: Sequence[AnyCase], today: int, days: int) -> list[AnyCase]:
    """All of them in so many days, each day such that the first few are of every kind."""
    chosen = [each for each in cases if _number(each) // SHARES_MAX % days == today % days]
    stride = next(each for each in range(STRIDE, STRIDE + len(chosen) + 2) if math.gcd(each, len(chosen)) == 1)
    return [chosen[(number * stride + today) % len(chosen)] for number in range(len(chosen))]


def _number(each: AnyCase) -> int:
    return zlib.crc32(str(each).encode())


def _commit() -> str:
    here = Path(__file__).parent
    return subprocess.run(
        ["git", "-C", here, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()


def _share(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    return int(number), int(of)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/crash",
        description="Moves a service under load again and again, and each time lets one thing go wrong: ployzd killed "
        "at each step, a power cut, a link, a full pool. Checks what becomes of it. Given again, it goes on with what "
        "was not tried yet at this commit.",
        epilog="Exit codes: 0 all recovered, 1 refused, 2 usage, 3 some did not recover or none was tried, "
        "130 interrupted.",
    )
    parser.add_argument(
        "--points", nargs="+", metavar="WORD", help="only cases whose line has one of these words in it"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--kills", action="store_true", help="of ployzd at its steps, and nothing else")
    which.add_argument("--faults", action="store_true", help="of everything but ployzd, and nothing else")
    which.add_argument("--moves", type=int, default=0, metavar="N", help="instead: N moves in a row, for what leaks")
    parser.add_argument("--seed", type=int, metavar="SEED", help="of the faults of --moves (default: the time)")
    parser.add_argument("--list", action="store_true", help="say which cases there are, and try none")
    parser.add_argument(
        "--rotate",
        type=int,
        default=1,
        metavar="DAYS",
        help="a part of them a day, and all in so many",
    )
    parser.add_argument("--seconds", type=float, default=float("inf"), metavar="S", help="begin no case after so long")
    parser.add_argument("--stop", action="store_true", help="at the first failure")
    parser.add_argument("--again", action="store_true", help="begin anew, whatever was tried at this commit")
    parser.add_argument("--labs", type=int, default=1, metavar="N", help="side by side (default: 1)")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the outcome of every case there")
    parser.add_argument(
        "--journal", type=Path, default=JOURNAL, metavar="FILE", help=f"of what was tried (default: {JOURNAL})"
    )
    parser.add_argument("--name", default="crash", metavar="LAB", help="of the lab (default: crash)")
    parser.add_argument("--share", type=_share, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
