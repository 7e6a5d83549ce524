"""Who asked for what: which commands are changes, and what of them is written down."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from attrs import evolve

from ployz.actors.journal import Journal
from ployz.actors.messages import authority, events, invites, machine, membership, operations, services, takeover
from ployz.actors.messages.all import __all__ as every_module
from ployz.actors.witness import Witness, about
from ployz.events.memory_log import MemoryLog
from ployz.events.types import CommandGiven
from ployz.ids import MachineId, OperationId, ServiceRef
from ployz.projections.local import LocalView
from ployz.wire.message import OPERATOR, READER, Message, Operator, Sender, registry
from tests.unit.facts.clocks import SchedulerClock

CHANGES = (
    authority.PromoteFacts,
    authority.BackUpFacts,
    events.ExportEvents,
    invites.MakeInvite,
    invites.RevokeInvite,
    machine.SetCluster,
    machine.SetMachine,
    membership.ChangeLifecycle,
    membership.RemoveMachine,
    operations.AbortOperation,
    operations.ApplyDeparture,
    operations.ApplyDeploy,
    operations.ApplyMigration,
    operations.RemoveService,
    operations.ResumeOperation,
    services.DropCopy,
    services.RemoveVolume,
    takeover.TakeOverVolume,
)
READS = (
    events.ReadEvents,
    events.VerifyEvents,
    machine.ListMachines,
    operations.PreviewDeploy,
    operations.WatchOperation,
    services.ListServices,
)


@pytest.mark.parametrize("message", CHANGES)
def test_a_change_is_closed_to_readers(message: type[Message[Any]]) -> None:
    """What writes a file as root is one, too."""
    assert OPERATOR in message.senders
    assert READER not in message.senders


@pytest.mark.parametrize("message", READS)
def test_what_changes_nothing_is_open_to_readers_and_operators(message: type[Message[Any]]) -> None:
    assert {READER, OPERATOR} <= set(message.senders)


def test_nothing_that_begins_with_a_verb_of_change_is_open_to_readers() -> None:
    assert every_module
    verbs = (
        "apply",
        "make",
        "remove",
        "revoke",
        "set",
        "abort",
        "resume",
        "change",
        "promote",
        "back",
        "export",
        "rotate",
    )
    opened = [tag for tag, each in registry().items() if READER in each.senders]
    assert [tag for tag in opened if tag.partition(".")[2].partition("_")[0] in verbs] == []
    assert len(opened) > 20


def test_of_a_message_only_its_names_are_written_down() -> None:
    move = operations.ApplyMigration(ServiceRef.parse("production/db"), MachineId("machine-b"))
    assert about(move) == "production/db, machine-b"
    assert about(operations.ApplyDeploy('namespace = "x"\npassword = "hunter2"')) == ""
    assert about(operations.ApplyDeploy('namespace = "shop"')) == "shop"
    assert about(operations.AbortOperation(OperationId("op-1"))) == "op-1"


OPERATION, FORGED = OperationId("op-given"), OperationId("op-forged")


def test_who_began_an_operation_why_and_on_what_is_in_the_log_with_it() -> None:
    async def main() -> None:
        log, heard = MemoryLog(SchedulerClock()), []

        async def deliver(to: str, message: Message[Any], sender: Sender, *, timeout_s: float) -> Any:
            heard.append(message)
            return operations.Accepted(message.operation_id)  # type: ignore[attr-defined]

        witness = Witness(Journal(log, LocalView()), deliver, lambda: OPERATION)
        asked = operations.ApplyDeploy('namespace = "shop"', message="ticket 17:\n  new prices", operation_id=FORGED)
        await witness("operations", asked, Operator(4711, 0), timeout_s=1)
        assert heard == [evolve(asked, operation_id=OPERATION)]
        (record,) = await log.read(0, 10)
        assert record.operation_id == OPERATION
        assert record.event == CommandGiven(0, 4711, "deploy.apply", "shop", "root", "ticket 17: new prices")

    anyio.run(main, backend="trio")
