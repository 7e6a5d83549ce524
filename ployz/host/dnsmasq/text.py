"""What dnsmasq is told: its arguments and its hosts file. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ployz.host.ports import HostRecord


def arguments(hosts: str, domain: str, addresses: Sequence[str], resolvers: str) -> tuple[str, ...]:
    """No file of the system's own dnsmasq is read, nothing is written but its log.

    - `--local` makes the domain ours: what the hosts file does not have does not exist, and is asked of nobody.
    - Names of the hosts file are answered with a TTL of 0, which is dnsmasq's default for them.
    - `--bind-dynamic`: addresses may come up later than it does, and a resolver on other addresses is left alone.
    - It gives up root; that is why the hosts file must be readable for everybody.
    """
    return (
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--pid-file",
        "--log-facility=-",
        "--user=nobody",
        "--bind-dynamic",
        *(f"--listen-address={address}" for address in addresses),
        "--no-hosts",
        f"--addn-hosts={hosts}",
        f"--local=/{domain}/",
        "--domain-needed",
        f"--resolv-file={resolvers}",
    )


def hosts_text(records: Iterable[HostRecord]) -> str:
    """A line for each address, in one order, so that equal names are equal text."""
    return "".join(f"{line}\n" for line in sorted(" ".join((each.address, *each.names)) for each in records))
