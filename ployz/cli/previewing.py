"""Previewing an operation: the plan that apply would carry out, and exit code 1 when it would be refused."""

from __future__ import annotations

from ployz.actors.messages.operations import Previewed
from ployz.cli.call import PLAN_S, Call
from ployz.cli.views.plan import obstacle, render
from ployz.errors import Refused
from ployz.wire.message import Message


def preview(call: Call, message: Message[Previewed]) -> int:
    previewed = call.node.ask("operations", message, timeout_s=PLAN_S)
    problem = obstacle(previewed.plan)
    call.out.show("operation.preview", previewed, render, problem=problem)
    return Refused.exit_code if problem else 0
