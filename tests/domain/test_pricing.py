"""Prices: exact to 10**-12 of a minor unit, rounded once, explained tier by tier."""

from fractions import Fraction
from math import floor
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.calendar import Interval, Unit
from app.domain.errors import InvalidRequest
from app.domain.money import Money, Rounding
from app.domain.pricing import (
    SCALE,
    TIERS_MAX,
    Price,
    PriceModel,
    Step,
    Tier,
    Timing,
    Usage,
    amount,
    amount_scaled,
    parse_unit_amount,
    problems,
    show_unit_amount,
    steps,
)

examples = settings(max_examples=300, deadline=None)
ID = UUID(int=7)
METERED = {"usage": Usage.METERED, "timing": Timing.ARREARS, "meter_id": ID}


def a_price(model, unit_amount="0", currency="EUR", **more):
    return Price(
        id=ID,
        plan_id=ID,
        version=1,
        currency=currency,
        interval=Interval(Unit.MONTH),
        model=model,
        unit_amount_scaled=parse_unit_amount(unit_amount),
        **more,
    )


def tiers(*rows):
    return tuple(Tier(up_to, parse_unit_amount(unit), flat) for up_to, unit, flat in rows)


THREE_TIERS = tiers((10, "100", 500), (100, "80", 0), (None, "50.5", 1000))

unit_amounts = st.integers(0, 10**6 * SCALE)
flat_amounts = st.integers(0, 10**6)
tier_tables = st.builds(
    lambda ends, last, units: tuple(
        Tier(end, unit, flat)
        for end, (unit, flat) in zip([*sorted(ends), None], [*units, last], strict=False)
    ),
    st.sets(st.integers(1, 60), min_size=5, max_size=5),
    st.tuples(unit_amounts, flat_amounts),
    st.lists(st.tuples(unit_amounts, flat_amounts), min_size=5, max_size=5),
)
quantities = st.integers(0, 80)


@pytest.mark.parametrize(
    ("model", "unit", "quantity", "minor"),
    [
        (PriceModel.FLAT, "2900", 1, 2900),
        (PriceModel.FLAT, "2900", 0, 2900),  # a flat price does not ask how many
        (PriceModel.FLAT, "2900", 7, 2900),
        (PriceModel.PER_UNIT, "1250", 3, 3750),
        (PriceModel.PER_UNIT, "1250", 0, 0),
        (PriceModel.PER_UNIT, "0.0125", 999, 12),  # 12.4875
        (PriceModel.PER_UNIT, "0.0125", 1000, 13),  # 12.5, half away from zero
        (PriceModel.PER_UNIT, "0.000000000001", 500_000_000_000, 1),  # half a cent exactly
        (PriceModel.PER_UNIT, "0.000000000001", 499_999_999_999, 0),
    ],
)
def test_flat_and_per_unit(model, unit, quantity, minor):
    assert amount(a_price(model, unit), quantity) == Money(minor, "EUR")


def test_yen_and_dinars_have_their_own_minor_units():
    # 0.4 yen * 4 = 1.6 yen is 2 yen; 1234.5 fils * 3 = 3703.5 fils is 3704 fils (3.704 dinars).
    assert amount(a_price(PriceModel.PER_UNIT, "0.4", "JPY"), 4) == Money(2, "JPY")
    assert amount(a_price(PriceModel.PER_UNIT, "1234.5", "KWD"), 3) == Money(3704, "KWD")


def test_bankers_rounding_when_the_merchant_says_so():
    price = a_price(PriceModel.PER_UNIT, "0.5")
    assert [amount(price, n, Rounding.HALF_EVEN).minor for n in (1, 3, 5)] == [0, 2, 2]
    assert [amount(price, n).minor for n in (1, 3, 5)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("quantity", "minor"),
    [
        (0, 500),  # the first tier's flat amount is always due
        (1, 600),  # 500 + 100
        (10, 1500),  # 500 + 10 * 100
        (11, 1580),  # 1500 + 80
        (100, 8700),  # 1500 + 90 * 80
        (101, 9751),  # 8700 + 1000 + 50.5 = 9750.5
        (102, 9801),  # 8700 + 1000 + 101
    ],
)
def test_graduated(quantity, minor):
    price = a_price(PriceModel.GRADUATED, tiers=THREE_TIERS)
    assert amount(price, quantity) == Money(minor, "EUR")


@pytest.mark.parametrize(
    ("quantity", "minor"),
    [
        (0, 500),  # the first tier's flat amount is always due
        (1, 600),  # 500 + 100
        (10, 1500),  # 500 + 10 * 100
        (11, 880),  # 11 * 80
        (100, 8000),  # 100 * 80
        (101, 6101),  # 1000 + 101 * 50.5 = 6100.5
    ],
)
def test_volume(quantity, minor):
    price = a_price(PriceModel.VOLUME, tiers=THREE_TIERS)
    assert amount(price, quantity) == Money(minor, "EUR")


@pytest.mark.parametrize(("quantity", "packages"), [(0, 0), (1, 1), (12, 1), (13, 2), (24, 2)])
def test_a_package_begun_is_a_package_paid(quantity, packages):
    price = a_price(PriceModel.PACKAGE, "999", package_size=12)
    assert amount(price, quantity) == Money(999 * packages, "EUR")


