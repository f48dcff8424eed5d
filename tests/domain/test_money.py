"""Money: nothing is lost in a division, nothing rounds twice, nothing mixes currencies."""

from fractions import Fraction
from math import floor

import iso4217
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import currency, decimals
from app.domain.errors import BillingError, InvalidRequest, Problem, RateLimited
from app.domain.money import CurrencyMismatch, Money, Rounding, apportion, divide, spread

examples = settings(max_examples=300, deadline=None)
minors = st.integers(-(10**12), 10**12)
weights = st.lists(st.integers(0, 10**9), min_size=1, max_size=12).filter(any)
roundings = st.sampled_from(Rounding)


def rounded(exact: Fraction, rounding: Rounding) -> int:
    """The definition, written the slow way."""
    below = floor(exact)
    if exact - below != Fraction(1, 2):
        return below if exact - below < Fraction(1, 2) else below + 1
    if rounding is Rounding.HALF_EVEN:
        return below if below % 2 == 0 else below + 1
    return below if exact < 0 else below + 1


@examples
@given(minors, st.integers(1, 10**9), roundings)
def test_division_rounds_to_the_nearest_and_halves_as_told(n, d, rounding):
    assert divide(n, d, rounding) == rounded(Fraction(n, d), rounding)


@pytest.mark.parametrize(
    ("numerator", "away", "even"),
    [
        (5, 3, 2),
        (7, 4, 4),
        (-5, -3, -2),
        (-7, -4, -4),
        (4, 2, 2),
        (3, 2, 2),
        (1, 1, 0),
        (-1, -1, 0),
    ],
)
def test_exact_halves(numerator, away, even):
    # numerator / 2: 2.5, 3.5, -2.5, -3.5, 2, 1.5, 0.5, -0.5
    assert divide(numerator, 2) == away
    assert divide(numerator, 2, Rounding.HALF_EVEN) == even


def test_ten_days_of_a_month_of_31():
    # 1000 * 10 / 31 = 322.58.. is 323; the used 21 days are the rest: 677.
    whole = Money(1000, "EUR")
    unused = whole.share(10, 31)
    assert unused == Money(323, "EUR")
    assert whole - unused == Money(677, "EUR")


def test_thirty_one_days_of_a_month_counted_as_thirty():
    # 3000 * 31 / 30 = 3100
    assert Money(3000, "JPY").share(31, 30) == Money(3100, "JPY")


@examples
@given(minors, st.data())
def test_a_share_is_monotone_symmetric_and_between_nothing_and_all(minor, data):
    whole = data.draw(st.integers(1, 10**7))
    part = data.draw(st.integers(0, whole))
    money = Money(minor, "EUR")
    share = money.share(part, whole)
    assert (-money).share(part, whole) == -share
    assert abs(share) <= abs(money)
    assert money.share(0, whole) == Money.zero("EUR")
    assert money.share(whole, whole) == money
    if part < whole:
        assert abs(money.share(part + 1, whole)) >= abs(share)


def test_a_split_gives_the_odd_cents_to_the_largest_remainders():
    # 1000 over 3:5:7 = 200, 333.33, 466.67: the cent goes to the third.
    assert Money(1000, "EUR").split([3, 5, 7]) == [
        Money(200, "EUR"),
        Money(333, "EUR"),
        Money(467, "EUR"),
    ]
    # 100 over 1:1:1 = 33.33 each: the earlier of equals gets the cent.
    assert spread(100, [1, 1, 1]) == [34, 33, 33]
    assert spread(-100, [1, 1, 1]) == [-34, -33, -33]
    assert spread(5, [0, 1]) == [0, 5]


@examples
@given(minors, weights)
def test_a_split_adds_up_and_every_part_is_its_exact_share_rounded_down_or_up(minor, weights):
    parts = spread(minor, weights)
    assert sum(parts) == minor
    assert spread(-minor, weights) == [-part for part in parts]
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(minor * weight, sum(weights))) < 1


@examples
@given(st.lists(minors, min_size=1, max_size=12), st.integers(1, 10**9), roundings)
def test_apportioned_parts_add_up_to_the_exact_sum_rounded_once(numerators, denominator, rounding):
    parts = apportion(numerators, denominator, rounding)
    assert sum(parts) == rounded(Fraction(sum(numerators), denominator), rounding)
    for part, numerator in zip(parts, numerators, strict=True):
        assert abs(part - Fraction(numerator, denominator)) < 1
        if numerator % denominator == 0:
            assert part == numerator // denominator


@examples
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=8), st.integers(1, 10**6), roundings)
def test_a_reversal_is_apportioned_exactly_as_what_it_reverses(numerators, denominator, rounding):
    parts = apportion(numerators, denominator, rounding)
    assert apportion([-n for n in numerators], denominator, rounding) == [-p for p in parts]


