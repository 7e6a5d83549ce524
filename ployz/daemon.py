"""ployzd: reads the configuration, runs the node, and says in one line why it cannot."""

from __future__ import annotations

import argparse
import gc
import linecache
import logging
import os
import resource
import signal
import sys
from pathlib import Path

import anyio

from ployz import killpoints
from ployz.actors.cell import declared_error
from ployz.config import CONFIG_PATH, Config
from ployz.errors import PloyzError
from ployz.host.supervisor import Supervisor
from ployz.node import run_node
from ployz.surroundings import SOCKET_PATH
from ployz.wire import last_words


def main() -> int:
    parser = argparse.ArgumentParser(prog="ployzd", description="The daemon of one machine of a ployz cluster.")
    parser.add_argument("--config", type=Path, default=CONFIG_PATH, metavar="FILE", help="default: %(default)s")
    parser.add_argument("--verbose", action="store_true", help="log what the wire and the actors do")
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    keep_to_itself()
    _drop_what_importing_left()
    killpoints.arm(os.environ.get(killpoints.VARIABLE, ""))
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpcore").setLevel(logging.WARNING)
    try:
        anyio.run(_run_until_signalled, arguments.config, backend="trio")
    except BaseException as error:
        declared = declared_error(error)
        if declared is None:
            raise
        return _say(declared)
    return 0


def _drop_what_importing_left() -> None:
    """The text of every method that attrs has made, which only tracebacks print, and the classes that it has replaced.
    What runs takes that memory then, and not more.
    """
    linecache.clearcache()
    gc.collect()
    gc.freeze()  # nothing of it ever goes: no collection need look at it again


def keep_to_itself() -> None:
    """What this process and everything that it starts writes is its owner's, and none of it leaves a core file. What
    others must read is given its mode where it is written.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


async def _run_until_signalled(path: Path) -> None:
    """SIGTERM and SIGINT end the node, and nothing that it runs: containers and the overlay stay."""
    try:
        config = Config.load(path)
    except PloyzError as error:
        if path == CONFIG_PATH:
            last_words.leave(SOCKET_PATH, f"it ended: {error.problem}", error.problem.advice)
        raise
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_on_signal, tasks.cancel_scope)
            await run_node(config, Supervisor.taken_from())
            tasks.cancel_scope.cancel()
    except BaseException as error:
        declared = declared_error(error)
        words = str(declared.problem) if declared else repr(error)
        last_words.leave(config.socket, f"it ended: {words}", declared.problem.advice if declared else "")
        raise
    last_words.take_back(config.socket)


async def _cancel_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            logging.getLogger("ployz").info("ending on %s", signal.Signals(number).name)
            scope.cancel()
            return


def _say(error: PloyzError) -> int:
    sys.stderr.write(f"ployzd: error {error}\n")
    if error.problem.advice:
        sys.stderr.write(f"{error.problem.advice}\n")
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
