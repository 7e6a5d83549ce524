"""Making a machine ready for ployzd: requirements, key, configuration, systemd unit. Before there is a node to ask."""
