"""Payments whose gateway account does not open: whoever runs the shop sees them, and they go on."""

import asyncpg

from app import ids
from app.db import views
from app.db.base import Row
from app.services import status
from tests.world import PAID, World

RENEWAL = ("subscription.renewed", "invoice.finalized")


async def postponed(world: World, is_so: bool = True) -> list[Row]:
    """What the list of payments shows as put off."""
    merchant = world.caller.merchant_id
    async with world.rt.db.begin(merchant) as tx:
        wanted = {"postponed": is_so}
        return list(await views.page(tx, views.PAYMENT, merchant, wanted, None, 10))


async def lock_out(administrator: asyncpg.Connection) -> str:
    """No account opens any more; what its credentials were."""
    [before] = await administrator.fetch(
        "UPDATE gateway_accounts g SET credentials_ciphertext = 'x.unreadable'"
        "  FROM gateway_accounts o WHERE o.id = g.id RETURNING o.credentials_ciphertext"
    )
    return before["credentials_ciphertext"]


async def let_in(administrator: asyncpg.Connection, before: str) -> None:
    await administrator.execute("UPDATE gateway_accounts SET credentials_ciphertext = $1", before)


async def test_what_is_due_where_an_account_does_not_open_is_shown_and_goes_on_once_it_does(
    world: World, administrator: asyncpg.Connection
) -> None:
    await world.subscribed("1000")
    before = await lock_out(administrator)
    await world.advance(months=1, expect=RENEWAL)
    await world.advance(hours=2, expect=[])
    assert await world.broken() == ["nothing_awaits_review"]
    [row] = await postponed(world)
    assert row["postponed_reason"].startswith("A secret of this gateway account does not open")
    listed = (await status.look(world.rt)).awaiting_review
    assert [(one.id, one.reason) for one in listed.first] == [
        (ids.show("pay", row["id"]), row["postponed_reason"])
    ]
    await let_in(administrator, before)
    await world.advance(hours=1, expect=PAID)
    assert (await postponed(world), len(await postponed(world, is_so=False))) == ([], 2)
    assert world.charged() == [(1000, "EUR")] * 2
    await world.assert_clean()


async def test_what_is_given_up_meanwhile_is_put_off_no_more(
    world: World, administrator: asyncpg.Connection
) -> None:
    await world.subscribed("1000")
    await lock_out(administrator)
    await world.advance(months=1, expect=RENEWAL)
    [row] = await postponed(world)
    await world.void(row["invoice_id"])
    assert await postponed(world) == []
    [_, canceled] = await world.payments()
    assert (canceled["status"], canceled["postponed_reason"]) == ("canceled", None)
    assert (await status.look(world.rt)).awaiting_review.count == 0
