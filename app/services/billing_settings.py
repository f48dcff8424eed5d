"""A merchant's billing settings: the dials where billing engines disagree.

To set the same again changes nothing, so a request sent twice needs no mark.
"""

from collections.abc import Mapping
from typing import Any

from app.db import policies
from app.domain import policy
from app.domain.errors import InvalidRequest
from app.domain.policy import Policy
from app.runtime import Runtime
from app.services import deeds
from app.services.caller import Caller


async def get(rt: Runtime, caller: Caller) -> Policy:
    """The settings as they apply: what was set, and the defaults of the rest."""
    async with rt.db.begin(caller.merchant_id) as tx:
        return await policies.of_merchant(tx, caller.merchant_id)


async def update(rt: Runtime, caller: Caller, changes: Mapping[str, Any]) -> Policy:
    """Change some of them, from now on; None puts one back to its default.

    What is billed already stays as it was billed. Raises InvalidRequest.
    """
    wanted = {name: value for name, value in changes.items() if value is not None}
    if found := list(policy.problems(wanted)):
        raise InvalidRequest.of(found)
    async with rt.db.begin(caller.merchant_id) as tx:
        settings = await policies.lock_settings(tx, caller.merchant_id)
        settings = {n: v for n, v in (settings | wanted).items() if changes.get(n, v) is not None}
        await policies.set_settings(tx, caller.merchant_id, settings)
        await deeds.note(tx, caller, "billing_settings.updated", caller.merchant_id, rt.clock.now())
        return policy.override(policy.DEFAULT, settings)
