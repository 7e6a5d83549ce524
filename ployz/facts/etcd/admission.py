"""Who an etcd of our own lets in: the machines of the cluster, below their prefix, and its operator. Nobody else.

An etcd begins with its doors open to whoever has a certificate of its authority; this closes them, once.
"""

from __future__ import annotations

from typing import Final

import anyio

from ployz.errors import Code, Failed, Unreachable
from ployz.facts.etcd.forms import Json, Names
from ployz.facts.etcd.gateway import Declined, Gateway
from ployz.facts.etcd.seating import USER, Seating

AGREE_S: Final = 60.0
"""Until the members have found each other and chosen a leader."""
LOOK_EVERY_S: Final = 0.5
_INVALID: Final = 3
"""gRPC's code, and etcd's answer, when it wants to know who asks."""
_EXISTS: Final = 9


async def close_doors(seating: Seating) -> None:
    """Closed already is done. `Unreachable` (MACHINE_UNREACHABLE): the members did not agree in time."""
    access = seating.access
    keys = Names(access.prefix).everything
    async with Gateway(seating.as_nobody()) as gateway:
        if await _patiently(gateway, "auth/user/list", {}) == _INVALID:
            return
        for path, body in (
            ("auth/user/add", {"name": "root", "password": seating.root_password}),
            ("auth/role/add", {"name": "root"}),
            ("auth/user/grant", {"user": "root", "role": "root"}),
            ("auth/user/add", {"name": USER, "password": access.password}),
            ("auth/role/add", {"name": USER}),
            ("auth/role/grant", {"name": USER, "perm": {"permType": "READWRITE", **keys}}),
            ("auth/user/grant", {"user": USER, "role": USER}),
            ("auth/enable", {}),
        ):
            await _patiently(gateway, path, body)


async def _patiently(gateway: Gateway, path: str, body: Json) -> int:
    """0, or the code with which it was declined: it was done before. Members that just began choose a leader first."""
    until_s = anyio.current_time() + AGREE_S
    while True:
        try:
            await gateway.repeat(f"/v3/{path}", body)
        except Declined as error:
            if error.code not in (_EXISTS, _INVALID):
                raise Failed(Code.PART_FAILED, f"etcd refused {path}: {error}", "Run it again.") from error
            return error.code
        except Unreachable as error:
            if anyio.current_time() > until_s:
                text = f"the members of etcd did not agree within {AGREE_S:.0f} s: {error.problem.text}"
                advice = "Can the chosen machines reach each other? ployzctl machine rtt. Then run it again."
                raise Unreachable(Code.MACHINE_UNREACHABLE, text, advice) from error
            await anyio.sleep(LOOK_EVERY_S)
        else:
            return 0
