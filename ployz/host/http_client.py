"""httpx without its command line. Whoever speaks HTTP here takes it from this module."""

from __future__ import annotations

import sys

# httpx tries to import its command line and does without where that fails: with click, pygments and rich, which ployzd
# has no use for, and which take 4 MiB of its memory. `None` makes an import fail, by the rules of `import` itself.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # typeshed knows modules alone

import httpx  # noqa: E402 - as above

__all__ = ["httpx"]
