"""Secrets as values: sealing one for every machine, opening one here, and what a plan has to share before it starts.

A value is encrypted once, with a key of its own; that key is sealed for each machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ployz.errors import Code, Failed
from ployz.events.types import SecretSet, SecretShare, SecretShared
from ployz.ids import Certificate, MachineId, Namespace, SecretName, SecretRef
from ployz.manifest.model import Manifest, Service
from ployz.plan.blockers import Blockers
from ployz.plan.model import Change, SecretPlan, SlotPlan
from ployz.projections.machines import Machines
from ployz.projections.secrets import Secret
from ployz.projections.view import ClusterView
from ployz.wire.certificates import fingerprint
from ployz.wire.sealing import KEY_BYTES, Entropy, SealingKey, Unopened, lock, seal, unlock

# ---------------------------------------------------------------- sealing and opening


def sealed_for(
    secret: SecretRef, version: int, value: bytes, members: Mapping[MachineId, Certificate], entropy: Entropy
) -> SecretSet:
    """`Unopened`: a certificate is none that can be sealed for."""
    key, context = entropy(KEY_BYTES), _context(secret, version)
    shares = (_share(key, context, each, certificate, entropy) for each, certificate in sorted(members.items()))
    return SecretSet(secret, version, lock(value, key, context), tuple(shares))


def opened(secret: Secret, me: MachineId, key: SealingKey) -> bytes:
    """`Failed` (SECRET_UNREADABLE): nothing of it is sealed for this machine's key."""
    try:
        return unlock(secret.sealed, _key_of(secret, me, key), _context(secret.secret, secret.version))
    except Unopened:
        raise _unreadable(secret.secret, me) from None


def shared_with(
    secret: Secret, me: MachineId, key: SealingKey, machine: MachineId, certificate: Certificate, entropy: Entropy
) -> SecretShared:
    """`Failed` (SECRET_UNREADABLE): this machine cannot open it, or that one has no key that can be sealed for."""
    context = _context(secret.secret, secret.version)
    try:
        share = _share(_key_of(secret, me, key), context, machine, certificate, entropy)
    except Unopened:
        raise _unreadable(secret.secret, machine) from None
    return SecretShared(secret.secret, secret.version, share)


def _share(key: bytes, context: bytes, machine: MachineId, certificate: Certificate, entropy: Entropy) -> SecretShare:
    return SecretShare(machine, fingerprint(certificate), seal(key, certificate, context, entropy))


def _key_of(secret: Secret, me: MachineId, key: SealingKey) -> bytes:
    share = secret.shares.get(me)
    try:
        if share is not None:
            return key.open(share.key, _context(secret.secret, secret.version))
    except Unopened:
        pass
    raise _unreadable(secret.secret, me)


def _context(secret: SecretRef, version: int) -> bytes:
    """So that what was sealed as one secret, or one version of it, is never taken for another."""
    return f"{secret} {version}".encode()


def _unreadable(secret: SecretRef, machine: MachineId) -> Failed:
    return Failed(
        Code.SECRET_UNREADABLE,
        f"secret {secret} is not encrypted for the key of {machine}",
        f"Set it anew: ployzctl secret set {secret}",
    )


# ---------------------------------------------------------------- who can read it


def readers(secret: Secret, machines: Machines) -> tuple[MachineId, ...]:
    """The members that can open it, with the keys that they have now."""
    return tuple(sorted(each for each in secret.shares if _reads(secret, each, machines)))


def former_readers(secret: Secret, machines: Machines) -> tuple[MachineId, ...]:
    """Who could open this version, and is a member no more, or has another key."""
    return tuple(sorted(each for each in secret.shares if not _reads(secret, each, machines)))


def _reads(secret: Secret, machine: MachineId, machines: Machines) -> bool:
    share, member = secret.shares.get(machine), machines.get(machine)
    if share is None or member is None or member.certificate is None:
        return False
    return share.fingerprint == fingerprint(member.certificate)


# ---------------------------------------------------------------- in a plan


def refs_of(namespace: Namespace, service: Service) -> tuple[SecretRef, ...]:
    return tuple(SecretRef(namespace, each.secret) for each in service.template.secrets)


def versions_of(view: ClusterView, namespace: Namespace, service: Service) -> dict[SecretName, int]:
    """Of those that are set."""
    found = ((each.secret, view.secrets.get(each)) for each in refs_of(namespace, service))
    return {name: secret.version for name, secret in found if secret is not None}


def plan_secrets(
    slots: Iterable[SlotPlan], manifest: Manifest, view: ClusterView, coordinator: MachineId, blockers: Blockers
) -> tuple[SecretPlan, ...]:
    """What has to be sealed for machines that get a container with it."""
    for declared in manifest.secrets:
        ref = SecretRef(manifest.namespace, declared.name)
        if view.secrets.get(ref) is None:
            blockers.add(Code.SECRET_NOT_SET, f"secret {ref} is not set", f"Set it: ployzctl secret set {ref}")
    services = {service.name: service for service in manifest.services}
    needed = {
        (slot.machine, ref)
        for slot in slots
        if slot.change not in (Change.UNCHANGED, Change.REMOVE)
        for ref in refs_of(manifest.namespace, services[slot.service])
    }
    return tuple(_lacking(sorted(needed), view, coordinator, blockers))


def _lacking(
    needed: Iterable[tuple[MachineId, SecretRef]], view: ClusterView, coordinator: MachineId, blockers: Blockers
) -> Iterator[SecretPlan]:
    for machine, ref in needed:
        secret, member = view.secrets.get(ref), view.machines.get(machine)
        if secret is None or member is None or _reads(secret, machine, view.machines):
            continue
        holders = readers(secret, view.machines)
        if not holders or member.certificate is None:
            why = "no machine of the cluster can read it any more" if not holders else f"{machine} has no certificate"
            blockers.add(
                Code.SECRET_UNREADABLE,
                f"secret {ref} cannot be encrypted for {machine}: {why}",
                f"Set it anew: ployzctl secret set {ref}",
            )
            continue
        yield SecretPlan(ref, machine, tuple(sorted(holders, key=lambda each: each != coordinator)))


def lacking(
    machine: MachineId, services: Iterable[Service], namespace: Namespace, view: ClusterView, me: MachineId
) -> tuple[tuple[SecretPlan, ...], Blockers]:
    """Of services that are about to run there, without a plan: what has to be sealed for it first."""
    blockers = Blockers()
    needed = sorted({(machine, ref) for service in services for ref in refs_of(namespace, service)})
    return tuple(_lacking(needed, view, me, blockers)), blockers
