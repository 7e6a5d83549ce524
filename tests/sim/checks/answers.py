"""What an operator is told is what the facts say."""

from __future__ import annotations

from ployz.actors.messages.operations import Result
from ployz.ids import OperationId
from tests.sim.checks.truth import Truth


def lies(operation_id: OperationId, result: Result, truth: Truth) -> list[str]:
    """To be asked in the end, when everything is decided."""
    how = truth.ended.get(operation_id)
    if result.committed and how != "committed":
        return [f"an operator was told that {operation_id} is committed, and it is {how or 'nothing'}"]
    said_not = result.exit_code in (1, 3)
    if said_not and how == "committed":
        return [f"an operator was told that {operation_id} is not committed, and it is (exit {result.exit_code})"]
    if result.exit_code in (0, 4) and not result.committed and how is not None:
        return [f"an operator was told of success without a commit, and {operation_id} is {how}"]
    return []
