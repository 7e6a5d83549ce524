"""The messages: a closed, documented set. Each says who may send it; its reply stands above it.

Importing this package fills the registry; the wire refuses every tag that is not in it.
"""

from ployz.actors.messages import events, facts, images, machine, operations, routing, services, storage, workload

__all__ = ["events", "facts", "images", "machine", "operations", "routing", "services", "storage", "workload"]
