"""`ployzctl machine drain MACHINE [--migrate | --gone]`."""

from __future__ import annotations

from ployz.actors.messages.drain import DrainPlan, PreviewDrain
from ployz.actors.messages.machine import ShowMachine
from ployz.actors.messages.membership import ChangeLifecycle
from ployz.cli.arguments import Parser, count, named
from ployz.cli.call import ANSWER_S, PLAN_S, Call
from ployz.cli.commands.machine.show import held
from ployz.cli.draining import Draining
from ployz.cli.lifecycle import add_machine_argument, change
from ployz.cli.moving import bandwidth
from ployz.cli.views.drain import obstacle, render_plan, render_result
from ployz.errors import CleanupPending, Code, Problem, Refused, Usage
from ployz.events.types import Lifecycle
from ployz.ids import MachineId
from ployz.manifest.quantities import size_text
from ployz.projections.settings import BANDWIDTH_BYTES_S_MIN


def add_arguments(parser: Parser) -> None:
    add_machine_argument(parser)
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--migrate", action="store_true", help="move away all that it has, and watch that to its end")
    way.add_argument(
        "--gone",
        action="store_true",
        help="it does not answer: make elsewhere what has no volume and binds no folder there, and name the rest",
    )
    parser.add_argument(
        "--to",
        type=named(MachineId),
        action="extend",
        nargs="+",
        default=[],
        dest="to_machines",
        metavar="MACHINE",
        help="where to, with --migrate or --gone (default: every other active machine)",
    )
    parser.add_argument(
        "--parallel",
        type=count,
        default=1,
        metavar="N",
        help="with --migrate or --gone: so many operations at once, of different namespaces (default: %(default)s)",
    )
    parser.add_argument(
        "--bandwidth",
        type=bandwidth,
        dest="bandwidth_bytes_s",
        metavar="SIZE",
        help="with --migrate: what all volumes may be sent with, in bytes a second, such as 20M; operations that run "
        "at once have equal shares",
    )
    parser.add_argument("--dry-run", action="store_true", help="show the plan, and change nothing")


def run(call: Call) -> int:
    machine: MachineId = call.arguments.machine
    gone: bool = call.arguments.gone
    if not call.arguments.migrate and (not gone or call.arguments.bandwidth_bytes_s):
        if call.arguments.to_machines or call.arguments.dry_run or call.arguments.bandwidth_bytes_s:
            raise Usage(Code.USAGE, "--to, --bandwidth and --dry-run are about what --migrate moves", "Add --migrate.")
        change(call, Lifecycle.DRAINING)
        return 0
    asked = PreviewDrain(machine, tuple(call.arguments.to_machines), _share(call), gone)
    plan = call.node.ask("drain", asked, timeout_s=PLAN_S)
    problem = obstacle(plan)
    ends = call.arguments.dry_run or not plan.going
    call.out.show("drain.plan", plan, render_plan, problem=problem if ends else None)
    if ends and problem is not None:
        return Refused.exit_code
    return 0 if call.arguments.dry_run else _drain(call, plan, problem)


def _share(call: Call) -> int | None:
    """Of one operation. `Usage`: it would be less than one may have."""
    bytes_s: int | None = call.arguments.bandwidth_bytes_s
    if bytes_s is None:
        return None
    share: int = bytes_s // call.arguments.parallel
    if share < BANDWIDTH_BYTES_S_MIN:
        raise Usage(
            Code.USAGE,
            f"{call.arguments.parallel} operations at once would have {size_text(share)} a second each, and the least "
            f"is {size_text(BANDWIDTH_BYTES_S_MIN)}",
            "Give more --bandwidth, or a smaller --parallel.",
        )
    return share


def _drain(call: Call, plan: DrainPlan, problem: Problem | None) -> int:
    """4: what could leave has left, and something stayed."""
    call.node.ask("membership", ChangeLifecycle(plan.machine, Lifecycle.DRAINING), timeout_s=PLAN_S)
    drained = Draining(call, plan.machine, call.arguments.parallel).run(plan)
    call.out.show("drain.result", drained, render_result, problem=problem)
    stayed = CleanupPending.exit_code if plan.staying else 0
    exit_code = max((each.exit_code for each in drained.departed), default=0) or stayed
    detail = call.node.ask("machine", ShowMachine(plan.machine), timeout_s=ANSWER_S)
    has = held(detail.volumes, detail.slots, detail.operations)
    if has:
        call.out.note("\n  ".join([f"{plan.machine} still has:", *has]))
        call.out.note("The same command goes on with it.")
    else:
        call.out.note(f"{plan.machine} has nothing left: ployzctl machine standby {plan.machine}, or machine rm.")
    return exit_code
