"""The file of a compaction: all of its pieces, made anew when it is damaged, and only for who notes as its writer."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from ployz.errors import Corrupt, Failed, Refused
from ployz.install import compaction_file
from ployz.install.compaction_file import CompactionFile
from ployz.projections.compaction import Compaction
from ployz.projections.snapshot import Unusable
from tests.unit.projections.any_history import of_every_event


def using(path: Path, work: Callable[[CompactionFile], Awaitable[None]]) -> None:
    async def main() -> None:
        async with CompactionFile(path) as file:
            await work(file)

    anyio.run(main, backend="trio")


def noted(end: int, *cuts: int) -> Compaction:
    compaction = Compaction()
    for record in of_every_event()[:end]:
        compaction.note(record)
        if record.seq in cuts:
            compaction.cut()
    return compaction


async def begun(file: CompactionFile, compaction: Compaction) -> None:
    """`Unusable`: its pieces are not its own."""
    needs = compaction.needs(whole=1)
    for place in range(compaction.pieces):
        needs.take(await file.piece(place))
    needs.begin()


async def grown(file: CompactionFile, *ends: int) -> Compaction:
    """Kept at each of those, from where it is."""
    for end in ends:
        compaction = await file.read() or Compaction()
        for record in of_every_event()[compaction.seq : end]:
            compaction.note(record)
        await file.write(compaction)
    return compaction


def test_what_was_written_is_read_again_with_all_of_its_pieces(tmp_path: Path) -> None:
    path = tmp_path / "log.compaction"

    async def first(file: CompactionFile) -> None:
        assert await file.read() is None
        with pytest.raises(Corrupt):
            await file.piece(0)
        written = await grown(file, 10, 20)
        assert await file.read() == written
        await begun(file, written)

    async def second(file: CompactionFile) -> None:
        written = await grown(file, len(of_every_event()))
        assert written.pieces == 3
        await begun(file, written)

    using(path, first)
    using(path, second)


def test_one_that_is_made_anew_has_no_piece_of_the_one_before(tmp_path: Path) -> None:
    async def work(file: CompactionFile) -> None:
        await grown(file, 10, 20, 30)
        anew = Compaction()
        anew.note(of_every_event()[0])
        await file.write(anew)
        with pytest.raises(Corrupt):
            await file.piece(1)
        await begun(file, anew)

    using(tmp_path / "log.compaction", work)


def test_one_of_a_ployz_that_notes_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    using(tmp_path / "log.compaction", lambda file: _ignore(grown(file, 10)))
    monkeypatch.setattr(compaction_file, "_rule", lambda: b"another".ljust(32))

    async def work(file: CompactionFile) -> None:
        with pytest.raises(Unusable, match="another ployz"):
            await file.read()

    using(tmp_path / "log.compaction", work)


@pytest.mark.parametrize("damage", [b"?" * 5000, b"SQLite format 3\0" + b"?" * 5000])
def test_a_file_that_is_damaged_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "log.compaction"
    path.write_bytes(damage)

    async def work(file: CompactionFile) -> None:
        try:
            assert await file.read() is None
        except Corrupt:
            assert await file.read() is None
        written = await grown(file, 10)
        assert await file.read() == written

    using(path, work)


def test_a_file_with_one_wrong_bit_is_made_anew_or_says_what_was_written(tmp_path: Path) -> None:
    """Anywhere: in its header, its tables or its content."""
    whole = tmp_path / "whole"
    using(whole, lambda file: _ignore(grown(file, 10, 20)))
    expected = noted(20, 10, 20)
    content, dice = whole.read_bytes(), random.Random(7)  # noqa: S311 - to choose bits

    async def work(file: CompactionFile) -> None:
        with suppress(Corrupt, Unusable, Refused, Failed):  # and nothing else
            compaction = await file.read()
            if compaction is not None:
                assert compaction == expected
                await begun(file, compaction)
        with suppress(Corrupt, Refused, Failed):
            anew = noted(5)
            await file.write(anew)
            assert await file.read() == anew

    for _ in range(150):
        damaged, place = bytearray(content), dice.randrange(len(content))
        damaged[place] ^= 1 << dice.randrange(8)
        path = tmp_path / "log.compaction"
        path.write_bytes(damaged)
        using(path, work)
        path.unlink()


def test_a_disk_that_is_back_is_written_again(tmp_path: Path) -> None:
    folder = tmp_path / "away"

    async def work(file: CompactionFile) -> None:
        with pytest.raises(Failed):
            await file.read()
        with pytest.raises(Failed):
            await file.write(Compaction())
        folder.mkdir()
        await grown(file, 10)

    using(folder / "log.compaction", work)


async def _ignore(work: Awaitable[object]) -> None:
    await work
