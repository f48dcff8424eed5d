"""The ledger of a whole life: whatever decisions were made, their entries say what stands."""

from contextlib import suppress
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import balance, collection, lifecycle, offline, settling
from app.domain.collection import Bill
from app.domain.errors import Conflict
from app.domain.invoice import Collection, Status
from app.domain.ledger import Account, cash
from app.domain.payment import Status as PaymentStatus
from app.domain.subscription import ENDED
from tests.domain.books import (
    GATEWAY,
    METHOD,
    START,
    Books,
    arrears,
    fixed,
    order,
    percent,
    price,
    rate,
)
from tests.domain.test_collection import DECLINED, OUTCOMES, SUCCEEDED

DAY = timedelta(days=1)
ORDERS = (
    order(),
    order((price(1999), 3), rates=(rate(190_000),), discounts=(percent(33),)),
    order(price(1000), arrears(333), rates=(rate(70_000, inclusive=True),), trial_days=5),
    order(price(10, setup_fee_minor=5000), discounts=(fixed(700),), wait_for_payment=True),
    order(collection=Collection.SEND_INVOICE, net_days=14),
    order(price(0), arrears(0)),
)
ACTS = (
    *("wait", "wait", "renew", "pay", "pay", "decline", "lose", "find", "outside"),
    *("void", "write_off", "credit", "cancel", "end_later"),
)


def live(books, invoice):
    ended = (PaymentStatus.CANCELED, PaymentStatus.SUCCEEDED)
    found = [p for p in books.payments.values() if p.invoice_id == invoice.id]
    return next((p for p in found if p.status not in ended), None)


def whole(books, invoice):
    payment = live(books, invoice)
    flying = [a for a in books.attempts.values() if a.payment_id == getattr(payment, "id", None)]
    return Bill(invoice, payment, flying[-1] if flying else None, (books.subscription,))


def act(books, name, place, now):
    open_ones = [i for i in books.billed() if i.amount_remaining and i.status is not Status.VOID]
    if name in ("wait", "renew"):
        books.catch_up(now)
    elif name == "credit":
        entry, posting = balance.adjust(books.balance, 250 + place, None, books.new_id)
        books.credit = entry.ending
        books.entries.append(posting)
    elif name == "cancel":
        books.record(lifecycle.cancel_now(books.account, now, books.new_id))
    elif name == "end_later":
        books.record(lifecycle.cancel_at_period_end(books.subscription, now, books.new_id))
    elif open_ones:
        collect(books, name, whole(books, open_ones[place % len(open_ones)]), now)


def collect(books, name, bill, now):
    invoice, payment = bill.invoice, bill.payment
    if name == "outside":
        sub = books.subscription
        books.record(offline.pay_all(invoice, payment, [sub], now, books.new_id))
    elif name == "void":
        books.record(collection.void(invoice, payment, books.balance, now, books.new_id))
    elif name == "write_off":
        books.record(collection.write_off(invoice, payment, books.new_id))
    elif payment is not None:
        charge(books, name, bill, now)


def charge(books, name, bill, now):
    payment = bill.payment
    if payment.status is PaymentStatus.REQUIRES_PAYMENT_METHOD:
        payment = books.payments[payment.id] = collection.retry(payment, METHOD, now)
    if payment.status is PaymentStatus.SCHEDULED:
        begun = Bill(bill.invoice, payment)
        books.record(collection.begin(begun, (METHOD, GATEWAY), now, books.new_id, str))
    bill = whole(books, bill.invoice)
    if name == "find" and bill.attempt.gateway_reference is None:
        books.record(settling.never_executed(bill, now))
        return
    amount = bill.attempt.amount
    outcome = {
        "pay": type(SUCCEEDED)(f"ch_{bill.attempt.id}", amount, "EUR", None, amount // 50 or None),
        "decline": DECLINED,
    }.get(name, OUTCOMES["unknown"])
    books.record(settling.settle(bill, outcome, now, books.new_id))


@settings(max_examples=250, deadline=None)
@given(
    st.sampled_from(ORDERS),
    st.integers(0, 3000),
    st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 9)), max_size=30),
)
def test_after_any_life_the_ledger_says_what_stands(cmd, credit, course):
    books = Books()
    if credit:
        entry, posting = balance.adjust(books.balance, credit, None, books.new_id)
        books.credit, books.entries = entry.ending, [posting]
    books.subscribe(cmd)
    now = START
    for name, place in course:
        now += place * DAY if name == "wait" else timedelta(minutes=place)
        if name == "renew" and books.subscription.next_action_at is not None:
            now = max(now, books.subscription.next_action_at)
        with suppress(Conflict):
            act(books, name, place, now)
        check(books)
    sub = books.subscription
    assert (sub.status in ENDED) == (sub.next_action_at is None)


def check(books):
    ledger = books.ledger()
    invoices = books.billed()
    owed = sum(i.amount_remaining for i in invoices if i.status is Status.OPEN)
    lost = sum(i.amount_remaining for i in invoices if i.status is Status.UNCOLLECTIBLE)
    standing = [i for i in invoices if i.status is not Status.VOID]
    assert sum(ledger.values()) == 0
    assert ledger.get("receivable", 0) == owed
    assert ledger.get("bad_debt", 0) == lost
    assert -ledger.get("tax_payable", 0) == sum(i.tax_total for i in standing)
    assert -ledger.get("customer_credit", 0) == books.credit
    earned = ledger.get("revenue", 0) + ledger.get("deferred_revenue", 0)
    assert -earned == sum(i.total - i.tax_total for i in standing)
    kept = ledger.get("cash", 0) + ledger.get("gateway_fees", 0)
    assert kept == sum(i.amount_paid for i in standing)


def test_every_gateway_account_has_cash_of_its_own():
    assert cash(GATEWAY) == f"cash:{GATEWAY}"
    assert cash(None) == Account.CASH_OUTSIDE
    assert cash(GATEWAY) != cash(METHOD)
