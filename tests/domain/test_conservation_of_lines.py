"""What is given back of one line, however it is cut: parts make the whole, and nothing turns over.

A line is priced for any period, in any zone, with any discounts and taxes; then it is credited a
piece at a time, from its end to its beginning, as changes do.
"""

# ruff: noqa: DTZ001  hypothesis takes bounds without a zone

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import crediting, invoicing
from app.domain.balance import Balance
from app.domain.calendar import Interval, Period, Unit
from app.domain.crediting import Charged
from app.domain.discount import Coupon, Discount, Duration, redeem
from app.domain.invoice import BillingReason, Charge, Collection, Line, LineKind, Order
from app.domain.invoicing import Bill, Credit
from app.domain.money import Money, Rounding
from app.domain.policy import Basis, Policy
from app.domain.tax import TaxRate, TaxRounding
from tests.domain.books import CUSTOMER, MERCHANT, ids

EXAMPLES = int(os.environ.get("CONSERVATION_EXAMPLES", "400"))
"""How many of each; a campaign of its own asks for more."""
ZONES = sorted(available_timezones())
AMOUNTS = st.one_of(st.integers(0, 30), st.integers(0, 10**6), st.integers(0, 10**12))
moments = st.datetimes(datetime(2000, 1, 1), datetime(2039, 1, 1), timezones=st.just(UTC)).map(
    lambda at: at.replace(microsecond=0)
)
intervals = st.builds(Interval, st.sampled_from(Unit), st.sampled_from((1, 2, 3, 6)))
rates = st.lists(
    st.tuples(st.sampled_from((0, 50_000, 70_000, 88_750, 190_000, 1_000_000)), st.booleans()),
    max_size=3,
).map(
    lambda drawn: tuple(
        TaxRate(UUID(int=500 + n), ppm, inside, "DE", "Tax")
        for n, (ppm, inside) in enumerate(drawn)
    )
)


@st.composite
def coupons(draw: Any, n: int) -> Discount:
    percent = draw(st.booleans())
    coupon = Coupon(
        id=UUID(int=600 + n),
        name="Off",
        percent_off_ppm=draw(st.integers(1, 1_000_000)) if percent else None,
        amount_off=None if percent else Money(draw(st.integers(1, 10**6)), "EUR"),
        duration=Duration.FOREVER,
    )
    return redeem(coupon, UUID(int=700 + n))


@st.composite
def lines(draw: Any) -> tuple[list[Line], Policy, str]:
    """One to three lines of one invoice, as they were really billed."""
    zone = draw(st.sampled_from(ZONES))
    policy = Policy(
        rounding=draw(st.sampled_from(Rounding)),
        tax_rounding=draw(st.sampled_from(TaxRounding)),
        proration_basis=draw(st.sampled_from((Basis.SECOND, Basis.DAY))),
    )
    start = draw(moments)
    period = draw(intervals).period(start, 0, zone)
    of_all = draw(rates)
    charges = [
        Charge(LineKind.PERIOD, "x", 1, period, draw(AMOUNTS), UUID(int=800 + n), rates=of_all)
        for n in range(draw(st.integers(1, 3)))
    ]
    reason, collected = BillingReason.SUBSCRIPTION_CYCLE, Collection.CHARGE_AUTOMATICALLY
    order = Order(MERCHANT, CUSTOMER, None, "EUR", reason, period, collected, 0)
    discounts = [draw(coupons(n)) for n in range(draw(st.integers(0, 2)))]
    balance = Balance(MERCHANT, CUSTOMER, "EUR", 0)
    bill = Bill(order, charges, (), discounts, policy)
    return list(invoicing.bill(bill, balance, start, ids()).invoice.lines), policy, zone


@st.composite
def cuts(draw: Any) -> tuple[Line, Policy, str, list[datetime]]:
    """A line, and the moments at which it is cut, the latest first."""
    found, policy, zone = draw(lines())
    line = draw(st.sampled_from(found))
    seconds = line.charge.period.seconds
    offsets = draw(st.lists(st.integers(0, seconds - 1), min_size=1, max_size=6))
    start = line.charge.period.start
    return line, policy, zone, [start + timedelta(seconds=s) for s in sorted(offsets, reverse=True)]


