"""What dnsmasq is told."""

from __future__ import annotations

from ployz.host.dnsmasq.text import arguments, hosts_text
from ployz.host.ports import HostRecord


def test_equal_records_are_equal_text_in_whatever_order_they_come() -> None:
    records = [
        HostRecord("10.210.0.17", ("a.b", "b")),
        HostRecord("10.210.0.16", ("c",)),
        HostRecord("fd00::1", ("c",)),
    ]
    assert hosts_text(records) == "10.210.0.16 c\n10.210.0.17 a.b b\nfd00::1 c\n"
    assert hosts_text(reversed(records)) == hosts_text(records)
    assert hosts_text(()) == ""


def test_it_listens_where_it_is_told_and_reads_nothing_of_the_systems_own() -> None:
    argv = arguments("/run/x/hosts", "ployz.internal", ("10.210.0.1", "fd00::1"), "/etc/resolv.conf")
    assert [each for each in argv if each.startswith("--listen")] == [
        "--listen-address=10.210.0.1",
        "--listen-address=fd00::1",
    ]
    assert {"--conf-file=/dev/null", "--no-hosts", "--local=/ployz.internal/", "--bind-dynamic"} <= set(argv)
