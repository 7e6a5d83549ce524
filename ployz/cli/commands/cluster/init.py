"""`ployzctl cluster init`: on the first machine, before there is a node."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from ployz.cli.arguments import Parser, named
from ployz.cli.blocks import Block, Fields, Heading
from ployz.cli.call import Call
from ployz.cli.setup import add_setup_arguments, next_steps, setup_of
from ployz.config import Founding
from ployz.ids import ClusterName, MachineId

_DEFAULT: Final = attrs.fields(Founding)


def add_arguments(parser: Parser) -> None:
    parser.add_argument("cluster", type=named(ClusterName), metavar="NAME", help="of the cluster")
    parser.add_argument(
        "--machine", type=named(MachineId), required=True, metavar="MACHINE", help="the name of this machine"
    )
    add_setup_arguments(parser)
    parser.add_argument(
        "--machine-subnet",
        default=_DEFAULT.machine_ipv4_subnet.default,
        metavar="SUBNET",
        help="IPv4 overlay addresses of machines; must not be in use in your networks (default: %(default)s)",
    )
    parser.add_argument(
        "--workload-subnet",
        default=_DEFAULT.workload_ipv4_subnet.default,
        metavar="SUBNET",
        help="IPv4 overlay addresses of containers; likewise (default: %(default)s)",
    )


def run(call: Call) -> None:
    from ployz.install.requirements import require
    from ployz.install.settling import found
    from ployz.wire.certificates import fingerprint

    arguments = call.arguments
    setup = setup_of(arguments)
    require(setup)
    founded = found(
        setup,
        arguments.config,
        arguments.cluster,
        machine_ipv4_subnet=arguments.machine_subnet,
        workload_ipv4_subnet=arguments.workload_subnet,
        entropy=os.urandom(5),
    )
    shown: Mapping[str, str | None] = {
        "cluster": founded.config.cluster,
        "machine": founded.config.machine,
        "endpoint": founded.config.endpoint,
        "public_key": founded.public_key,
        "fingerprint": fingerprint(founded.certificate),
        "ipv6_prefix": founded.founding.ipv6_prefix,
        "config": str(arguments.config),
    }
    call.out.show("cluster.founded", shown, render)
    next_steps(call)


def render(founded: Mapping[str, str | None]) -> Iterator[Block]:
    yield Heading(f"{founded['machine']} is the first machine of {founded['cluster']}")
    yield Fields(tuple((label.replace("_", " "), str(value)) for label, value in founded.items()), indent=2)
