"""Discounts and taxes when a subscription changes, told as stories: what follows the line.

Stories begin on 31 January at 9:00; the first period has 28 days, so that 14 days are half of it.
"""

from typing import Any
from uuid import UUID

import pytest

from app.domain.discount import Duration
from app.domain.policy import Settlement, When
from app.domain.pricing import TaxBehaviour, Timing, Usage
from app.domain.taxation import TaxExempt
from app.services import offers, tax_ids, tax_rates, tax_registrations
from app.services.changes import ChangedItem
from app.services.offers import CreateLink, CreateOffer
from app.services.tax_registrations import CreateTaxRegistration
from tests.terms import (
    CHANGED,
    GIVEN_BACK,
    amounts,
    at,
    code,
    dials,
    give,
    paid,
    totals,
)
from tests.usage import meter, said, tell
from tests.world import RENEWED, STARTED, World

Lines = list[tuple[int, int, int]]


async def lines(world: World, sub: UUID) -> Lines:
    """The latest invoice's lines: amount, discount, tax."""
    return await world.amounts((await world.invoice(sub))["id"])


async def halfway(
    world: World, amount: str = "2800", currency: str = "EUR", **options: Any
) -> UUID:
    """A subscription at `amount`, at half of the first period."""
    customer, price = await world.customer(), await world.price(amount, currency)
    sub = await world.subscribe(customer, price, **options)
    await world.expect(*STARTED)
    await world.advance(days=14, expect=[])
    return sub


async def upgrade(world: World, sub: UUID, amount: str, currency: str = "EUR") -> None:
    dear = await world.price(amount, currency)
    await world.change(sub, ChangedItem(price_id=dear), when=When.NOW)
    await world.expect(*CHANGED)


# ── discounts ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_percentage_is_on_both_sides_of_a_change(world: World) -> None:
    quarter = await world.coupon(percent_off="25", duration=Duration.FOREVER)
    sub = await halfway(world, coupon_ids=[quarter])
    await upgrade(world, sub, "5600")
    # -14.00 with its -3.50; 28.00 with its 7.00: 10.50.
    assert await lines(world, sub) == [(-1400, -350, 0), (2800, 700, 0)]
    assert paid(world) == [2100, 1050]
    await world.assert_clean()


async def test_a_fixed_amount_is_prorated_with_the_time(world: World) -> None:
    eight = await world.coupon(amount_off=800, currency="EUR", duration=Duration.FOREVER)
    sub = await halfway(world, coupon_ids=[eight])
    await upgrade(world, sub, "5600")
    # 8.00 off 28.00; at half, 4.00 of it go back, and 4.00 come off the new half.
    assert await lines(world, sub) == [(-1400, -400, 0), (2800, 400, 0)]
    assert paid(world) == [2000, 1400]
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert paid(world) == [2000, 1400, 4800]
    await world.assert_clean()


@pytest.mark.parametrize(("duration", "periods"), [(Duration.ONCE, None), (Duration.REPEATING, 1)])
async def test_a_coupon_counts_to_the_end_of_its_last_period(
    world: World, duration: Duration, periods: int | None
) -> None:
    half = await world.coupon(percent_off="50", duration=duration, duration_in_periods=periods)
    sub = await halfway(world, coupon_ids=[half])
    await upgrade(world, sub, "5600")
    # Inside the period that it was for, the new price is halved as well; after it no more.
    assert await lines(world, sub) == [(-1400, -700, 0), (2800, 1400, 0)]
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert paid(world) == [1400, 700, 5600]
    await world.assert_clean()


async def test_a_change_counts_no_period_of_a_coupon(world: World) -> None:
    half = await world.coupon(percent_off="50", duration=Duration.REPEATING, duration_in_periods=2)
    sub = await halfway(world, coupon_ids=[half])
    for amount in ("5600", "8400", "11200"):
        await upgrade(world, sub, amount)
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    await world.advance(to=at(2026, 3, 31, 9), expect=RENEWED)
    # 14.00; each change 7.00 more for the half; the second period halved, the third not.
    assert paid(world) == [1400, 700, 700, 700, 5600, 11200]
    await world.assert_clean()


async def test_parts_may_be_left_without_discount(world: World) -> None:
    await dials(world, coupon_on_proration="not_prorated")
    quarter = await world.coupon(percent_off="25", duration=Duration.FOREVER)
    sub = await halfway(world, coupon_ids=[quarter])
    await upgrade(world, sub, "5600")
    # What is given back carries what was taken off; the new half costs 28.00.
    assert await lines(world, sub) == [(-1400, -350, 0), (2800, 0, 0)]
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert paid(world) == [2100, 1750, 4200]
    await world.assert_clean()


