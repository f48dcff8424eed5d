"""Stairs, percentages, one-time prices and limits: the models beside the classic ones.

Worked examples that others publish stand here with their arithmetic, so that a merchant who moves
in is charged the same.
"""

from dataclasses import replace
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.calendar import Interval, Unit
from app.domain.errors import InvalidRequest
from app.domain.money import Money, apportion, divide
from app.domain.pricing import (
    SCALE,
    PlanKind,
    Price,
    PriceModel,
    PriceType,
    Step,
    Tier,
    Timing,
    Usage,
    amount,
    amount_scaled,
    check_offered,
    check_quantity,
    check_together,
    parse_unit_amount,
    problems,
    steps,
)

examples = settings(max_examples=300, deadline=None)
ID = UUID(int=7)
METERED = {"usage": Usage.METERED, "timing": Timing.ARREARS, "meter_id": ID}


def a_price(model=PriceModel.PER_UNIT, **more):
    given = {
        "id": ID,
        "plan_id": ID,
        "version": 1,
        "currency": "USD",
        "interval": Interval(Unit.MONTH),
    }
    return Price(model=model, **given | more)


def tiers(*rows):
    return tuple(Tier(up_to, parse_unit_amount(unit), flat) for up_to, unit, flat in rows)


def a_percentage(ppm, **more):
    return a_price(PriceModel.PERCENTAGE, percentage_ppm=ppm, **METERED | more)


# ── as others publish it ─────────────────────────────────────────────────────────────────────────

FONTS = tiers((5, "700", 0), (10, "650", 0), (None, "600", 0))
"""Stripe's own example of tiers: fonts at 7.00, 6.50 and 6.00 dollars."""


@pytest.mark.parametrize(
    ("quantity", "minor"),
    [
        (0, 0),
        (1, 700),  # 1 * 7.00
        (5, 3500),  # 5 * 7.00: five is still in the first tier, `up_to` is inclusive
        (6, 3900),  # 6 * 6.50: every font at the price of the second tier
        (20, 12000),  # 20 * 6.00
        (25, 15000),  # 25 * 6.00
    ],
)
def test_volume_is_what_stripe_documents(quantity, minor):
    assert amount(a_price(PriceModel.VOLUME, tiers=FONTS), quantity).minor == minor


@pytest.mark.parametrize(
    ("quantity", "minor"),
    [
        (0, 0),
        (1, 700),
        (5, 3500),
        (6, 4150),  # 5 * 7.00 + 1 * 6.50
        (20, 12750),  # 5 * 7.00 + 5 * 6.50 + 10 * 6.00
        (25, 15750),  # 5 * 7.00 + 5 * 6.50 + 15 * 6.00
    ],
)
def test_graduated_is_what_stripe_documents(quantity, minor):
    assert amount(a_price(PriceModel.GRADUATED, tiers=FONTS), quantity).minor == minor


@pytest.mark.parametrize("model", [PriceModel.GRADUATED, PriceModel.VOLUME, PriceModel.STAIRSTEP])
def test_without_any_unit_the_first_tier_is_due(model):
    # A base fee of 200.00 that holds 1,000 units: nobody used anything, the base fee is owed.
    price = a_price(model, tiers=tiers((1000, "0", 20_000), (None, "0", 50_000)))
    assert amount(price, 0).minor == 20_000
    assert steps(price, 0)[0].flat_amount == 20_000


STAIRS = tiers((10, "0", 5_000), (50, "0", 20_000), (None, "0", 80_000))


@pytest.mark.parametrize(
    ("quantity", "minor"),
    [(0, 5_000), (1, 5_000), (10, 5_000), (11, 20_000), (50, 20_000), (51, 80_000), (9999, 80_000)],
)
def test_a_stair_costs_what_is_written_on_it(quantity, minor):
    price = a_price(PriceModel.STAIRSTEP, tiers=STAIRS)
    assert amount(price, quantity) == Money(minor, "USD")
    assert steps(price, quantity) == (Step(1, quantity, 0, 0, minor),)


def test_a_percentage_with_an_amount_for_each_event():
    # 2.9 % of 1,234.56 is 35.80224, and 17 payments at 0.30 are 5.10: 40.90224, so 40.90.
    price = a_percentage(29_000, event_amount_minor=30)
    assert amount(price, 123_456, events=17) == Money(4090, "USD")
    assert amount_scaled(price, 123_456, 17) == parse_unit_amount("4090.224")
    assert steps(price, 123_456, 17) == (
        Step(1, 123_456, 123_456, parse_unit_amount("0.029")),
        Step(1, 123_456, 0, 0, 510, 17),
    )


def test_what_is_free_of_a_percentage():
    # The first 500.00 and the first 3 payments are free: 1 % of 500.00 and 2 * 0.10.
    price = a_percentage(10_000, event_amount_minor=10, free_amount_minor=50_000, free_events=3)
    assert amount(price, 100_000, events=5).minor == 500 + 20
    assert amount(price, 40_000, events=3).minor == 0
    assert amount(price, 40_000, events=4).minor == 10  # the fourth payment is not free
    assert amount(price, 0, events=0).minor == 0
    assert steps(price, 100_000, 5) == (
        Step(1, 50_000, 50_000, 0),
        Step(50_001, 100_000, 50_000, parse_unit_amount("0.01")),
        Step(1, 100_000, 0, 0, 20, 2),
    )


