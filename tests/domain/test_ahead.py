"""What is billed ahead comes to what would have been billed at the boundary, whatever happens."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import ahead, billing_ahead
from app.domain.crediting import Charged
from app.domain.invoice import Invoice, Status
from app.domain.ledger import trial_balance
from app.domain.payment import Status as PaymentStatus
from app.domain.subscription import Ahead, Subscription
from tests.domain.books import Books, order, price
from tests.domain.lives import Life

SEEDS = st.integers(0, 2**48)
LEADS = st.sampled_from([timedelta(hours=1), timedelta(days=2, hours=2), timedelta(days=45)])
STANDING = (Status.OPEN, Status.PAID, Status.UNCOLLECTIBLE, Status.DRAFT)
LIVES_OF_CAMPAIGN = 20_000
PRIVATE = {"version", "id", "latest_invoice_id", "items", "scheduled_changes"}
"""What of a subscription names differ in, and nothing else."""


def seen(sub: Subscription) -> dict[str, object]:
    shown = {name: value for name, value in sub.snapshot().items() if name not in PRIVATE}
    shown["items"] = [(item.price.id, item.quantity, item.since) for item in sub.items]
    shown["scheduled"] = [planned.due_at for planned in sub.scheduled]
    return shown


def billed(life: Life) -> int:
    """What was charged and given back before discounts and taxes, with what waits; without the
    bill of a period that has not begun.
    """
    early = None if life.sub.ahead is None else life.sub.ahead.invoice_id
    invoices = (i for i in life.shop.invoices.values() if i.status in STANDING and i.id != early)
    lines = sum(line.charge.amount for invoice in invoices for line in invoice.lines)
    return lines + sum(item.charge.amount for item in life.shop.pending.values())


def check_two_lives(seed: int, lead: timedelta) -> int:
    """The same life, once billed at its boundaries and once ahead; how often it was billed ahead.

    What is seen of the subscription is the same at any moment, and so is what was charged.
    """
    plain, early = Life.begin(seed), Life.begin(seed, lead)
    for _ in range(8):
        for life in (plain, early):
            life.go_on()
            life.act()
        assert seen(early.sub) == seen(plain.sub)
        assert billed(early) == billed(plain)
        check_books(early)
    return sum(is_early(invoice) for invoice in early.shop.invoices.values())


def is_early(invoice: Invoice) -> bool:
    begins = invoice.order.cycle_start
    return begins is not None and invoice.created_at < begins


def check_books(life: Life) -> None:
    shop = life.shop
    assert sum(trial_balance(shop.entries).values()) == 0
    names = Counter(i.order.cycle_start for i in shop.invoices.values() if i.order.cycle_start)
    assert max(names.values(), default=1) == 1, "a boundary was billed twice"
    for payment in shop.payments.values():
        invoice = shop.invoices[payment.invoice_id]
        if payment.status is PaymentStatus.SUCCEEDED and is_early(invoice):
            assert payment.succeeded_at is not None
            assert invoice.order.cycle_start is not None
            assert payment.succeeded_at >= invoice.order.cycle_start, "paid before it began"


@given(SEEDS, LEADS)
@settings(max_examples=15, deadline=None)
def test_a_life_billed_ahead_comes_to_the_same(seed: int, lead: timedelta) -> None:
    check_two_lives(seed, lead)


def test_many_lives_are_billed_ahead_indeed() -> None:
    assert sum(check_two_lives(seed, timedelta(days=2)) for seed in range(10)) > 10


@pytest.mark.campaign
@pytest.mark.timeout(3_600)
def test_twenty_thousand_lives_billed_ahead_come_to_the_same() -> None:
    early = sum(check_two_lives(seed, timedelta(days=2)) for seed in range(LIVES_OF_CAMPAIGN))
    assert early > LIVES_OF_CAMPAIGN


def test_the_rest_is_what_the_bill_does_not_have_and_what_it_had_instead_comes_back() -> None:
    books = Books()
    books.subscribe(order(price(1000), price(700)))
    [invoice] = books.invoices.values()
    first, second = (Charged(line, invoice.id, line.charge.period.end) for line in invoice.lines)
    bill = ahead.Billed(invoice, (first, second))
    same = [first.line.charge, second.line.charge]
    assert ahead.rest(same, bill) == ([], [])
    dearer = replace(second.line.charge, amount=900)
    more, back = ahead.rest([first.line.charge, dearer], bill)
    assert (more, [credit.charge.amount for credit in back]) == ([dearer], [-700])
    void = replace(bill, invoice=replace(invoice, status=Status.VOID))
    assert ahead.rest([dearer], void) == ([dearer], ())


def test_nothing_is_due_ahead_of_what_does_not_go_on() -> None:
    lead = timedelta(days=2)
    books = Books()
    sub = books.subscribe(order())
    assert sub.period is not None
    boundary = sub.period.end
    assert billing_ahead.due_at(sub, lead) == boundary - lead
    for other in (
        replace(sub, ahead=Ahead(boundary)),
        replace(sub, cancel_at=boundary - timedelta(days=1)),
        replace(sub, period=None),
    ):
        assert billing_ahead.due_at(other, lead) is None
    assert replace(sub, ahead=Ahead(boundary, books.new_id())).billed_in_vain is None
    moved = replace(sub, ahead=Ahead(boundary - timedelta(days=1), books.new_id()))
    assert moved.billed_in_vain is not None
