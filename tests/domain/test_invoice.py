"""Invoices always add up, post what they say, and go only where the table leads."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import collection, invoice, invoicing
from app.domain.balance import Balance
from app.domain.calendar import Period
from app.domain.errors import Conflict, InvalidRequest
from app.domain.event import Type
from app.domain.invoice import (
    AMOUNT_MAX,
    Action,
    BillingReason,
    Charge,
    Collection,
    LineKind,
    Order,
    Status,
)
from tests.domain.books import CUSTOMER, MERCHANT, START, balances, fixed, ids, percent, rate
from tests.domain.test_lifecycle import DAY

examples = settings(max_examples=300, deadline=None)
PERIOD = Period(START, START + 28 * DAY)
OVER = Period(START - 31 * DAY, START)
ORDER = Order(
    MERCHANT,
    CUSTOMER,
    None,
    "EUR",
    BillingReason.MANUAL,
    PERIOD,
    Collection.SEND_INVOICE,
    14,
)

charges = st.lists(
    st.builds(
        Charge,
        st.sampled_from(LineKind),
        st.just("Something"),
        st.just(1),
        st.sampled_from([PERIOD, OVER]),
        st.integers(0, 10**7),
    ),
    min_size=1,
    max_size=8,
)
discounts = st.lists(
    st.sampled_from([percent(10), percent(33), percent(100), fixed(1), fixed(99_999)]),
    max_size=3,
    unique_by=lambda d: d.id,
)
rates = st.lists(
    st.sampled_from([rate(190_000), rate(88_750), rate(70_000, inclusive=True), rate(0)]),
    max_size=3,
    unique_by=lambda r: r.id,
).map(tuple)
credit = st.integers(0, 10**8)


def billed(charge_list, off=(), taxed=(), balance=0):
    taxable = [replace(charge, rates=tuple(taxed)) for charge in charge_list]
    held = Balance(ORDER.merchant_id, ORDER.customer_id, ORDER.currency, balance)
    return invoicing.bill(invoicing.Bill(ORDER, taxable, (), off), held, START, ids())


@examples
@given(charges, discounts, rates, credit)
def test_an_invoice_adds_up_in_every_direction(charge_list, off, taxed, balance):
    made = billed(charge_list, off, taxed, balance).invoice
    lines = made.lines
    assert made.subtotal == sum(c.amount for c in charge_list)
    assert made.discount_total == sum(line.discount_amount for line in lines)
    assert made.tax_total == sum(line.tax_amount for line in lines)
    assert made.total == made.subtotal - made.discount_total + made.tax_added
    assert made.amount_due == made.total - made.balance_applied
    assert 0 <= made.discount_total <= made.subtotal
    assert 0 <= made.tax_added <= made.tax_total
    assert made.balance_applied == min(balance, made.total)
    assert (made.status is Status.PAID) == (made.amount_due == 0)
    for place, line in enumerate(lines):
        assert line.position == place
        assert line.discount_amount == sum(part.amount for part in line.discounts)
        assert line.tax_amount == sum(part.amount for part in line.taxes)
        assert 0 <= line.discount_amount <= line.charge.amount


@examples
@given(charges, discounts, rates, credit)
def test_finalizing_posts_the_total_once_and_credit_never_lowers_the_tax(
    charge_list, off, taxed, balance
):
    made = billed(charge_list, off, taxed, balance)
    books = balances(made.entries)
    assert sum(books.values()) == 0
    assert books.get("receivable", 0) == made.invoice.amount_due
    assert books.get("customer_credit", 0) == made.invoice.balance_applied
    assert books.get("tax_payable", 0) == -made.invoice.tax_total
    earned = books.get("revenue", 0) + books.get("deferred_revenue", 0)
    assert -earned == made.invoice.total - made.invoice.tax_total
    assert made.invoice.tax_total == billed(charge_list, off, taxed).invoice.tax_total


@examples
@given(charges, discounts, rates, credit, st.booleans())
def test_voiding_takes_back_exactly_what_finalizing_posted(
    charge_list, off, taxed, balance, written_off
):
    made = billed(charge_list, off, taxed, balance)
    if made.invoice.status is Status.PAID:
        return
    entries, standing = list(made.entries), made.invoice
    if written_off:
        lost = collection.write_off(standing, None, ids())
        entries += lost.entries
        standing = replace(lost.invoices[0], lines=standing.lines)
    kept = Balance(MERCHANT, CUSTOMER, "EUR", balance - standing.balance_applied)
    voided = collection.void(standing, None, kept, START + DAY, ids(9_000))
    assert balances([*entries, *voided.entries]) == {}
    assert sum(moved.amount for moved in voided.balances) == standing.balance_applied
    assert voided.invoices[0].status is Status.VOID


LEGAL = {
    (Status.DRAFT, Action.FINALIZE): Status.OPEN,
    (Status.OPEN, Action.PAY): Status.PAID,
    (Status.OPEN, Action.VOID): Status.VOID,
    (Status.OPEN, Action.WRITE_OFF): Status.UNCOLLECTIBLE,
    (Status.PAID, Action.REOPEN): Status.OPEN,
    (Status.UNCOLLECTIBLE, Action.PAY): Status.PAID,
    (Status.UNCOLLECTIBLE, Action.VOID): Status.VOID,
}


@pytest.mark.parametrize(("status", "action"), list(product(Status, Action)))
def test_every_cell_of_the_table_is_as_it_should_be(status, action):
    expected = LEGAL.get((status, action))
    if expected is not None:
        assert invoice.after(status, action) is expected
        return
    with pytest.raises(Conflict) as refused:
        invoice.after(status, action)
    assert refused.value.code == f"invoice_{status}"


@given(st.lists(st.integers(1, 500), min_size=1, max_size=6))
def test_an_invoice_paid_in_parts_is_paid_with_the_last(parts):
    total = sum(parts)
    standing = billed([Charge(LineKind.ONE_OFF, "A thing", 1, PERIOD, total)]).invoice
    for place, part in enumerate(parts, 1):
        standing = invoice.pay(standing, part, START)
        assert (standing.status is Status.PAID) == (place == len(parts))
        assert standing.amount_remaining == total - sum(parts[:place])
        assert standing.version == 1 + place
    with pytest.raises(AssertionError, match="more than was due"):
        invoice.pay(standing, 1, START)


def test_what_was_delivered_is_earned_and_what_is_to_come_deferred():
    made = billed(
        [
            Charge(LineKind.PERIOD, "To come", 1, PERIOD, 700),
            Charge(LineKind.PERIOD, "Gone by", 1, OVER, 200),
            Charge(LineKind.SETUP_FEE, "Once", 1, PERIOD, 100),
        ]
    )
    assert balances(made.entries) == {
        "receivable": 1000,
        "deferred_revenue": -700,
        "revenue": -300,
    }


def test_an_invoice_tells_that_it_is_final_and_where_nothing_is_due_that_it_is_paid():
    dear = billed([Charge(LineKind.ONE_OFF, "A thing", 1, PERIOD, 1)])
    free = billed([Charge(LineKind.ONE_OFF, "Nothing", 1, PERIOD, 0)])
    assert [e.type for e in dear.events] == [Type.INVOICE_FINALIZED]
    assert [e.type for e in free.events] == [Type.INVOICE_FINALIZED, Type.INVOICE_PAID]
    assert free.entries == ()


def test_what_the_books_cannot_add_up_is_refused():
    charge = Charge(LineKind.ONE_OFF, "A planet", 1, PERIOD, AMOUNT_MAX)
    assert billed([charge]).invoice.total == AMOUNT_MAX
    with pytest.raises(InvalidRequest, match="more than can be billed"):
        billed([charge, charge])


def test_a_partly_paid_invoice_is_refunded_before_it_is_voided():
    standing = billed([Charge(LineKind.ONE_OFF, "A thing", 1, PERIOD, 100)]).invoice
    partly = invoice.pay(standing, 40, START)
    with pytest.raises(Conflict, match="partly paid"):
        collection.void(partly, None, Balance(MERCHANT, CUSTOMER, "EUR", 0), START, ids())
