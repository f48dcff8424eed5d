"""Discounts: percentages of what is really charged, never below zero, parts that add up."""

from fractions import Fraction
from math import floor
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.discount import (
    Coupon,
    Discount,
    Duration,
    Stacking,
    after_period,
    apply,
    problems,
    redeem,
)
from app.domain.money import CurrencyMismatch, Money

examples = settings(max_examples=300, deadline=None)
ID = UUID(int=7)


def percent(ppm, **more):
    return redeem(Coupon(id=ID, name="Percent", percent_off_ppm=ppm, **more), ID)


def fixed(minor, currency="EUR", **more):
    return redeem(Coupon(id=ID, name="Fixed", amount_off=Money(minor, currency), **more), ID)


discounts = st.one_of(
    st.builds(percent, st.integers(1, 1_000_000)), st.builds(fixed, st.integers(1, 10**9))
)
lines = st.lists(st.integers(0, 10**9), min_size=1, max_size=8)


def test_a_percentage_is_rounded_once_over_all_lines():
    # 10 % of 3 * 0.05 = 0.015: rounded once 0.02, not 3 * 0.01.
    assert apply([percent(100_000)], [5, 5, 5], "EUR") == [[1, 1, 0]]
    # 12.5 % of 999 and 1001 = 124.875 and 125.125, together 250 exactly.
    assert apply([percent(125_000)], [999, 1001], "EUR") == [[125, 125]]


def test_yen_and_dinars():
    # 15 % of 777 yen = 116.55 is 117 yen; 33.3333 % of 1.000 dinar = 0.333333 is 0.333.
    assert apply([percent(150_000)], [777], "JPY") == [[117]]
    assert apply([percent(333_333)], [1000], "KWD") == [[333]]


def test_a_fixed_amount_is_spread_in_proportion():
    # 5.00 over 10.00 and 20.00: 1.666.. and 3.333.. is 1.67 and 3.33.
    assert apply([fixed(500)], [1000, 2000], "EUR") == [[167, 333]]


def test_a_fixed_amount_takes_no_more_than_there_is():
    assert apply([fixed(5000)], [1000, 2000], "EUR") == [[1000, 2000]]


def test_percentages_come_first_and_each_takes_from_what_is_left():
    # 100.00 - 20 % = 80.00, - 10 % = 72.00, - 5.00 = 67.00; the rows stay in the order given.
    stack = [fixed(500), percent(200_000), percent(100_000)]
    assert apply(stack, [10_000], "EUR") == [[500], [2000], [800]]


def test_in_order_when_the_merchant_says_so():
    # 100.00 - 5.00 = 95.00, - 20 % (19.00) = 76.00.
    stack = [fixed(500), percent(200_000)]
    assert apply(stack, [10_000], "EUR", Stacking.IN_ORDER) == [[500], [1900]]


def test_all_of_it_off_leaves_exactly_nothing():
    assert apply([percent(1_000_000), fixed(100)], [333, 1, 0], "EUR") == [[333, 1, 0], [0, 0, 0]]


def test_credits_are_left_alone():
    # The credit of -80.00 already carries the discount of what it reverses.
    assert apply([percent(500_000)], [10_000, -8_000], "EUR") == [[5_000, 0]]
    assert apply([fixed(500)], [-8_000], "EUR") == [[0]]


def test_no_discounts_and_no_lines():
    assert apply([], [100], "EUR") == []
    assert apply([percent(1)], [], "EUR") == [[]]


def test_a_fixed_amount_needs_its_own_currency():
    with pytest.raises(CurrencyMismatch) as caught:
        apply([fixed(500, "USD")], [1000], "EUR")
    assert caught.value.param == "coupon"


@examples
@given(st.lists(discounts, max_size=4), lines, st.sampled_from(Stacking))
def test_no_line_goes_below_zero_and_no_part_is_negative(stack, amounts, stacking):
    rows = apply(stack, amounts, "EUR", stacking)
    assert len(rows) == len(stack)
    assert all(part >= 0 for row in rows for part in row)
    for place, amount in enumerate(amounts):
        assert sum(row[place] for row in rows) <= amount


@examples
@given(st.integers(1, 1_000_000), lines)
def test_a_percentage_is_the_exact_sum_rounded_once(ppm, amounts):
    [row] = apply([percent(ppm)], amounts, "EUR")
    exact = Fraction(sum(amounts) * ppm, 1_000_000)
    assert sum(row) == floor(exact + Fraction(1, 2))
    for part, amount in zip(row, amounts, strict=True):
        assert abs(part - Fraction(amount * ppm, 1_000_000)) < 1


@examples
@given(st.integers(1, 10**9), lines)
def test_a_fixed_amount_is_taken_whole_or_takes_everything(minor, amounts):
    [row] = apply([fixed(minor)], amounts, "EUR")
    assert sum(row) == min(minor, sum(amounts))


@examples
@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=3), st.integers(1, 10**6), lines)
def test_later_discounts_see_only_what_earlier_ones_left(minors, ppm, amounts):
    stack = [*map(fixed, minors), percent(ppm), fixed(1)]
    rows = apply(stack, amounts, "EUR", Stacking.IN_ORDER)
    left = amounts
    for discount, row in zip(stack, rows, strict=True):
        assert apply([discount], left, "EUR") == [row]
        left = [rest - part for rest, part in zip(left, row, strict=True)]


def test_once_repeating_and_forever_count_paid_periods():
    def lifetime(discount):
        periods = 0
        while discount is not None and periods < 100:
            periods += 1
            discount = after_period(discount)
        return periods

    assert lifetime(percent(1)) == 1
    repeating = percent(1, duration=Duration.REPEATING, duration_periods=3)
    assert repeating == Discount(ID, repeating.coupon, 3)
    assert lifetime(repeating) == 3
    forever = percent(1, duration=Duration.FOREVER)
    assert after_period(forever) is forever


def test_sound_coupons_have_no_problems():
    for discount in (
        percent(1_000_000),
        fixed(1),
        percent(1, duration=Duration.REPEATING, duration_periods=12),
        fixed(1, duration=Duration.FOREVER),
    ):
        assert list(problems(discount.coupon)) == []


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        ({}, ["percent_off"]),
        ({"percent_off_ppm": 1, "amount_off": Money(1, "EUR")}, ["percent_off"]),
        ({"percent_off_ppm": 0}, ["percent_off"]),
        ({"percent_off_ppm": 1_000_001}, ["percent_off"]),
        ({"amount_off": Money(0, "EUR")}, ["amount_off"]),
        ({"percent_off_ppm": 1, "duration_periods": 2}, ["duration_periods"]),
        ({"percent_off_ppm": 1, "duration": Duration.REPEATING}, ["duration_periods"]),
        (
            {"percent_off_ppm": 1, "duration": Duration.REPEATING, "duration_periods": 0},
            ["duration_periods"],
        ),
    ],
)
def test_every_problem_of_a_coupon_is_named(fields, params):
    coupon = Coupon(id=ID, name="Bad", **fields)
    assert [problem.param for problem in problems(coupon)] == params
