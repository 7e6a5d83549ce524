"""bin/crash: the command line, labs for as long as it takes, and the table in the end."""
# ruff: noqa: T201 - a command prints

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ployz.errors import Code, Failed, PloyzError, Refused
from ployz.facts.lock import LEASE_S
from ployz.lab.crash import case, table
from ployz.lab.crash.faults import POOL_SIZE, all_faults
from ployz.lab.crash.journal import Journal
from ployz.lab.crash.many import Many
from ployz.lab.crash.matrix import listen
from ployz.lab.crash.selection import AnyCase, current_commit, in_order, one_each
from ployz.lab.crash.stage import Stage
from ployz.lab.machine import programs_preloaded
from ployz.lab.temporary import temporary_lab

INTERRUPTED = 130
JOURNAL = Path("/var/tmp/ployz-crash.jsonl")  # noqa: S108 - written by root, for the next run of root


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    journal = Journal(arguments.journal)
    code = 0
    try:
        if os.geteuid() != 0:
            raise Refused(Code.MISSING_PART, "this makes a lab: it needs root", "Use sudo.")
        if not (arguments.beside or arguments.list or arguments.moves):
            journal.begin(current_commit(), again=arguments.again)
        with programs_preloaded(), _other_labs(arguments):
            _work(arguments, journal)
    except PloyzError as error:
        print(f"error {error.problem}", *filter(None, [error.problem.advice]), sep="\n", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("interrupted: the lab is down, and the same command goes on from here", file=sys.stderr)
        code = INTERRUPTED
    return code if arguments.list or arguments.moves or arguments.beside else _report(arguments, journal, code)


def _work(arguments: argparse.Namespace, journal: Journal) -> None:
    """What was not tried yet, and no other lab tries."""
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
        say(f"{len(cases)} cases")
        for number, each in enumerate(cases, start=1):
            if time.monotonic() - began_s > arguments.seconds:
                say(f"the time is over: {len(cases) - number + 1} cases were left out, but for those that others try")
                break
            if not journal.claim(str(each)):
                continue
            outcome = _try(stage, Path(folder), each)
            journal.add(outcome)
            say(f"{number}/{len(cases)} {table.line(outcome)}")
            if outcome.problem and arguments.stop:
                break


def _report(arguments: argparse.Namespace, journal: Journal, code: int) -> int:
    """Of everything that was tried so far, however this run ended."""
    outcomes = journal.outcomes()
    print(f"\n{table.summary(outcomes)}")
    if arguments.table and outcomes:
        arguments.table.write_text(table.document(outcomes, max(journal.expected(), len(outcomes)), current_commit()))
    unfinished = sorted(journal.unfinished())
    print(*(f"FAILED {each}: begun, and never ended" for each in unfinished), sep="\n", end="")
    return code or (0 if outcomes and not unfinished and not any(each.problem for each in outcomes) else 3)


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
    """Each in a process of its own, with the same journal: whichever lab is free takes the next case."""
    argv = [sys.executable, "-P", "-m", "ployz.lab.crash.cli", *_passed_on(arguments)]
    others = [
        subprocess.Popen([*argv, "--beside", "--name", f"{arguments.name}-{number}"])
        for number in range(2, arguments.labs + 1 if not (arguments.beside or arguments.list) else 0)
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
    for name in ("faults", "kills", "steps", "stop"):
        if getattr(arguments, name):
            yield f"--{name}"
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
    return in_order(one_each(cases, current_commit()) if arguments.steps else cases)


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
        "--steps",
        action="store_true",
        help="one case for each step of each role, and one for each kind of fault: which one follows from the commit",
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
    parser.add_argument("--beside", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
