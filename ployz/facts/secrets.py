"""The transactions of secrets. Pure builders, as in `transactions`."""

from __future__ import annotations

from ployz.events.types import SecretRemoved, SecretSet, SecretShared
from ployz.facts import keys
from ployz.facts.keys import SecretRecord
from ployz.facts.port import Transaction
from ployz.ids import SecretRef


def set_secret(fact: SecretSet) -> Transaction:
    """Its version is the one before, by what was asked: of two that set it at once, the second is told of the first."""
    record = keys.secret(fact.secret)
    before = fact.version - 1
    return Transaction(
        compares=(record.is_(SecretRecord(before)) if before else record.absent(),),
        puts=(record.put(SecretRecord(fact.version)),),
        facts=(fact,),
    )


def share_secret(fact: SecretShared) -> Transaction:
    """It has that version still. Sharing it twice is harmless."""
    return Transaction(
        compares=(keys.secret(fact.secret).is_(SecretRecord(fact.version)),),
        puts=(),
        facts=(fact,),
    )


def remove_secret(secret: SecretRef, version: int, lock_token: int) -> Transaction:
    """The lock token is current: no deploy that needs it is under way. It is the one that the operator was shown."""
    record = keys.secret(secret)
    return Transaction(
        compares=(keys.lock(secret.namespace).written_by(lock_token), record.is_(SecretRecord(version))),
        puts=(record.delete(),),
        facts=(SecretRemoved(secret),),
    )
