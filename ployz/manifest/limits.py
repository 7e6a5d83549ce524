"""Every bound of the manifest, with its unit. A bound is there so that no input can hold up a node.

Bounds of single values (a port, a uid) are in `scalars`, beside their patterns.
"""

TEXT_BYTES_MAX = 1024 * 1024
"""Of the text that is offered."""

CANONICAL_BYTES_MAX = 512 * 1024
"""Of the canonical JSON. Half of the text's: what was committed, and what is rendered from it as TOML with its
spaces and line ends, can always be offered again."""

NESTING_MAX = 32
"""Of brackets, and of dots in one TOML key. The deepest thing that the schema knows has 8."""

MISTAKES_MAX = 200
"""Reading ends there: a file of another kind is not worth 100,000 lines of complaint."""

MACHINES_MAX = 200
VOLUMES_MAX = 1024
SECRETS_MAX = 256
SERVICES_MAX = 256
REPLICAS_MAX = 100
ENTRIES_MAX = 64
"""Of each list inside a service: ports, mounts, routes, capabilities."""
PAIRS_MAX = 1024
"""Of env, labels, sysctls each; and of the words of a command."""

CUTOVER_HOLD_MAX_S = 300.0
"""Clients and what stands before the gateway have deadlines of their own; the gateway's is twice this."""
