"""How a cancellation ends a subscription and what comes back of it, told as stories.

Stories begin on 31 January at 9:00; the first period has 28 days, so that 14 days are half of it.
"""

from uuid import UUID

import pytest

from app.domain.errors import Conflict, InvalidRequest
from app.domain.policy import CancelCredit, Settlement, When
from app.domain.pricing import Timing
from app.services import subscriptions
from app.services.changes import ChangedItem
from app.services.subscriptions import Cancel
from tests.terms import CHANGED, ENDED, GIVEN_BACK, amounts, at, dials, paid, period, totals, weekly
from tests.world import DECLINED, RENEWED, STARTED, World

GIVEN = ("subscription.canceled", "invoice.finalized", "invoice.paid")


async def halfway(world: World, amount: str = "2800", **options: object) -> tuple[UUID, UUID]:
    """A customer who subscribed at `amount`, at half of the first period."""
    customer, price = await world.customer(), await world.price(amount)
    sub = await world.subscribe(customer, price, **options)
    await world.expect(*STARTED)
    await world.advance(days=14, expect=[])
    return customer, sub


async def cancel_as_set(world: World, sub: UUID) -> None:
    """Cancel without saying when or with what credit: the dials decide."""
    await subscriptions.cancel(world.rt, world.caller, Cancel(sub))


@pytest.mark.parametrize(
    ("credit", "told", "back"),
    [
        (CancelCredit.NONE, ENDED, 0),
        (CancelCredit.PRORATED, GIVEN, 1400),
        (CancelCredit.FULL, GIVEN, 2800),
    ],
)
async def test_canceled_now_none_or_part_or_all_comes_back(
    world: World, credit: CancelCredit, told: tuple[str, ...], back: int
) -> None:
    customer, sub = await halfway(world)
    await world.cancel(sub, credit=credit)
    await world.expect(*told)
    assert await world.status(sub) == "canceled"
    assert await world.credit_left(customer) == back
    await world.advance(to=at(2026, 6, 1), expect=[])
    assert paid(world) == [2800]
    await world.assert_clean()


@pytest.mark.parametrize(
    ("settings", "told", "status", "back"),
    [
        ({}, ("subscription.updated",), "active", 0),
        ({"cancel_when": "now"}, ENDED, "canceled", 0),
        ({"cancel_when": "now", "cancel_credit": "prorated"}, GIVEN, "canceled", 1400),
    ],
)
async def test_where_nobody_says_the_dials_decide(
    world: World, settings: dict[str, str], told: tuple[str, ...], status: str, back: int
) -> None:
    await dials(world, **settings)
    customer, sub = await halfway(world)
    await cancel_as_set(world, sub)
    await world.expect(*told)
    assert await world.status(sub) == status
    assert await world.credit_left(customer) == back
    await world.assert_clean()


@pytest.mark.parametrize(
    ("last_day", "back"),
    [
        # Saturday, 31 January, to Saturday; canceled on Tuesday: four of seven days are left.
        ("not_billed", 400),
        # Tuesday counts as used: three are left.
        ("billed", 300),
    ],
)
async def test_the_day_of_the_cancellation_may_count_as_used(
    world: World, last_day: str, back: int
) -> None:
    await dials(world, proration_basis="day", proration_last_day=last_day)
    customer = await world.customer()
    sub = await world.subscribe(customer, await weekly(world, "700"))
    await world.expect(*STARTED)
    await world.advance(to=at(2026, 2, 3, 18), expect=[])
    await world.cancel(sub, credit=CancelCredit.PRORATED)
    await world.expect(*GIVEN)
    assert await world.credit_left(customer) == back
    await world.assert_clean()


async def test_canceled_as_it_starts_one_day_is_kept_where_the_last_day_is_billed(
    world: World,
) -> None:
    await dials(world, proration_basis="day", proration_last_day="billed")
    customer = await world.customer()
    sub = await world.subscribe(customer, await weekly(world, "700"))
    await world.expect(*STARTED)
    await world.cancel(sub, credit=CancelCredit.PRORATED)
    await world.expect(*GIVEN)
    assert await world.credit_left(customer) == 600
    await world.assert_clean()


async def test_at_the_end_it_is_used_to_the_end(world: World) -> None:
    customer, sub = await halfway(world)
    await world.cancel(sub, at_period_end=True)
    await world.expect("subscription.updated")
    await world.advance(to=at(2026, 2, 28, 8), expect=[])
    await world.advance(to=at(2026, 2, 28, 9), expect=ENDED)
    assert (await world.subscription(sub))["ended_at"] == at(2026, 2, 28, 9)
    assert await world.credit_left(customer) == 0
    await world.assert_clean()


