"""Another WireGuard key for a machine: at each step, and after a crash at any of them, both sides agree on one."""

from __future__ import annotations

from itertools import accumulate

import pytest

from ployz.actors.messages.membership import RemoveMachine
from ployz.actors.messages.rotation import RotateKeys
from ployz.errors import Code, PloyzError
from ployz.host.fakes.overlay import made_up_key
from ployz.host.ports import OverlayPeer
from ployz.ids import MachineId
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.manifests import A, B, C

SETTLED_S = 60.0
OLD, NEW = made_up_key(B), made_up_key(made_up_key(B))


def heard(cluster: Cluster, machine: MachineId = B) -> None:
    """Whoever knows the key that the machine uses has shaken hands with it, as packets would make them do."""

    async def shake(effect: Effect) -> None:
        key = await cluster[machine].overlay.public_key()
        for each in cluster.machines.values():
            each.overlay.handshake_ages_s[key] = 0.0

    cluster.effects.at(
        lambda each: (each.machine, each.name, each.done) == (machine, "overlay.switch_key", True), shake
    )


def keys_of(machine: MachineId) -> list[str]:
    """The one that it began with, and those that it changes to, one after the other."""
    return list(accumulate(range(5), lambda key, _: made_up_key(str(key)), initial=str(machine)))[1:]


def peers(cluster: Cluster, machine: MachineId, of: MachineId = B) -> list[OverlayPeer]:
    applied = cluster[machine].overlay.applied
    found = [each for each in (applied[-1].peers if applied else ()) if each.public_key in keys_of(of)]
    return sorted(found, key=lambda each: keys_of(of).index(each.public_key))


def agreed(cluster: Cluster, machine: MachineId, key: str) -> bool:
    """Everybody else sends to the machine under that key, and under no other."""
    others = [each for each in cluster.machines if each != machine]
    return all([each.public_key for each in peers(cluster, other, machine)] == [key] for other in others)


@pytest.mark.parametrize("by", [A, B])
def test_everybody_takes_a_machine_under_both_keys_until_it_is_heard_with_the_new_one(by: MachineId) -> None:
    async def body(cluster: Cluster) -> None:
        heard(cluster)
        before: list[list[OverlayPeer]] = []

        async def see(effect: Effect) -> None:
            before.extend(peers(cluster, each) for each in (A, C))

        at = (B, "overlay.switch_key", False)
        cluster.effects.at(lambda each: (each.machine, each.name, each.done) == at, see)
        rotated = await cluster.ask(by, "rotation", RotateKeys(B))
        assert (rotated.machine, rotated.public_key, rotated.silent) == (B, NEW, ())
        for old, new in before:
            assert (old.public_key, new.public_key) == (OLD, NEW)
            assert (bool(old.addresses), bool(new.addresses)) == (True, False)
        await cluster.until(lambda: agreed(cluster, B, NEW), within_s=SETTLED_S)
        assert all(peers(cluster, each)[0].addresses for each in (A, C))

    simulate(body)


def test_addresses_follow_to_the_new_key_when_it_is_heard_and_not_before() -> None:
    async def body(cluster: Cluster) -> None:
        moved: list[str] = []

        async def see(effect: Effect) -> None:
            key = await cluster[B].overlay.public_key()
            assert all(each.addresses == frozenset() for each in peers(cluster, A) if each.public_key == NEW)
            cluster[A].overlay.handshake_ages_s[key] = 0.0
            await cluster.until(lambda: bool(peers(cluster, A)[1].addresses), within_s=1.0)
            moved.extend(each.public_key for each in peers(cluster, A) if each.addresses)

        cluster.effects.at(lambda each: (each.machine, each.name, each.done) == (B, "overlay.switch_key", True), see)
        await cluster.ask(A, "rotation", RotateKeys(B))
        assert moved == [NEW]

    simulate(body)


@pytest.mark.parametrize("effect", ["overlay.next_key", "facts.transact", "overlay.switch_key"])
@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("power", [False, True])
def test_after_a_crash_at_any_step_there_is_one_good_key_and_the_command_can_be_given_again(
    effect: str, done: bool, power: bool
) -> None:
    async def body(cluster: Cluster) -> None:
        heard(cluster)

        async def crash(struck: Effect) -> None:
            cluster.tasks.start_soon(cluster.boot if power else cluster.start, B)
            (cluster.crash if power else cluster.kill)(B)

        cluster.effects.at(lambda each: (each.machine, each.name, each.done) == (B, effect, done), crash)
        with pytest.raises(PloyzError):
            await cluster.ask(A, "rotation", RotateKeys(B), timeout_s=200)

        def one_good_key() -> bool:
            if cluster[B].life is None or not cluster[B].overlay.applied:
                return False
            used = cluster[B].overlay._key
            return all(used in [each.public_key for each in peers(cluster, other)] for other in (A, C))

        await cluster.until(one_good_key, within_s=SETTLED_S)
        await cluster.agreed()
        for each in cluster.machines.values():
            each.overlay.handshake_ages_s[cluster[B].overlay._key] = 0.0
        heard(cluster)
        await cluster.until(lambda: (life := cluster[B].life) is not None and life.is_up, within_s=SETTLED_S)
        rotated = await cluster.ask(A, "rotation", RotateKeys(B), timeout_s=200)
        await cluster.until(lambda: agreed(cluster, B, rotated.public_key), within_s=SETTLED_S)

    simulate(body)


def test_the_founding_machine_changes_its_key_only_when_everybody_hears_of_it() -> None:
    async def body(cluster: Cluster) -> None:
        heard(cluster, A)
        cluster.crash(C)
        with pytest.raises(PloyzError) as caught:
            await cluster.ask(B, "rotation", RotateKeys(A), timeout_s=200)
        assert (caught.value.code, C in caught.value.problem.text) == (Code.MACHINE_UNREACHABLE, True)
        assert "overlay.next_key" not in [each.name for each in cluster.effects.seen]
        await cluster.boot(C)
        await cluster.agreed()
        await cluster.ask(B, "rotation", RotateKeys(A), timeout_s=200)
        await cluster.until(lambda: agreed(cluster, A, made_up_key(made_up_key(A))), within_s=SETTLED_S)

    simulate(body)


def test_a_machine_that_was_off_follows_when_it_is_back() -> None:
    async def body(cluster: Cluster) -> None:
        heard(cluster)
        cluster.crash(C)
        rotated = await cluster.ask(A, "rotation", RotateKeys(B), timeout_s=200)
        assert rotated.silent == (C,)
        await cluster.boot(C)
        await cluster.until(lambda: agreed(cluster, B, NEW), within_s=SETTLED_S)

    simulate(body)


def test_a_machine_that_is_removed_keeps_the_founders_newest_key_for_when_it_is_invited_again() -> None:
    async def body(cluster: Cluster) -> None:
        heard(cluster, A)
        await cluster.ask(B, "rotation", RotateKeys(A), timeout_s=200)
        await cluster.until(lambda: agreed(cluster, A, made_up_key(made_up_key(A))), within_s=SETTLED_S)
        await cluster.ask(A, "membership", RemoveMachine(C, force=False), timeout_s=200)
        await cluster.until(lambda: len(cluster[C].overlay.applied[-1].peers) == 1, within_s=SETTLED_S)
        assert [each.public_key for each in cluster[C].overlay.applied[-1].peers] == [made_up_key(made_up_key(A))]

    simulate(body)
