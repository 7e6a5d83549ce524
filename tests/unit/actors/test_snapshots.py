"""How a node starts from a snapshot, and from none. Every simulated machine starts so; here is when it must not."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import anyio
import pytest

from ployz.actors.compacting import Compactor
from ployz.actors.messages.operations import ApplyMigration, ShowDeploy
from ployz.actors.snapshots import SnapshotKeeper
from ployz.clock import Clock
from ployz.errors import Code, Corrupt, Failed, Refused
from ployz.events.feed import Feed
from ployz.events.log import Entry, Record
from ployz.events.memory_log import MemoryLog
from ployz.events.replay import replay
from ployz.events.types import CommandGiven, ServiceFenced
from ployz.ids import OperationId
from ployz.projections import operations
from ployz.projections.compaction import Compaction
from ployz.projections.folded import Folded
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.manifests import DB, A, B, C
from tests.cluster.scenes import deployed
from tests.cluster.snapshots import MemoryCompactions, MemorySnapshots
from tests.cluster.virtual_time import VirtualClock

SAYS_NOTHING = Entry("operators", CommandGiven(0, 1, "volume.remove", "", "root", ""))


class WatchedLog(MemoryLog):
    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.asked: list[int] = []
        self.pages: list[int] = []
        self.damaged = 0
        """A row that cannot be read any more; 0: none."""

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        self.pages.append(after)
        if after < self.damaged <= after + limit:
            raise Corrupt(Code.LOG_CORRUPT, f"event {self.damaged}: it was changed after it was written")
        return await super().read(after, limit)

    async def at(self, seqs: Sequence[int]) -> Sequence[Record]:
        self.asked += seqs
        return await super().at(seqs)


class Host:
    def __init__(self) -> None:
        self.log = WatchedLog(VirtualClock())
        self.snapshots = MemorySnapshots()
        self.compactions = MemoryCompactions()

    def keeper(self, every_records: int = 10) -> SnapshotKeeper:
        return SnapshotKeeper(Feed(self.log), self.snapshots, self.compactor(every_records), every_records)

    def compactor(self, every_records: int = 10) -> Compactor:
        return Compactor(Feed(self.log), self.compactions, every_records)

    async def folded(self) -> Folded:
        """All of the log, whatever snapshot there is."""
        folded = Folded()
        await replay(self.log, folded.apply)
        return folded


async def fenced(host: Host) -> None:
    """With a snapshot behind the fence."""
    await host.log.append([Entry("s", ServiceFenced(DB, OperationId("op-a")), OperationId("op-a"), "fence")])
    await host.log.append([SAYS_NOTHING] * 10)
    await host.keeper().fold()
    assert host.snapshots.data is not None


def test_a_start_takes_up_the_log_where_the_snapshot_ends() -> None:
    async def main() -> None:
        host = Host()
        await fenced(host)
        await host.log.append([SAYS_NOTHING] * 3)
        kept = host.snapshots.data
        folded = await host.keeper().fold()
        assert folded == await host.folded()
        assert folded.local.fences == {DB: OperationId("op-a")}
        assert host.snapshots.data == kept  # three records are not worth a new one

    anyio.run(main, backend="trio")


def test_a_snapshot_of_another_log_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    """As when log.db was restored from a copy: shorter, or as long and with another history."""

    async def main() -> None:
        host = Host()
        await fenced(host)
        for records in (0, 5, 11, 30):
            other = Host()
            other.snapshots = host.snapshots
            await other.log.append([SAYS_NOTHING] * records)
            folded = await other.keeper(1_000).fold()
            assert folded == await other.folded()
            assert folded.local.fences == {}

    with caplog.at_level(logging.WARNING):
        anyio.run(main, backend="trio")
    assert "is of another log" in caplog.text


@pytest.mark.parametrize("damage", [b"", b"?" * 32, b"simulated".ljust(32) + b"?" * 99])
def test_a_snapshot_that_is_damaged_or_of_another_ployz_is_not_used(
    damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        host = Host()
        await fenced(host)
        host.snapshots.data = damage
        assert await host.keeper().fold() == await host.folded()
        assert await host.snapshots.read() == await host.folded()  # the next start has a good one again

    with caplog.at_level(logging.WARNING):
        anyio.run(main, backend="trio")
    assert "it is made anew from the log" in caplog.text


def test_a_disk_that_takes_no_snapshot_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Full(MemorySnapshots):
        async def write(self, folded: Folded) -> None:
            raise Failed(Code.PART_FAILED, "log.snapshot cannot be written: no space left on device")

    async def main() -> None:
        host = Host()
        host.snapshots = Full()
        await host.log.append([SAYS_NOTHING] * 20)
        assert await host.keeper().fold() == await host.folded()

    with caplog.at_level(logging.WARNING):
        anyio.run(main, backend="trio")
    assert "no space left" in caplog.text


def test_a_running_node_makes_a_snapshot_after_so_many_records() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        assert (await cluster.run(C, ApplyMigration(DB, B))).exit_code == 0
        for machine in (A, B, C):
            disk = cluster[machine].disk
            folded = Folded()
            await replay(disk.log, folded.apply)
            snapshot = await disk.snapshots.read()
            assert snapshot is not None
            assert folded.seq - 10 < snapshot.seq <= folded.seq
            cluster.kill(machine)
            await cluster.start(machine)
            assert cluster[machine].parts.view.placement == folded.view.placement
            assert cluster[machine].parts.local.fences == folded.local.fences

    simulate(body)


def test_an_operation_of_long_ago_is_shown_from_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "WHOLE_MAX", 1)

    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        before = {}
        for target in (B, A, B):
            outcome = await cluster.run(C, ApplyMigration(DB, target))
            before[outcome.operation_id] = await cluster.ask(C, "operations", ShowDeploy(outcome.operation_id))
        assert len(cluster[A].parts.view.operations.all) == 1
        for operation_id, shown in before.items():
            assert await cluster.ask(C, "operations", ShowDeploy(operation_id)) == shown
            assert shown.evidence
            assert shown.cutover is not None

    simulate(body)


# ---------------------------------------------------------------- without a snapshot


async def compacted(host: Host) -> list[int]:
    """A fenced service, a compaction behind the fence, and no snapshot. The seqs that single reads are asked for."""
    await fenced(host)
    await host.compactor().compact()
    await host.log.append([SAYS_NOTHING] * 3)
    host.snapshots.data = None
    return host.log.asked


def test_a_start_without_a_snapshot_reads_what_counts_and_what_came_since(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        host = Host()
        asked = await compacted(host)
        folded = await host.keeper(1_000).fold()
        assert folded == await host.folded()
        assert folded.local.fences == {DB: OperationId("op-a")}
        assert asked == [1]

    anyio.run(main, backend="trio")
    assert caplog.text == ""


@pytest.mark.parametrize("wrong", ["body", "pieces", "another log", "shorter log"])
def test_a_compaction_that_is_damaged_or_of_another_log_is_not_used(
    wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        host = Host()
        await compacted(host)
        match wrong:
            case "body":
                host.compactions.data = b"simulated".ljust(32) + b"?" * 99
            case "pieces":
                host.compactions.kept = []
            case _:
                compactions, host = host.compactions, Host()
                host.compactions = compactions
                await host.log.append([SAYS_NOTHING] * (30 if wrong == "another log" else 5))
        folded = await host.keeper(1_000).fold()
        assert folded == await host.folded()
        assert host.log.asked == []

    with caplog.at_level(logging.WARNING):
        anyio.run(main, backend="trio")
    assert "the compaction cannot be used" in caplog.text
    assert "all of the log is read instead" in caplog.text


def test_a_compaction_is_made_anew_when_it_cannot_be_used() -> None:
    async def main() -> None:
        host = Host()
        await compacted(host)
        host.compactions.data = b"?"
        assert await host.compactor().compact() == 10
        assert len(host.compactions.kept) == 1
        assert await host.compactor().fold() == await host.folded()

    anyio.run(main, backend="trio")


def test_a_disk_that_takes_no_compaction_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Full(MemoryCompactions):
        async def write(self, compaction: Compaction) -> None:
            raise Failed(Code.LOG_FAILED, "log.compaction: no space left on device")

    async def main() -> None:
        host = Host()
        host.compactions = Full()
        await host.log.append([SAYS_NOTHING] * 20)
        assert await host.compactor().compact() == 20
        assert await host.compactor().fold() == await host.folded()

    with caplog.at_level(logging.WARNING):
        anyio.run(main, backend="trio")
    assert "no space left" in caplog.text


def test_a_row_of_long_ago_that_is_damaged_keeps_no_node_from_running(caplog: pytest.LogCaptureFixture) -> None:
    """A start from a snapshot does not read it, and so its compaction must not end what runs."""

    async def main() -> None:
        host = Host()
        await fenced(host)
        host.compactions = MemoryCompactions()
        host.log.damaged = 5
        assert (await host.keeper(1_000).fold()).seq == host.log.head
        assert await host.compactor().compact() == host.log.head  # after that it is tried again, and not before
        assert host.compactions.data is None

    with caplog.at_level(logging.WARNING):
        anyio.run(main, backend="trio")
    assert "the log was not compacted" in caplog.text
    assert "event 5" in caplog.text


def test_a_compaction_that_cannot_be_read_now_does_not_have_all_of_the_log_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Away(MemoryCompactions):
        async def read(self) -> Compaction | None:
            raise Refused(Code.LOG_LOCKED, "log.compaction is open in another process")

    async def main() -> None:
        host = Host()
        host.compactions = Away()
        await host.log.append([SAYS_NOTHING] * 20)
        assert await host.compactor().compact() == 20
        assert host.log.pages == []

    with caplog.at_level(logging.WARNING):
        anyio.run(main, backend="trio")
    assert "open in another process" in caplog.text


def test_a_long_start_is_noted_while_it_is_read() -> None:
    async def main() -> None:
        host = Host()
        await host.log.append([SAYS_NOTHING] * 30)
        await host.keeper().fold()
        pages = list(host.log.pages)
        assert await host.compactor().compact() == 30
        assert host.log.pages == [*pages, 29, 30]  # whether it is of this log, and whether there is more

    anyio.run(main, backend="trio")


def test_a_running_node_keeps_its_compaction_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    at = MemoryLog.at

    async def watched(log: MemoryLog, seqs: Sequence[int]) -> Sequence[Record]:
        asked.extend(seqs)
        return await at(log, seqs)

    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        assert (await cluster.run(C, ApplyMigration(DB, B))).exit_code == 0
        passed_over = 0
        for machine in (A, B, C):
            disk = cluster[machine].disk
            whole = Folded()
            await replay(disk.log, whole.apply)
            compaction = await disk.compactions.read()
            assert compaction is not None
            assert whole.seq - 10 < compaction.seq <= whole.seq
            cluster.kill(machine)
            disk.snapshots.data = None
            asked.clear()
            await cluster.start(machine)
            assert asked
            assert len(asked) <= compaction.seq
            passed_over += compaction.seq - len(asked)
            assert cluster[machine].parts.view.placement == whole.view.placement
            assert cluster[machine].parts.local.fences == whole.local.fences
        assert passed_over > 0

    monkeypatch.setattr(MemoryLog, "at", watched)
    simulate(body)
