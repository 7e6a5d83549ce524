"""From what the machines say about themselves to what is wrong, and what to do about each of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final

from attrs import frozen

from ployz.config import SPACE_RESERVE
from ployz.facts.wellformed import flaws
from ployz.ids import MachineId
from ployz.plan.doctor.contests import remedy_of, text_of
from ployz.plan.doctor.leftovers import RESTART
from ployz.plan.doctor.packets import narrow
from ployz.plan.doctor.reach import unreachable
from ployz.plan.doctor.readings import (
    HANDSHAKE_OLD_MS,
    Authority,
    Examined,
    FailedLook,
    HangingReading,
    Leftover,
    Look,
    PoolReading,
    Readings,
    StateReading,
    VolumeReading,
)
from ployz.plan.doctor.versions import is_one_minor
from ployz.projections.machines import Member

UNSETTLED_MS: Final = 60_000
"""What was decided less than this ago may still be on its way."""
QUOTA_NEAR: Final = 0.85
"""Of a volume's quota."""
QUOTA_REACHED: Final = 0.97
SPACE_LOW: Final = 0.15
"""Of a pool: copy-on-write begins to suffer, and the reserve is near."""
STATE_NEAR: Final = 0.90
"""Of the file system that the state folder is on, in bytes or in inodes: what cannot write its log ends."""
STATE_REACHED: Final = 0.97
CLOCK_OFF_MS: Final = 1_000
"""Times of events and ages of copies are compared across machines. No lease is: those are counted on one clock each."""
CERTIFICATE_SOON_MS: Final = 21 * 24 * 3_600_000
DAY_MS: Final = 24 * 3_600_000
NAMES_MAX: Final = 5
"""Wrong ones of a machine, each with a line of its own."""


FREES: Final = (
    "Delete data of its volumes, or snapshots that nobody needs (zfs list -t snapshot), or add disks to it. "
    "Moving a volume away leaves a copy, which `ployzctl volume drop-copy` destroys."
)


class Severity(StrEnum):
    ERROR = "error"
    """Something does not work, or cannot when it is needed."""
    WARNING = "warning"
    """It works, and will not for long, or not as it should."""


@frozen
class Finding:
    severity: Severity
    kind: str
    """Stable: scripts may match on it."""
    machine: MachineId | None
    """None: it is about the cluster."""
    text: str
    remedy: str


@frozen
class _On:
    """Findings about one machine."""

    machine: MachineId

    def error(self, kind: str, text: str, remedy: str) -> Finding:
        return Finding(Severity.ERROR, kind, self.machine, text, remedy)

    def warning(self, kind: str, text: str, remedy: str) -> Finding:
        return Finding(Severity.WARNING, kind, self.machine, text, remedy)


def findings(
    examined: Sequence[Examined], authority: Authority, now_ms: int, unfit: Iterable[Finding] = ()
) -> tuple[Finding, ...]:
    """Errors first; else in the order of the machines. `unfit`: as `of_members` says."""
    found = [*_of_authority(authority), *_of_versions(examined), *unfit]
    for each in examined:
        found += _of_machine(each, examined, authority, now_ms)
    found += [_On(each.machine).error("packets-lost", each.text, each.remedy) for each in narrow(examined)]
    found += [_On(each.machine).error("slot-unreached", each.text, each.remedy) for each in unreachable(examined)]
    return tuple(sorted(found, key=lambda each: each.severity is not Severity.ERROR))


def of_members(members: Iterable[Member]) -> Iterator[Finding]:
    """About members that the facts describe by what is no certificate, key, endpoint or address: the others leave that
    out, and do not hear such a machine.
    """
    for each in members:
        for flaw in flaws(each.machine, each.endpoint, each.public_key, (each.ipv6, each.ipv4), each.certificate):
            remedy = f"Remove it, and let it join anew: ployzctl machine rm {each.machine} --force"
            yield _On(each.machine).error("member-unfit", f"by the facts nobody can use it: {flaw}", remedy)


def _of_authority(authority: Authority) -> Iterator[Finding]:
    if authority.problem is not None:
        text = f"nothing can be committed now: {authority.problem.text}"
        remedy = authority.problem.advice or "ployzctl cluster status"
        yield Finding(Severity.ERROR, "authority-away", None, text, remedy)
    for concern in authority.concerns:
        yield Finding(Severity.WARNING, "authority-concern", None, concern, "ployzctl cluster status")


