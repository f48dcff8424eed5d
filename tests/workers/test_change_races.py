"""Changes, pauses, cancellations and the clock at the same instant: one after the other, whoever is
first, and everything is charged once.

Subscriptions begin on 1 February at 9:00 and have a period of 28 days; half of it is 14 days.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.domain.errors import BillingError, Stale
from app.domain.policy import CancelCredit, PauseUnused, Settlement, When
from app.services import changes, renewals
from app.services.changes import ChangedItem, ChangeSubscription
from tests.workers.test_concurrency import ON, at_once
from tests.world import World

HALF = ON + timedelta(days=14)
BOUNDARY = ON + timedelta(days=28)
PRICE, DEAR, DEARER = 1000, 5600, 8400


async def running(world: World, at: datetime, count: int = 4) -> list[UUID]:
    """Paid subscriptions at 10.00 a month, as of `at`; each of a customer of its own."""
    price = await world.price(str(PRICE))
    customers = [await world.customer() for _ in range(count)]
    subs = [await world.subscribe(customer, price, start_at=ON) for customer in customers]
    world.clock.set(ON)
    await world.tick()
    world.clock.set(at)
    return subs


async def billed(world: World, sub: UUID) -> int:
    """What a subscription was billed in all, less what was given back."""
    return sum(row["total"] for row in await world.invoices(sub) if row["status"] != "void")


async def change(world: World, sub: UUID, price: UUID, **options: Any) -> None:
    await world.change(sub, ChangedItem(price_id=price), when=When.NOW, **options)


async def price_of(world: World, sub: UUID) -> UUID:
    [item] = await world.items(sub)
    return item["price_id"]


async def collected(world: World) -> None:
    """All that was billed was charged at the gateway, once, and what is owed back is credit."""
    rows = await world.fetch("SELECT sum(amount_due) AS due FROM invoices WHERE status = 'paid'")
    assert sum(amount for amount, _ in world.charged()) == rows[0]["due"]
    await world.assert_clean()


@pytest.mark.parametrize("settlement", [Settlement.INVOICE_NOW, Settlement.NEXT_INVOICE])
async def test_two_changes_at_one_instant_happen_one_after_the_other(
    world: World, settlement: Settlement
) -> None:
    subs = await running(world, HALF)
    prices = {await world.price(str(amount)): amount for amount in (DEAR, DEARER)}
    await at_once(
        *(
            change(world, sub, price, settlement=settlement)
            for sub in subs
            for price in (list(prices) * 2)
        )
    )
    world.clock.set(BOUNDARY)
    await world.tick()
    for sub in subs:
        # Half at 10.00, then the other half and the next period at the price that came last.
        last = prices[await price_of(world, sub)]
        assert await billed(world, sub) == PRICE // 2 + last // 2 + last
    await collected(world)


async def test_of_two_changes_of_one_version_one_is_refused(world: World) -> None:
    subs = await running(world, HALF)
    prices = [await world.price(str(amount)) for amount in (DEAR, DEARER)]
    wanted = []
    for sub in subs:
        [item], row = await world.items(sub), await world.subscription(sub)
        for price in prices:
            items = (ChangedItem(id=item["id"], price_id=price),)
            wanted.append(ChangeSubscription(sub, items, When.NOW, expected_version=row["version"]))
    answers = await at_once(*(changes.change(world.rt, world.caller, cmd) for cmd in wanted))
    assert sum(isinstance(answer, Stale) for answer in answers) == len(subs)
    assert {len(await world.invoices(sub)) for sub in subs} == {2}
    await collected(world)


async def test_a_change_at_the_instant_of_renewal_bills_the_boundary_once(world: World) -> None:
    subs = await running(world, BOUNDARY)
    dear = await world.price(str(DEAR))
    await at_once(
        *(change(world, sub, dear) for sub in subs[::2]),
        renewals.renew_due(world.rt),
        *(change(world, sub, dear) for sub in subs[1::2]),
        renewals.renew_due(world.rt),
    )
    await world.tick()
    for sub in subs:
        # The first period, and the second at the new price: its old one was taken back whole.
        assert await billed(world, sub) == PRICE + DEAR
        cycles = [row["cycle_start"] for row in await world.invoices(sub) if row["cycle_start"]]
        assert len(cycles) == len(set(cycles)) == 2
    await collected(world)


@pytest.mark.parametrize("unused", PauseUnused)
async def test_a_pause_and_a_change_at_one_instant(world: World, unused: PauseUnused) -> None:
    subs = await running(world, HALF)
    dear = await world.price(str(DEAR))
    await at_once(
        *(
            work
            for sub in subs
            for work in (change(world, sub, dear), world.pause(sub, unused=unused))
        )
    )
    for sub in subs:
        assert await world.status(sub) == "paused"
        assert await price_of(world, sub) == dear
        # Given back: half a period was used. Kept: the other half was settled at the new price.
        rest = 0 if unused is PauseUnused.CREDIT else DEAR // 2
        assert await billed(world, sub) == PRICE // 2 + rest
    await collected(world)


@pytest.mark.parametrize("credit", CancelCredit)
async def test_a_cancellation_and_a_change_at_one_instant(
    world: World, credit: CancelCredit
) -> None:
    subs = await running(world, HALF)
    dear = await world.price(str(DEAR))
    answers = await at_once(
        *(
            work
            for sub in subs
            for work in (change(world, sub, dear), world.cancel(sub, credit=credit))
        )
    )
    for place, sub in enumerate(subs):
        assert await world.status(sub) == "canceled"
        was_changed = not isinstance(answers[2 * place], BillingError)
        kept = PRICE // 2 + DEAR // 2 if was_changed else PRICE
        left = {
            CancelCredit.NONE: kept,
            CancelCredit.PRORATED: PRICE // 2,
            CancelCredit.FULL: 0,
        }
        assert await billed(world, sub) == left[credit]
    await collected(world)


async def test_a_resumption_by_hand_and_by_the_clock_begin_one_period(world: World) -> None:
    subs = await running(world, HALF)
    back = BOUNDARY + timedelta(days=3)
    for sub in subs:
        await world.pause(sub, resumes_at=back)
    world.clock.set(back)
    await at_once(
        *(world.resume(sub) for sub in subs[::2]),
        renewals.renew_due(world.rt),
        *(world.resume(sub) for sub in subs[1::2]),
        renewals.renew_due(world.rt),
    )
    await world.tick()
    for sub in subs:
        assert await world.status(sub) == "active"
        assert [row["total"] for row in await world.invoices(sub)] == [PRICE, PRICE]
        assert (await world.subscription(sub))["period_start"] == back
    await collected(world)


async def test_everything_at_once_ends_in_clean_books(world: World) -> None:
    subs = await running(world, BOUNDARY, count=6)
    dear = await world.price(str(DEAR))
    for round_ in range(3):
        await at_once(
            *(change(world, sub, dear, settlement=Settlement.RESET) for sub in subs),
            *(world.pause(sub, unused=PauseUnused.CREDIT) for sub in subs[::2]),
            renewals.renew_due(world.rt),
            *(world.resume(sub) for sub in subs[::2]),
            *(world.cancel(sub, at_period_end=True) for sub in subs[1::2]),
            *(world.keep(sub) for sub in subs[1::2]),
            renewals.renew_due(world.rt),
        )
        world.clock.advance(timedelta(days=9 * (round_ + 1)))
        await world.tick()
    await at_once(*(world.cancel(sub, credit=CancelCredit.PRORATED) for sub in subs))
    await world.tick()
    assert {await world.status(sub) for sub in subs} == {"canceled"}
    await collected(world)
