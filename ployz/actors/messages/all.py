"""Every message there is: importing this fills the registry, and the wire refuses every tag that is not in it.

The daemon imports it. The command line imports only the modules of the messages that it sends.
"""

from ployz.actors.messages import (
    authority,
    distance,
    doctor,
    drain,
    events,
    facts,
    images,
    invites,
    machine,
    membership,
    operations,
    probing,
    rotation,
    routing,
    secrets,
    services,
    storage,
    takeover,
    workload,
)

__all__ = [
    "authority",
    "distance",
    "doctor",
    "drain",
    "events",
    "facts",
    "images",
    "invites",
    "machine",
    "membership",
    "operations",
    "probing",
    "rotation",
    "routing",
    "secrets",
    "services",
    "storage",
    "takeover",
    "workload",
]
