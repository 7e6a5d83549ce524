"""The fact log on etcd: compares, puts, the next facts and the head in one etcd transaction.

The same meaning as `memory`. A transaction that appends facts compares the head that it appends to; when somebody else
was faster, etcd says so and has done nothing, and it is made anew for the new head. Nothing else is ever sent again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, Final

import anyio
from attrs import frozen

from ployz.clock import Clock
from ployz.errors import Code, Failed, Refused, Unreachable
from ployz.facts.chain import fact_hash
from ployz.facts.etcd import forms
from ployz.facts.etcd.forms import Json, Names, Origin, Place
from ployz.facts.etcd.gateway import Declined, Gateway
from ployz.facts.leases import check_ttl
from ployz.facts.port import Applied, Compare, Conflict, Held, Put, SequencedFact, Transaction
from ployz.facts.rules import FACTS_LIMIT_MAX, WAIT_S_MAX, Head, check_keys, holds, page_size

LOOK_AGAIN_S: Final = 5.0
"""How long one watch is believed in: a member that froze, or lost the others, does not end it."""
TXN: Final = "/v3/kv/txn"
RANGE: Final = "/v3/kv/range"
_NOT_FOUND: Final = 5


@frozen
class _Log:
    """What does not change while this log is at this etcd."""

    origin: bytes
    base: int


class Snapshot:
    """The whole log as of one revision of etcd."""

    def __init__(self, log: EtcdFactLog, revision: int, head: Head, records: Sequence[Put]) -> None:
        self.head = head
        self.records = records
        """Those that stand under no lease."""
        self._log = log
        self._revision = revision

    async def facts(self, after: int) -> Sequence[SequencedFact]:
        """A page; empty at the end."""
        return await self._log.facts_at(after, self._revision)


class EtcdFactLog:
    def __init__(self, gateway: Gateway, clock: Clock) -> None:
        self._gateway = gateway
        self._clock = clock
        self._names = Names(gateway.access.prefix)
        self._log: _Log | None = None
        self._place = Place()
        """As last seen; a transaction finds out when it is not the newest."""

    # ------------------------------------------------------------ transactions

    async def transact(self, transaction: Transaction) -> Applied | Conflict:
        try:
            check_keys(transaction.puts)
        except Refused:
            conflict = await self._conflict(transaction.compares)
            if conflict is None:
                raise
            return conflict
        log = await self._opened()
        while True:
            outcome = await self._attempt(transaction, log)
            if not isinstance(outcome, _Log):
                return outcome
            log = outcome

    async def _attempt(self, transaction: Transaction, log: _Log) -> Applied | Conflict | _Log:
        """`_Log`: nothing was done, since the log had gone on, or is another one: this one."""
        names, place = self._names, self._place
        facts = self._sequenced(transaction, place)
        body = {
            "compare": [
                forms.value_is(names.origin, log.origin),
                *(forms.compare(names, each, log.base) for each in transaction.compares),
                *([forms.revision_is(names.head, place.written_by)] if facts else []),
            ],
            "success": [*self._writes(transaction, facts), *([] if facts else [forms.read(names.head)])],
            "failure": self._reads(transaction.compares),
        }
        try:
            answer = await self._gateway.write(TXN, body)
        except Declined as error:
            raise _refused(error, transaction) from error
        revision = forms.number(answer["header"], "revision")
        if answer.get("succeeded"):
            if facts:
                place = Place(facts[-1].position, facts[-1].hash, revision)
                self._place = place if place.position > self._place.position else self._place
                return Applied(revision + log.base, place.position)
            return Applied(revision + log.base, forms.place(forms.ranges(answer)[0]).position)
        return self._judge(answer, transaction.compares)

    def _sequenced(self, transaction: Transaction, place: Place) -> tuple[SequencedFact, ...]:
        position, previous, at_ms = place.position, place.hash, self._clock.wall_ms()
        facts = []
        for fact in transaction.facts:
            position += 1
            previous = fact_hash(previous, position, fact)
            facts.append(SequencedFact(position, previous, at_ms, fact))
        return tuple(facts)

    def _writes(self, transaction: Transaction, facts: Sequence[SequencedFact]) -> list[Json]:
        names = self._names
        writes = [forms.write(names, each) for each in transaction.puts]
        writes += [forms.put(names.fact(each.position), forms.pack_fact(each)) for each in facts]
        if facts:
            writes.append(forms.put(names.head, forms.pack_head(facts[-1].position, facts[-1].hash)))
        else:
            # Deleting what is not there is no write to etcd, and has no revision of its own.
            writes.append(forms.put(names.touched, b""))
        return writes

    def _reads(self, compares: Sequence[Compare]) -> list[Json]:
        names = self._names
        return [forms.read(key) for key in (names.origin, names.head, *(names.record(each.key) for each in compares))]

    def _judge(self, answer: Json, compares: Sequence[Compare]) -> Conflict | _Log:
        """Which compare failed first; none of the caller's: then the log is not where it was thought to be."""
        origin, head, *records = forms.ranges(answer)
        log = self._take_origin(origin)
        self._place = forms.place(head)
        for compare, ranged in zip(compares, records, strict=True):
            held = forms.held(ranged, log.base)
            if not holds(compare, held):
                return Conflict(compare, None if held is None else held.value)
        return log

    async def _conflict(self, compares: Sequence[Compare]) -> Conflict | None:
        answer = await self._read(TXN, {"success": self._reads(compares)})
        judged = self._judge(answer, compares)
        return judged if isinstance(judged, Conflict) else None

    # ------------------------------------------------------------ reading

    async def read(self, key: str) -> Held | None:
        log = await self._opened()
        return forms.held(await self._read(RANGE, {"key": self._names.record(key)}), log.base)

    async def list(self, prefix: str) -> Sequence[tuple[str, Held]]:
        log = await self._opened()
        ranged = await self._read(RANGE, self._names.records(prefix))
        return [
            (
                self._names.record_key(each["key"]),
                Held(forms.value(each), forms.number(each, "mod_revision") + log.base),
            )
            for each in forms.pairs(ranged)
        ]

    async def facts(self, after: int, *, limit: int, wait_s: float) -> Sequence[SequencedFact]:
        await self._opened()
        size = page_size(limit)
        if size == 0:
            return []
        until = anyio.current_time() + min(wait_s, WAIT_S_MAX)
        while True:
            ranged = await self._read(RANGE, self._names.facts(max(after, 0), size))
            left_s = until - anyio.current_time()
            if found := forms.pairs(ranged):
                return [forms.unpack_fact(each) for each in found]
            if left_s <= 0:
                return []
            next_revision = forms.number(ranged["header"], "revision") + 1
            await self._gateway.changed(self._names.head, next_revision, min(left_s, LOOK_AGAIN_S))

    async def snapshot(self) -> Snapshot:
        log = await self._opened()
        ranged = await self._read(RANGE, {"key": self._names.head})
        revision = forms.number(ranged["header"], "revision")
        # The head again, at the revision that everything else is read at.
        place = forms.place(await self._read(RANGE, {"key": self._names.head, "revision": str(revision)}))
        found = await self._read(RANGE, {**self._names.records(""), "revision": str(revision)})
        records = [
            Put(self._names.record_key(each["key"]), forms.value(each))
            for each in forms.pairs(found)
            if not forms.number(each, "lease")
        ]
        return Snapshot(self, revision, Head(revision + log.base, place.position, place.hash), records)

    async def facts_at(self, after: int, revision: int) -> Sequence[SequencedFact]:
        body = {**self._names.facts(after, FACTS_LIMIT_MAX), "revision": str(revision)}
        return [forms.unpack_fact(each) for each in forms.pairs(await self._read(RANGE, body))]

    async def _read(self, path: str, body: Json) -> Json:
        try:
            return await self._gateway.read(path, body)
        except Declined as error:
            raise Failed(Code.PART_FAILED, f"etcd refused to read: {error}") from error

    # ------------------------------------------------------------ leases
    #
    # Each may be asked twice: a lease that nobody was told of ends by itself. When a member loses its power, what is on
    # its way to it gets no answer, and the operator who begins something at that moment need not hear of it.

    async def grant(self, ttl_s: float) -> int:
        """Whole seconds, and at least what etcd's elections take: a lease may end late, and never early."""
        check_ttl(ttl_s)
        try:
            granted = await self._gateway.repeat("/v3/lease/grant", {"TTL": str(math.ceil(ttl_s))})
        except Declined as error:
            raise Failed(Code.PART_FAILED, f"etcd granted no lease: {error}") from error
        return forms.number(granted, "ID")

    async def keep_alive(self, lease: int) -> bool:
        """A leader renews leases on its own word, and one that was frozen or cut off may not know that it is none any
        more. So its answer counts when a read after it, which needs a majority, is of the same term.
        """
        if not 0 < lease <= forms.INT64_MAX:
            return False
        try:
            renewed = (await self._gateway.repeat("/v3/lease/keepalive", {"ID": str(lease)})).get("result", {})
        except Declined as error:
            raise Failed(Code.PART_FAILED, f"etcd renewed no lease: {error}") from error
        read = await self._read(RANGE, {"key": self._names.head})
        terms = [forms.number(each.get("header", {}), "raft_term") for each in (renewed, read)]
        if terms[0] != terms[1]:
            raise Unreachable(Code.OUTCOME_UNKNOWN, "etcd elected a new leader while a lease was renewed", "")
        return forms.number(renewed, "TTL") > 0

    async def revoke(self, lease: int) -> None:
        if not 0 < lease <= forms.INT64_MAX:
            return
        try:
            await self._gateway.repeat("/v3/lease/revoke", {"ID": str(lease)})
        except Declined as error:
            if error.code != _NOT_FOUND:
                raise Failed(Code.PART_FAILED, f"etcd revoked no lease: {error}") from error

    # ------------------------------------------------------------ which log this is

    async def _opened(self) -> _Log:
        if self._log is None:
            answer = await self._read(TXN, {"success": self._reads(())})
            judged = self._judge(answer, ())
            assert isinstance(judged, _Log)  # noqa: S101 - there was nothing to compare
            self._log = judged
        return self._log

    def _take_origin(self, ranged: Json) -> _Log:
        found = forms.pairs(ranged)
        if not found:
            raise Refused(
                Code.NOT_FOUNDED,
                f"etcd holds no fact log below {self._names.prefix!r}",
                "Was it emptied, or is this another etcd? Restore a backup, or correct where it is.",
            )
        stored = forms.value(found[0])
        self._log = _Log(stored, forms.unpack_origin(stored).revision_base)
        return self._log


async def begin(gateway: Gateway, *, revision_base: int = 0, log_id: bytes | None = None) -> None:
    """Makes what is below the prefix a fact log: what it held before is its content. There already is done."""
    names = Names(gateway.access.prefix)
    origin = forms.pack_origin(Origin(log_id or os.urandom(16), revision_base))
    absent: dict[str, Any] = {"key": names.origin, "target": "VERSION", "result": "EQUAL", "version": "0"}
    await gateway.write(TXN, {"compare": [absent], "success": [forms.put(names.origin, origin)]})


def _refused(error: Declined, transaction: Transaction) -> Refused | Failed:
    if error.code == _NOT_FOUND:
        keys = [each.key for each in transaction.puts if isinstance(each, Put) and each.lease]
        return Refused(Code.CONFLICT, f"{', '.join(keys)} was not written: its lease has ended", "begin anew")
    return Failed(Code.PART_FAILED, f"etcd refused a transaction, and changed nothing: {error}")