def test_a_percentage_whose_events_nobody_counted_has_one():
    price = a_percentage(10_000, event_amount_minor=25)
    assert amount(price, 1_000).minor == 10 + 25
    assert amount(price, 0).minor == 0


# ── what always holds ────────────────────────────────────────────────────────────────────────────

quantities = st.integers(0, 10**6)
percentages = st.builds(
    a_percentage,
    st.integers(0, 1_000_000),
    event_amount_minor=st.integers(0, 1_000),
    free_events=st.integers(0, 50),
    free_amount_minor=st.integers(0, 10**5),
)
stairs = st.builds(
    lambda ends, flats: a_price(
        PriceModel.STAIRSTEP,
        tiers=tuple(
            Tier(end, 0, flat)
            for end, flat in zip([*sorted(ends), None], sorted(flats), strict=True)
        ),
    ),
    st.sets(st.integers(1, 10**6), min_size=4, max_size=4),
    st.lists(st.integers(0, 10**9), min_size=5, max_size=5),
)


@examples
@given(percentages, quantities, st.integers(0, 100))
def test_a_percentage_is_exact_until_it_is_rounded_once(price, quantity, events):
    exact = Fraction(max(0, quantity - price.free_amount_minor) * price.percentage_ppm, 1_000_000)
    exact += max(0, events - price.free_events) * price.event_amount_minor
    assert Fraction(amount_scaled(price, quantity, events), SCALE) == exact
    rounded = amount(price, quantity, events=events).minor
    assert rounded == divide(exact.numerator, exact.denominator)
    assert abs(rounded - exact) <= Fraction(1, 2)


@examples
@given(percentages, quantities, st.integers(0, 100), st.integers(0, 1000), st.integers(0, 10))
def test_more_money_or_more_events_never_cost_less(price, quantity, events, more, others):
    before = amount(price, quantity, events=events)
    assert amount(price, quantity + more, events=events + others) >= before


@examples
@given(st.one_of(percentages, stairs), quantities, st.integers(0, 100))
def test_the_steps_add_up(price, quantity, events):
    parts = steps(price, quantity, events)
    exact = amount_scaled(price, quantity, events)
    assert sum(step.amount_scaled for step in parts) == exact
    # Shown to the cent, step by step, they still add up to what is charged.
    if parts:
        shown = apportion([step.amount_scaled for step in parts], SCALE)
        assert sum(shown) == amount(price, quantity, events=events).minor


@examples
@given(stairs, quantities)
def test_stairs_that_ascend_never_go_down_and_hold_one_price_each(price, quantity):
    assert amount(price, quantity + 1) >= amount(price, quantity)
    tier = next(t for t in price.tiers if t.up_to is None or quantity <= t.up_to)
    flat = a_price(PriceModel.FLAT, unit_amount_scaled=tier.flat_amount * SCALE)
    assert amount(price, quantity) == amount(flat, quantity)


tables = st.builds(
    lambda ends, units: tuple(
        Tier(end, unit) for end, unit in zip([*sorted(ends), None], units, strict=True)
    ),
    st.sets(st.integers(1, 60), min_size=4, max_size=4),
    st.lists(st.integers(0, 10**6 * SCALE), min_size=5, max_size=5),
)


@examples
@given(tables, st.integers(0, 80))
def test_graduated_has_no_jumps(table, quantity):
    """One unit more costs just its own tier's price, also across a boundary."""
    price = a_price(PriceModel.GRADUATED, tiers=table)
    tier = next(t for t in table if t.up_to is None or quantity + 1 <= t.up_to)
    more = amount_scaled(price, quantity + 1) - amount_scaled(price, quantity)
    assert more == tier.unit_amount_scaled


@examples
@given(tables, st.sampled_from([PriceModel.GRADUATED, PriceModel.VOLUME]), st.integers(0, 80))
def test_one_tier_for_all_is_a_price_per_unit(table, model, quantity):
    same = tuple(replace(tier, unit_amount_scaled=7 * SCALE) for tier in table)
    price = a_price(PriceModel.PER_UNIT, unit_amount_scaled=7 * SCALE)
    assert amount(a_price(model, tiers=same), quantity) == amount(price, quantity)


@examples
@given(st.integers(1, 1000), st.integers(0, 10**6), st.integers(0, 10**4))
def test_packages_hold_at_least_what_is_needed_and_not_one_more(size, unit, quantity):
    price = a_price(PriceModel.PACKAGE, unit_amount_scaled=unit * SCALE, package_size=size)
    packages = sum(step.units for step in steps(price, quantity))
    assert packages * size >= quantity > (packages - 1) * size or packages == quantity == 0
    assert amount(price, quantity).minor == packages * unit


