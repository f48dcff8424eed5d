"""What stories about bills made ahead need: a gateway that announces, and its time."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from tests.world import World

LEAD = timedelta(days=2)
MARGIN = timedelta(hours=2)
EARLY = LEAD + MARGIN
BILLED = ("invoice.finalized", "payment.processing")
"""A period is billed before it begins, and its debit announced."""
BEGUN = ("subscription.renewed", "payment.succeeded", "invoice.paid")
"""It begins, and the debit is made."""


async def announce(world: World, lead: timedelta = LEAD) -> None:
    """From now on debits are announced so long before they are made; zero: not at all."""
    options = {"lead_time_seconds": str(int(lead.total_seconds()))}
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        await tx.run(
            "UPDATE gateway_accounts SET settings = $1",
            orjson.dumps({"options": options}).decode(),
        )


async def go_to(world: World, at: datetime, *expect: str) -> None:
    """Time goes on, here and at the gateway; what is due happens, and tells this."""
    assert world.simulator is not None
    world.simulator.request("PUT", "/v1/clock", json={"at": int(at.timestamp() * 1000)})
    await world.advance(to=at, expect=expect)


async def announced(world: World, amount: str = "1000", **options: Any) -> UUID:
    """A paid subscription at so much a month, whose next debits are announced."""
    sub = await world.subscribed(amount, **options)
    await announce(world)
    return sub


def standing(world: World) -> list[tuple[int, str]]:
    """The gateway's charges since this world began: amount and status, in order."""
    return [(row["amount"], row["status"]) for row in world.charges()]
