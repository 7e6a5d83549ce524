"""Every (name, version) that was ever written can be read, and today's code writes the newest as it always did.

`PLOYZ_WRITE_GOLDEN=1` writes the files of new events. No file is ever changed: a changed event is a new version.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ployz.events.codec import CODEC
from ployz.events.types import Event, vocabulary
from tests.golden.samples import samples

FOLDER = Path(__file__).parent / "events"
LINE_BYTES = 40
SAMPLES = {f"{event.event_name}.{event.event_version}": event for event in samples()}
STORED = sorted(FOLDER.glob("*.hex"))


def lines_of(payload: bytes) -> str:
    return "".join(f"{payload[at : at + LINE_BYTES].hex()}\n" for at in range(0, len(payload), LINE_BYTES))


def test_every_event_of_the_vocabulary_has_one_sample() -> None:
    assert sorted(SAMPLES) == sorted(f"{name}.{version}" for name, version in vocabulary())
    assert len(samples()) == len(SAMPLES)


@pytest.mark.parametrize("kind", sorted(SAMPLES))
def test_an_event_is_written_as_it_always_was(kind: str) -> None:
    file = FOLDER / f"{kind}.hex"
    written = lines_of(CODEC.encode(SAMPLES[kind]).payload)
    if not file.exists() and os.environ.get("PLOYZ_WRITE_GOLDEN") == "1":
        file.write_text(written)
    assert file.exists(), f"{kind} is new: run this once with PLOYZ_WRITE_GOLDEN=1 and commit the file"
    assert file.read_text() == written, f"{kind} changed: give it a new version and an upcaster"


@pytest.mark.parametrize("file", STORED, ids=lambda file: file.stem)
def test_what_was_once_written_can_still_be_read(file: Path) -> None:
    name, _, version = file.stem.rpartition(".")
    event = CODEC.decode(name, int(version), bytes.fromhex(file.read_text()))
    assert isinstance(event, Event)
    if file.stem in SAMPLES:
        assert event == SAMPLES[file.stem]