def _of_versions(examined: Sequence[Examined]) -> Iterator[Finding]:
    versions = {each.machine: each.readings.version for each in examined if each.readings is not None}
    if len(set(versions.values())) > 1:
        said = ", ".join(f"{machine} {version}" for machine, version in versions.items())
        severity = Severity.WARNING if is_one_minor(versions.values()) else Severity.ERROR
        text = f"the machines run different versions of ployz: {said}"
        yield Finding(severity, "versions-differ", None, text, "ployzctl cluster upgrade-check")


def _of_machine(each: Examined, examined: Sequence[Examined], authority: Authority, now_ms: int) -> Iterator[Finding]:
    on = _On(each.machine)
    if each.clock is not None and abs(each.clock.offset_ms) - each.clock.doubt_ms > CLOCK_OFF_MS:
        way = "ahead" if each.clock.offset_ms > 0 else "behind"
        text = f"its clock is {abs(each.clock.offset_ms) / 1000:.1f} s {way} of the machine that was asked"
        yield on.warning("clock-off", text, "Let both keep the time: timedatectl set-ntp true")
    if each.readings is None:
        why = each.problem.text if each.problem is not None else "nobody knows why"
        yield on.error("machine-silent", f"it does not answer: {why}", _remedy_for_silence(each.machine, examined))
        return
    silent = {other.machine for other in examined if other.readings is None}
    yield from _of_membership(on, each.readings, authority)
    yield from _of_parts(on, each.readings)
    yield from _of_unsettled(on, each.readings)
    for volume in each.readings.volumes:
        yield from _of_volume(on, volume)
    yield from _of_overlay(on, each.readings, silent)
    yield from _of_files(on, each.readings, now_ms)
    for contest in each.readings.contests:
        finding = on.error if contest.wrong else on.warning
        yield finding(f"taken-away-{contest.kind}", text_of(contest), remedy_of(contest))
    yield from _of_slots(on, each.readings)
    yield from _of_reach(on, each.readings)
    for left in each.readings.leftovers:
        remedy = _remedy_for_leftover(left, each.readings.hanging)
        yield on.warning(f"leftover-{left.kind}", f"{left.kind} {left.name} {left.why}", remedy)


def _remedy_for_leftover(left: Leftover, hanging: Sequence[HangingReading]) -> str:
    """A ployzd that was restarted waits for the same mount as the one before it."""
    if hanging and left.remedy == RESTART:
        return "It goes by itself when mounts do not hang there any more; a restart of ployzd does not help."
    return left.remedy


def _remedy_for_silence(machine: MachineId, examined: Sequence[Examined]) -> str:
    """Its WireGuard answers without its ployzd: then the machine itself is there."""
    ages_ms = [
        peer.handshake_age_ms
        for each in examined
        if each.readings is not None
        for peer in each.readings.peers
        if peer.machine == machine and peer.handshake_age_ms is not None
    ]
    if ages_ms and min(ages_ms) < HANDSHAKE_OLD_MS:
        return (
            f"Its WireGuard answered {min(ages_ms) // 1000} s ago, so it was on then. Look there: "
            "systemctl status ployzd"
        )
    return "Its WireGuard does not answer either: look whether it is on, and whether its endpoint can be reached."


def _of_membership(on: _On, said: Readings, authority: Authority) -> Iterator[Finding]:
    if said.removed:
        yield on.error("removed", "it was removed from the cluster", "Ask another machine; stop ployzd on this one.")
    if authority.position is not None and said.position < authority.position:
        behind = authority.position - said.position
        text = f"it follows the facts up to {said.position}, {behind} behind, and does not catch up"
        yield on.error("facts-behind", text, "Look there: journalctl -u ployzd")


def _of_parts(on: _On, said: Readings) -> Iterator[Finding]:
    for each in said.missing:
        name, _, remedy = each.partition(": ")
        yield on.error(
            "requirement-missing", f"{name} is not as ployz requires it", f"{remedy[:1].upper()}{remedy[1:]}"
        )
    if said.pool is not None:
        yield from _of_pool(on, said.pool)
    if said.state is not None:
        yield from _of_state(on, said.state)
    if said.hanging:
        yield _of_hanging(on, said.hanging[0], len(said.hanging) - 1)
    for failed in said.failed:
        if not _is_said_already(failed, said):
            text = f"{failed.look} could not be looked at: {failed.problem.text}"
            yield on.error("look-failed", text, failed.problem.advice or "Look there: journalctl -u ployzd")


