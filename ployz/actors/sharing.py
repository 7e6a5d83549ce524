"""Has a secret encrypted for a machine that is about to need it, by one that can read it."""

from __future__ import annotations

from ployz.actors.core import Home
from ployz.actors.messages.secrets import AwaitSecret, ShareSecret
from ployz.config import ASK_TIMEOUT_S
from ployz.errors import Code, Failed, PloyzError
from ployz.plan.model import SecretPlan


async def share(home: Home, plan: SecretPlan) -> None:
    """Until the machine can read it. May be done again: a second share is as good as the first.

    `Failed` (SECRET_UNREADABLE): none of those that can read it has done so.
    """
    whys = []
    for holder in plan.holders:
        try:
            shared = await home.remote(holder, "secrets").ask(
                ShareSecret(plan.secret, plan.machine), timeout_s=ASK_TIMEOUT_S
            )
        except PloyzError as error:
            whys.append(f"{holder}: {error.problem.text}")
        else:
            await home.remote(plan.machine, "secrets").ask(
                AwaitSecret(plan.secret, shared.position), timeout_s=ASK_TIMEOUT_S
            )
            return
    raise Failed(
        Code.SECRET_UNREADABLE,
        f"secret {plan.secret} was not encrypted for {plan.machine} by any machine that can read it: {'; '.join(whys)}",
        f"Bring one of them back, or set it anew: ployzctl secret set {plan.secret}",
    )
