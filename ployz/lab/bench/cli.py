"""bin/bench: which benchmarks there are, and running the chosen ones on a lab of their own."""
# ruff: noqa: T201 - a command prints

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs

from ployz.errors import Code, PloyzError, Refused
from ployz.lab.bench import again, authority, bulk, cutover, drain, facts, gateway, log, mounts, node, report, start
from ployz.lab.bench.lxd import daemon as lxd_daemon
from ployz.lab.bench.lxd import measure as lxd
from ployz.lab.bench.report import Row
from ployz.lab.bench.stage import Effort, Stage
from ployz.lab.operator import Operator
from ployz.lab.temporary import MACHINES, temporary_lab

Benchmark = Callable[[Stage], Sequence[Row]]

BENCHMARKS: Mapping[str, Benchmark] = {
    "memory": node.measure_memory,  # first: before anything has happened
    "ls": node.measure_ls,
    "cutover": cutover.measure,
    "lxd": lxd.measure,
    "bulk": bulk.measure,
    "again": again.measure,
    "gateway": gateway.measure,
    "drain": drain.measure,
    "log": log.measure,
    "start": start.measure,
    "authority": authority.measure,
    "mounts": mounts.measure,
    "facts": facts.measure,  # last: from then on the facts are on etcd
}
ON_ONE_MACHINE = frozenset({"mounts"})
BY_NAME_ALONE = frozenset({"mounts"})
PEER = "lxd"
QUICK = "quick"
MISSED = 1
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    started_s = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - started_s:6.1f} s  {line}", flush=True)

    try:
        if os.geteuid() != 0:
            raise Refused(Code.MISSING_PART, "the benchmarks make a lab: they need root", "Use sudo.")
        rows = _run(arguments, say)
    except PloyzError as error:
        print(f"error {error.problem}", *filter(None, [error.problem.advice]), sep="\n", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: the lab is down", file=sys.stderr)
        return INTERRUPTED
    report.show(rows)
    if arguments.json:
        report.write_json(rows, arguments.json)
    missed = [row.what for row in rows if row.ok is False]
    print(f"{len(missed)} of {len([row for row in rows if row.ok is not None])} targets missed")
    return MISSED if missed else 0


def _run(arguments: argparse.Namespace, say: Callable[[str], None]) -> Sequence[Row]:
    effort = Effort.quick() if QUICK in arguments.words else Effort.whole()
    if arguments.moves:
        effort = attrs.evolve(
            effort,
            cutover_moves=arguments.moves,
            gateway_moves=arguments.moves,
            lxd_rounds=arguments.moves,
            mount_deploys=arguments.moves,
        )
    chosen = _chosen(arguments.words, say)
    rows: list[Row] = []
    machines = 1 if set(chosen) <= ON_ONE_MACHINE else MACHINES
    with temporary_lab("bench", ["writer", "web"], say, pool_size="24G", machines=machines) as lab:
        stage = Stage(lab, Operator(lab), effort, say)
        for name in chosen:
            say(f"benchmark {name}")
            rows += BENCHMARKS[name](stage)
    return rows


def _chosen(words: Sequence[str], say: Callable[[str], None]) -> Sequence[str]:
    """`Refused` if what was asked for by name cannot run here; of all of them it is left out."""
    named = [word for word in words if word != QUICK]
    usual = [name for name in BENCHMARKS if name not in BY_NAME_ALONE]
    refused = lxd_daemon.refusal()
    if refused is None:
        return named or usual
    if PEER in named:
        raise refused
    if not named:
        say(f"{PEER} is left out: {refused.problem.text}. {refused.problem.advice}")
    return named or [name for name in usual if name != PEER]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/bench",
        description="Measures ployz on a lab of three machines, each number beside the same thing done by hand.",
        epilog="Exit codes: 0 every target is reached, 1 one is missed, 2 usage, 3 failed.",
    )
    known = (
        f"`{QUICK}`: smaller and fewer, under five minutes; and which ones: {', '.join(BENCHMARKS)} "
        f"(default: all that can run here, but {', '.join(BY_NAME_ALONE)})"
    )
    parser.add_argument("words", nargs="*", type=_word, metavar="WORD", help=known)
    parser.add_argument(
        "--moves",
        type=int,
        metavar="N",
        help="how many moves `cutover`, `lxd` and `gateway` make, and how many deploys `mounts`",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    return parser


def _word(word: str) -> str:
    if word not in (QUICK, *BENCHMARKS):
        raise argparse.ArgumentTypeError(f"there is no benchmark {word!r}; there are: {', '.join(BENCHMARKS)}")
    return word


if __name__ == "__main__":
    sys.exit(main())
