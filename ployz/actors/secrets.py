"""The secrets actor: takes what ployzctl has encrypted, and encrypts what this machine can read for others."""

from __future__ import annotations

from ployz.actors.core import Actor, handles
from ployz.actors.messages.secrets import (
    AwaitSecret,
    ListSecrets,
    PrepareSecret,
    Recipient,
    RemoveSecret,
    SealFor,
    SecretIsSet,
    SecretList,
    SecretRow,
    SetSecret,
    Shared,
    ShareSecret,
)
from ployz.actors.parts import Parts
from ployz.actors.work import catch_up, transact
from ployz.config import ASK_TIMEOUT_S
from ployz.errors import Code, Refused
from ployz.events.types import SecretSet
from ployz.facts.keys import LockHolder
from ployz.facts.lock import hold
from ployz.facts.secrets import remove_secret, set_secret, share_secret
from ployz.ids import SecretRef, ServiceRef
from ployz.plan import committed, secrets
from ployz.projections.secrets import Secret
from ployz.wire.message import Done


class SecretsActor(Actor):
    """`secrets`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # ------------------------------------------------------------ operators

    @handles(PrepareSecret, concurrent=True)
    async def prepare(self, message: PrepareSecret) -> SealFor:
        await catch_up(self._parts)
        known = self._parts.view.secrets.get(message.secret)
        members = self._parts.view.machines.certificates
        recipients = tuple(Recipient(*each) for each in sorted(members.items()))
        return SealFor(known.version + 1 if known else 1, recipients)

    @handles(SetSecret, concurrent=True)
    async def set(self, message: SetSecret) -> SecretIsSet:
        fact = SecretSet(message.secret, message.version, message.sealed, message.shares)
        offered = Secret(fact.secret, fact.version, fact.sealed, {each.machine: each for each in fact.shares}, 0)
        secrets.opened(offered, self._parts.me, self._parts.sealing_key)  # else nobody would notice before a start
        await transact(self._parts, set_secret(fact))
        return SecretIsSet(
            secret=message.secret,
            version=message.version,
            readers=secrets.readers(offered, self._parts.view.machines),
            used_by=self._used_by(message.secret),
        )

    @handles(ListSecrets, concurrent=True)
    async def list(self, message: ListSecrets) -> SecretList:  # noqa: ARG002 - it has nothing to say but "now"
        return SecretList(tuple(self._row(each) for each in self._parts.view.secrets.in_order()))

    def _row(self, secret: Secret) -> SecretRow:
        machines = self._parts.view.machines
        return SecretRow(
            secret=secret.secret,
            version=secret.version,
            set_ms=secret.set_ms,
            used_by=self._used_by(secret.secret),
            readers=secrets.readers(secret, machines),
            former_readers=secrets.former_readers(secret, machines),
        )

    @handles(RemoveSecret, concurrent=True)
    async def remove(self, message: RemoveSecret) -> Done:
        known = self._known(message.secret)
        holder = LockHolder(
            machine=self._parts.me,
            operation_id=self._parts.new_operation_id(),
            purpose=f"remove secret {message.secret}",
            since_ms=self._parts.clock.wall_ms(),
            operator=str(self.sender),
        )
        async with hold(self._parts.facts, self._parts.clock, message.secret.namespace, holder) as lock:
            await catch_up(self._parts)
            self._check_unused(message.secret)
            await transact(self._parts, remove_secret(message.secret, known.version, lock.token))
        return Done()

    def _check_unused(self, secret: SecretRef) -> None:
        manifest = committed.of_namespace(self._parts.view, secret.namespace)
        if manifest is not None and manifest.secret(secret.secret) is not None:
            raise Refused(
                Code.SECRET_IN_USE,
                f"secret {secret} is declared in the manifest of {secret.namespace}",
                "Deploy a manifest without it first.",
            )

    # ------------------------------------------------------------ coordinators

    @handles(ShareSecret, concurrent=True)
    async def share(self, message: ShareSecret) -> Shared:
        await catch_up(self._parts)
        known = self._known(message.secret)
        member = self._parts.view.machines.get(message.machine)
        if member is None or member.certificate is None:
            raise Refused(Code.UNKNOWN_MACHINE, f"{message.machine} is no machine with a certificate, by the facts")
        if message.machine not in secrets.readers(known, self._parts.view.machines):
            fact = secrets.shared_with(
                known,
                self._parts.me,
                self._parts.sealing_key,
                message.machine,
                member.certificate,
                self._parts.entropy,
            )
            await transact(self._parts, share_secret(fact))
        return Shared(self._parts.view.position)

    @handles(AwaitSecret, concurrent=True)
    async def await_secret(self, message: AwaitSecret) -> Done:
        await self._parts.mirror.wait_for(message.position, ASK_TIMEOUT_S)
        secrets.opened(self._known(message.secret), self._parts.me, self._parts.sealing_key)
        return Done()

    # ------------------------------------------------------------ inside

    def _known(self, secret: SecretRef) -> Secret:
        known = self._parts.view.secrets.get(secret)
        if known is None:
            there = ", ".join(str(each.secret) for each in self._parts.view.secrets.in_order())
            raise Refused(Code.UNKNOWN_SECRET, f"there is no secret {secret}", f"There are: {there or 'none'}.")
        return known

    def _used_by(self, secret: SecretRef) -> tuple[ServiceRef, ...]:
        manifest = committed.of_namespace(self._parts.view, secret.namespace)
        return tuple(
            ServiceRef(secret.namespace, service.name)
            for service in (manifest.services if manifest else ())
            if secret in secrets.refs_of(secret.namespace, service)
        )
