"""The Docker driver: an adapter of `ployz.host.ports.Docker` over the Engine API's unix socket."""
