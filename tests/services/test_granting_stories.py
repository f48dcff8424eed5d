"""Discounts given to and taken from running subscriptions, told as stories."""

from datetime import UTC, datetime

import pytest

from app.domain.discount import Duration
from app.domain.errors import Conflict, NotFound
from app.domain.invoice import Collection
from app.services import subscription_discounts, subscriptions
from app.services.subscription_discounts import GrantDiscount
from app.services.subscriptions import UpdateSubscription
from tests.world import RENEWED, STARTED, World


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


async def test_a_discount_given_in_the_middle_counts_from_the_next_bill(world: World) -> None:
    sub = await world.subscribed("1000")
    coupon = await world.coupon(
        percent_off="25", duration=Duration.REPEATING, duration_in_periods=2
    )
    await world.advance(days=10, expect=[])
    await subscription_discounts.grant(world.rt, world.caller, GrantDiscount(sub, coupon))
    await world.expect("subscription.updated")
    for boundary in (at(2026, 2, 28, 9), at(2026, 3, 31, 9), at(2026, 4, 30, 9)):
        await world.advance(to=boundary, expect=RENEWED)
    # Two periods with a quarter off, then the full price again.
    assert [amount for amount, _ in world.charged()] == [1000, 750, 750, 1000]
    await world.assert_clean()


async def test_a_discount_on_one_item_leaves_the_other_alone(world: World) -> None:
    customer, price, other = (
        await world.customer(),
        await world.price("1000"),
        await world.price("500"),
    )
    sub = await world.subscribe(customer, price, other)
    await world.expect(*STARTED)
    coupon = await world.coupon(percent_off="50", duration=Duration.FOREVER)
    item = (await world.items(sub))[1]["id"]
    cmd = GrantDiscount(sub, coupon, item_id=item)
    await subscription_discounts.grant(world.rt, world.caller, cmd)
    await world.expect("subscription.updated")
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    # 10.00 in full and half of 5.00.
    assert [amount for amount, _ in world.charged()] == [1500, 1250]
    await world.assert_clean()


async def test_a_discount_is_taken_off_again(world: World) -> None:
    customer, price = await world.customer(), await world.price("1000")
    coupon = await world.coupon(percent_off="10", duration=Duration.FOREVER)
    sub = await world.subscribe(customer, price, coupon_ids=[coupon])
    await world.expect(*STARTED)
    [row] = await world.fetch("SELECT id FROM discounts")
    await subscription_discounts.take_off(world.rt, world.caller, sub, row["id"])
    await world.expect("subscription.updated")
    with pytest.raises(NotFound):
        await subscription_discounts.take_off(world.rt, world.caller, sub, row["id"])
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert [amount for amount, _ in world.charged()] == [900, 1000]
    await world.assert_clean()


async def test_what_has_ended_is_given_nothing(world: World) -> None:
    sub = await world.subscribed("1000")
    coupon = await world.coupon(percent_off="10", duration=Duration.ONCE)
    await world.cancel(sub)
    with pytest.raises(Conflict, match="ended"):
        await subscription_discounts.grant(world.rt, world.caller, GrantDiscount(sub, coupon))


async def test_taxes_and_terms_of_payment_change_from_the_next_bill_on(world: World) -> None:
    sub = await world.subscribed("1000")
    vat = await world.tax_rate("20")
    changes = {"tax_rate_ids": [vat], "collection_method": Collection.SEND_INVOICE, "net_days": 14}
    await subscriptions.update(world.rt, world.caller, UpdateSubscription(sub, changes))
    await world.expect("subscription.updated")
    await world.advance(to=at(2026, 2, 28, 9), expect=["subscription.renewed", "invoice.finalized"])
    invoice = await world.invoice(sub)
    # 10.00 and a fifth of it, owed in two weeks.
    assert (invoice["total"], invoice["due_at"]) == (1200, at(2026, 3, 14, 9))
    await world.assert_clean()
