"""The systemd unit of ployzd, which is data of this package, made to fit and installed where systemd runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from ployz.errors import Code, Failed, Refused
from ployz.install.files import write_durably

RUNNING: Final = Path("/run/systemd/system")
"""Exists only where systemd is the init (sd_booted(3))."""
UNITS: Final = Path("/etc/systemd/system")
UNIT: Final = "ployzd.service"
RELOAD_S: Final = 30.0
_DROPS: Final = "CapabilityBoundingSet=~"


def install_unit(config: Path, *, running: Path = RUNNING, units: Path = UNITS) -> Path | None:
    """The installed unit, or None where systemd does not run. The same unit again is done."""
    if not running.is_dir():
        return None
    unit, text = units / UNIT, unit_text(program(), config)
    if not unit.exists() or unit.read_text(encoding="utf-8") != text:
        write_durably(unit, text, mode=0o644)
        _reload()
    return unit


def unit_text(ployzd: Path, config: Path) -> str:
    return _template().replace("@PLOYZD@", _quoted(ployzd)).replace("@CONFIG@", _quoted(config))


def capabilities_dropped() -> Sequence[str]:
    """What neither ployzd nor anything that it starts ever gets back under systemd: `CAP_SYS_TIME` and others."""
    (line,) = (each for each in _template().replace("\\\n", " ").splitlines() if each.startswith(_DROPS))
    return line.removeprefix(_DROPS).split()


def program() -> Path:
    """The daemon as it is installed: beside this interpreter, on the PATH, or in the checkout."""
    beside = Path(sys.executable).with_name("ployzd")
    checkout = Path(__file__).resolve().parents[2] / "bin" / "ployzd"
    on_path = shutil.which("ployzd")
    for candidate in (beside, checkout, *([Path(on_path)] if on_path else [])):
        if candidate.is_file():
            return candidate
    raise Refused(Code.MISSING_PART, "ployzd is not installed beside ployzctl", "Install the whole of ployz again.")


def _template() -> str:
    return resources.files("ployz.install").joinpath("units", UNIT).read_text(encoding="utf-8")


def _quoted(path: Path) -> str:
    """As systemd.service(5) reads a word of ExecStart."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$") + '"'


def _reload() -> None:
    try:
        subprocess.run(["systemctl", "daemon-reload"], check=True, capture_output=True, timeout=RELOAD_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise Failed(
            Code.PART_FAILED, f"systemd did not read its units again: {error}", "Run: systemctl daemon-reload"
        ) from error
