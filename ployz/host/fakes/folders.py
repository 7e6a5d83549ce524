"""Folders in memory: which there are, and what was said about them."""

from __future__ import annotations

from attrs import define, field

from ployz.errors import Code, Failed


@define
class FakeFolders:
    modes: dict[str, int] = field(factory=dict, init=False)
    """Every folder that is there."""
    owners: dict[str, tuple[int, int]] = field(factory=dict, init=False)

    written: set[str] = field(factory=set, init=False)
    """Folders in which something was changed since any time that is asked for."""

    async def written_since(self, path: str, since_ms: int) -> bool:  # noqa: ARG002 - as above
        return path in self.written

    async def ensure(self, path: str) -> None:
        self.modes.setdefault(path, 0o700)

    async def own(self, path: str, *, mode: int | None, owner: tuple[int, int] | None) -> None:
        if path not in self.modes:
            raise Failed(Code.PART_FAILED, f"the folder {path} could not be given away: No such file or directory")
        if mode is not None:
            self.modes[path] = mode
        if owner is not None:
            self.owners[path] = owner
