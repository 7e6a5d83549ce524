"""What became of one run: small, since it travels between processes."""

from __future__ import annotations

from attrs import frozen


@frozen
class Report:
    seed: int
    wrong: tuple[str, ...]
    """Empty: everything that must hold held, after every step and in the end."""
    story: str
    """What happened, in order. Empty when nobody wants to know."""
    effects: int = 0
    virtual_s: float = 0.0
    committed: int = 0
    aborted: int = 0
    struck: tuple[str, ...] = ()
    """The kinds of the faults that did strike."""
    acknowledged: int = 0
    """Records that clients were told are written."""
