"""Putting a backup back: what is refused, that nothing is lost, and where the facts go on."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from attrs import evolve

from ployz.clock import SystemClock
from ployz.config import Config, Founding
from ployz.errors import Code, PloyzError, Refused
from ployz.events.log import GENESIS_HASH, Entry
from ployz.events.sqlite_log import SqliteLog
from ployz.events.types import Fact, FactMirrored
from ployz.facts.backup import back_up
from ployz.facts.chain import fact_hash
from ployz.facts.mirror import STREAM
from ployz.facts.port import Transaction
from ployz.facts.sequencer.embedded import EmbeddedFactLog
from ployz.ids import ClusterName
from ployz.install.restoring import forget_etcd, restore
from tests.unit.facts.samples import FOUNDED, HOME, A, applied, joined

FACTS: list[Fact] = [FOUNDED, joined(A, 1), joined(A, 2), joined(A, 3)]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A founding machine that has followed three facts, and has used etcd."""
    made = Config(
        machine=A,
        endpoint="192.0.2.1:51820",
        cluster=HOME,
        state_dir=tmp_path / "state",
        socket=tmp_path / "run" / "ployzd.sock",
        founding=Founding(FOUNDED.ipv6_prefix),
    )
    made.state_dir.mkdir()
    follow(made, FACTS[:3])
    made.etcd_path.write_text("how it is reached")
    made.etcd_dir.mkdir()
    return made


def follow(config: Config, facts: list[Fact]) -> None:
    async def main() -> None:
        log = await SqliteLog.open(config.log_path, SystemClock())
        previous = GENESIS_HASH
        for position, fact in enumerate(facts, 1):
            previous = fact_hash(previous, position, fact)
            await log.append([Entry(STREAM, FactMirrored(position, previous, fact))])
        await log.aclose()

    anyio.run(main, backend="trio")


def backup_of(tmp_path: Path, facts: list[Fact]) -> Path:
    async def main() -> None:
        log = await EmbeddedFactLog.open(tmp_path / "other.db", SystemClock())
        for fact in facts:
            await applied(log, Transaction((), (), (fact,)))
        await back_up(log, tmp_path / "backup.db", SystemClock())
        await log.aclose()

    anyio.run(main, backend="trio")
    return tmp_path / "backup.db"


def facts_of(config: Config) -> list[Fact]:
    async def main() -> list[Fact]:
        log = await EmbeddedFactLog.open(config.facts_path, SystemClock())
        found = [each.fact for each in await log.facts(0, limit=100, wait_s=0)]
        await log.aclose()
        return found

    return anyio.run(main, backend="trio")


def there(config: Config) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in config.state_dir.iterdir() if each.is_file()}


def test_the_facts_go_on_after_the_last_one_in_the_backup(config: Config, tmp_path: Path) -> None:
    config.facts_path.write_bytes(b"of before")
    restored = restore(config, backup_of(tmp_path, FACTS))
    assert (restored.position, facts_of(config)) == (4, FACTS)
    assert [each.name.partition(".before-")[0] for each in restored.set_aside] == ["etcd.json", "etcd", "facts.db"]
    assert restored.set_aside[2].read_bytes() == b"of before"
    assert not config.etcd_path.exists()
    assert not config.etcd_dir.exists()
    assert restore(config, tmp_path / "backup.db").position == 4


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        pytest.param(FACTS[:2], Code.FORKED, id="older than what was followed"),
        pytest.param([FOUNDED, joined(A, 1), joined(A, 9), joined(A, 3)], Code.FORKED, id="of another history"),
        pytest.param(
            [evolve(FOUNDED, cluster=ClusterName("other")), *FACTS[1:]], Code.CONFLICT, id="another cluster's"
        ),
        pytest.param([], Code.CONFLICT, id="empty"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_changed(
    config: Config, tmp_path: Path, facts: list[Fact], code: Code
) -> None:
    backup = backup_of(tmp_path, facts)
    before = there(config)
    with pytest.raises(Refused) as refused:
        restore(config, backup)
    assert refused.value.code is code
    assert there(config) == before


@pytest.mark.parametrize("content", [None, b"no database"])
def test_what_is_no_backup_changes_nothing(config: Config, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "backup.db").write_bytes(content)
    before = there(config)
    with pytest.raises(PloyzError):
        restore(config, tmp_path / "backup.db")
    assert there(config) == before


def test_while_ployzd_runs_nothing_is_restored(config: Config, tmp_path: Path) -> None:
    backup = backup_of(tmp_path, FACTS)

    async def main() -> None:
        log = await SqliteLog.open(config.log_path, SystemClock())
        try:
            with pytest.raises(Refused) as refused:
                await anyio.to_thread.run_sync(restore, config, backup)
            assert refused.value.code is Code.LOG_LOCKED
        finally:
            await log.aclose()

    anyio.run(main, backend="trio")
    assert config.etcd_path.exists()


def test_every_other_machine_forgets_etcd_and_cannot_be_given_a_backup(config: Config, tmp_path: Path) -> None:
    member = evolve(config, founding=None)
    with pytest.raises(Refused) as refused:
        restore(member, backup_of(tmp_path, FACTS))
    assert refused.value.code is Code.CONFLICT
    assert [each.name.partition(".before-")[0] for each in forget_etcd(member)] == ["etcd.json", "etcd"]
    assert forget_etcd(member) == ()
