"""The etcd actor: sees to it that this machine's member of the cluster's own etcd runs, once it has a seat.

The member goes on without ployzd, and is started where it does not run: after a power cut, or when it has ended.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Final

import anyio

from ployz.actors.core import Actor, handles
from ployz.actors.messages.etcd import AskSeat, LeaveSeat, SeatOffer, TakeSeat
from ployz.errors import Code, Failed, PloyzError, Refused
from ployz.facts.etcd.access import MODE
from ployz.host.ports.seats import EtcdProgram, Seat
from ployz.install.files import write_durably
from ployz.strict import Malformed, make_converter, structure
from ployz.wire.message import Done

LOOK_S: Final = 2.0

_log = logging.getLogger("ployz.etcd")


class EtcdActor(Actor):
    """`etcd`."""

    def __init__(self, folder: Path, etcd: EtcdProgram) -> None:
        self._folder = folder
        self._etcd = etcd
        self._trouble = ""
        self._one_at_a_time = anyio.Lock()
        """Two that find nothing running would start two."""

    async def run(self) -> None:
        while True:
            try:
                async with self._one_at_a_time:
                    if (seat := self._seat()) is not None:
                        await self._etcd.serve(seat)
            except PloyzError as error:
                if self._trouble != error.problem.text:
                    _log.error("this machine's member of etcd does not run: %s", error)
                self._trouble = error.problem.text
            else:
                self._trouble = ""
            await anyio.sleep(LOOK_S)

    @handles(AskSeat)
    async def offer(self, message: AskSeat) -> SeatOffer:  # noqa: ARG002 - being asked is the question
        return SeatOffer(await self._etcd.version())

    @handles(TakeSeat)
    async def take(self, message: TakeSeat) -> Done:
        async with self._one_at_a_time:
            seat = self._seat()
            if seat is not None and seat.ca_pem != message.seat.ca_pem:
                raise Refused(
                    Code.CONFLICT,
                    f"{seat.name} runs a member of another etcd, which was begun before",
                    f"Look at it there. If nothing is in it, remove {self._folder} and end that etcd.",
                )
            write_durably(seating_path(self._folder), message.seating, mode=MODE)
            if seat is None or not self._etcd.has_begun():
                seat = message.seat
                write_durably(self._seat_path, json.dumps(_converter.unstructure(seat), indent=1) + "\n", mode=MODE)
            await self._etcd.serve(seat)
            return Done()

    @handles(LeaveSeat)
    async def leave(self, message: LeaveSeat) -> Done:  # noqa: ARG002 - as above
        async with self._one_at_a_time:
            self._seat_path.unlink(missing_ok=True)  # first, so that nothing starts it again
            await self._etcd.end()
            seating_path(self._folder).unlink(missing_ok=True)
        return Done()

    def _seat(self) -> Seat | None:
        try:
            return structure(_converter, json.loads(self._seat_path.read_text(encoding="utf-8")), Seat)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, Malformed) as error:
            raise Failed(Code.PART_FAILED, f"{self._seat_path} cannot be read: {error}", "Restore the file.") from error

    @property
    def _seat_path(self) -> Path:
        return self._folder / "seat.json"


def seating_path(folder: Path) -> Path:
    """What all members know: a Seating."""
    return folder / "seating.json"


_converter = make_converter()
