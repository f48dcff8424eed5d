"""Tax conserves: nets and taxes make up the amounts, credits mirror charges, in every currency."""

from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.money import Rounding
from app.domain.pricing import TaxBehaviour
from app.domain.tax import TaxRate, TaxRounding, taxes, with_behaviour

examples = settings(max_examples=300, deadline=None)


def rate(number: int, ppm: int, *, inclusive: bool = False) -> TaxRate:
    return TaxRate(UUID(int=number), ppm, inclusive, "XX", f"{ppm}")


PPM = (0, 1, 25_000, 50_000, 70_000, 88_750, 99_750, 190_000, 255_000, 270_000, 1_000_000)
ON_TOP = [rate(n, ppm) for n, ppm in enumerate(PPM, 1)]

some_rates = st.lists(st.sampled_from(ON_TOP), max_size=4, unique_by=lambda r: r.id).map(tuple)
behaviours = st.sampled_from([None, *TaxBehaviour])
# 0, 2 and 3 decimals: a yen, a cent and a fils are each one unit of the books.
amounts = st.one_of(
    st.integers(0, 20),
    st.integers(0, 10**6),
    st.integers(1, 10**4).map(lambda units: units * 100),
    st.integers(1, 10**4).map(lambda units: units * 1_000),
    st.integers(10**12, 10**13),
)
line = st.tuples(amounts, some_rates, behaviours).map(
    lambda drawn: (drawn[0], with_behaviour(drawn[1], drawn[2]))
)
lines = st.lists(line, min_size=1, max_size=10)
signed = st.lists(
    st.tuples(st.sampled_from((-1, 1)), line).map(lambda d: (d[0] * d[1][0], d[1][1])),
    min_size=1,
    max_size=10,
)


def split(rows):
    return [row[0] for row in rows], [row[1] for row in rows]


@examples
@given(signed, st.sampled_from(TaxRounding), st.sampled_from(Rounding))
def test_inclusive_tax_and_net_make_the_gross(rows, tax_rounding, rounding) -> None:
    gross, rates = split(rows)
    found = taxes(gross, rates, tax_rounding, rounding)
    inside = [0] * len(gross)
    for part in found.parts:
        inside[part.line] += part.amount if part.rate.inclusive else 0
    assert [n + i for n, i in zip(found.nets, inside, strict=True)] == gross
    assert sum(found.nets) + found.amount == sum(gross) + found.on_top
    assert sum(total.amount for total in found.totals()) == found.amount


@examples
@given(lines, st.sampled_from(Rounding))
def test_the_two_roundings_differ_by_less_than_a_unit_for_each_line_and_rate(
    rows, rounding
) -> None:
    gross, rates = split(rows)
    whole = taxes(gross, rates, TaxRounding.PER_INVOICE, rounding)
    by_line = taxes(gross, rates, TaxRounding.PER_LINE, rounding)
    parts = len(whole.parts)
    assert len(by_line.parts) == parts
    # each rounding is off by at most a half: one for each rate, or one for each part of it
    assert abs(whole.amount - by_line.amount) * 2 <= parts + len(whole.totals())


@examples
@given(lines, st.sampled_from(TaxRounding), st.sampled_from(Rounding))
def test_a_credit_mirrors_the_charge(rows, tax_rounding, rounding) -> None:
    gross, rates = split(rows)
    charged = taxes(gross, rates, tax_rounding, rounding)
    credited = taxes([-amount for amount in gross], rates, tax_rounding, rounding)
    assert credited.nets == tuple(-net for net in charged.nets)
    assert [part.amount for part in credited.parts] == [-part.amount for part in charged.parts]


@examples
@given(st.lists(st.tuples(amounts, some_rates), min_size=1, max_size=10))
def test_what_a_rate_takes_does_not_depend_on_the_other_rates_on_top(rows) -> None:
    gross, rates = split(rows)
    together = {total.rate.id: total.amount for total in taxes(gross, rates).totals()}
    for one in {each for of_line in rates for each in of_line}:
        alone = taxes(gross, [(one,) if one in of_line else () for of_line in rates])
        assert together[one.id] == alone.amount


@examples
@given(amounts, some_rates)
def test_the_same_rates_inside_and_on_top_of_the_net_agree(net, rates) -> None:
    """A price with tax on top, written with the tax inside, has the same net to a unit a rate."""
    on_top = taxes([net], [rates])
    gross = net + on_top.amount
    inside = taxes([gross], [with_behaviour(rates, TaxBehaviour.INCLUSIVE)])
    assert inside.nets[0] + inside.amount == gross
    assert abs(inside.nets[0] - net) <= len(rates)


@examples
@given(amounts, amounts)
def test_one_rate_inside_one_line_and_on_top_of_another(first, second) -> None:
    vat = rate(1, 190_000)
    [inside] = with_behaviour((vat,), TaxBehaviour.INCLUSIVE)
    found = taxes([first, second], [(inside,), (vat,)])
    assert found.of_lines() == [
        taxes([first], [(inside,)]).amount,
        taxes([second], [(vat,)]).amount,
    ]
    assert len(found.totals()) == (2 if found.parts else 0)
    assert found.on_top == taxes([second], [(vat,)]).amount


def test_a_reverse_charged_line_beside_a_taxed_one() -> None:
    # 19 % of 10.00 on the one, and the same rate spared on the other: 1.90 and 0.00, told apart.
    vat = rate(1, 190_000)
    spared = TaxRate(vat.id, 0, False, "XX", "VAT", "reverse_charge")
    found = taxes([1_000, 500], [(vat,), (spared,)])
    assert found.of_lines() == [190, 0]
    assert [(t.rate.rate_ppm, t.taxable, t.amount) for t in found.totals()] == [
        (190_000, 1_000, 190),
        (0, 500, 0),
    ]
    assert found.parts[1].rate.reason == "reverse_charge"


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (TaxBehaviour.INCLUSIVE, [True, True]),
        (TaxBehaviour.EXCLUSIVE, [False, False]),
        (None, [True, False]),
    ],
)
def test_the_price_says_whether_tax_is_inside(behaviour, expected) -> None:
    rates = (rate(1, 190_000, inclusive=True), rate(2, 50_000))
    found = with_behaviour(rates, behaviour)
    assert [one.inclusive for one in found] == expected
    assert [(one.id, one.rate_ppm) for one in found] == [(one.id, one.rate_ppm) for one in rates]


def test_nothing_is_lost_on_a_penny() -> None:
    # 25.5 % inside 0.01, 0.02, 0.03: 0.012.. in all is 0.01, and the nets are the rest.
    finland = with_behaviour((rate(1, 255_000),), TaxBehaviour.INCLUSIVE)
    found = taxes([1, 2, 3], [finland] * 3)
    assert found.amount == round(Fraction(6 * 255_000, 1_255_000)) == 1
    assert sum(found.nets) == 5