async def test_a_customer_s_discount_is_on_every_subscription_of_hers(world: World) -> None:
    customer = await world.customer()
    tenth = await world.coupon(percent_off="10", duration=Duration.FOREVER)
    await give(world, customer, tenth)
    first = await world.subscribe(customer, await world.price("2800"))
    second = await world.subscribe(customer, await world.price("1000"))
    await world.told()
    assert paid(world) == [2520, 900]
    await world.advance(days=14, expect=[])
    await upgrade(world, first, "5600")
    # -14.00 + 1.40 + 28.00 - 2.80.
    assert (await totals(world, first))[-1] == 1260
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED * 2)
    assert sorted(paid(world)[3:]) == [900, 5040]
    assert await totals(world, second) == [900, 900]
    await world.assert_clean()


async def test_once_for_a_customer_is_once_for_all_of_her_subscriptions(world: World) -> None:
    customer = await world.customer()
    await give(world, customer, await world.coupon(percent_off="50", duration=Duration.ONCE))
    first = await world.subscribe(customer, await world.price("2800"))
    second = await world.subscribe(customer, await world.price("1000"))
    await world.told()
    # The first bill takes it; nothing is left for the second.
    assert (await totals(world, first), await totals(world, second)) == ([1400], [1000])
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED * 2)
    assert (await totals(world, first), await totals(world, second)) == (
        [1400, 2800],
        [1000, 1000],
    )
    await world.assert_clean()


async def test_an_introductory_price_ends_with_its_periods_whatever_changed(world: World) -> None:
    intro = await world.coupon(
        fixed_price=500, currency="EUR", duration=Duration.REPEATING, duration_in_periods=2
    )
    sub = await halfway(world, coupon_ids=[intro])
    assert paid(world) == [500]
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    await world.advance(to=at(2026, 3, 31, 9), expect=RENEWED)
    assert await totals(world, sub) == [500, 500, 2800]
    await world.assert_clean()


async def test_an_offer_brings_a_price_a_trial_and_a_coupon(world: World) -> None:
    customer, usual = await world.customer(), await world.price("5600")
    special = await world.price("2800")
    tenth = await world.coupon(percent_off="10", duration=Duration.FOREVER)
    cmd = CreateOffer(name="Stay", price_id=special, coupon_id=tenth, trial_days=7)
    made = await offers.create(world.rt, world.caller, cmd)
    link = CreateLink(made["id"], max_redemptions=1)
    token = (await offers.create_link(world.rt, world.caller, link))[1]
    sub = await world.subscribe(customer, usual, offer_token=token)
    await world.told()
    assert await world.status(sub) == "trialing"
    await world.advance_quietly(days=7)
    # 28.00 in the place of 56.00, less a tenth.
    assert paid(world) == [2520]
    await world.assert_clean()


async def test_a_code_that_customers_type_is_a_coupon(world: World) -> None:
    quarter = await world.coupon(percent_off="25", duration=Duration.ONCE)
    await code(world, quarter, "SPRING")
    await world.told()
    await halfway(world, promotion_codes=["spring"])
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert paid(world) == [2100, 2800]
    await world.assert_clean()


# ── taxes ─────────────────────────────────────────────────────────────────────────────────────────


async def test_tax_inside_the_price_stays_inside(world: World) -> None:
    vat = await world.tax_rate("19", inclusive=True)
    sub = await halfway(world, "2380", tax_rate_ids=[vat])
    await upgrade(world, sub, "4760")
    # 23.80 hold 3.80. Half back with 1.90; 23.80 for the new half with 3.80.
    assert await lines(world, sub) == [(-1190, 0, -190), (2380, 0, 380)]
    assert paid(world) == [2380, 1190]
    await world.assert_clean()


@pytest.mark.parametrize(
    ("currency", "first", "then", "expected"),
    [
        # 999 yen at half are 499.5: 500 back; 10 % of 999 is 100 (99.9), half of it 50.
        # New: half of 1999 is 1000 (999.5), with 100.
        ("JPY", "999", "1999", [(-500, 0, -50), (1000, 0, 100)]),
        # 1.235 dinars at half are 0.6175: 0.618 back; the tax 0.124 (0.1235) gives back 0.062.
        # New: half of 2.471 is 1.236 (1.2355), with 0.124 (0.1236).
        ("KWD", "1235", "2471", [(-618, 0, -62), (1236, 0, 124)]),
    ],
)
async def test_each_currency_rounds_in_its_own_smallest_unit(
    world: World, currency: str, first: str, then: str, expected: Lines
) -> None:
    vat = await world.tax_rate("10")
    sub = await halfway(world, first, currency, tax_rate_ids=[vat])
    await upgrade(world, sub, then, currency)
    assert await lines(world, sub) == expected
    await world.assert_clean()


async def german_shop(world: World) -> None:
    """A seller at home in Germany who declares what goes elsewhere in the one-stop shop."""
    for options in ({"home": True}, {"scheme": "oss"}):
        cmd = CreateTaxRegistration(country="DE", **options)
        await tax_registrations.create(world.rt, world.caller, cmd)
    for country, rate in (("DE", "19"), ("FR", "20")):
        rates = tax_rates.CreateTaxRate(display_name="VAT", percentage=rate, country=country)
        await tax_rates.create(world.rt, world.caller, rates)


