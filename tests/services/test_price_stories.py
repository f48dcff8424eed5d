"""What is charged, told as stories: prices, discounts, taxes and credit. Amounts in cents."""

from typing import Any

import pytest

from app.domain.discount import Duration
from app.domain.errors import InvalidRequest
from app.domain.pricing import PriceModel
from app.services.prices import TierAsked
from tests.world import PAID, RENEWED, STARTED, World

TIERS = (TierAsked(10, "500", 0), TierAsked(20, "400", 100), TierAsked(None, "300", 200))


@pytest.mark.parametrize(
    ("model", "quantity", "total", "options"),
    [
        # whatever the quantity
        (PriceModel.FLAT, 7, 1000, {"amount": "1000"}),
        # 7 * 0.333 = 2.331 cents, rounded once
        (PriceModel.PER_UNIT, 7, 2, {"amount": "0.333"}),
        # 10 * 5.00 + 2 * 4.00 + 1.00
        (PriceModel.GRADUATED, 12, 5900, {"amount": None, "tiers": TIERS}),
        # 12 * 4.00 + 1.00
        (PriceModel.VOLUME, 12, 4900, {"amount": None, "tiers": TIERS}),
        # 12 units are 3 packages of 5, each begun one in full
        (PriceModel.PACKAGE, 12, 3000, {"amount": "1000", "package_size": 5}),
    ],
)
async def test_each_price_model_charges_what_it_says(
    world: World, model: PriceModel, quantity: int, total: int, options: dict[str, Any]
) -> None:
    price = await world.price(model=model, **options)
    sub = await world.subscribe(await world.customer(), (price, quantity))
    await world.expect(*STARTED)
    assert (await world.invoice(sub))["total"] == total
    assert world.charged() == [(total, "EUR")]
    await world.assert_clean()


@pytest.mark.parametrize(
    ("currency", "amount"), [("JPY", 1980), ("KWD", 1250), ("EUR", 1999), ("HUF", 99900)]
)
async def test_minor_units_reach_the_gateway_as_they_are(
    world: World, currency: str, amount: int
) -> None:
    # 1,980 yen; 1.250 dinars; 19.99 euros; 999.00 forints: never times nor divided by anything.
    await world.subscribe(await world.customer(), await world.price(str(amount), currency))
    await world.expect(*STARTED)
    assert world.charged() == [(amount, currency)]
    await world.assert_clean()


async def test_a_zero_invoice_is_paid_without_asking_the_gateway(world: World) -> None:
    sub = await world.subscribe(await world.customer(None), await world.price("0"))
    await world.expect("subscription.created", "invoice.finalized", "invoice.paid")
    assert await world.status(sub) == "active"
    free = ["subscription.renewed", "invoice.finalized", "invoice.paid"]
    await world.advance(months=1, expect=free)
    assert await world.payments() == []
    assert world.charged() == []
    await world.assert_clean()


@pytest.mark.parametrize(
    ("duration", "periods", "totals"),
    [
        (Duration.ONCE, None, [750, 1000, 1000, 1000]),
        (Duration.REPEATING, 3, [750, 750, 750, 1000]),
        (Duration.FOREVER, None, [750, 750, 750, 750]),
    ],
)
async def test_a_percentage_counts_for_as_long_as_it_says(
    world: World, duration: Duration, periods: int | None, totals: list[int]
) -> None:
    coupon = await world.coupon(percent_off="25", duration=duration, duration_in_periods=periods)
    sub = await world.subscribe(
        await world.customer(), await world.price("1000"), coupon_ids=[coupon]
    )
    await world.expect(*STARTED)
    await world.advance(months=3, expect=RENEWED * 3)
    assert [i["total"] for i in await world.invoices(sub)] == totals
    assert world.charged() == [(total, "EUR") for total in totals]
    await world.assert_clean()


