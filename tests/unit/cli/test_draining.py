"""`machine drain --migrate` as an operator meets it: the plan, the moves, one table, and what an early end says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import evolve

from ployz.actors.messages.drain import DrainPlan, PreviewDrain
from ployz.actors.messages.machine import ShowMachine
from ployz.actors.messages.membership import ChangeLifecycle
from ployz.actors.messages.operations import Accepted, ApplyDeparture, WatchOperation, WatchPage
from ployz.errors import Code, Refused
from ployz.ids import Namespace, OperationId
from ployz.wire.message import Message
from tests.unit.cli import samples
from tests.unit.cli.terminal import Answer, CtrlC, Ended, GoAway, golden, pages, ployzctl

DRAIN = ("machine", "drain", "machine-a", "--migrate")
STAGING = evolve(samples.DB_DEPARTS, departure=evolve(samples.DB_DEPARTS.departure, namespace=Namespace("staging")))


class Node:
    """Takes every departure, and has each one end at the second look."""

    def __init__(self, plan: DrainPlan, *, refuse: str = "") -> None:
        self.plan = plan
        self.refuse = refuse
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.at_once = 0
        self._looks: dict[OperationId, int] = {}

    def begin(self, message: ApplyDeparture) -> object:
        subject = message.departure.subject
        if subject == self.refuse:
            return Refused(Code.LOCK_HELD, "production is locked by somebody", "Wait.")
        self.begun.append(subject)
        self.at_once = max(self.at_once, len(self.begun) - len(self.ended))
        return Accepted(OperationId(f"op-{len(self.begun)}"))

    def look(self, message: WatchOperation) -> object:
        looks = self._looks[message.operation_id] = self._looks.get(message.operation_id, 0) + 1
        if looks == 1:
            return WatchPage(samples.PROGRESS[:2], None)
        self.ended.append(message.operation_id)
        return WatchPage((), samples.RESULT)

    def answers(self) -> dict[type[Message[Any]], Answer]:
        return {
            PreviewDrain: self.plan,
            ChangeLifecycle: samples.DRAINING,
            ApplyDeparture: self.begin,
            WatchOperation: self.look,
            ShowMachine: samples.MACHINE if self.refuse else samples.EMPTY_MACHINE,
        }


def drained(node: Node, *options: str) -> Ended:
    return ployzctl(*DRAIN, *options, answers=node.answers())


def asked(ended: Ended) -> Iterator[str]:
    for _, message in ended.asked:
        yield type(message).__name__


def test_the_plan_is_shown_then_carried_out_then_told_in_one_table() -> None:
    ended = drained(Node(samples.DRAIN))
    assert ended.exit_code == 0
    assert "nothing left" in ended.err
    golden("machine-drain-migrate.txt", ended.out)


def test_a_dry_run_shows_the_plan_and_changes_nothing() -> None:
    ended = drained(Node(samples.DRAIN), "--dry-run")
    assert (ended.exit_code, ended.err) == (0, "")
    assert list(asked(ended)) == ["PreviewDrain"]
    golden("machine-drain-dry-run.txt", ended.out)


def test_where_nothing_can_leave_nothing_begins() -> None:
    ended = drained(Node(samples.DRAIN_BLOCKED))
    assert ended.exit_code == 1
    assert list(asked(ended)) == ["PreviewDrain"]
    assert "2 things keep something on machine-a" in ended.err
    golden("machine-drain-blocked.txt", ended.out)


def test_what_can_leave_leaves_and_what_stays_is_listed_with_its_reason() -> None:
    (blocked,) = samples.DRAIN_BLOCKED.rows
    node = Node(evolve(samples.DRAIN, rows=(blocked, samples.REST_DEPARTS)))
    ended = drained(node)
    assert ended.exit_code == 4
    assert node.begun == ["production/agent+web"]
    golden("machine-drain-partly.txt", ended.out)


def test_a_machine_that_is_gone_is_named_as_that_to_the_node() -> None:
    node = Node(samples.DRAIN)
    ended = ployzctl("machine", "drain", "machine-a", "--gone", answers=node.answers())
    assert ended.exit_code == 0
    assert isinstance(ended.asked[0][1], PreviewDrain)
    assert ended.asked[0][1].gone


def test_one_namespace_is_moved_one_operation_after_the_other_and_several_side_by_side() -> None:
    rows = (samples.DB_DEPARTS, samples.REST_DEPARTS, STAGING)
    for options, at_once in (((), 1), (("--parallel", "3"), 2)):
        node = Node(evolve(samples.DRAIN, rows=rows))
        assert drained(node, *options).exit_code == 0
        assert sorted(node.begun) == ["production/agent+web", "production/db", "staging/db"]
        assert node.at_once == at_once


def test_operations_that_run_at_once_share_the_bandwidth_and_each_has_enough_of_it() -> None:
    ended = drained(Node(samples.DRAIN), "--dry-run", "--bandwidth", "30M", "--parallel", "3")
    ((_, message),) = ended.asked
    assert isinstance(message, PreviewDrain)
    assert message.bandwidth_bytes_s == 10 << 20
    little = drained(Node(samples.DRAIN), "--bandwidth", "1M", "--parallel", "1000")
    assert (little.exit_code, little.asked) == (2, ())
    assert "1000 operations at once" in little.err


def test_one_that_is_refused_stops_no_other_and_the_exit_code_says_so() -> None:
    node = Node(samples.DRAIN, refuse="production/db")
    ended = drained(node)
    assert ended.exit_code == 1
    assert node.begun == ["production/agent+web"]
    assert "lock-held" in ended.out
    assert "still has" in ended.err


def test_only_with_migrate_there_is_something_to_plan() -> None:
    ended = ployzctl("machine", "drain", "machine-a", "--dry-run", answers={})
    assert (ended.exit_code, ended.asked) == (2, ())


def test_ctrl_c_pauses_it_and_says_what_goes_on_and_how_it_is_taken_up_again() -> None:
    node = Node(samples.DRAIN)
    ended = ployzctl(*DRAIN, answers=node.answers(), stdout=CtrlC("send production/pgdata"))
    assert ended.exit_code == 130
    assert node.begun == ["production/db"]
    assert "is paused: nothing more is begun" in ended.err
    assert "production/db (op-1)" in ended.err
    assert "`ployzctl machine drain machine-a --migrate` begins with what is left" in ended.err


def test_a_node_that_is_lost_leaves_what_goes_on_named() -> None:
    node = Node(samples.DRAIN)
    ended = ployzctl(*DRAIN, answers={**node.answers(), WatchOperation: pages(GoAway)})
    assert ended.exit_code == 5
    assert "production/db (op-1)" in ended.err
