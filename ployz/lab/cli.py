"""bin/lab: the lab's command line, as it is parsed and carried out. Help texts here are the reference."""
# ruff: noqa: T201 - a command prints, and nothing else in the lab does

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence

from ployz.errors import Code, PloyzError, Refused, Usage
from ployz.ids import InvalidName
from ployz.lab.lab import Lab
from ployz.lab.state import LabName
from ployz.lab.switch import validate_rate

POOL_SIZE = "8G"

Command = Callable[[Lab, argparse.Namespace], None]


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    started_s = time.monotonic()

    def say(line: str) -> None:
        # One write, so that the lines of several threads never mix.
        sys.stdout.write(f"{time.monotonic() - started_s:5.1f} s  {line}\n")
        sys.stdout.flush()

    try:
        if os.geteuid() != 0:
            raise Refused(Code.MISSING_PART, "a lab makes namespaces and mounts: it needs root", "Use sudo.")
        command: Command = arguments.command
        command(Lab(LabName(arguments.name), say=say), arguments)
    except InvalidName as error:
        return _report(Usage(Code.INVALID_NAME, str(error)))
    except PloyzError as error:
        return _report(error)
    return 0


def _report(error: PloyzError) -> int:
    print(f"error {error.problem}", file=sys.stderr)
    if error.problem.advice:
        print(error.problem.advice, file=sys.stderr)
    return error.exit_code


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="bin/lab",
        description="Several real machines on this host, each with its own ZFS pool, WireGuard, Docker and ployzd.",
        epilog="Exit codes: 0 done, 1 refused, 2 usage, 3 failed; `exec` ends with the code of its command.",
    )
    name = "which lab, if there are several (default: lab)"
    root.add_argument("--name", default="lab", metavar="LAB", help=name)
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument("--name", default=argparse.SUPPRESS, metavar="LAB", help=name)
        added.set_defaults(command=command)
        return added

    up = add("up", _up, "Start what is missing, so that all machines are up and active in one cluster.")
    up.add_argument("--machines", type=int, default=3, metavar="N", help="machine-a, machine-b, … (default: 3)")
    _add_pool_size(up)
    up.add_argument(
        "--facts",
        choices=("embedded", "etcd"),
        default="embedded",
        help="who orders the facts: the first machine, or etcd on the first three (default: embedded)",
    )
    up.add_argument("--bare", action="store_true", help="without ployzd: machines to try the drivers on")

    add("down", _down, "Remove the lab: no process, namespace, mount, interface or file is left.")

    status = add("status", _status, "Show the machines, what runs on them, and what was done to their links.")
    status.add_argument("--json", action="store_true", help="one JSON object")

    execute = add("exec", _exec, "Run a command in a machine. Input, output and exit code pass through.")
    _add_machine(execute)
    execute.add_argument(
        "argv", nargs=argparse.REMAINDER, metavar="-- CMD …", help="ployzctl and docker are on its PATH"
    )

    crash = add("crash", _crash, "Cut a machine's power: everything in it is SIGKILLed, its disk stays.")
    _add_machine(crash)

    boot = add(
        "boot", _boot, "Give a machine its power back: pool, containers and membership are as its disk has them."
    )
    _add_machine(boot)
    _add_pool_size(boot)

    daemon = add("daemon", _daemon, "Kill (SIGKILL) or start ployzd alone; containers and ZFS run on.")
    _add_machine(daemon)
    daemon.add_argument("action", choices=("kill", "start"))

    cut = add("cut", _cut, "Drop every frame between two machines.")
    cut.add_argument("first", metavar="A")
    cut.add_argument("second", metavar="B")
    cut.add_argument("--one-way", action="store_true", help="only what A sends to B")

    heal = add("heal", _heal, "Undo every cut between two machines, or all cuts.")
    heal.add_argument("pair", nargs="*", metavar="A B")

    limit = add("limit", _limit, "Limit what a machine can send and what it can receive.")
    _add_machine(limit)
    limit.add_argument("rate", metavar="RATE", help="for each way: 500kbit, 10mbit, 1gbit; `none` lifts it")

    image = add("image", _image, "Build container images from this host's programs, without a registry, and load them.")
    image.add_argument("images", nargs="+", metavar="IMAGE", help="postgres, redis, web, writer")
    image.add_argument(
        "--machine", action="append", metavar="MACHINE", help="only there; may be repeated (default: all)"
    )
    return root


def _add_machine(command: argparse.ArgumentParser) -> None:
    command.add_argument("machine", metavar="MACHINE")


def _add_pool_size(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--pool-size", default=POOL_SIZE, metavar="SIZE", help=f"of a new pool (default: {POOL_SIZE}, sparse)"
    )


def _up(lab: Lab, arguments: argparse.Namespace) -> None:
    lab.up(arguments.machines, pool_size=arguments.pool_size, bare=arguments.bare, etcd=arguments.facts == "etcd")


def _down(lab: Lab, _: argparse.Namespace) -> None:
    lab.down()


def _status(lab: Lab, arguments: argparse.Namespace) -> None:
    from ployz.lab import status

    found = status.look(lab)
    if arguments.json:
        print(json.dumps(found.to_json()))
    else:
        status.show(found)


def _exec(lab: Lab, arguments: argparse.Namespace) -> None:
    command = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    if not command:
        raise Usage(Code.USAGE, "no command given", "Write bin/lab exec MACHINE -- CMD …")
    argv = lab.command_line(arguments.machine, command)
    os.execvp(argv[0], argv)  # noqa: S606 - replaces this process, so that input, output, signals and exit code are the command's own


def _crash(lab: Lab, arguments: argparse.Namespace) -> None:
    lab.crash(arguments.machine)


def _boot(lab: Lab, arguments: argparse.Namespace) -> None:
    lab.boot(arguments.machine, pool_size=arguments.pool_size)


def _daemon(lab: Lab, arguments: argparse.Namespace) -> None:
    if arguments.action == "kill":
        lab.kill_node(arguments.machine)
    else:
        lab.start_node(arguments.machine)


def _cut(lab: Lab, arguments: argparse.Namespace) -> None:
    lab.cut(arguments.first, arguments.second, one_way=arguments.one_way)


def _heal(lab: Lab, arguments: argparse.Namespace) -> None:
    match arguments.pair:
        case []:
            lab.heal_all()
        case [first, second]:
            lab.heal(first, second)
        case _:
            raise Usage(Code.USAGE, "heal takes two machines, or none for all cuts")


def _limit(lab: Lab, arguments: argparse.Namespace) -> None:
    lab.limit(arguments.machine, None if arguments.rate == "none" else validate_rate(arguments.rate))


def _image(lab: Lab, arguments: argparse.Namespace) -> None:
    from ployz.lab.images.load import load

    load(lab, arguments.images, arguments.machine or lab.state().machines)


if __name__ == "__main__":
    sys.exit(main())