def _of_hanging(on: _On, oldest: HangingReading, more: int) -> Finding:
    beside = f", nor have {more} more" if more else ""
    text = f"mounts hang: `{oldest.command}` has not ended for {oldest.age_s} s{beside}"
    if oldest.by_daemon:
        remedy = (
            "Restart the machine, by its power if it does not go down: its zfs-fuse may serve no volume any more. "
            "A restart of ployzd does not help."
        )
    else:
        remedy = (
            "Look there at `zpool status` and `dmesg`. If the disks answer and it goes on, restart the machine: a "
            "restart of ployzd does not help."
        )
    return on.error("mounts-hang", text, remedy)


def _is_said_already(failed: FailedLook, said: Readings) -> bool:
    """A Docker that is missing cannot list containers, either; nor can a ZFS be asked that waits for a mount."""
    if said.hanging and failed.look in (Look.POOL, Look.DATASETS):
        return True
    shared: Mapping[Look, tuple[str, ...]] = {
        Look.CONTAINERS: ("docker:", "dockerd:"),
        Look.SLOTS: ("docker:", "dockerd:"),
        Look.POOL: ("zfs:", "zpool:", "pool "),
        Look.DATASETS: ("zfs:", "zpool:", "pool "),
        Look.OVERLAY: ("wg:",),
        Look.DOORS: ("nft:",),
    }
    return any(each.startswith(shared.get(failed.look, ())) for each in said.missing)


def _of_pool(on: _On, pool: PoolReading) -> Iterator[Finding]:
    if not pool.works:
        yield on.error("pool-broken", f"pool {pool.pool} is {pool.health}", f"Look there: zpool status {pool.pool}")
    elif pool.health != "ONLINE":
        text = f"pool {pool.pool} is {pool.health}: one more loss, and its data is gone"
        yield on.warning("pool-degraded", text, f"Look there: zpool status {pool.pool}")
    free = pool.free_bytes / pool.size_bytes if pool.size_bytes else 0.0
    text = f"pool {pool.pool} has {free:.0%} of its {pool.size_bytes >> 20} MiB free"
    if free <= SPACE_RESERVE:
        yield on.error("pool-full", f"{text}: nothing can be moved there", FREES)
    elif free <= SPACE_LOW:
        yield on.warning("pool-nearly-full", text, FREES)


def _of_state(on: _On, state: StateReading) -> Iterator[Finding]:
    """The limit that is nearer: a file system without inodes takes no new file, however much room it has."""
    by_bytes = 1 - state.free_bytes / state.size_bytes if state.size_bytes else 0.0
    by_files = 1 - state.files_free / state.files if state.files else 0.0
    of = f"{state.size_bytes >> 20} MiB" if by_bytes >= by_files else f"{state.files} inodes"
    used, count = max(by_bytes, by_files), "" if by_bytes >= by_files else "--inodes "
    text = f"file system {state.mount}, with the state folder {state.folder}, has {used:.0%} of its {of} in use"
    what = f"du -x {count}{state.mount} | sort -n | tail"
    remedy = f"Delete there what nobody needs, or make it larger. What takes it: {what}"
    if used >= STATE_REACHED:
        yield on.error("state-folder-full", f"{text}: without room in it nothing can be changed there", remedy)
    elif used >= STATE_NEAR:
        yield on.warning("state-folder-nearly-full", text, remedy)


def _of_unsettled(on: _On, said: Readings) -> Iterator[Finding]:
    seen = {each.problem.text for each in said.failed}
    for each in said.unsettled:
        if each.age_ms >= UNSETTLED_MS and each.problem.text not in seen:
            text = f"{each.subject} is not as the facts have it, for {each.age_ms // 1000} s now: {each.problem.text}"
            yield on.error("unsettled", text, each.problem.advice or "Look there: journalctl -u ployzd")


