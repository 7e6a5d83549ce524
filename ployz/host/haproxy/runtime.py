"""What a running HAProxy is told and asked over its master's socket: the commands, and their answers as values.

Workers that a reload left with old connections are told the same: what waits in them waits on the same holds.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Final

import anyio
from attrs import frozen

from ployz.errors import Code, Failed

ANSWER_S: Final = 5.0
_FRONTEND_ROW: Final = "0"
_SERVER_ROW: Final = "2"
"""`type` of a line of `show stat` that is about a frontend, or a server."""
_WANTED_ROWS: Final = 1 + 4
"""What `show stat` is asked for: both."""


@frozen
class ServerRow:
    """A server's line of `show stat`."""

    backend: str
    server: str
    is_out: bool
    sessions: int
    errors: int


@frozen
class FrontendRow:
    """A frontend's line of `show stat`."""

    frontend: str
    sessions: int
    sessions_max: int
    turned_away: int
    """Connections, since it runs, of sources that had too many."""


@frozen
class HoldRow:
    now: int
    ever: int
    expired: int
    turned_away: int


@frozen
class Look:
    """What one worker does now."""

    held: Mapping[str, int]
    """What its map of holds has: until when, in ms of wall time."""
    holds: Mapping[str, HoldRow]
    servers: Sequence[ServerRow]
    frontends: Sequence[FrontendRow] = ()


@frozen
class Runtime:
    socket: Path

    async def workers(self) -> Sequence[int]:
        """Process numbers, the newest first."""
        return workers_of(await self._ask("show proc"))

    async def generation(self, worker: int) -> str:
        """The `node` of its configuration. Empty: it does not say."""
        return generation_of(await self.ask(worker, "show info"))

    async def look(self, worker: int, holds_map: Path) -> Look:
        """All in one question: what is asked in a cut-over is waited for."""
        answer = await self.ask(worker, f"show map {holds_map}", "show holds", f"show stat -1 {_WANTED_ROWS} -1")
        return look_of(answer)

    async def ask(self, worker: int, *commands: str) -> str:
        """What it says to each, one after the other; an empty line ends each answer."""
        return await self._ask("\n".join(f"@!{worker} {command}" for command in commands))

    async def _ask(self, line: str) -> str:
        answer = bytearray()
        try:
            with anyio.fail_after(ANSWER_S):
                async with await anyio.connect_unix(self.socket) as stream:
                    await stream.send(f"{line}\n".encode())
                    await stream.send_eof()
                    async for chunk in stream:
                        answer += chunk
        except (OSError, TimeoutError, anyio.BrokenResourceError) as error:
            why = str(error) or f"no answer within {ANSWER_S:g} s"
            raise Failed(Code.PART_FAILED, f"HAProxy was asked {line!r}, and: {why}") from error
        return answer.decode(errors="replace")


def workers_of(answer: str) -> list[int]:
    """Of `show proc`: PID, type, reloads, uptime, version; the workers, then those before the last reload."""
    rows = [line.split() for line in answer.splitlines() if line and not line.startswith("#")]
    return [int(row[0]) for row in rows if len(row) > 1 and row[0].isdigit() and row[1] == "worker"]


def generation_of(answer: str) -> str:
    lines = dict(line.partition(": ")[::2] for line in answer.splitlines())
    return lines.get("node", "").strip()


def look_of(answer: str) -> Look:
    """Of the three together: lines are told apart by their shape, and the statistics, which are last, by their head."""
    lines, _, statistics = answer.partition("# ")
    return Look(map_of(lines), holds_of(lines), list(servers_of(statistics)), list(frontends_of(statistics)))


def frontends_of(answer: str) -> Iterator[FrontendRow]:
    for row in _rows(answer):
        if row.get("type") == _FRONTEND_ROW:
            yield FrontendRow(row["pxname"], int(row["scur"] or 0), int(row["slim"] or 0), int(row.get("dcon") or 0))


def _rows(answer: str) -> Iterator[dict[str, str]]:
    yield from csv.DictReader(StringIO(answer.removeprefix("# ").strip()))


def servers_of(answer: str) -> Iterator[ServerRow]:
    for row in _rows(answer):
        if row.get("type") == _SERVER_ROW:
            yield ServerRow(
                backend=row["pxname"],
                server=row["svname"],
                is_out=row["status"].startswith(("MAINT", "DRAIN")),
                sessions=int(row["scur"] or 0),
                errors=sum(int(row[each] or 0) for each in ("econ", "eresp")),
            )


def holds_of(answer: str) -> dict[str, HoldRow]:
    rows = (line.split() for line in answer.splitlines() if line.strip())
    return {name: HoldRow(*map(int, numbers)) for name, *numbers in rows if len(numbers) == 4}  # noqa: PLR2004 - its fields


def map_of(answer: str) -> dict[str, int]:
    """Of `show map`: a pointer, the key, the value."""
    rows = (line.split() for line in answer.splitlines())
    return {row[1]: int(row[2]) for row in rows if len(row) == 3 and row[2].isdigit()}  # noqa: PLR2004 - its columns


def commands(
    held: Mapping[str, int],
    wanted: Mapping[str, int],
    out: Mapping[tuple[str, str], bool],
    servers: Sequence[ServerRow],
    holds_map: Path,
) -> Iterator[str]:
    """What makes one worker agree. New holds first, and the end of one last: nothing slips through in between.

    A server that goes out and comes back also loses its idle connections: none of them leads to the old place.
    """
    for name, until_ms in sorted(wanted.items()):
        if held.get(name) != until_ms:
            if name in held:
                yield f"set map {holds_map} {name} {until_ms}"
            else:
                yield f"add map {holds_map} {name} {until_ms}"
    released = [name for name in sorted(held) if name not in wanted]
    for each in servers:
        is_out = out.get((each.backend, each.server))
        if each.backend in released and not is_out:
            yield f"set server {each.backend}/{each.server} state maint"
            yield f"set server {each.backend}/{each.server} state ready"
        elif is_out is not None and is_out != each.is_out:
            yield f"set server {each.backend}/{each.server} state {'maint' if is_out else 'ready'}"
    for name in released:
        yield f"del map {holds_map} {name}"
