"""This machine's member of the cluster's own etcd."""

from ployz.host.etcd.driver import SystemEtcd

__all__ = ["SystemEtcd"]
