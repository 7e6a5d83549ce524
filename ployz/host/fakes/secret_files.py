"""Secret files in memory, which a power cut empties."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from ployz.host.ports import SecretFile


@define
class FakeSecretFiles:
    folder: str
    files: dict[str, dict[str, SecretFile]] = field(factory=dict, init=False)
    """By container, then by name."""

    def power_cut(self) -> None:
        self.files.clear()

    def has(self, path: str) -> bool:
        container, _, name = path.removeprefix(f"{self.folder}/").partition("/")
        return name in self.files.get(container, {})

    def containers(self) -> list[str]:
        return sorted(self.files)

    async def write(self, container: str, files: Sequence[SecretFile]) -> None:
        self.files.setdefault(container, {}).update({each.name: each for each in files})

    async def remove(self, container: str) -> None:
        self.files.pop(container, None)
