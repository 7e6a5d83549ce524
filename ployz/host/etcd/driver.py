"""etcd as a program that outlives ployzd, with its files: keys and data in the state folder, its number below /run.

The ployzd that comes next finds it running. A member that has had data never begins with none: under its old name it
would have forgotten what it has voted for.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

import anyio
from attrs import frozen

from ployz.errors import Code, Failed, Refused
from ployz.host import program
from ployz.host.etcd.text import FILES, arguments, data_option
from ployz.host.outliving import Outliving
from ployz.host.ports.seats import Seat

VERSION_S: Final = 10.0
STOP_S: Final = 5.0
BEGIN_S: Final = 10.0
"""From its start until it has begun its data."""
LOOK_EVERY_S: Final = 0.05
_VERSION: Final = re.compile(r"^etcd Version: (\S+)", re.MULTILINE)


@frozen
class SystemEtcd:
    folder: Path
    programs: Path
    """Below /run."""

    async def version(self) -> str:
        if shutil.which("etcd") is None:
            raise Refused(
                Code.MISSING_PART, "etcd is not installed here", "Install it: on Debian, the package etcd-server."
            )
        said = await program.run(["etcd", "--version"], deadline_s=VERSION_S, check=Code.PART_FAILED)
        found = _VERSION.search(said.text)
        if found is None:
            raise Failed(Code.PART_FAILED, f"etcd does not say its version: {said.words}")
        return found[1]

    def has_begun(self) -> bool:
        return self._begun.exists()

    async def serve(self, seat: Seat) -> None:
        running = self._program(seat)
        if running.pid() is not None and self.has_begun():
            return
        if self.has_begun() and not self._data.exists():
            raise Failed(
                Code.PART_FAILED,
                f"the data of this machine's etcd is gone from {self.folder}",
                "Give its place to another machine: ployzctl cluster replace.",
            )
        self._write(seat)
        await running.start()
        with anyio.move_on_after(BEGIN_S):
            while running.pid() is not None:
                if self._data.exists():
                    self._begun.touch()
                    return
                await anyio.sleep(LOOK_EVERY_S)
        raise Failed(Code.PART_FAILED, f"etcd did not start: {running.words() or 'it said nothing'}")

    async def stop(self) -> None:
        """It keeps what it has. Does not run is done."""
        await Outliving("etcd", self.programs, (), data_option(self.folder)).stop(grace_s=STOP_S)

    async def end(self) -> None:
        await self.stop()
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        for name in (*FILES, self._begun.name):
            (self.folder / name).unlink(missing_ok=True)

    def _program(self, seat: Seat) -> Outliving:
        return Outliving("etcd", self.programs, arguments(seat, self.folder), data_option(self.folder))

    def _write(self, seat: Seat) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, text in zip(FILES, (seat.ca_pem, seat.certificate_pem, seat.key_pem), strict=True):
                path = self.folder / name
                path.touch(mode=0o600)
                path.write_text(text)
        except OSError as error:
            raise Failed(Code.PART_FAILED, f"etcd's files cannot be written: {error}") from error

    @property
    def _data(self) -> Path:
        return self.folder / "data" / "member"

    @property
    def _begun(self) -> Path:
        return self.folder / "begun"
