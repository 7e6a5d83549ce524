"""The endpoint of a machine, as somebody types it: where the others reach its WireGuard."""

from __future__ import annotations

from ployz.errors import Code, Usage
from ployz.ids import Endpoint, InvalidName, endpoint_in_one_form


def endpoint(text: str) -> Endpoint:
    """`192.0.2.7:51820` or `[2001:db8::7]:51820`, in its usual spelling. `Usage`: it is something else."""
    try:
        return endpoint_in_one_form(text)
    except InvalidName as error:
        advice = "Write an IP address and a port that other machines reach: 192.0.2.7:51820 or [2001:db8::7]:51820."
        raise Usage(Code.USAGE, str(error), advice) from None
