"""The fact log on etcd: for fleets that cannot stop committing when one machine is lost."""
