from __future__ import annotations

from ployz.events.log import GENESIS_HASH
from ployz.events.types import Fact, Lifecycle, MachineLifecycleChanged, vocabulary
from ployz.facts.chain import fact_hash
from tests.unit.facts.samples import A, B

ACTIVE = MachineLifecycleChanged(A, Lifecycle.ACTIVE)


def test_the_hash_of_a_fact_never_changes() -> None:
    # Every mirror in the field holds this value: a different one is a fork for all of them.
    assert (
        fact_hash(GENESIS_HASH, 1, ACTIVE).hex() == "a217a3c6600e289a898a8504db1ac815c40879ea459d2e670c4cc78cf37fb980"
    )


def test_the_hash_depends_on_history_position_and_fact() -> None:
    hashes = {
        fact_hash(GENESIS_HASH, 1, ACTIVE),
        fact_hash(b"\1" * 32, 1, ACTIVE),
        fact_hash(GENESIS_HASH, 2, ACTIVE),
        fact_hash(GENESIS_HASH, 1, MachineLifecycleChanged(B, Lifecycle.ACTIVE)),
        fact_hash(GENESIS_HASH, 1, MachineLifecycleChanged(A, Lifecycle.STANDBY)),
    }
    assert len(hashes) == 5
    assert {len(each) for each in hashes} == {32}


def test_every_fact_is_in_its_first_version_which_is_what_mirrors_hash() -> None:
    later = [name for (name, version), cls in vocabulary().items() if issubclass(cls, Fact) and version > 1]
    assert not later, "a mirror cannot check these: see ployz/facts/chain.py"
