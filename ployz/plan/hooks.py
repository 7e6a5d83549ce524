"""What the services that leave a machine declare to be told around a snapshot, as calls of commands. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from attrs import frozen

from ployz.ids import SlotRef
from ployz.manifest import Manifest
from ployz.manifest.model import Hook


class Moment(StrEnum):
    BEFORE = "before_snapshot"
    AFTER = "after_snapshot"


@frozen
class HookCall:
    """A command to run in the container of a slot."""

    slot: SlotRef
    command: tuple[str, ...]
    timeout_s: float


def hook_calls(manifest: Manifest, slots: Iterable[SlotRef], moment: Moment) -> tuple[HookCall, ...]:
    """By the manifest that is about to be committed: hooks are told to a container, and are no part of it."""
    declared = [(slot, _hook(manifest, slot, moment)) for slot in slots]
    return tuple(HookCall(slot, hook.command, hook.timeout_s) for slot, hook in declared if hook is not None)


def _hook(manifest: Manifest, slot: SlotRef, moment: Moment) -> Hook | None:
    service = manifest.service(slot.service.service)
    if service is None:
        return None
    return service.hooks.before_snapshot if moment is Moment.BEFORE else service.hooks.after_snapshot