def _of_slots(on: _On, said: Readings) -> Iterator[Finding]:
    """What does not run since it cannot be settled is told of with the reason."""
    told = {each.subject for each in said.unsettled if each.age_ms >= UNSETTLED_MS}
    for each in said.slots:
        if each.kind != "exited" or f"service {each.slot.service}" not in told:
            yield on.error(f"slot-{each.kind}", f"{each.slot} {each.text}", each.remedy)


def _of_reach(on: _On, said: Readings) -> Iterator[Finding]:
    """By name, and what was not looked at. What is not reached by its address is told of once for all who looked."""
    if said.reach is not None and said.reach.untold:
        text = f"of {said.reach.untold} more slots it is not known whether it reaches them: too many did not answer"
        yield on.warning("reach-unknown", text, "Put right what is named, and ask again.")
    for each in said.names[:NAMES_MAX]:
        answered = ", ".join(each.answered) or "nothing"
        text = f"its name server answers {answered} for {each.name}, and not {', '.join(each.expected)}"
        yield on.error("name-wrong", text, "Restart ployzd there: systemctl restart ployzd")
    if (more := len(said.names) - NAMES_MAX) > 0:
        text = f"its name server answers {more} more names otherwise than the facts have them"
        yield on.error("name-wrong", text, "Restart ployzd there: systemctl restart ployzd")


def _of_volume(on: _On, volume: VolumeReading) -> Iterator[Finding]:
    """Near its limit, and by what: data, or data and snapshots where somebody has bounded both."""
    data, held = (f"{size_bytes >> 20} MiB" for size_bytes in (volume.referenced_bytes, volume.snapshots_bytes))
    beside = f"; its snapshots hold {held} of the pool beside it" if volume.snapshots_bytes else ""
    used_bytes = volume.referenced_bytes + volume.snapshots_bytes
    for has_bytes, bound_bytes, by, remedy in (
        (
            volume.referenced_bytes,
            volume.quota_bytes,
            f"by its data{beside}",
            "Raise its quota in the manifest and deploy, or delete some of its data.",
        ),
        (
            used_bytes,
            volume.total_quota_bytes,
            f"by {data} of data and {held} that its snapshots hold: a quota was set by hand that counts both",
            "Let the manifest bound its data alone, and restart ployzd there: it takes that quota away.",
        ),
    ):
        near = has_bytes / bound_bytes if bound_bytes else 0.0
        text = f"volume {volume.volume} has {near:.0%} of its {bound_bytes >> 20} MiB in use, {by}"
        if near >= QUOTA_REACHED:
            yield on.error("volume-full", text, remedy)
        elif near >= QUOTA_NEAR:
            yield on.warning("volume-nearly-full", text, remedy)


def _of_overlay(on: _On, said: Readings, silent: set[MachineId]) -> Iterator[Finding]:
    """What is silent altogether is told of once."""
    for peer in said.peers:
        age_ms = peer.handshake_age_ms
        if peer.machine in silent or not peer.is_old:
            continue
        when = "never" if age_ms is None else f"not for {age_ms // 1000} s"
        text = f"its WireGuard has {when} shaken hands with {peer.machine}'s"
        remedy = (
            f"Look whether UDP reaches the endpoint of {peer.machine}: ployzctl machine ls, and a firewall between."
        )
        yield on.error("handshake-old", text, remedy)


def _of_files(on: _On, said: Readings, now_ms: int) -> Iterator[Finding]:
    if said.log is not None and said.log.wrong:
        text = f"its log is not what was written: {'; '.join(said.log.wrong)}"
        yield on.error("log-corrupt", text, "Keep log.db. There, `ployzctl events verify` names each event.")
    if said.identity:
        yield on.error("identity", said.identity, "Restore identity.pem in its state folder, or join it anew.")
    for each in said.certificates:
        left_ms = each.not_after_ms - now_ms
        if each.problem:
            yield on.error("certificate-broken", f"{each.path} cannot be read: {each.problem}", "Replace it.")
        elif left_ms < 0:
            text = f"certificate {each.path} ended {-left_ms // DAY_MS} days ago"
            yield on.error("certificate-ended", text, "Put a new one in its place: the gateway takes it by itself.")
        elif left_ms < CERTIFICATE_SOON_MS:
            text = f"certificate {each.path} ends in {left_ms // DAY_MS} days"
            yield on.warning("certificate-ends", text, "Put a new one in its place: the gateway takes it by itself.")
