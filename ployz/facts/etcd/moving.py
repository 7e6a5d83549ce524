"""Moving an embedded fact log to etcd: the same facts at the same positions with the same hashes, in one direction.

Copied while it is still in use; then sealed, and the rest copied; read back; and declared a fact log, last. Every step
may be repeated, so that a move that was interrupted anywhere is begun again and ends as if it had not been.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from attrs import evolve

from ployz.errors import Code, Corrupt, Failed, Refused
from ployz.events.log import GENESIS_HASH
from ployz.facts.etcd import forms
from ployz.facts.etcd.forms import Json, Names
from ployz.facts.etcd.gateway import Declined, Gateway
from ployz.facts.etcd.log import RANGE, TXN, begin
from ployz.facts.keys import Move
from ployz.facts.rules import Head
from ployz.facts.sequencer.embedded import EmbeddedFactLog

OPERATIONS_MAX: Final = 100
"""Of one transaction; etcd takes 128 if nobody allowed it more."""
BYTES_MAX: Final = 512 << 10
"""Of one transaction, as JSON; etcd takes 1.5 MiB."""


async def move(source: EmbeddedFactLog, gateway: Gateway, log_id: bytes) -> Head:
    """Returns where the log ended, and goes on in etcd.

    `Refused`: CONFLICT (there is another fact log, or this one went elsewhere), LOCK_HELD (an operation is going on).
    `Unreachable`, `Failed`: not done; run it again.
    """
    standing = source.move
    intent = standing or Move(gateway.access.text(), log_id, done=False)
    if intent.access != gateway.access.text():
        raise Refused(
            Code.CONFLICT,
            f"the fact log {'is in' if intent.done else 'is being moved to'} another etcd, or one reached otherwise",
            "Give the same file as before.",
        )
    if intent.done:
        return await source.head()
    names = Names(gateway.access.prefix)
    if not await _is_begun(gateway, names, intent):
        await source.verify()  # before anything is sealed: what is damaged could not be moved, and nothing else be done
        copied = await _copy_facts(source, gateway, names, 0)
        head = await source.seal(intent)
        await _copy_facts(source, gateway, names, copied)
        await _copy_records(source, gateway, names, head)
        await _read_back(source, gateway, names, head)
        await begin(gateway, revision_base=head.revision, log_id=intent.log_id)
        if not await _is_begun(gateway, names, intent):
            raise Failed(Code.PART_FAILED, "etcd did not keep what was written", "Run it again.")
    return await source.seal(evolve(intent, done=True))


async def _is_begun(gateway: Gateway, names: Names, intent: Move) -> bool:
    """`Refused` (CONFLICT): there is another fact log already."""
    found = forms.pairs(await gateway.read(RANGE, {"key": names.origin}))
    if not found:
        return False
    if forms.unpack_origin(forms.value(found[0])).log_id != intent.log_id:
        text = f"etcd holds another fact log already, below {names.prefix!r}"
        raise Refused(Code.CONFLICT, text, "Give an etcd without one, or another `prefix`.")
    return True


async def _copy_facts(source: EmbeddedFactLog, gateway: Gateway, names: Names, after: int) -> int:
    """Returns the position of the last one."""
    while page := await source.everything(after):
        writes = [forms.put(names.fact(each.position), forms.pack_fact(each)) for each in page]
        await _write(gateway, names, writes)
        after = page[-1].position
    return after


async def _copy_records(source: EmbeddedFactLog, gateway: Gateway, names: Names, head: Head) -> None:
    """What an earlier try had copied may be out of date: it goes first."""
    await _write(gateway, names, [{"request_delete_range": dict(names.records(""))}])
    writes = [forms.put(names.record(key), held.value) for key, held in await source.records()]
    if head.position:
        writes.append(forms.put(names.head, forms.pack_head(head.position, head.hash)))
    await _write(gateway, names, writes)


async def _write(gateway: Gateway, names: Names, writes: Sequence[Json]) -> None:
    """Only while there is no fact log: what arrives late must not write over one."""
    absent = {"key": names.origin, "target": "VERSION", "result": "EQUAL", "version": "0"}
    for batch in _batches(writes):
        try:
            answer = await gateway.write(TXN, {"compare": [absent], "success": batch})
        except Declined as error:
            raise Failed(Code.PART_FAILED, f"etcd did not take the facts: {error}", "Nothing was moved.") from error
        if not answer.get("succeeded"):
            raise Refused(Code.CONFLICT, "somebody else has moved a fact log there", "Look at it before you go on.")


def _batches(writes: Sequence[Json]) -> Iterator[list[Json]]:
    batch: list[Json] = []
    size = 0
    for each in writes:
        length = len(each.get("request_put", {}).get("value", ""))
        if batch and (len(batch) >= OPERATIONS_MAX or size + length > BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += length
    if batch:
        yield batch


async def _read_back(source: EmbeddedFactLog, gateway: Gateway, names: Names, head: Head) -> None:
    """`Corrupt` (LOG_CORRUPT): what is in etcd now is not what was copied."""
    position, previous = 0, GENESIS_HASH
    while found := forms.pairs(await gateway.read(RANGE, names.facts(position, 1_000))):
        for pair in found:
            position += 1
            previous = forms.verified(pair, previous, position)
    copied = [
        (names.record_key(each["key"]), forms.value(each))
        for each in forms.pairs(await gateway.read(RANGE, names.records("")))
    ]
    expected = [(key, held.value) for key, held in await source.records()]
    if (position, previous) != (head.position, head.hash) or copied != expected:
        raise Corrupt(Code.LOG_CORRUPT, "etcd does not hold what was copied to it", "Run it again.")
