"""Laws of credit notes: whatever is credited, in whatever parts, adds up to what was charged."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import collection, crediting, invoicing, issuing
from app.domain import invoice as invoices
from app.domain.calendar import Period
from app.domain.collection import Bill
from app.domain.crediting import Charged
from app.domain.errors import Conflict, InvalidRequest
from app.domain.invoice import BillingReason, Charge, Collection, Invoice, LineKind, Order
from app.domain.issuing import Corrected, Wanted, WantedLine
from app.domain.payment import Status, schedule
from tests.domain.books import (
    CUSTOMER,
    MERCHANT,
    METHOD,
    START,
    Books,
    balances,
    fixed,
    ids,
    percent,
    rate,
)

PERIOD = Period(START, START + timedelta(days=30))
PARTS_MAX = 6
"""Then the rest comes at once."""
AMOUNTS = st.lists(st.integers(1, 50_000), min_size=1, max_size=4)
RATES = st.lists(
    st.builds(rate, st.integers(0, 300_000), inclusive=st.booleans()),
    max_size=2,
    unique_by=lambda found: found.id,
)
DISCOUNTS = st.lists(
    st.one_of(st.integers(1, 100).map(percent), st.integers(1, 20_000).map(fixed)),
    max_size=2,
    unique_by=lambda found: found.id,
)


def final(amounts, rates=(), discounts=(), credit=0, quantity=1) -> tuple[Books, Invoice]:
    """A final invoice of these amounts, in books that know nothing else."""
    books = Books(credit=credit)
    order = Order(
        MERCHANT,
        CUSTOMER,
        None,
        "EUR",
        BillingReason.MANUAL,
        PERIOD,
        Collection.CHARGE_AUTOMATICALLY,
        0,
    )
    charges = [
        Charge(LineKind.PERIOD, "Time", quantity, PERIOD, amount, rates=tuple(rates))
        for amount in amounts
    ]
    bill = invoicing.Bill(order, charges, (), tuple(discounts))
    billed = invoicing.bill(bill, books.balance, START, books.new_id)
    for moved in billed.balances:
        books.credit = moved.ending
    books.entries += billed.entries
    books.invoices[billed.invoice.id] = billed.invoice
    return books, billed.invoice


def of(books: Books, invoice: Invoice, notes=(), payment=None) -> Corrected:
    """The invoice as a further credit note finds it."""
    charged = []
    for line in invoice.lines:
        found = Charged(line, invoice.id, PERIOD.end)
        for note in notes:
            for part in note:
                if part.charge.reverses_line_id == line.id:
                    found = crediting.returned_after(found, part)
        charged.append(found)
    return Corrected(invoice, tuple(charged), books.balance, payment)


def sums(credits) -> dict[object, list[int]]:
    """What came back of each line: amount, discounts, taxes, what they were taken from."""
    found: dict[object, list[int]] = {}
    for credit in credits:
        row = found.setdefault(credit.charge.reverses_line_id, [0, 0, 0])
        row[0] -= credit.charge.amount
        row[1] -= sum(part.amount for part in credit.discounts)
        row[2] -= sum(part.amount for part in credit.taxes)
    return found


@settings(max_examples=300, deadline=None)
@given(AMOUNTS, RATES, DISCOUNTS, st.data())
def test_credits_by_amount_with_tax_are_exact_and_add_up_to_the_invoice(
    amounts, rates, discounts, data
) -> None:
    books, invoice = final(amounts, rates, discounts)
    given_back, notes = 0, []
    while given_back < invoice.total:
        left = invoice.total - given_back
        wanted = left if len(notes) == PARTS_MAX else data.draw(st.integers(1, left))
        about = of(books, invoice, notes)
        parts = issuing.credits_of(about, Wanted(amount=wanted))
        assert sum(issuing.worth(credit) for credit in parts) == wanted
        for credit in parts:
            assert credit.charge.amount <= 0
            assert all(part.amount <= 0 for part in (*credit.discounts, *credit.taxes))
        notes.append(parts)
        given_back += wanted
    came_back = sums(credit for note in notes for credit in note)
    for line in invoice.lines:
        if line.total:
            expected = [line.charge.amount, line.discount_amount, line.tax_amount]
            assert came_back[line.id] == expected
    with pytest.raises(Conflict):
        issuing.credits_of(of(books, invoice, notes), Wanted())


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 50_000), st.integers(1, 12), RATES, DISCOUNTS, st.data())
def test_units_credited_in_any_portions_add_up_to_the_line(
    amount, quantity, rates, discounts, data
) -> None:
    books, invoice = final([max(amount, quantity)], rates, discounts, quantity=quantity)
    [line] = invoice.lines
    left, notes = quantity, []
    while left:
        units = data.draw(st.integers(1, left))
        wanted = Wanted((WantedLine(line.id, quantity=units),))
        notes.append(issuing.credits_of(of(books, invoice, notes), wanted))
        left -= units
    assert sums(credit for note in notes for credit in note) == {
        line.id: [line.charge.amount, line.discount_amount, line.tax_amount]
    }
    with pytest.raises(InvalidRequest):
        one_more = Wanted((WantedLine(line.id, quantity=1),))
        issuing.credits_of(of(books, invoice, notes), one_more)


@settings(max_examples=200, deadline=None)
@given(AMOUNTS, RATES, DISCOUNTS, st.integers(0, 60_000), st.data())
def test_a_credit_note_of_everything_leaves_nothing_in_the_books(
    amounts, rates, discounts, credit, data
) -> None:
    """Issued in parts on an unpaid invoice: nobody owes anything, and the credit is back."""
    books, invoice = final(amounts, rates, discounts, credit)
    payment = None
    if invoice.amount_due:
        payment = schedule(invoice, METHOD, START, books.new_id)
    notes, left = [], invoice.total
    while left:
        amount = left if len(notes) == PARTS_MAX else data.draw(st.integers(1, left))
        wanted = Wanted(amount=amount)
        about = of(books, invoice, notes, payment)
        decision = issuing.issue(about, wanted, START, books.new_id, str)
        [note] = decision.credit_notes
        assert note.total == wanted.amount
        assert note.total == note.to_invoice + note.to_balance + note.to_refund + note.outside
        notes.append(issuing.credits_of(about, wanted))
        books.entries += decision.entries
        for moved in decision.balances:
            assert moved.ending == books.credit + moved.amount
            books.credit = moved.ending
        [invoice] = decision.invoices or (invoice,)
        [payment] = decision.payments or (payment,)
        left -= note.total
    assert invoice.status is invoices.Status.PAID
    assert invoice.amount_paid == 0
    assert invoice.amount_remaining == 0
    if payment is not None:
        assert payment.status is Status.CANCELED
    assert books.credit == credit
    # The credit was granted before these books began.
    assert balances(books.entries) in ({}, {"customer_credit": 0})


@settings(max_examples=100, deadline=None)
@given(AMOUNTS, RATES, DISCOUNTS, st.data())
def test_a_voided_note_leaves_the_books_as_they_were(amounts, rates, discounts, data) -> None:
    books, invoice = final(amounts, rates, discounts)
    if invoice.total < 2:
        return
    payment = schedule(invoice, METHOD, START, books.new_id)
    before = balances(books.entries)
    wanted = Wanted(amount=data.draw(st.integers(1, invoice.total - 1)))
    made = issuing.issue(of(books, invoice, (), payment), wanted, START, books.new_id, str)
    [note], [less], [smaller] = made.credit_notes, made.invoices, made.payments
    assert smaller.amount == less.amount_remaining
    about = Corrected(less, (), books.balance, smaller)
    undone = issuing.void(note, about, START, books.new_id)
    assert balances([*books.entries, *made.entries, *undone.entries]) == before
    assert undone.invoices[0].amount_remaining == invoice.amount_remaining
    assert undone.payments[0].amount == payment.amount


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.UNKNOWN, Status.REQUIRES_ACTION])
def test_nothing_shrinks_while_money_is_in_flight(status) -> None:

    books, invoice = final([1000])
    payment = replace(schedule(invoice, METHOD, START, books.new_id), status=status, due_at=None)
    with pytest.raises(Conflict, match="in flight"):
        issuing.issue(of(books, invoice, (), payment), Wanted(amount=1), START, ids(), str)


def test_an_invoice_that_was_credited_is_not_voided() -> None:
    books, invoice = final([1000])
    payment = schedule(invoice, METHOD, START, books.new_id)
    made = issuing.issue(of(books, invoice, (), payment), Wanted(amount=1), START, ids(), str)
    bill = Bill(made.invoices[0], made.payments[0])
    with pytest.raises(Conflict, match="void those first"):
        collection.void(bill.invoice, bill.payment, books.balance, START, ids())
