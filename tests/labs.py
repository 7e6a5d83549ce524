"""A lab as an end-to-end test drives it: through bin/lab, the way a user does, and looked at without its help."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from ployz.lab.state import ROOT

REPOSITORY = Path(__file__).parents[1]
COMMAND_S = 120


class Lab:
    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = ROOT / name

    def try_(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command, *rest = arguments
        return subprocess.run(
            [REPOSITORY / "bin/lab", command, "--name", self.name, *rest],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )

    def run(self, *arguments: str, stdin: str = "") -> str:
        done = self.try_(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def inside(self, machine: str, *argv: str) -> str:
        return self.run("exec", machine, "--", *argv)

    def reaches(self, source: str, target: str) -> bool:
        return self.try_("exec", source, "--", "ping", "-c1", "-w3", target).returncode == 0

    def machines(self) -> dict[str, dict[str, Any]]:
        return {each["machine"]: each for each in self.status()["machines"]}

    def status(self) -> dict[str, Any]:
        payload: dict[str, Any] = json.loads(self.run("status", "--json"))["payload"]
        return payload

    def holders(self) -> set[int]:
        """Every process on this host whose arguments name the lab's folder."""
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    arguments = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if bytes(self.folder) in arguments:
                    found.add(int(entry.name))
        return found

    def remains(self) -> list[str]:
        """What is on this host because of the lab, seen without its help."""
        found = [f"process {pid}" for pid in self.holders()]
        found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/ployz-lab-{self.name}")]
        found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"{self.folder}/" in line]
        links = json.loads(subprocess.run(["ip", "-json", "link"], check=True, capture_output=True).stdout)
        found += [each["ifname"] for each in links if each["ifname"].startswith(("machine-", "underlay"))]
        loops = subprocess.run(["losetup", "--list", "--noheadings"], check=True, capture_output=True, text=True).stdout
        found += [line for line in loops.splitlines() if str(self.folder) in line]
        return found + ([str(self.folder)] if self.folder.exists() else [])
