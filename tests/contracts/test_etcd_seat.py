"""A machine's own member of etcd: the program, and the fake of it, do the same with a seat."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from attrs import define, evolve

from ployz.errors import Code, Failed
from ployz.facts.etcd.admission import close_doors
from ployz.facts.etcd.seating import Seating
from ployz.host.etcd import SystemEtcd
from ployz.host.etcd.text import data_option
from ployz.host.fakes.etcd import FakeEtcd
from ployz.host.outliving import Outliving
from ployz.host.ports.seats import EtcdProgram, Seat
from tests.etcds import own_address
from tests.real import need

HOST = own_address(77)
TOO_LONG_S = 120.0


@define
class Stage:
    etcd: EtcdProgram
    seating: Seating
    folder: Path

    async def seat(self) -> Seat:
        return await self.seating.seat("machine-a", founds=True)

    def again(self) -> EtcdProgram:
        """As the ployzd that comes next has it."""
        return SystemEtcd(self.folder, self.folder / "run") if isinstance(self.etcd, SystemEtcd) else self.etcd

    def program(self) -> Outliving:
        return Outliving("etcd", self.folder / "run", (), data_option(self.folder))

    def pid(self) -> int | None:
        if isinstance(self.etcd, FakeEtcd):
            return 1 if self.etcd.runs else None
        return self.program().pid()

    async def kill(self) -> None:
        if isinstance(self.etcd, FakeEtcd):
            self.etcd.runs = False
        self.program().signal(signal.SIGKILL)
        while self.pid() is not None:  # noqa: ASYNC110 - a process that ends tells nobody here
            await anyio.sleep(0.02)

    def lose_data(self) -> None:
        if isinstance(self.etcd, FakeEtcd):
            self.etcd.has_data = False
        shutil.rmtree(self.folder / "data", ignore_errors=True)


def go(kind: str, folder: Path, test: Callable[[Stage], Awaitable[None]]) -> None:
    if kind == "real":
        need("etcd")
    need("openssl", root=False)  # certificates are real ones on the fake, too

    async def main() -> None:
        with anyio.fail_after(TOO_LONG_S):
            seating = await Seating.make((("machine-a", HOST),), "a test")
            etcd: EtcdProgram = SystemEtcd(folder, folder / "run") if kind == "real" else FakeEtcd()
            try:
                await test(Stage(etcd, seating, folder))
            finally:
                with anyio.CancelScope(shield=True):
                    await etcd.end()

    anyio.run(main, backend="trio")


kinds = pytest.mark.parametrize("kind", ["fake", pytest.param("real", marks=pytest.mark.real)])


@kinds
def test_it_runs_in_its_seat_and_is_found_by_who_comes_next(kind: str, tmp_path: Path) -> None:
    async def test(stage: Stage) -> None:
        assert not stage.etcd.has_begun()
        await stage.etcd.serve(await stage.seat())
        assert stage.etcd.has_begun()
        running = stage.pid()
        assert running is not None
        await stage.again().serve(await stage.seat())
        assert stage.pid() == running

    go(kind, tmp_path, test)


@kinds
def test_one_that_was_killed_is_started_again_with_what_it_had(kind: str, tmp_path: Path) -> None:
    async def test(stage: Stage) -> None:
        seat = await stage.seat()
        await stage.etcd.serve(seat)
        await stage.kill()
        await stage.etcd.serve(seat)
        assert stage.pid() is not None

    go(kind, tmp_path, test)


@kinds
def test_one_whose_data_is_gone_never_begins_anew(kind: str, tmp_path: Path) -> None:
    async def test(stage: Stage) -> None:
        seat = await stage.seat()
        await stage.etcd.serve(seat)
        await stage.kill()
        stage.lose_data()
        with pytest.raises(Failed, match="is gone") as failed:
            await stage.etcd.serve(seat)
        assert (failed.value.code, stage.pid()) == (Code.PART_FAILED, None)

    go(kind, tmp_path, test)


@kinds
def test_it_ends_with_all_that_it_had_and_may_begin_in_another_seat(kind: str, tmp_path: Path) -> None:
    async def test(stage: Stage) -> None:
        await stage.etcd.serve(await stage.seat())
        await stage.etcd.end()
        await stage.etcd.end()
        assert (stage.pid(), stage.etcd.has_begun()) == (None, False)
        await stage.etcd.serve(evolve(await stage.seat(), founds=True))
        assert stage.pid() is not None

    go(kind, tmp_path, test)


@pytest.mark.real
def test_its_doors_are_closed_once_and_closed_already_is_done(tmp_path: Path) -> None:
    async def test(stage: Stage) -> None:
        await stage.etcd.serve(await stage.seat())
        await close_doors(stage.seating)
        await close_doors(stage.seating)

    go("real", tmp_path, test)
