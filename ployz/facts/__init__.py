"""Facts: the cluster's one ordered log, its commit transaction, and the adapters that sequence it."""
