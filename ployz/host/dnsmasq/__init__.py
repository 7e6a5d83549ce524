"""dnsmasq as the name server of a machine."""

from ployz.host.dnsmasq.driver import Dnsmasq

__all__ = ["Dnsmasq"]
