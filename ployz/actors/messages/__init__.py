"""The messages: a closed, documented set. Each says who may send it; its reply stands above it.

Nothing is imported here, since the command line has no time for all of them: `all` fills the registry.
"""