@pytest.mark.parametrize(
    ("country", "number", "exempt", "tax", "reason"),
    [
        ("DE", None, TaxExempt.NONE, 532, None),
        ("FR", None, TaxExempt.NONE, 560, None),
        ("FR", "FR40303265045", TaxExempt.NONE, 0, "reverse_charge"),
        ("DE", None, TaxExempt.EXEMPT, 0, "customer_exempt"),
    ],
)
async def test_tax_is_found_by_who_buys_where_and_follows_every_change(
    world: World,
    country: str,
    number: str | None,
    exempt: TaxExempt,
    tax: int,
    reason: str | None,
) -> None:
    await german_shop(world)
    customer = await world.customer(address={"country": country}, tax_exempt=exempt)
    if number is not None:
        await tax_ids.create(world.rt, world.caller, tax_ids.AddTaxId(customer, "eu_vat", number))
        await world.told()
    sub = await world.subscribe(customer, await world.price("2800"), automatic_tax=True)
    await world.expect(*STARTED)
    assert await totals(world, sub) == [2800 + tax]
    await world.advance(days=14, expect=[])
    await upgrade(world, sub, "5600")
    # Half of the tax goes back with half of the price; of twice the price half is as much again.
    assert await lines(world, sub) == [(-1400, 0, -tax // 2), (2800, 0, tax)]
    rows = await world.fetch("SELECT DISTINCT reason FROM invoice_line_taxes")
    assert [row["reason"] for row in rows] == [reason]
    await world.assert_clean()


async def test_prices_say_whether_the_tax_that_is_found_is_inside(world: World) -> None:
    await german_shop(world)
    customer = await world.customer(address={"country": "DE"})
    inside = await world.price("2380", tax_behaviour=TaxBehaviour.INCLUSIVE)
    on_top = await world.price("1000")
    sub = await world.subscribe(customer, inside, on_top, automatic_tax=True)
    await world.expect(*STARTED)
    # 23.80 hold 3.80; 10.00 and 1.90 on top.
    assert await lines(world, sub) == [(2380, 0, 380), (1000, 0, 190)]
    assert paid(world) == [2380 + 1190]
    await world.assert_clean()


# ── what was used ─────────────────────────────────────────────────────────────────────────────────


async def test_usage_is_billed_at_the_price_it_was_used_at(world: World) -> None:
    requests = await meter(world)
    options = {"usage_type": Usage.METERED, "timing": Timing.ARREARS, "meter_id": requests}
    customer = await world.customer()
    base, cheap = await world.price("1000"), await world.price("10", **options)
    dear = await world.price("20", **options)
    sub = await world.subscribe(customer, base, cheap)
    await world.expect(*STARTED)
    await tell(world, said(customer, 100))
    await world.advance(days=14, expect=[])
    second = (await world.items(sub))[1]
    await world.change(sub, ChangedItem(id=second["id"], price_id=dear), when=When.NOW)
    await world.expect(*CHANGED)
    # 100 at 0.10 so far.
    assert await amounts(world, sub) == [1000]
    await tell(world, said(customer, 30))
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    # 30 at 0.20, and the base of the next period.
    assert sorted(await amounts(world, sub)) == [600, 1000]
    await world.assert_clean()


async def test_what_is_used_after_a_price_is_gone_costs_nothing(world: World) -> None:
    requests = await meter(world)
    options = {"usage_type": Usage.METERED, "timing": Timing.ARREARS, "meter_id": requests}
    customer = await world.customer()
    sub = await world.subscribe(
        customer, await world.price("1000"), await world.price("10", **options)
    )
    await world.expect(*STARTED)
    await tell(world, said(customer, 40))
    await world.advance(days=14, expect=[])
    second = (await world.items(sub))[1]
    change = ChangedItem(id=second["id"], is_removed=True)
    await world.change(sub, change, when=When.NOW, settlement=Settlement.NEXT_INVOICE)
    await world.expect("subscription.updated")
    await tell(world, said(customer, 999))
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    # 40 at 0.10 waited; the base.
    assert sorted(await amounts(world, sub)) == [400, 1000]
    await world.assert_clean()


async def test_credit_left_over_from_a_change_pays_the_tax_of_the_next_bill_too(
    world: World,
) -> None:
    vat = await world.tax_rate("20")
    sub = await halfway(world, "6000", tax_rate_ids=[vat])
    cheap = await world.price("1000")
    await world.change(sub, ChangedItem(price_id=cheap), when=When.NOW)
    await world.expect(*GIVEN_BACK)
    # -30.00 - 6.00 + 5.00 + 1.00 = -30.00 of credit; credit is a payment: it lowers no tax.
    assert (await totals(world, sub))[-1] == -3000
    await world.advance(
        to=at(2026, 2, 28, 9), expect=["subscription.renewed", "invoice.finalized", "invoice.paid"]
    )
    invoice = await world.invoice(sub)
    assert (invoice["tax_total"], invoice["total"], invoice["amount_due"]) == (200, 1200, 0)
    await world.assert_clean()
