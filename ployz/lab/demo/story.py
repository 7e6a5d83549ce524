"""The demo from beginning to end, in the order in which it is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from ployz.cli import human
from ployz.lab.demo import proof
from ployz.lab.demo.clients import Clients, running_clients
from ployz.lab.demo.proof import SERVICE
from ployz.lab.lab import Lab
from ployz.lab.operator import Operator, Payload
from ployz.lab.programs import failed

MANIFEST: Final = Path(__file__).with_name("database.toml")
CLIENTS: Final = 4
BALLAST_MIB: Final = 320
FILL_S: Final = 600
QUERY_S: Final = 60
BEFORE_AND_AFTER_S: Final = 2.0
"""How long clients write before and after a move: the wait that a move costs them has then ended."""

ROW_BYTES: Final = 1024
ROWS: Final = BALLAST_MIB * 1024 * 1024 // ROW_BYTES
BALLAST_SQL: Final = f"CREATE TABLE ballast AS SELECT n, repeat(md5(n::text), 30) FROM generate_series(1, {ROWS}) AS n"  # noqa: S608 - a constant
TABLE_SQL: Final = "CREATE TABLE acknowledged (client int, row int, PRIMARY KEY (client, row))"


@frozen
class Move:
    source: str
    target: str
    rounds: Sequence[Payload]
    cutover_ms: int
    longest_wait_ms: int

    @property
    def sent_bytes(self) -> int:
        return sum(each["sent_bytes"] for each in self.rounds)


@frozen
class Outcome:
    moves: Sequence[Move]
    acknowledged: int
    found: int
    size_bytes: int


@frozen
class Demo:
    lab: Lab
    operator: Operator
    say: Callable[[str], None]
    folder: Path
    """For what the clients were promised."""

    def tell(self) -> Outcome:
        self._show("deploy", "apply", "-f", str(MANIFEST))
        home = proof.place(self.operator)
        away, elsewhere = [each for each in self.lab.state().machines if each != home.machine][:2]
        self.say(f"filling it with {BALLAST_MIB} MiB of rows")
        self._sql(home.machine, home.ipv4, BALLAST_SQL)
        self._sql(home.machine, home.ipv4, TABLE_SQL)
        self._sql(home.machine, home.ipv4, "CHECKPOINT")  # the filling is no part of what is shown
        addresses = [home.ipv4, home.ipv6] * (CLIENTS // 2)
        with running_clients(self.lab.running(elsewhere), addresses, self.folder) as clients:
            clients.wait_until_all_write()
            self.say(f"{CLIENTS} clients on {elsewhere} commit rows to {home.ipv4} and {home.ipv6}")
            self._show("migrate", "preview", SERVICE, "--to", away)
            there = self._move(clients, away)
            back = self._move(clients, home.machine)
            clients.stop()
            acknowledged = clients.acknowledged()
        self.say(proof.was_incremental(there.sent_bytes, back.sent_bytes, [each["base"] for each in back.rounds]))
        found = self._found(elsewhere, home.ipv6)
        self.say(proof.all_there(acknowledged, found))
        size_bytes = self.operator.ask("volume", "show", proof.VOLUME)["row"]["referenced_bytes"]
        return Outcome((there, back), len(acknowledged), len(acknowledged & found), size_bytes)

    def _move(self, clients: Clients, target: str) -> Move:
        before = proof.place(self.operator)
        began_us = time.time_ns() // 1000
        time.sleep(BEFORE_AND_AFTER_S)
        self._show("migrate", "apply", SERVICE, "--to", target)
        clients.wait_until_all_write()
        time.sleep(BEFORE_AND_AFTER_S)
        wait_ms = clients.longest_wait_ms(began_us, time.time_ns() // 1000)
        self.say(proof.same_address(before, proof.place(self.operator)))
        self.say(proof.one_owner(self.lab, self.operator, target))
        newest = self.operator.ask("deploy", "ls")["deploys"][0]["operation_id"]
        detail = self.operator.ask("deploy", "show", newest)
        return Move(before.machine, target, detail["evidence"], detail["cutover_ms"], wait_ms)

    def _show(self, *arguments: str) -> None:
        """As an operator types and sees it."""
        self.say(f"{self.operator.at} # ployzctl {' '.join(arguments)}")
        exit_code = self.operator.show(*arguments)
        if exit_code != 0:
            raise failed(f"ployzctl {' '.join(arguments)} ended with exit code {exit_code}")

    def _sql(self, machine: str, address: str, statement: str, *, deadline_s: float = FILL_S) -> str:
        argv = ["psql", "-X", "-h", address, "-U", "postgres", "-d", "app", "-tA", "-F", " ", "-c", statement]
        return self.lab.running(machine).run(argv, deadline_s=deadline_s)

    def _found(self, machine: str, address: str) -> set[tuple[int, int]]:
        lines = self._sql(machine, address, "SELECT client, row FROM acknowledged", deadline_s=QUERY_S).splitlines()
        return {(int(client), int(row)) for client, row in (line.split() for line in lines)}


def table(outcome: Outcome) -> str:
    """What it came to."""
    head = ("MOVE", "SENT", "ROUNDS", "CUT-OVER", "LONGEST WAIT OF A CLIENT")
    lines = [
        (
            f"{each.source} to {each.target}",
            human.size(each.sent_bytes),
            str(len(each.rounds)),
            human.duration(each.cutover_ms),
            human.duration(each.longest_wait_ms),
        )
        for each in outcome.moves
    ]
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    rows = ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in (head, *lines)]
    rows += ["", f"the volume: {human.size(outcome.size_bytes)}"]
    return "\n".join([*rows, f"rows acknowledged: {outcome.acknowledged}, of these found: {outcome.found}"])