def test_the_steps_explain_the_amount():
    price = a_price(PriceModel.GRADUATED, tiers=THREE_TIERS)
    assert steps(price, 101) == (
        Step(1, 10, 10, 100 * SCALE, 500),
        Step(11, 100, 90, 80 * SCALE, 0),
        Step(101, 101, 1, parse_unit_amount("50.5"), 1000),
    )
    assert [show_unit_amount(step.amount_scaled) for step in steps(price, 101)] == [
        "1500",
        "7200",
        "1050.5",
    ]


@examples
@given(st.sampled_from(PriceModel), unit_amounts, tier_tables, st.integers(1, 9), quantities)
def test_the_steps_always_add_up_to_the_amount(model, unit, table, size, quantity):
    price = a_price(model, tiers=table, package_size=size, unit_amount="1")
    parts = steps(price, quantity)
    assert sum(step.amount_scaled for step in parts) == amount_scaled(price, quantity)
    if quantity:
        assert parts[0].first_unit == 1
        assert parts[-1].last_unit == quantity


@examples
@given(tier_tables, quantities)
def test_graduated_is_the_price_of_each_unit_one_by_one(table, quantity):
    exact, used = table[0].flat_amount * SCALE, {table[0]}
    for unit in range(1, quantity + 1):
        tier = next(t for t in table if t.up_to is None or unit <= t.up_to)
        exact += tier.unit_amount_scaled
        if tier not in used:
            used.add(tier)
            exact += tier.flat_amount * SCALE
    price = a_price(PriceModel.GRADUATED, tiers=table)
    if len(set(table)) == len(table):
        assert amount_scaled(price, quantity) == exact
        assert amount(price, quantity).minor == floor(Fraction(exact, SCALE) + Fraction(1, 2))


@examples
@given(tier_tables, quantities)
def test_volume_prices_every_unit_alike(table, quantity):
    price = a_price(PriceModel.VOLUME, tiers=table)
    tier = next(t for t in table if t.up_to is None or quantity <= t.up_to)
    exact = quantity * tier.unit_amount_scaled + tier.flat_amount * SCALE
    assert amount_scaled(price, quantity) == exact


@examples
@given(tier_tables, quantities)
def test_more_units_never_cost_less_when_graduated(table, quantity):
    price = a_price(PriceModel.GRADUATED, tiers=table)
    assert amount(price, quantity + 1) >= amount(price, quantity) >= Money.zero("EUR")


@examples
@given(unit_amounts)
def test_a_unit_amount_shown_and_read_again_is_the_same(scaled):
    assert parse_unit_amount(show_unit_amount(scaled)) == scaled


def test_a_thirteenth_decimal_is_refused():
    with pytest.raises(InvalidRequest) as caught:
        parse_unit_amount("0.0000000000001", param="tiers[0].unit_amount")
    assert (caught.value.code, caught.value.param) == ("too_many_decimals", "tiers[0].unit_amount")


def test_sound_prices_have_no_problems():
    for price in (
        a_price(PriceModel.FLAT, "2900"),
        a_price(PriceModel.PER_UNIT, "0.0125"),
        a_price(PriceModel.GRADUATED, tiers=THREE_TIERS),
        a_price(PriceModel.VOLUME, tiers=tiers((None, "1", 0))),
        a_price(PriceModel.PACKAGE, "999", package_size=12),
        a_price(PriceModel.PER_UNIT, "1", **METERED),
    ):
        assert problems(price) == []


GRADUATED = PriceModel.GRADUATED


@pytest.mark.parametrize(
    ("price", "params"),
    [
        (a_price(PriceModel.FLAT, "-1"), ["unit_amount"]),
        (a_price(PriceModel.FLAT, "1", "XXX"), ["currency"]),
        (
            a_price(PriceModel.FLAT, "1", setup_fee_minor=-1, trial_days=-1),
            ["setup_fee", "trial_days"],
        ),
        (a_price(PriceModel.FLAT, "1", tiers=THREE_TIERS), ["tiers"]),
        (a_price(PriceModel.FLAT, "1", package_size=2), ["package_size"]),
        (a_price(PriceModel.PACKAGE, "1", package_size=0), ["package_size"]),
        (a_price(PriceModel.PER_UNIT, "1", usage=Usage.METERED), ["timing", "meter_id"]),
        (a_price(GRADUATED), ["tiers"]),
        (a_price(GRADUATED, "1", tiers=THREE_TIERS), ["unit_amount"]),
        (a_price(GRADUATED, tiers=tiers((10, "1", 0))), ["tiers[0].up_to"]),
        (a_price(GRADUATED, tiers=tiers((None, "1", 0), (None, "1", 0))), ["tiers[0].up_to"]),
        (
            a_price(
                GRADUATED,
                tiers=tiers((10, "1", 0), (10, "1", 0), (5, "1", 0), (7, "1", 0), (None, "1", 0)),
            ),
            ["tiers[1].up_to", "tiers[2].up_to", "tiers[3].up_to"],
        ),
        (a_price(GRADUATED, tiers=tiers((0, "1", 0), (None, "1", 0))), ["tiers[0].up_to"]),
        (
            a_price(GRADUATED, tiers=tiers((1, "-1", 0), (None, "1", -1))),
            ["tiers[0].unit_amount", "tiers[1].flat_amount"],
        ),
        (
            a_price(
                GRADUATED,
                tiers=tiers(*((n, "1", 0) for n in range(1, TIERS_MAX + 1)), (None, "1", 0)),
            ),
            ["tiers"],
        ),
    ],
)
def test_every_problem_is_named_with_its_field(price, params):
    found = problems(price)
    assert [problem.param for problem in found] == params
    assert all(problem.message.endswith(".") for problem in found)
