"""`ployzctl cluster restore FILE` on the founding machine, and without a file on every other one. ployzd is stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Fields, Heading
from ployz.cli.call import Call
from ployz.cli.setup import add_config_argument
from ployz.config import Config


def add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "path",
        type=Path,
        nargs="?",
        metavar="FILE",
        help="what `cluster backup` made, on the founding machine; on every other machine, no file",
    )
    add_config_argument(parser)
    parser.add_yes()


def run(call: Call) -> None:
    from ployz.install.restoring import forget_etcd, restore

    config, backup = Config.load(call.arguments.config), call.arguments.path
    what = "The facts go on after the last one in it" if backup else "This machine asks the founding machine again"
    call.confirm(f"{what}, and the etcd of before is given up.", expected="restore")
    if backup is None:
        position, set_aside = None, forget_etcd(config)
    else:
        restored = restore(config, backup)
        position, set_aside = restored.position, restored.set_aside
    shown = {"machine": config.machine, "position": position, "set_aside": [str(each) for each in set_aside]}
    call.out.show("cluster.restored", shown, render)
    if backup is not None:
        call.out.note("Start ployzd here, then on the others, after `ployzctl cluster restore` there: without a file.")


def render(shown: Mapping[str, Any]) -> Iterator[Block]:
    if shown["position"] is not None:
        yield Heading(f"{shown['machine']} orders the facts, and goes on after fact {shown['position']}")
    else:
        yield Heading(f"{shown['machine']} asks the founding machine for facts")
    if shown["set_aside"]:
        yield Fields(tuple(("set aside", each) for each in shown["set_aside"]), indent=2)
