"""What an operator does on the machines of a lab: types `ployzctl`, and reads its answers.

The demo and the benchmarks work through it alone, so that they prove what a user gets.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from ployz.lab.lab import Lab
from ployz.lab.machine import PROGRAMS
from ployz.lab.programs import failed

ANSWER_S = 60
OPERATION_S = 600
DRAIN_S = 3_600

Payload = Mapping[str, Any]


@frozen
class Moved:
    """How a migration ended: the last line of `ployzctl --json migrate apply`."""

    result: Payload
    """`cutover_ms`, `duration_ms`, `parts`, `rounds`, and the `plan`."""

    @property
    def sent_bytes(self) -> int:
        return sum(each["sent_bytes"] for each in self.result["rounds"])

    @property
    def cutover_ms(self) -> int:
        return int(self.result["cutover_ms"])

    @property
    def rounds(self) -> Sequence[Payload]:
        return list(self.result["rounds"])


@frozen
class Operator:
    lab: Lab
    at: str = "machine-a"
    """The machine whose node is asked."""

    def ask(self, *arguments: str, stdin: str | None = None) -> Payload:
        """The payload of the one answer. `Failed` with the command's own words."""
        printed = self.lab.running(self.at).run(self._command(arguments), stdin=stdin, deadline_s=ANSWER_S)
        payload: Payload = json.loads(printed)["payload"]
        return payload

    def show(self, *arguments: str) -> int:
        """Runs the command before everybody's eyes, with its live display if there is a terminal. Its exit code."""
        argv = self.lab.running(self.at).enter([str(PROGRAMS / "ployzctl"), *arguments])
        try:
            return subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=OPERATION_S, check=False).returncode
        except subprocess.TimeoutExpired:
            raise failed(f"ployzctl {' '.join(arguments)}: not done within {OPERATION_S} s") from None

    def deploy(self, manifest: str) -> Payload:
        """The result. `Failed` unless it was committed and nothing is pending."""
        return self._last_answer(("deploy", "apply", "-f", "-"), manifest)

    def first_send_bytes(self, service: str, to: str) -> int:
        """What a preview says that the first round of all its volumes sends."""
        plan = self.ask("migrate", "preview", service, "--to", to)["plan"]
        return sum(each["first_send_bytes"] for each in plan["volumes"])

    def drain(self, machine: str, *options: str) -> Payload:
        """The result. `Failed` unless all of it is done."""
        return self._last_answer(("machine", "drain", machine, "--migrate", *options), deadline_s=DRAIN_S)

    def migrate(self, service: str, to: str) -> Moved:
        """`Failed` unless it was committed and nothing is pending."""
        return Moved(self._last_answer(("migrate", "apply", service, "--to", to)))

    def _last_answer(
        self, arguments: Sequence[str], stdin: str | None = None, *, deadline_s: float = OPERATION_S
    ) -> Payload:
        """Of a command that tells its story line by line: the end of it."""
        printed = self.lab.running(self.at).run(self._command(arguments), stdin=stdin, deadline_s=deadline_s)
        payload: Payload = json.loads(printed.splitlines()[-1])["payload"]
        return payload

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return [str(PROGRAMS / "ployzctl"), "--json", *arguments]