async def test_at_a_date_it_renews_until_then(world: World) -> None:
    _, sub = await halfway(world)
    await world.cancel(sub, at=at(2026, 3, 10, 9))
    await world.expect("subscription.updated")
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    await world.advance(to=at(2026, 3, 10, 9), expect=ENDED)
    assert await totals(world, sub) == [2800, 2800]
    await world.assert_clean()


async def test_only_what_ends_now_gives_something_back(world: World) -> None:
    _, sub = await halfway(world)
    for when in (When.PERIOD_END, None, at(2026, 3, 10, 9)):
        with pytest.raises(InvalidRequest, match="Only what ends now"):
            await subscriptions.cancel(
                world.rt, world.caller, Cancel(sub, when, CancelCredit.PRORATED)
            )
    assert await world.status(sub) == "active"


async def test_taken_back_it_renews_as_if_nothing_had_been(world: World) -> None:
    _, sub = await halfway(world)
    await world.cancel(sub, at=at(2026, 2, 20, 9))
    await world.keep(sub)
    await world.cancel(sub, at_period_end=True)
    await world.keep(sub)
    await world.expect(*["subscription.updated"] * 4)
    row = await world.subscription(sub)
    assert (row["cancel_at"], row["cancel_at_period_end"], row["canceled_at"]) == (
        None,
        False,
        None,
    )
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    await world.assert_clean()
    with pytest.raises(Conflict, match="No cancellation is planned"):
        await world.keep(sub)


async def test_a_debt_outlives_the_cancellation_and_nothing_comes_back_of_it(
    world: World,
) -> None:
    customer, price = await world.customer(), await world.price("2800")
    sub = await world.subscribe(customer, price)
    await world.expect(*STARTED)
    await world.attach(customer, "pm_sim_declined")
    behind = ("subscription.renewed", "invoice.finalized", *DECLINED, "subscription.past_due")
    await world.advance(to=at(2026, 2, 28, 9), expect=behind)
    await world.cancel(sub)
    await world.expect(*ENDED)
    assert (await world.invoice(sub))["status"] == "open"
    await world.attach(customer, "pm_sim_ok")
    await world.pay((await world.invoice(sub))["id"])
    await world.expect("payment.succeeded", "invoice.paid")
    assert paid(world) == [2800, 2800]
    await world.assert_clean()


async def test_what_was_used_in_arrears_is_billed_whatever_comes_back(world: World) -> None:
    customer = await world.customer()
    ahead = await world.price("2800")
    behind = await world.price("1400", timing=Timing.ARREARS)
    sub = await world.subscribe(customer, ahead, behind)
    await world.expect(*STARTED)
    await world.advance(days=7, expect=[])
    await world.cancel(sub, credit=CancelCredit.PRORATED)
    await world.expect(*GIVEN)
    # Three quarters of 28.00 back; a quarter of 14.00 was used.
    assert sorted(await amounts(world, sub)) == [-2100, 350]
    assert await world.credit_left(customer) == 1750
    await world.assert_clean()


async def test_what_waits_is_billed_for_what_was_used_of_it(world: World) -> None:
    customer, sub = await halfway(world)
    await world.change(
        sub,
        ChangedItem(price_id=await world.price("5600")),
        when=When.NOW,
        settlement=Settlement.NEXT_INVOICE,
    )
    await world.expect("subscription.updated")
    await world.advance(days=7, expect=[])
    await world.cancel(sub, credit=CancelCredit.PRORATED)
    await world.told()
    # 14.00 of the first price used, then a quarter of 56.00: 28.00 in all, which is what was paid.
    assert sum(await totals(world, sub)) == 1400 + 1400
    assert await world.credit_left(customer) == 0
    await world.assert_clean()


async def test_after_changes_only_what_is_in_force_comes_back(world: World) -> None:
    customer, sub = await halfway(world)
    await world.change(sub, ChangedItem(price_id=await world.price("5600")), when=When.NOW)
    await world.expect(*CHANGED)
    await world.advance(days=7, expect=[])
    await world.cancel(sub, credit=CancelCredit.PRORATED)
    await world.expect(*GIVEN)
    # A quarter of 56.00; of the first price nothing is left to come back.
    assert await world.credit_left(customer) == 1400
    assert sum(await totals(world, sub)) == 1400 + 1400
    await world.assert_clean()


