"""What holds of every stack of discounts: eligible lines only, exact, in whatever order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import floor
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.discount import (
    AppliesTo,
    Coupon,
    Duration,
    Facts,
    Stacking,
    applicable,
    apply,
    at,
    need_facts,
    problems,
    redeem,
)
from app.domain.money import CurrencyMismatch, Money

examples = settings(max_examples=200, deadline=None)
BASIC, PRO, SEATS = (UUID(int=n) for n in (1, 2, 3))
ITEM, OTHER = UUID(int=11), UUID(int=12)
ADA = UUID(int=21)
CURRENCIES = {"JPY": 0, "EUR": 2, "KWD": 3}


def coupon(**fields) -> Coupon:
    return Coupon(id=UUID(int=7), name="Less", **fields)


def percent(ppm, **fields):
    return redeem(coupon(percent_off_ppm=ppm, **fields), UUID(int=8))


def fixed(minor, currency="EUR", **fields):
    return redeem(coupon(amount_off=Money(minor, currency), **fields), UUID(int=8))


def intro(minor, currency="EUR", **fields):
    return redeem(coupon(fixed_price=Money(minor, currency), **fields), UUID(int=8))


def restricted(currency: str):
    """Any discount in `currency`, restricted in any way."""
    restrictions = st.fixed_dictionaries(
        {},
        optional={
            "plan_ids": st.frozensets(st.sampled_from([BASIC, PRO]), min_size=1),
            "price_ids": st.just(frozenset({SEATS})),
            "applies_to": st.sampled_from(AppliesTo),
            "minimum_amounts": st.builds(lambda least: {currency: least}, st.integers(1, 10_000)),
        },
    )
    kinds = st.one_of(
        st.builds(lambda ppm, more: percent(ppm, **more), st.integers(1, 10**6), restrictions),
        st.builds(lambda off, m: fixed(off, currency, **m), st.integers(1, 10**5), restrictions),
        st.builds(lambda unit, m: intro(unit, currency, **m), st.integers(0, 10**4), restrictions),
    )
    places = st.sampled_from([{}, {"item_id": ITEM}, {"customer_id": ADA}])
    return st.builds(lambda given, place: replace(given, **place), kinds, places)


facts = st.builds(
    Facts,
    amount=st.integers(-5_000, 10**6),
    quantity=st.integers(0, 50),
    plan_id=st.sampled_from([None, BASIC, PRO]),
    price_id=st.sampled_from([None, SEATS]),
    item_id=st.sampled_from([None, ITEM, OTHER]),
    share=st.integers(1, 31).map(lambda part: (part, 31)),
    is_recurring=st.booleans(),
    is_addon=st.booleans(),
)
shopping = st.sampled_from(sorted(CURRENCIES)).flatmap(
    lambda currency: st.tuples(
        st.just(currency),
        st.lists(restricted(currency), max_size=4),
        st.lists(facts, min_size=1, max_size=6),
    )
)


def take(stack, lines, currency="EUR", stacking=Stacking.PERCENT_FIRST):
    amounts = [line.amount for line in lines]
    eligible = applicable(stack, lines, currency)
    return apply(stack, amounts, currency, stacking, eligible=eligible, lines=lines)


@examples
@given(shopping, st.sampled_from(Stacking))
def test_never_below_zero_and_eligible_lines_only(shop, stacking):
    currency, stack, lines = shop
    rows = take(stack, lines, currency, stacking)
    eligible = applicable(stack, lines, currency)
    for place, line in enumerate(lines):
        parts = [row[place] for row in rows]
        assert all(part >= 0 for part in parts)
        assert sum(parts) <= max(line.amount, 0)
    for n, row in enumerate(rows):
        for part, line, may in zip(row, lines, eligible[n] if eligible else row, strict=True):
            if eligible and part:
                assert may
            if part and stack[n].item_id:
                assert line.item_id == stack[n].item_id
            if part and (plans := stack[n].coupon.plan_ids):
                assert line.plan_id in plans or line.price_id in stack[n].coupon.price_ids


@examples
@given(
    st.lists(st.integers(1, 10**6), min_size=2, max_size=4).flatmap(
        lambda shares: st.tuples(st.just(shares), st.permutations(shares))
    ),
    st.lists(st.integers(0, 10**7), min_size=1, max_size=6),
)
def test_the_order_of_percentages_changes_nothing_for_the_invoice(orders, amounts):
    # Each is taken exactly of what is left, and their sum is rounded once.
    exact = Fraction(sum(amounts))
    for ppm in orders[0]:
        exact *= 1 - Fraction(ppm, 10**6)
    for order in orders:
        rows = apply([percent(ppm) for ppm in order], amounts, "EUR")
        assert sum(map(sum, rows)) == floor(sum(amounts) - exact + Fraction(1, 2))


@examples
@given(
    st.integers(0, 10**4),
    st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 50)), min_size=1, max_size=5),
)
def test_an_intro_price_is_exact(unit, sold):
    """Whatever a unit costs otherwise, it costs `unit` now; never more than it would."""
    lines = [Facts(price * quantity, quantity) for price, quantity in sold]
    [row] = take([intro(unit)], lines)
    for (price, quantity), taken in zip(sold, row, strict=True):
        assert price * quantity - taken == min(unit, price) * quantity


@examples
@given(st.integers(0, 10**4), st.integers(0, 50), st.integers(0, 30), st.integers(0, 10**7))
def test_an_intro_price_of_a_part_of_a_period_is_that_part_of_it(unit, quantity, part, amount):
    [[taken]] = take([intro(unit)], [Facts(amount, quantity, share=(part, 30))])
    owed = floor(Fraction(unit * quantity * part, 30) + Fraction(1, 2))
    assert amount - taken == min(owed, amount)


@examples
@given(shopping)
def test_what_nothing_restricts_needs_no_facts(shop):
    currency, stack, lines = shop
    plain = [d for d in stack if d.is_plain]
    assert not need_facts(plain)
    assert take(plain, lines, currency) == apply(plain, [line.amount for line in lines], currency)


def test_three_months_at_five_then_ten():
    # 3 seats at 10.00: 30.00 - 15.00 = 15.00 with 5.00 a seat; the setup fee of 20.00 stays.
    promise = redeem(
        coupon(fixed_price=Money(500, "EUR"), duration=Duration.REPEATING, duration_periods=3),
        ITEM,
    )
    assert promise.periods_remaining == 3
    lines = [Facts(3000, 3), Facts(2000, 1, is_recurring=False)]
    assert take([promise], lines) == [[1500, 0]]


def test_prices_then_percentages_then_amounts():
    # 100.00 at 60.00, - 10 % = 54.00, - 5.00 = 49.00.
    stack = [fixed(500), percent(100_000), intro(6000)]
    assert take(stack, [Facts(10_000)]) == [[500], [600], [4000]]


def test_the_nearest_are_taken_first_within_their_class():
    # 100.00, the item's 60.00 first, then the subscription's 30.00, the customer's gets 10.00.
    stack = [
        replace(fixed(5_000), customer_id=ADA),
        fixed(3_000),
        replace(fixed(6_000), item_id=ITEM),
    ]
    assert take(stack, [Facts(10_000, item_id=ITEM)]) == [[1_000], [3_000], [6_000]]
    in_order = take(stack, [Facts(10_000, item_id=ITEM)], stacking=Stacking.IN_ORDER)
    assert in_order == [[1_000], [3_000], [6_000]]


def test_only_lines_of_the_plans_or_prices_it_is_for():
    lines = [Facts(1000, plan_id=BASIC), Facts(1000, plan_id=PRO), Facts(1000, price_id=SEATS)]
    only = percent(500_000, plan_ids=frozenset({PRO}), price_ids=frozenset({SEATS}))
    assert applicable([only], lines, "EUR") == [[False, True, True]]
    assert take([only], lines) == [[0, 500, 500]]


def test_addons_or_plans_only():
    lines = [Facts(1000), Facts(300, is_addon=True)]
    assert take([percent(10**6, applies_to=AppliesTo.ADDONS)], lines) == [[0, 300]]
    assert take([percent(10**6, applies_to=AppliesTo.PLANS)], lines) == [[1000, 0]]


@pytest.mark.parametrize(("amounts", "taken"), [([999, 0], 0), ([999, 1], 100), ([999, -500], 0)])
def test_a_minimum_is_reckoned_on_the_lines_it_is_for_before_discounts(amounts, taken):
    lines = [Facts(amount, plan_id=PRO) for amount in amounts] + [Facts(10_000, plan_id=BASIC)]
    some = percent(100_000, plan_ids=frozenset({PRO}), minimum_amounts={"EUR": 1000})
    assert sum(take([percent(900_000), some], lines)[1]) <= taken
    assert sum(take([some], lines)[0]) == taken


def test_a_minimum_says_nothing_of_other_currencies_so_they_have_none_of_it():
    some = percent(100_000, minimum_amounts={"EUR": 1000})
    assert take([some], [Facts(5_000)], "USD") == [[0]]


def test_the_same_coupon_in_several_currencies():
    some = fixed(500, "EUR", currency_options={"USD": 600, "JPY": 800})
    assert some.coupon.amounts == {"EUR": 500, "USD": 600, "JPY": 800}
    taken = [apply([some], [1000], currency) for currency in ("EUR", "USD", "JPY")]
    assert taken == [[[500]], [[600]], [[800]]]
    with pytest.raises(CurrencyMismatch):
        apply([some], [1000], "KWD")
    # On a customer it meets subscriptions in any currency, and leaves alone what it cannot say.
    assert apply([replace(some, customer_id=ADA)], [1000], "KWD") == [[0]]


def test_a_discount_counts_from_its_start_to_before_its_end():
    start = datetime(2030, 1, 1, tzinfo=UTC)
    given = replace(percent(1), start_at=start, end_at=start + timedelta(days=30))
    shown = [len(at([given], start + timedelta(days=n))) for n in (-1, 0, 29, 30)]
    assert shown == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        ({"fixed_price": Money(0, "EUR")}, []),
        ({"fixed_price": Money(0, "EUR"), "currency_options": {"USD": 0}}, []),
        ({"fixed_price": Money(-1, "EUR")}, ["fixed_price"]),
        ({"fixed_price": Money(1, "EUR"), "percent_off_ppm": 1}, ["percent_off"]),
        ({"percent_off_ppm": 1, "currency_options": {"USD": 5}}, ["currency_options"]),
        ({"amount_off": Money(1, "EUR"), "currency_options": {"EUR": 5}}, ["currency_options"]),
        ({"amount_off": Money(1, "EUR"), "currency_options": {"USD": 0}}, ["currency_options"]),
        ({"percent_off_ppm": 1, "minimum_amounts": {"EUR": 0}}, ["minimum_amounts"]),
    ],
)
def test_every_problem_of_a_coupon_is_named(fields, params):
    assert [problem.param for problem in problems(coupon(**fields))] == params
