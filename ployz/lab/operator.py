"""What an operator does on the machines of a lab: types `ployzctl`, and reads its answers.

The demo and the benchmarks work through it alone, so that they prove what a user gets.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Timer
from typing import Any

from attrs import frozen

from ployz.lab.lab import Lab
from ployz.lab.machine import PROGRAMS
from ployz.lab.programs import failed

ANSWER_S = 60
OPERATION_S = 600

Payload = Mapping[str, Any]


@frozen
class Moved:
    """How a migration ended, and how it got there: the payloads of `ployzctl --json migrate apply`."""

    result: Payload
    """`cutover_ms`, `duration_ms`, `parts`, `rounds`, and the `plan`."""
    progress: tuple[Payload, ...]

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

    def text(self, *arguments: str, stdin: str | None = None) -> str:
        """What a person would read."""
        argv = [str(PROGRAMS / "ployzctl"), *arguments]
        return self.lab.running(self.at).run(argv, stdin=stdin, deadline_s=ANSWER_S)

    def deploy(self, manifest: str) -> Payload:
        """The result. `Failed` unless it was committed and nothing is pending."""
        *_, result = self._follow(("deploy", "apply", "-f", "-"), manifest)
        return result

    def migrate(self, service: str, to: str, tell: Callable[[Payload], None] = lambda _: None) -> Moved:
        """`tell` gets every line of progress as it comes. `Failed` unless it was committed and nothing is pending."""
        progress: list[Payload] = []
        for payload in self._follow(("migrate", "apply", service, "--to", to)):
            progress.append(payload)
            tell(payload)
        return Moved(progress.pop(), tuple(progress))

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return [str(PROGRAMS / "ployzctl"), "--json", *arguments]

    def _follow(self, arguments: Sequence[str], stdin: str | None = None) -> Iterator[Payload]:
        """Every line's payload as it comes; the last one is the result."""
        argv = self.lab.running(self.at).enter(self._command(arguments))
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as command:
            if command.stdin is None or command.stdout is None or command.stderr is None:
                raise AssertionError("they were opened with pipes")
            too_long = Timer(OPERATION_S, command.kill)
            too_long.start()
            try:
                command.stdin.write(stdin or "")
                command.stdin.close()
                for line in command.stdout:
                    yield json.loads(line)["payload"]
                words = command.stderr.read().strip()
            finally:
                too_long.cancel()
        if command.returncode != 0:
            raise failed(f"ployzctl {' '.join(arguments)}: exit code {command.returncode}: {words}")
