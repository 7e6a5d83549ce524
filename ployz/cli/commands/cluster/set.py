"""`ployzctl cluster set KEY=VALUE`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.machine import ClusterSettingList, SetCluster
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Fields
from ployz.cli.call import ANSWER_S, Call
from ployz.errors import Refused, Usage
from ployz.projections.settings import CLUSTER_KINDS, parse_cluster_setting


def add_arguments(parser: Parser) -> None:
    kinds = "; ".join(f"{key}: {takes}" for key, takes in CLUSTER_KINDS.items())
    parser.add_argument("setting", metavar="KEY=VALUE", help=kinds)


def run(call: Call) -> None:
    setting: str = call.arguments.setting
    try:
        parse_cluster_setting(setting)
    except Refused as error:
        raise Usage(error.code, error.problem.text, error.problem.advice) from None
    told = call.node.ask("machine", SetCluster(setting), timeout_s=ANSWER_S)
    call.out.show("cluster.settings", told, render)


def render(told: ClusterSettingList) -> Iterator[Block]:
    yield Fields(tuple((each.key, each.value) for each in told.settings))