def parts(given_back: list[Credit]) -> Counter[object]:
    """Everything that came back: the amount, each discount, each tax and what it was taken from."""
    found: Counter[object] = Counter()
    for credit in given_back:
        found["amount"] -= credit.charge.amount
        for off in credit.discounts:
            found["discount", off.discount_id] -= off.amount
        for tax in credit.taxes:
            found["tax", tax.rate.id] -= tax.amount
            found["taxable", tax.rate.id] -= tax.taxable
    return found


def charged_parts(line: Line) -> Counter[object]:
    found: Counter[object] = Counter({"amount": line.charge.amount})
    found.update({("discount", part.discount_id): part.amount for part in line.discounts})
    found.update({("tax", part.rate.id): part.amount for part in line.taxes})
    found.update({("taxable", part.rate.id): part.taxable for part in line.taxes})
    return found


def give_back(
    line: Line, policy: Policy, zone: str, moments: list[datetime]
) -> tuple[list[Credit], Charged]:
    given_back: list[Credit] = []
    charged = Charged(line, UUID(int=1), line.charge.period.end)
    for at in moments:
        credit = crediting.unused(charged, at, policy, zone)
        if credit is not None:
            given_back.append(credit)
            charged = crediting.returned_after(charged, credit)
    return given_back, charged


def check_within(line: Line, given_back: list[Credit]) -> None:
    whole, back = charged_parts(line), parts(given_back)
    for key, amount in back.items():
        assert 0 <= amount <= whole[key], key
    for credit in given_back:
        given = credit.charge.amount
        assert given < 0
        assert all(part.amount <= 0 for part in credit.discounts), "a discount turned over"
        assert all(tax.amount <= 0 and tax.taxable <= 0 for tax in credit.taxes), "a tax did"
        discounts = sum(part.amount for part in credit.discounts)
        inside = sum(tax.amount for tax in credit.taxes if tax.rate.inclusive)
        assert given <= discounts <= 0
        assert given - discounts - inside <= 0, "less than nothing without its tax"
    if back["amount"] == whole["amount"]:
        assert +back == +whole, "all of it came back, but not all of its parts"


@settings(max_examples=EXAMPLES, deadline=None)
@given(cuts())
def test_credits_of_a_line_stay_within_it_in_every_part(
    cut: tuple[Line, Policy, str, list[datetime]],
) -> None:
    line, policy, zone, moments = cut
    given_back, charged = give_back(line, policy, zone, moments)
    check_within(line, given_back)
    last = crediting.whole(charged)
    check_within(line, given_back + ([last] if last is not None else []))
    if last is not None:
        assert +parts([*given_back, last]) == +charged_parts(line)


@settings(max_examples=EXAMPLES, deadline=None)
@given(cuts())
def test_used_and_unused_make_the_price_and_a_cut_in_two_is_a_cut(
    cut: tuple[Line, Policy, str, list[datetime]],
) -> None:
    line, policy, zone, moments = cut
    piecemeal, _ = give_back(line, policy, zone, moments)
    at_once, _ = give_back(line, policy, zone, moments[-1:])
    assert parts(piecemeal)["amount"] == parts(at_once)["amount"]
    period, at = line.charge.period, moments[-1]
    if period.start < at:
        used, unused = Period(period.start, at), Period(at, period.end)
        measured = _units(used, policy, zone) + _units(unused, policy, zone)
        assert measured == _units(period, policy, zone)
    exact = line.charge.amount * _units(Period(at, period.end), policy, zone)
    whole = _units(period, policy, zone)
    if whole and period.start < at:
        assert abs(parts(at_once)["amount"] * whole - exact) * 2 <= whole


def _units(period: Period, policy: Policy, zone: str) -> int:
    if policy.proration_basis is Basis.DAY:
        return period.days(zone)
    return period.seconds


@settings(max_examples=EXAMPLES, deadline=None)
@given(lines(), st.lists(st.integers(1, 10**9), min_size=1, max_size=6))
def test_credits_by_amount_stay_within_the_line_and_the_last_takes_the_rest(
    drawn: tuple[list[Line], Policy, str], wanted: list[int]
) -> None:
    for line in drawn[0]:
        given_back: list[Credit] = []
        charged = Charged(line, UUID(int=1), line.charge.period.end)
        for amount in wanted:
            if charged.left <= 0:
                break
            credit = crediting.amount(charged, 1 + amount % charged.left)
            given_back.append(credit)
            charged = crediting.returned_after(charged, credit)
            check_within(line, given_back)
        if charged.left > 0:
            given_back.append(crediting.amount(charged, charged.left))
            assert +parts(given_back) == +charged_parts(line)
