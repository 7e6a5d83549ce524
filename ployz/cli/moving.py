"""The arguments of every `migrate` command: which service, and where to."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import TypeVar

from ployz.cli.arguments import Parser, named
from ployz.config import ANYWAY_S
from ployz.errors import Code, Usage
from ployz.ids import MachineId, ServiceRef
from ployz.manifest.quantities import InvalidQuantity, parse_duration, parse_size, size_text
from ployz.projections.settings import BANDWIDTH_BYTES_S_MIN

M = TypeVar("M")


def add_move_arguments(parser: Parser) -> None:
    parser.add_argument("service", type=named(ServiceRef.parse), metavar="NAMESPACE/SERVICE")
    parser.add_argument(
        "--to", type=named(MachineId), required=True, dest="to_machine", metavar="MACHINE", help="where it moves"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read every file on both machines, and compare digests: before the cut-over what was sent warm, in it "
        "what changed since",
    )
    parser.add_argument(
        "--bandwidth",
        type=bandwidth,
        dest="bandwidth_bytes_s",
        metavar="SIZE",
        help="what the volumes of this move may be sent with, all together, in bytes a second, such as 20M; in the "
        "cut-over too",
    )
    patience = parser.add_mutually_exclusive_group()
    patience.add_argument(
        "--max-cutover",
        type=duration,
        dest="max_cutover_s",
        metavar="TIME",
        help="what the cut-over may take, such as 5s: if it is expected to take longer when all that can be sent "
        "before was sent, nothing is stopped (default: three times the preview, and 10s at least)",
    )
    patience.add_argument(
        "--anyway", action="store_const", const=ANYWAY_S, dest="max_cutover_s", help="however long the cut-over takes"
    )


def move(message: Callable[..., M], arguments: Namespace) -> M:
    """The message of a `migrate` command."""
    return message(
        service=arguments.service,
        to_machine=arguments.to_machine,
        verify=arguments.verify,
        bandwidth_bytes_s=arguments.bandwidth_bytes_s,
        max_cutover_s=arguments.max_cutover_s,
    )


def duration(text: str) -> float:
    """Of an argument, in seconds."""
    try:
        return parse_duration(text)
    except InvalidQuantity as error:
        raise Usage(Code.USAGE, str(error)) from None


def bandwidth(text: str) -> int:
    """Of an argument, in bytes a second."""
    try:
        bytes_s = parse_size(text)
    except InvalidQuantity as error:
        raise Usage(Code.USAGE, str(error)) from None
    if bytes_s < BANDWIDTH_BYTES_S_MIN:
        raise Usage(
            Code.USAGE, f"the bandwidth is at least {size_text(BANDWIDTH_BYTES_S_MIN)} a second, not {text[:40]}"
        )
    return bytes_s
