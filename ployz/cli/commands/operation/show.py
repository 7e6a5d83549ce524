"""`ployzctl operation show ID`: what `deploy show` does."""

from __future__ import annotations

from ployz.cli.commands.deploy.show import add_arguments, run

__all__ = ["add_arguments", "run"]