async def test_all_of_it_comes_back_however_often_it_changed(world: World) -> None:
    customer, sub = await halfway(world)
    for amount in ("5600", "1400"):
        await world.change(sub, ChangedItem(price_id=await world.price(amount)), when=When.NOW)
    await world.told()
    await world.cancel(sub, credit=CancelCredit.FULL)
    await world.told()
    assert sum(await totals(world, sub)) == 0
    assert await world.credit_left(customer) == sum(paid(world))
    await world.assert_clean()


async def test_a_credit_comes_with_its_tax_and_its_discount(world: World) -> None:
    half = await world.coupon(percent_off="50", duration="forever")
    options = {"coupon_ids": [half], "tax_rate_ids": [await world.tax_rate("19")]}
    customer, sub = await halfway(world, **options)
    # Paid: 28.00 - 14.00 + 2.66 = 16.66. Back at half: 14.00 - 7.00 + 1.33.
    await world.cancel(sub, credit=CancelCredit.PRORATED)
    await world.expect(*GIVEN)
    assert await world.amounts((await world.invoice(sub))["id"]) == [(-1400, -700, -133)]
    assert await world.credit_left(customer) == 833
    await world.assert_clean()


async def test_the_credit_of_one_subscription_pays_of_another(world: World) -> None:
    customer, sub = await halfway(world)
    await world.cancel(sub, credit=CancelCredit.PRORATED)
    await world.expect(*GIVEN)
    await world.subscribe(customer, await world.price("1000"))
    await world.told()
    assert await world.credit_left(customer) == 400
    assert paid(world) == [2800]
    await world.assert_clean()


async def test_what_was_scheduled_is_called_off_before_it_starts(world: World) -> None:
    customer, price = await world.customer(), await world.price("2800")
    sub = await world.subscribe(customer, price, start_at=at(2026, 2, 10, 9))
    await world.told()
    with pytest.raises(Conflict, match="has not started"):
        await world.cancel(sub, at_period_end=True)
    await world.cancel(sub, credit=CancelCredit.FULL)
    await world.expect(*ENDED)
    await world.advance(to=at(2026, 3, 1), expect=[])
    assert await totals(world, sub) == []
    await world.assert_clean()


async def test_canceled_a_second_before_its_renewal_it_does_not_renew(world: World) -> None:
    customer, sub = await halfway(world)
    await world.advance(to=at(2026, 2, 28, 8, 59), expect=[])
    await world.cancel(sub, credit=CancelCredit.PRORATED)
    await world.told()
    # A minute of 28 days: 28.00/40320 round to nothing.
    assert await world.credit_left(customer) == 0
    await world.advance(to=at(2026, 2, 28, 9), expect=[])
    await world.assert_clean()


async def test_canceled_at_the_instant_of_renewal_the_new_period_comes_back(
    world: World,
) -> None:
    customer, sub = await halfway(world)
    world.clock.set(at(2026, 2, 28, 9))
    await world.cancel(sub, credit=CancelCredit.PRORATED)
    await world.tick()
    await world.told()
    # The period began before the cancellation came: its bill, still unpaid, is credited whole.
    assert await period(world, sub) == (at(2026, 2, 28, 9), at(2026, 3, 31, 9))
    invoice = await world.invoice(sub)
    assert (invoice["total"], invoice["amount_credited"]) == (2800, 2800)
    assert await world.credit_left(customer) == 0
    assert paid(world) == [2800]
    await world.assert_clean()


async def test_what_comes_back_may_be_money(world: World) -> None:
    await dials(world, cancel_credit_to="refund")
    customer, sub = await halfway(world)
    await world.cancel(sub, credit=CancelCredit.PRORATED)
    await world.expect("subscription.canceled", "credit_note.created", "refund.succeeded")
    assert world.refunded() == [1400]
    assert await world.credit_left(customer) == 0
    await world.assert_clean()


async def test_an_item_that_is_taken_away_comes_back_like_a_cancellation(world: World) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("1000"), await world.price("2800"))
    await world.expect(*STARTED)
    await world.advance(days=14, expect=[])
    second = (await world.items(sub))[1]
    await world.change(sub, ChangedItem(id=second["id"], is_removed=True), when=When.NOW)
    await world.expect(*GIVEN_BACK)
    assert await world.credit_left(customer) == 1400
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED[:2] + RENEWED[3:])
    assert await world.credit_left(customer) == 400
    await world.assert_clean()
