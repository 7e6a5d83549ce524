"""Which commands there are, and one line about each: all that is known before one of them is imported.

`machine ls` is the module `commands/machine/ls.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Final, Protocol, cast

from attrs import frozen

from ployz.cli.arguments import Parser
from ployz.cli.call import Call


@frozen
class Group:
    about: str
    commands: Mapping[str, str]
    default: str | None = None
    """The command that is meant where only options follow the group: `deploy -f FILE`."""
    stands_alone: bool = False
    """Its default is meant where nothing follows, too."""


GROUPS: Final[Mapping[str, Group]] = {
    "cluster": Group(
        "Found a cluster, and see to its fact log.",
        {
            "init": "Found a cluster, with this machine as its first member.",
            "status": "Show who orders the facts, and how that is doing.",
            "upgrade-check": "Show whether the versions of all machines, and of this ployzctl, can work together.",
            "backup": "Copy the fact log to a file, while it is in use.",
            "restore": "Put a backup in the place of the fact log, with ployzd stopped.",
            "promote": "Move the fact log from the founding machine to etcd, for good.",
            "set": "Set what holds for the whole cluster.",
            "replace": "Give the place of a member of the cluster's own etcd to another machine.",
        },
    ),
    "machine": Group(
        "The machines of the cluster, and how another one joins it.",
        {
            "ls": "List the machines, and whether each one answers.",
            "show": "Show a machine, and what is set about it.",
            "set": "Set what a machine is for, and what it may use: a gateway, a bandwidth, labels.",
            "invite": "Invite one machine: print the token with which it joins, through this machine.",
            "invites": "List the invitations, or revoke one.",
            "join": "Make this machine a member, with what `machine invite` printed on one.",
            "add": "Make other machines members, over ssh: an invitation here, and `machine join` there.",
            "activate": "Let a machine get new services and volumes again.",
            "drain": "Keep new things away from a machine; with --migrate, move away what it has.",
            "standby": "Make a machine that has nothing a member that gets nothing.",
            "rm": "Take a machine out of the cluster.",
            "rotate-keys": "Give a machine another WireGuard key, while everything goes on.",
            "rtt": "Measure how long messages between the machines take.",
        },
    ),
    "deploy": Group(
        "Make a namespace what a manifest says.",
        {
            "apply": "Deploy a manifest, and watch it to its end. `ployzctl deploy -f FILE` is short for it.",
            "preview": "Show what a deploy would do, and everything that stands in its way. Changes nothing.",
            "watch": "Watch a deploy or a migration that is going on.",
            "ls": "List deploys and migrations, the newest first.",
            "show": "Show one deploy or migration.",
        },
        default="apply",
    ),
    "migrate": Group(
        "Move a running service, with its volumes, to another machine.",
        {
            "preview": "Show what a migration would do, how long its cut-over takes, and everything in its way.",
            "apply": "Migrate a service, and watch it to its end.",
            "render-manifest": "Print the manifest that `migrate apply` would deploy.",
        },
    ),
    "operation": Group(
        "Deploys and migrations in flight and in the past, from any machine.",
        {
            "ls": "List operations: those that go on first, with their phase, then the newest.",
            "show": "Show one operation; of one that goes on, its phase, or who ends it when its coordinator is gone.",
            "watch": "Watch an operation that goes on, whichever machine coordinates it.",
            "abort": "Abort an operation that is not decided. What it did is undone.",
            "resume": "Finish the clean-up of a committed operation; begin an aborted or abandoned one again.",
        },
    ),
    "service": Group(
        "The services that run in the cluster.",
        {
            "ls": "List the services, slot by slot.",
            "show": "Show a service: its part of the manifest, its slots and its volumes.",
            "logs": "Print what a service wrote to its output.",
            "rm": "Remove a service. Its volumes stay.",
        },
    ),
    "route": Group(
        "What gateways send where.",
        {"ls": "List the routes of every service, and the gateways that serve them."},
    ),
    "gateway": Group(
        "The machines that serve routes.",
        {"status": "Show what each gateway does: its backends, what they work on, what waits, what failed."},
    ),
    "volume": Group(
        "The volumes, and which machine owns each.",
        {
            "ls": "List the volumes.",
            "show": "Show a volume, and every copy of it.",
            "rm": "Destroy a volume that no service mounts, everywhere.",
            "drop-copy": "Destroy the older copy that a machine has of a volume which another one owns.",
            "takeover": "Give a volume whose machine is off for good to another one. What has not reached it is lost.",
        },
    ),
    "doctor": Group(
        "What is wrong on any machine of the cluster, and what to do about it.",
        {"examine": "Examine every machine, and show what is wrong with it. `ployzctl doctor` is short for it."},
        default="examine",
        stands_alone=True,
    ),
    "secret": Group(
        "What services are given to keep to themselves: passwords, keys.",
        {
            "set": "Give a secret a value, from the standard input. It is encrypted before it leaves this command.",
            "ls": "List the secrets, who uses each, and which machines can read it. Values are never shown.",
            "rm": "Remove a secret that no manifest declares.",
        },
    ),
    "events": Group(
        "The event log of this machine, or of an exported copy.",
        {
            "tail": "Print the newest events, and follow the log if asked.",
            "show": "Show one event in full.",
            "verify": "Walk the hash chain of the whole log, and read every event.",
            "replay": "Show placement, volumes and routes as they were at an event or a time.",
            "export": "Copy the log into a file, which every `events` command reads with --file.",
        },
    ),
}


class Command(Protocol):
    """What a module in `commands/` has."""

    def add_arguments(self, parser: Parser) -> None: ...

    def run(self, call: Call) -> int | None:
        """The exit code; None is 0. Errors are raised."""
        ...


def load(group: str, command: str) -> Command:
    return cast("Command", import_module(f"ployz.cli.commands.{group}.{command.replace('-', '_')}"))
