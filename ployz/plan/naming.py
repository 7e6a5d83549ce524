"""What services are called: which name stands for which overlay addresses. Pure.

`SERVICE.NAMESPACE.ployz.internal` is all slots of a service, `SLOT.SERVICE.NAMESPACE.ployz.internal` one of them.
"""

from __future__ import annotations

from typing import Final

from ployz.host.ports import HostRecord
from ployz.ids import Namespace, SlotRef
from ployz.projections.routing import routes
from ployz.projections.view import ClusterView

DOMAIN: Final = "ployz.internal"
"""`internal` is reserved for private names: no resolver outside has anything below it."""
SEARCH_NDOTS: Final = 2
"""A name with fewer dots is looked for in the search domains first: `db`, and `db.production` too. Resolvers differ in
what they do with a name that has as many (musl then searches no more)."""


def host_records(view: ClusterView) -> tuple[HostRecord, ...]:
    """One for each address that the last commits placed on a member. An address stays with its slot, so a move changes
    nothing here.
    """
    return tuple(
        HostRecord(address, names_of(route.slot))
        for route in routes(view.placement)
        if route.machine in view.machines.members
        for address in (route.ipv4, route.ipv6)
    )


def names_of(slot: SlotRef) -> tuple[str, ...]:
    """The slot's own first: it is what the address is called, asked the other way round."""
    service = f"{slot.service.service}.{slot.service.namespace}.{DOMAIN}"
    return (f"{slot.slot}.{service}", service)


def search_domains(namespace: Namespace) -> tuple[str, ...]:
    """So that `db` is the one of the same namespace, and `db.production` the one of another."""
    return (f"{namespace}.{DOMAIN}", DOMAIN)
