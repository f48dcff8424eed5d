"""Tax: each rate rounded once, on top or inside, and every part adds up to its total."""

from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domain.money import Rounding
from app.domain.tax import TaxPart, TaxRate, TaxRounding, problems, taxes

examples = settings(max_examples=400, deadline=None)


def rate(ppm, inclusive=False, number=None):
    return TaxRate(UUID(int=number or ppm + 1), ppm, inclusive, "DE", f"{ppm / 10_000} %")


def rounded(exact, rounding=Rounding.HALF_AWAY):
    """The definition, written the slow way, for amounts of either sign."""
    sign, size = (-1, -exact) if exact < 0 else (1, exact)
    whole, rest = int(size), size - int(size)
    up = rest > Fraction(1, 2) or (
        rest == Fraction(1, 2) and (rounding is Rounding.HALF_AWAY or whole % 2 == 1)
    )
    return sign * (whole + up)


VAT = rate(190_000)
VAT_INSIDE = rate(190_000, inclusive=True, number=1)
NEW_YORK = rate(88_750)
CGST, SGST = rate(90_000, inclusive=True, number=2), rate(90_000, inclusive=True, number=3)

POOL = [
    *(rate(ppm, False, 100 + n) for n, ppm in enumerate((0, 1, 55_000, 88_750, 190_000, 250_000))),
    *(rate(ppm, True, 200 + n) for n, ppm in enumerate((0, 25_000, 90_000, 90_000, 190_000))),
]
line_rates = st.lists(st.sampled_from(POOL), max_size=4, unique_by=lambda r: r.id).map(tuple)
taxed_lines = st.lists(
    st.tuples(st.one_of(st.integers(0, 12), st.integers(0, 10**9)), line_rates),
    min_size=1,
    max_size=8,
)


def exact_tax(amount, of_line, one):
    inside = sum(r.rate_ppm for r in of_line if r.inclusive)
    return Fraction(amount * one.rate_ppm, 1_000_000 + inside)


def test_tax_on_top():
    # 19 % of 9.99 = 1.8981 is 1.90
    result = taxes([999], [(VAT,)])
    assert result.parts == (TaxPart(0, VAT, 999, 190),)
    assert (result.nets, result.amount, result.on_top) == ((999,), 190, 190)


def test_tax_inside():
    # 9.99 / 1.19 * 0.19 = 1.59504.. is 1.60 (rounded tax), and the net is the rest: 8.39.
    result = taxes([999], [(VAT_INSIDE,)])
    assert result.parts == (TaxPart(0, VAT_INSIDE, 839, 160),)
    assert (result.nets, result.amount, result.on_top) == ((839,), 160, 0)


def test_yen_and_dinars():
    # 10 % inside 1100 yen = 100; 8 % of 777 yen = 62.16; 5 % of 1.010 dinars = 0.0505 is 0.051.
    assert taxes([1100], [(rate(100_000, inclusive=True),)]).amount == 100
    assert taxes([777], [(rate(80_000),)]).amount == 62
    assert taxes([1010], [(rate(50_000),)]).amount == 51


def test_per_invoice_and_per_line_differ_by_design():
    # 19 % of three lines of 0.02 = 3 * 0.0038: together 0.0114 is 0.01, line by line 3 * 0.
    assert taxes([2, 2, 2], [(VAT,)] * 3).of_lines() == [1, 0, 0]
    per_line = taxes([2, 2, 2], [(VAT,)] * 3, TaxRounding.PER_LINE)
    assert per_line.of_lines() == [0, 0, 0]
    # 19 % of three lines of 0.03 = 3 * 0.0057: together 0.0171 is 0.02, line by line 3 * 0.01.
    assert taxes([3, 3, 3], [(VAT,)] * 3).amount == 2
    assert taxes([3, 3, 3], [(VAT,)] * 3, TaxRounding.PER_LINE).amount == 3


def test_two_taxes_on_one_line_and_their_totals():
    # 8.875 % of 100.00 and 49.99: 13.3116.. is 13.31; 19 % of 100.00 only.
    result = taxes([10_000, 4_999], [(NEW_YORK, VAT), (NEW_YORK,)])
    assert [(total.rate, total.taxable, total.amount) for total in result.totals()] == [
        (NEW_YORK, 14_999, 1_331),
        (VAT, 10_000, 1_900),
    ]
    # 887.5 and 443.66..: the larger remainder gets the odd cent.
    assert [(part.line, part.amount) for part in result.parts] == [(0, 887), (0, 1_900), (1, 444)]
    assert result.of_lines() == [2_787, 444]


def test_inside_and_on_top_of_one_line():
    # 119.00 with 19 % inside is 100.00 net; 8.875 % on top of the net = 8.875 is 8.88.
    result = taxes([11_900], [(VAT_INSIDE, NEW_YORK)])
    assert result.nets == (10_000,)
    assert [part.amount for part in result.parts] == [1_900, 888]
    assert result.on_top == 888