@given(minors, minors)
@examples
def test_amounts_of_one_currency_behave_like_integers(a, b):
    one, other = Money(a, "KWD"), Money(b, "KWD")
    assert (one + other).minor == a + b
    assert (one - other).minor == a - b
    assert (one * 3).minor == 3 * a
    assert ((one < other), (one <= other), (one > other), (one >= other)) == (
        a < b,
        a <= b,
        a > b,
        a >= b,
    )
    assert bool(one) is (a != 0)
    assert Money.sum([one, other], "KWD") == one + other


def test_two_currencies_never_meet():
    euro, yen = Money(1, "EUR"), Money(1, "JPY")
    for combine in (
        lambda: euro + yen,
        lambda: euro - yen,
        lambda: euro < yen,
        lambda: euro >= yen,
        lambda: Money.sum([yen], "EUR"),
    ):
        with pytest.raises(CurrencyMismatch) as caught:
            combine()
        assert caught.value.code == "currency_mismatch"
    assert euro != yen
    assert Money.sum([], "EUR") == Money.zero("EUR")


def test_money_cannot_be_changed():
    with pytest.raises(AttributeError):
        Money(1, "EUR").minor = 2


def test_the_currency_table_is_iso_4217():
    published = {c.code: c.exponent for c in iso4217.Currency if c.exponent is not None}
    assert dict(currency.EXPONENTS) == published


@pytest.mark.parametrize(
    ("text", "code", "minor"),
    [
        ("12.34", "EUR", 1234),
        ("12.3", "EUR", 1230),
        ("-0.05", "EUR", -5),
        ("1500", "JPY", 1500),
        ("1.234", "KWD", 1234),
        ("0.0001", "CLF", 1),
        ("999999999999999", "USD", 99_999_999_999_999_900),
    ],
)
def test_major_units_become_minor_units_exactly(text, code, minor):
    assert currency.parse(text, code) == Money(minor, code)


@pytest.mark.parametrize(
    ("text", "code", "error"),
    [
        ("12.345", "EUR", "too_many_decimals"),
        ("12.0", "JPY", "too_many_decimals"),
        ("1.2345", "KWD", "too_many_decimals"),
        ("", "EUR", "invalid_decimal"),
        ("1e3", "EUR", "invalid_decimal"),
        ("1,000", "EUR", "invalid_decimal"),
        (" 1", "EUR", "invalid_decimal"),
        ("1.", "EUR", "invalid_decimal"),
        (".5", "EUR", "invalid_decimal"),
        ("+1", "EUR", "invalid_decimal"),
        ("NaN", "EUR", "invalid_decimal"),
        ("1\n", "EUR", "invalid_decimal"),
        ("٣", "EUR", "invalid_decimal"),
        ("1000000000000000", "EUR", "invalid_decimal"),
        ("1", "eur", "unknown_currency"),
        ("1", "XAU", "unknown_currency"),
    ],
)
def test_what_is_not_exactly_an_amount_is_refused(text, code, error):
    with pytest.raises(InvalidRequest) as caught:
        currency.parse(text, code, param="amount")
    assert caught.value.code == error
    assert caught.value.param == ("currency" if error == "unknown_currency" else "amount")


@examples
@given(minors, st.sampled_from(sorted(currency.EXPONENTS)))
def test_an_amount_shown_and_read_again_is_the_same(minor, code):
    shown = currency.show(Money(minor, code))
    assert currency.parse(shown, code) == Money(minor, code)
    _, _, fraction = shown.partition(".")
    assert len(fraction) == currency.exponent(code)


@examples
@given(st.integers(-(10**20), 10**20), st.integers(0, 12))
def test_decimals_shown_and_read_again_are_the_same(value, places):
    if abs(value) < 10 ** (15 + places):
        assert decimals.parse(decimals.show(value, places), places) == value


def test_decimals_are_shown_without_idle_zeros():
    assert decimals.show(125_000, 4) == "12.5"
    assert decimals.show(0, 4) == "0"
    assert decimals.show(-5, 2, places_min=2) == "-0.05"


def test_errors_carry_a_sentence_a_code_and_a_field():
    error = InvalidRequest.of([Problem("No.", "a"), Problem("Nor this.", "b")], code="bad_price")
    assert (str(error), error.code, error.param) == ("No.", "bad_price", "a")
    assert [problem.param for problem in error.problems] == ["a", "b"]
    assert InvalidRequest("x").code == "invalid_request"
    assert RateLimited("Later.", retry_after_seconds=3).retry_after_seconds == 3


def test_every_kind_of_error_has_its_own_code():
    def kinds(cls):
        return [cls, *(kind for sub in cls.__subclasses__() for kind in kinds(sub))]

    ours = [k for k in kinds(BillingError) if k.__module__.startswith("app.domain.errors")]
    assert len({kind.code for kind in ours}) == len(ours)
