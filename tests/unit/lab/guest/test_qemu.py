"""The hardware of a guest."""

from __future__ import annotations

from pathlib import Path

import pytest

from ployz.lab.guest import recipe
from ployz.lab.guest.image import Image
from ployz.lab.guest.qemu import ACCELERATOR, Cable, argv

IMAGE = Image(Path("/image"))
DISKS = (Path("/run/a/data0.img"), Path("/run/a/data1.img"))


def line(cable: Cable | None = None, accelerator: str | None = None) -> str:
    environment = {ACCELERATOR: accelerator} if accelerator else {}
    words = argv(
        IMAGE, "machine-a", Path("/run/a/root"), DISKS, Path("/run/a/serial"),
        door_port=4022, cable=cable, environment=environment,
    )  # fmt: skip
    return " ".join(words)


def test_nothing_leads_out_of_a_guest_but_the_door_on_the_loopback() -> None:
    assert line().count("-netdev") == 1
    assert "restrict=on,hostfwd=tcp:127.0.0.1:4022-:22" in line()


def test_the_ends_of_a_cable_name_each_other_and_have_addresses_of_the_image() -> None:
    one, two = Path("/run/1"), Path("/run/2")
    networks = "".join(each.read_text() for each in (recipe.ROOT / "etc/systemd/network").iterdir())
    for number, here, there in ((1, one, two), (2, two, one)):
        words = line(Cable(number, here, there))
        assert f"local.path={here},remote.type=unix,remote.path={there}" in words
        assert f"mac=52:54:00:77:00:0{number}" in words
        assert f"MACAddress=52:54:00:77:00:0{number}" in networks


def test_a_host_whose_virtualization_works_can_use_it() -> None:
    assert "-accel tcg," in line()
    assert "-accel kvm " in line(accelerator="kvm")


def test_another_recipe_is_another_image(monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipe.digest()
    assert recipe.digest() == before
    monkeypatch.setattr(recipe, "PACKAGES", (*recipe.PACKAGES, "one-more"))
    assert recipe.digest() != before
