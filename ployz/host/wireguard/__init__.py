"""The overlay on WireGuard: a network of single addresses, each of which can move to another machine and stay itself.

What is (`observed`), what ought to be, and the words that lead from one to the other (`changes`, `settings`) are pure.
"""

from ployz.host.wireguard.driver import WireGuard
from ployz.host.wireguard.keys import ensure_private_key

__all__ = ["WireGuard", "ensure_private_key"]
