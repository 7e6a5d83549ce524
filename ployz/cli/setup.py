"""What `cluster init` and `machine join` have in common: the description of this machine, and its systemd unit."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import attrs

from ployz.cli.arguments import Parser
from ployz.cli.call import Call
from ployz.config import CONFIG_PATH, Config
from ployz.install.endpoint import endpoint

_DEFAULT: Final = attrs.fields(Config)


def add_setup_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--endpoint",
        type=endpoint,
        required=True,
        metavar="IP:PORT",
        help="where other machines reach this one's WireGuard: 192.0.2.7:51820 or [2001:db8::7]:51820",
    )
    parser.add_argument(
        "--pool", default=_DEFAULT.pool.default, metavar="POOL", help="the ZFS pool for volumes (default: %(default)s)"
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=_DEFAULT.state_dir.default,
        metavar="PATH",
        help="for the log, the key and the mounts (default: %(default)s)",
    )
    parser.add_argument(
        "--docker-socket",
        type=Path,
        default=_DEFAULT.docker_socket.default,
        metavar="PATH",
        help="where dockerd listens (default: %(default)s)",
    )
    add_config_argument(parser)


def add_config_argument(parser: Parser) -> None:
    parser.add_argument(
        "--config", type=Path, default=CONFIG_PATH, metavar="PATH", help="the file to write (default: %(default)s)"
    )


def setup_of(arguments: argparse.Namespace) -> Config:
    """This machine as it was described, in no cluster yet."""
    return Config(
        machine=arguments.machine,
        endpoint=arguments.endpoint,
        pool=arguments.pool,
        state_dir=arguments.state_dir.absolute(),
        docker_socket=arguments.docker_socket.absolute(),
    )


def next_steps(call: Call) -> None:
    """Installs the unit and makes the groups where systemd runs, and says how the node is started."""
    from ployz.install.groups import ensure_groups
    from ployz.install.systemd import install_unit

    config = call.arguments.config.absolute()
    installed = install_unit(config)
    if installed:
        for command in ensure_groups():
            call.out.note(f"So that others than root may use ployzctl: {command}")
        call.out.note(f"Start the node: systemctl enable --now {installed.name}")
    else:
        call.out.note(f"systemd does not run here. Start the node: ployzd --config {config}")
