"""Which addresses a machine has, by the kernel's tables."""

from __future__ import annotations

from pathlib import Path

from ployz.install.premises import own_addresses

FIB_TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 192.0.2.0/24 2 0 2
        |-- 192.0.2.0
           /24 link UNICAST
        |-- 192.0.2.12
           /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
     |-- 10.211.0.1
        /32 host LOCAL
Local:
  +-- 192.0.2.0/24 2 0 2
        |-- 192.0.2.12
           /32 host LOCAL
"""
IF_INET6 = """\
fd000000000000000000000000000002 02 40 00 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
fe8000000000000000420afffed30001 03 40 20 80  docker0
"""


def test_each_is_there_once_without_the_loopback_and_what_only_a_link_knows(tmp_path: Path) -> None:
    (tmp_path / "fib_trie").write_text(FIB_TRIE)
    assert own_addresses(tmp_path) == ("10.211.0.1", "192.0.2.12")  # IPv6 may be off
    (tmp_path / "if_inet6").write_text(IF_INET6)
    assert own_addresses(tmp_path) == ("10.211.0.1", "192.0.2.12", "fd00::2")
