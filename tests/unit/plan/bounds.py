"""How much a property test tries: without a deadline, since the machine that runs it may be busy."""

from hypothesis import HealthCheck, settings

BOUNDED = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
