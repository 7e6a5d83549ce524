"""`ployzctl operation watch ID`: what `deploy watch` does."""

from __future__ import annotations

from ployz.cli.commands.deploy.watch import add_arguments, run

__all__ = ["add_arguments", "run"]