@examples
@given(st.one_of(percentages, stairs), quantities, st.integers(1, 10**6), st.data())
def test_used_and_unused_of_any_price_make_the_whole(price, quantity, whole, data):
    used = data.draw(st.integers(0, whole))
    full = amount(price, quantity)
    first, second = full.split([used, whole - used])
    assert first + second == full
    assert first >= Money.zero("USD") <= second


# ── what can be sold ─────────────────────────────────────────────────────────────────────────────


def test_sound_prices_have_no_problems():
    for price in (
        a_price(PriceModel.STAIRSTEP, tiers=STAIRS),
        a_percentage(29_000, event_amount_minor=30, free_amount_minor=1, free_events=1),
        a_percentage(1_000_000),
        a_price(type=PriceType.ONE_TIME, interval=None, unit_amount_scaled=SCALE),
        a_price(trial_days=14, trial_amount_minor=100, countries=frozenset({"DE", "AT"})),
        a_price(min_quantity=5, max_quantity=5),
        a_price(**METERED),
    ):
        assert problems(price) == []


@pytest.mark.parametrize(
    ("price", "params"),
    [
        (a_price(PriceModel.STAIRSTEP), ["tiers"]),
        (
            a_price(PriceModel.STAIRSTEP, tiers=tiers((5, "1", 0), (None, "0", 5))),
            ["tiers[0].unit_amount"],
        ),
        (a_percentage(1_000_001), ["percentage"]),
        (a_percentage(-1), ["percentage"]),
        (a_percentage(1, unit_amount_scaled=1), ["unit_amount"]),
        (a_percentage(1, tiers=STAIRS), ["tiers"]),
        (a_percentage(1, event_amount_minor=-1), ["event_amount"]),
        (a_price(PriceModel.PERCENTAGE, percentage_ppm=1), ["usage_type"]),
        (a_price(percentage_ppm=1), ["percentage"]),
        (a_price(free_events=1, free_amount_minor=1), ["free_events", "free_amount"]),
        (a_price(interval=None), ["interval"]),
        (a_price(type=PriceType.ONE_TIME), ["interval"]),
        (
            a_price(type=PriceType.ONE_TIME, interval=None, timing=Timing.ARREARS, trial_days=1),
            ["timing", "trial_days"],
        ),
        (a_price(type=PriceType.ONE_TIME, interval=None, **METERED), ["usage_type", "timing"]),
        (a_price(trial_amount_minor=1), ["trial_amount"]),
        (a_price(**METERED | {"meter_id": None}), ["meter_id"]),
        (a_price(meter_id=ID), ["meter_id"]),
        (a_price(min_quantity=1, **METERED), ["min_quantity"]),
        (a_price(min_quantity=3, max_quantity=2), ["max_quantity"]),
        (a_price(max_quantity=0), ["max_quantity"]),
        (a_price(min_quantity=-1), ["min_quantity"]),
        (a_price(countries=frozenset({"DE", "QQ"})), ["countries"]),
    ],
)
def test_every_problem_is_named_with_its_field(price, params):
    found = problems(price)
    assert [problem.param for problem in found] == params
    assert all(problem.message.endswith(".") for problem in found)


@pytest.mark.parametrize("quantity", [5, 6, 10])
def test_a_quantity_within_the_limits_is_fine(quantity):
    check_quantity(a_price(min_quantity=5, max_quantity=10), quantity)


@pytest.mark.parametrize(
    ("limits", "quantity", "words"),
    [
        ({"min_quantity": 5}, 4, "at least 5"),
        ({"min_quantity": 5, "max_quantity": 10}, 11, "from 5 to 10"),
        ({"max_quantity": 1}, 2, "from 0 to 1"),
    ],
)
def test_a_quantity_beyond_the_limits_is_refused(limits, quantity, words):
    with pytest.raises(InvalidRequest, match=words) as refused:
        check_quantity(a_price(**limits), quantity, param="items[0].quantity")
    assert (refused.value.code, refused.value.param) == (
        "quantity_out_of_range",
        "items[0].quantity",
    )


def test_what_is_archived_or_not_sold_there_is_refused():
    german = a_price(countries=frozenset({"DE"}))
    check_offered(german, "DE")
    check_offered(a_price(), None)
    for price, country, code in (
        (german, "FR", "price_not_in_country"),
        (german, None, "price_not_in_country"),
        (a_price(active=False), "DE", "price_inactive"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            check_offered(price, country)
        assert refused.value.code == code


def test_an_addon_goes_with_its_plans_and_never_alone():
    pro, basic = UUID(int=1), UUID(int=2)
    addon = a_price(plan_id=UUID(int=3), plan_kind=PlanKind.ADDON)
    of_pro = replace(addon, addon_for=frozenset({pro}))
    check_together([a_price(plan_id=basic), addon])
    check_together([a_price(plan_id=basic), a_price(plan_id=pro), of_pro])
    check_together([a_price(plan_id=basic)])
    for refused in ([addon], [a_price(plan_id=basic), of_pro], [addon, of_pro]):
        with pytest.raises(InvalidRequest) as caught:
            check_together(refused)
        assert caught.value.code == "addon_without_plan"