def test_lines_with_tax_inside_and_lines_without():
    # The same rate on a line where it is alone and on one where another is inside too:
    # 9 / 109 of 1.09 = 0.09, and 9 / 118 of 1.18 = 0.09 twice.
    result = taxes([109, 118], [(CGST,), (CGST, SGST)])
    assert result.of_lines() == [9, 18]
    assert result.nets == (100, 100)


def test_an_exempt_line_and_a_rate_of_zero():
    zero = rate(0)
    result = taxes([500, 700], [(), (zero,)])
    assert result.parts == (TaxPart(1, zero, 700, 0),)
    assert result.nets == (500, 700)
    assert taxes([500], [()]).parts == ()
    assert taxes([], []).totals() == []


def test_bankers_rounding_when_the_merchant_says_so():
    # 25 % of 0.10 = 0.025
    quarter = rate(250_000)
    assert taxes([10], [(quarter,)]).amount == 3
    assert taxes([10], [(quarter,)], rounding=Rounding.HALF_EVEN).amount == 2


def test_two_taxes_inside_a_penny_never_make_it_negative():
    # 9 % + 9 % inside six lines of 0.01: each rate is 0.06 * 9 / 118 = 0.00457.. is 0.00;
    # inside seven: 0.00533.. is 0.01 each, and no line can give both.
    result = taxes([1] * 7, [(CGST, SGST)] * 7)
    assert [total.amount for total in result.totals()] == [1, 1]
    assert min(result.nets) == 0


@examples
@given(taxed_lines, st.sampled_from(TaxRounding), st.sampled_from(Rounding))
def test_every_part_is_exact_to_less_than_a_unit_and_nets_add_up(rows, tax_rounding, rounding):
    amounts, rates = [row[0] for row in rows], [row[1] for row in rows]
    result = taxes(amounts, rates, tax_rounding, rounding)
    inside = [0] * len(amounts)
    for part in result.parts:
        assert part.amount >= 0
        assert part.taxable == result.nets[part.line]
        exact = exact_tax(amounts[part.line], rates[part.line], part.rate)
        assert abs(part.amount - exact) <= 1
        if part.rate.inclusive:
            inside[part.line] += part.amount
    assert [net + tax for net, tax in zip(result.nets, inside, strict=True)] == amounts
    assert all(net >= 0 for net in result.nets)
    assert sum(result.nets) + result.amount == sum(amounts) + result.on_top
    assert sum(result.of_lines()) == result.amount
    assert sum(total.amount for total in result.totals()) == result.amount


@examples
@given(taxed_lines, st.sampled_from(Rounding))
@example([(1, (CGST, SGST))] * 7, Rounding.HALF_AWAY)
def test_each_rate_totals_its_exact_sum_rounded_once(rows, rounding):
    amounts, rates = [row[0] for row in rows], [row[1] for row in rows]
    for total in taxes(amounts, rates, rounding=rounding).totals():
        exact = sum(
            exact_tax(amount, of_line, total.rate)
            for amount, of_line in rows
            if total.rate in of_line
        )
        assert total.amount == rounded(exact, rounding)


@examples
@given(taxed_lines, st.sampled_from(Rounding))
def test_per_line_rounds_each_tax_of_each_line(rows, rounding):
    amounts, rates = [row[0] for row in rows], [row[1] for row in rows]
    result = taxes(amounts, rates, TaxRounding.PER_LINE, rounding)
    for part in result.parts:
        exact = exact_tax(amounts[part.line], rates[part.line], part.rate)
        assert part.amount == rounded(exact, rounding)


@examples
@given(taxed_lines)
@example([(1, (CGST, SGST))] * 7)
def test_a_full_credit_carries_exactly_the_tax_it_reverses(rows):
    amounts, rates = [row[0] for row in rows], [row[1] for row in rows]
    charged = taxes(amounts, rates)
    credited = taxes([-amount for amount in amounts], rates)
    assert credited.of_lines() == [-tax for tax in charged.of_lines()]
    assert credited.nets == tuple(-net for net in charged.nets)


@examples
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=6))
def test_taxing_alike_lines_or_mixing_in_an_exempt_one_is_the_same_tax(amounts):
    alike = taxes(amounts, [(VAT, NEW_YORK)] * len(amounts))
    mixed = taxes([*amounts, 5], [*[(VAT, NEW_YORK)] * len(amounts), ()])
    assert mixed.parts == alike.parts


@pytest.mark.parametrize(
    ("bad", "params"),
    [
        (rate(-1, number=5), ["percentage"]),
        (rate(1_000_001), ["percentage"]),
        (TaxRate(UUID(int=1), 1, False, "DE", " "), ["display_name"]),
        (VAT, []),
    ],
)
def test_every_problem_of_a_rate_is_named(bad, params):
    assert [problem.param for problem in problems(bad)] == params