async def test_a_coupon_counts_paid_periods_not_the_trial(world: World) -> None:
    coupon = await world.coupon(percent_off="50", duration=Duration.ONCE)
    sub = await world.subscribe(
        await world.customer(), await world.price("1000"), trial_days=30, coupon_ids=[coupon]
    )
    await world.told()
    await world.advance(days=30, expect=["subscription.activated", *RENEWED[1:]])
    await world.advance(days=31, expect=RENEWED)
    assert [i["total"] for i in await world.invoices(sub)] == [500, 1000]


async def test_a_fixed_discount_never_takes_an_invoice_below_zero(world: World) -> None:
    coupon = await world.coupon(
        amount_off=1500, currency="EUR", duration=Duration.REPEATING, duration_in_periods=1
    )
    sub = await world.subscribe(
        await world.customer(), await world.price("1000"), coupon_ids=[coupon]
    )
    # 10.00 - 15.00 stops at nothing; the other 5.00 are not carried on.
    await world.expect("subscription.created", "invoice.finalized", "invoice.paid")
    await world.advance(months=1, expect=RENEWED)
    totals = [(i["discount_total"], i["total"]) for i in await world.invoices(sub)]
    assert totals == [(1000, 0), (0, 1000)]
    await world.assert_clean()


async def test_percentages_are_taken_before_fixed_amounts(world: World) -> None:
    fixed = await world.coupon(amount_off=100, currency="EUR", duration=Duration.FOREVER)
    tenth = await world.coupon(percent_off="10", duration=Duration.FOREVER)
    sub = await world.subscribe(
        await world.customer(), await world.price("1000"), coupon_ids=[fixed, tenth]
    )
    # 10.00 - 10 % = 9.00; - 1.00 = 8.00. The other way round it would be 8.10.
    assert (await world.invoice(sub))["total"] == 800
    await world.assert_clean()


async def test_a_discount_in_another_currency_is_refused(world: World) -> None:
    coupon = await world.coupon(amount_off=100, currency="USD", duration=Duration.ONCE)
    customer, price = await world.customer(), await world.price("1000", "EUR")
    with pytest.raises(InvalidRequest, match="no amount in EUR"):
        await world.subscribe(customer, price, coupon_ids=[coupon])
    await world.expect()


async def test_tax_comes_on_top_once_rounded_over_the_whole_invoice(world: World) -> None:
    vat = await world.tax_rate("19")
    small, odd = await world.price("3"), await world.price("8")
    sub = await world.subscribe(await world.customer(), small, odd, tax_rate_ids=[vat])
    # 0.03 * 19 % = 0.0057 and 0.08 * 19 % = 0.0152: together 0.0209, so 0.02, not 0.01 + 0.02.
    invoice = await world.invoice(sub)
    assert (invoice["subtotal"], invoice["tax_total"], invoice["total"]) == (11, 2, 13)
    assert world.charged() == [(13, "EUR")]
    await world.assert_clean()


async def test_tax_that_is_inside_leaves_the_total_alone(world: World) -> None:
    vat = await world.tax_rate("19", inclusive=True)
    sub = await world.subscribe(
        await world.customer(), await world.price("1190"), tax_rate_ids=[vat]
    )
    invoice = await world.invoice(sub)
    # 11.90 / 1.19 = 10.00 net
    assert (invoice["tax_total"], invoice["tax_added"], invoice["total"]) == (190, 0, 1190)
    books = await world.balance()
    assert (books["deferred_revenue"], books["tax_payable"]) == (-1000, -190)
    await world.assert_clean()


async def test_tax_is_reckoned_on_what_the_discount_leaves(world: World) -> None:
    vat = await world.tax_rate("20")
    half = await world.coupon(percent_off="50", duration=Duration.FOREVER)
    sub = await world.subscribe(
        await world.customer(), await world.price("1000"), coupon_ids=[half], tax_rate_ids=[vat]
    )
    invoice = await world.invoice(sub)
    # (10.00 - 5.00) * 20 % = 1.00
    assert (invoice["tax_total"], invoice["total"]) == (100, 600)
    await world.assert_clean()


async def test_credit_pays_first_and_never_lowers_the_tax(world: World) -> None:
    vat = await world.tax_rate("20")
    customer = await world.customer()
    await world.credit(customer, 700)
    sub = await world.subscribe(customer, await world.price("1000"), tax_rate_ids=[vat])
    await world.expect(*STARTED)
    invoice = await world.invoice(sub)
    # 12.00 with 2.00 of tax; credit pays 7.00, the card 5.00
    assert (invoice["tax_total"], invoice["total"]) == (200, 1200)
    assert (invoice["balance_applied"], invoice["amount_due"]) == (700, 500)
    assert world.charged() == [(500, "EUR")]
    assert await world.credit_left(customer) == 0
    await world.assert_clean()


async def test_credit_for_several_periods_is_used_up_period_by_period(world: World) -> None:
    customer = await world.customer()
    await world.credit(customer, 2500)
    sub = await world.subscribe(customer, await world.price("1000"))
    paid_by_credit = ["invoice.finalized", "invoice.paid"]
    await world.expect("subscription.created", *paid_by_credit)
    await world.advance(months=1, expect=["subscription.renewed", *paid_by_credit])
    # 25.00 - 10.00 - 10.00 leaves 5.00 for the third
    await world.advance(months=1, expect=RENEWED)
    assert world.charged() == [(500, "EUR")]
    assert [i["balance_applied"] for i in await world.invoices(sub)] == [1000, 1000, 500]
    await world.assert_clean()


async def test_two_subscriptions_renewed_at_once_never_spend_the_same_credit(world: World) -> None:
    customer = await world.customer()
    price = await world.price("1000")
    await world.subscribe(customer, price)
    await world.subscribe(customer, price)
    await world.told()
    await world.credit(customer, 1500)
    renewed = ["subscription.renewed", "invoice.finalized", "invoice.paid"]
    await world.advance(months=1, expect=[*renewed * 2, "payment.succeeded"])
    # 15.00 of credit on two bills of 10.00: one paid whole, the other half
    assert world.charged() == [(1000, "EUR"), (1000, "EUR"), (500, "EUR")]
    assert await world.credit_left(customer) == 0
    await world.assert_clean()


async def test_credit_in_one_currency_does_not_pay_in_another(world: World) -> None:
    customer = await world.customer()
    await world.credit(customer, 5000, "USD")
    await world.subscribe(customer, await world.price("1000", "EUR"))
    await world.expect(*STARTED)
    assert world.charged() == [(1000, "EUR")]
    await world.assert_clean()


async def test_credit_cannot_be_taken_below_zero(world: World) -> None:
    customer = await world.customer()
    await world.credit(customer, 500)
    with pytest.raises(InvalidRequest, match="below zero"):
        await world.credit(customer, -501)
    await world.credit(customer, -500)
    assert await world.credit_left(customer) == 0
    await world.assert_clean()


async def test_a_new_price_leaves_running_subscriptions_alone(world: World) -> None:
    plan = await world.plan()
    sub = await world.subscribe(await world.customer(), await world.price("1000", plan=plan))
    await world.told()
    await world.price("1500", plan=plan)
    await world.advance(months=1, expect=RENEWED)
    assert [i["total"] for i in await world.invoices(sub)] == [1000, 1000]


async def test_an_amount_beyond_every_book_is_refused_with_a_sentence(world: World) -> None:
    # 10^15 cents * 10^9 does not fit 64 bits
    price = await world.price("999999999999999")
    customer = await world.customer()
    with pytest.raises(InvalidRequest, match="more than can be billed"):
        await world.subscribe(customer, (price, 1_000_000_000))
    await world.expect()


async def test_the_fee_that_the_gateway_keeps_is_an_expense(world: World) -> None:
    await world.subscribe(await world.customer(), await world.price("1000"))
    # 1 % of 10.00
    assert await world.balance() == {"deferred_revenue": -1000, "cash": 990, "gateway_fees": 10}
    assert PAID == ("payment.succeeded", "invoice.paid")
