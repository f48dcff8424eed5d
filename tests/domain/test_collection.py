"""Whatever answers come, in whatever order and however often: captured once or not at all."""

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import collection, offline, payment, settling
from app.domain.collection import Bill
from app.domain.errors import Conflict, InvalidRequest
from app.domain.invoice import Status as InvoiceStatus
from app.domain.ledger import Account
from app.domain.outcome import (
    Authorized,
    DeclineAdvice,
    DeclineCategory,
    Declined,
    DeclineInfo,
    DeclineReason,
    NotExecuted,
    Pending,
    RequiresAction,
    Succeeded,
    Unknown,
    Voided,
)
from app.domain.payment import CAPTURED_AFTER_CLOSING, IN_FLIGHT, AttemptStatus, Status
from app.domain.settling import LOOK_UP_DELAYS, MANUAL_REVIEW
from app.domain.subscription import Status as SubscriptionStatus
from tests.domain.books import GATEWAY, METHOD, START, Books, order, price

DAY = timedelta(days=1)
SUCCEEDED = Succeeded("ch_1", 1000, "EUR", "ntid", 29)
DECLINED = Declined(
    DeclineInfo(
        DeclineCategory.SOFT,
        DeclineReason.INSUFFICIENT_FUNDS,
        "51",
        DeclineAdvice.RETRY_LATER,
    ),
    "ch_1",
)
OUTCOMES = {
    "succeeded": SUCCEEDED,
    "declined": DECLINED,
    "pending": Pending("ch_1"),
    "pending_unnamed": Pending(None),
    "requires_action": RequiresAction("ch_1", "https://bank.example/3ds"),
    "unknown": Unknown("timeout"),
    "not_executed": NotExecuted("rate_limited", 60),
    "authorized": Authorized("ch_1", 1000, "EUR"),
    "voided": Voided("ch_1"),
    "wrong_amount": Succeeded("ch_1", 999, "EUR"),
    "wrong_currency": Succeeded("ch_1", 1000, "USD"),
}
SETTLING = {"succeeded", "declined", "voided"}
outcomes = st.sampled_from(sorted(OUTCOMES))


def shop(**options):
    """Books with one open invoice of 10.00 and its payment."""
    books = Books()
    books.subscribe(order(price(1000), **options))
    return books


def bill(books):
    [invoice] = books.invoices.values()
    live = [p for p in books.payments.values() if p.status is not Status.CANCELED]
    attempts = list(books.attempts.values())
    return Bill(invoice, live[-1], attempts[-1] if attempts else None, (books.subscription,))


def begin(books, now=START):
    decision = collection.begin(bill(books), (METHOD, GATEWAY), now, books.new_id, str)
    books.record(decision)
    return books


def settle(books, outcome, now=START):
    return books.record(settling.settle(bill(books), outcome, now, books.new_id))


def check(books):
    """What must hold after every single step."""
    whole = bill(books)
    captured = [a for a in books.attempts.values() if a.status is AttemptStatus.SUCCEEDED]
    assert len(captured) <= 1
    assert whole.payment.amount_captured == sum(a.amount for a in captured)
    assert (whole.invoice.status is InvoiceStatus.PAID) == bool(captured)
    flying = [a for a in books.attempts.values() if a.status in IN_FLIGHT]
    assert len(flying) <= 1
    in_flight = {Status.PROCESSING, Status.UNKNOWN, Status.REQUIRES_ACTION}
    assert bool(flying) == (whole.payment.status in in_flight)
    ledger = books.ledger()
    assert ledger.get("receivable", 0) == whole.invoice.amount_remaining
    assert sum(ledger.values()) == 0
    assert books.told.count("invoice.paid") == len(captured)
    for attempt in flying:  # either somebody will ask again, or a person has been told
        assert attempt.look_up_at is not None or attempt.detail.startswith(MANUAL_REVIEW)


@settings(max_examples=500, deadline=None)
@given(st.lists(outcomes, max_size=12))
def test_any_order_of_answers_captures_at_most_once(names):
    books = begin(shop())
    settled = False
    for name in names:
        before = books.told.copy()
        settle(books, OUTCOMES[name])
        check(books)
        if settled:
            assert books.told == before, "what is settled stays so, without a word"
        settled = settled or name in SETTLING


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["begin", "lost", "retry", *sorted(OUTCOMES)]), max_size=20))
def test_any_course_of_collecting_keeps_the_books(steps):
    books = shop()
    for n, step in enumerate(steps):
        now = START + n * timedelta(minutes=1)
        whole = bill(books)
        try:
            if step == "begin":
                begin(books, now)
            elif step == "retry":
                retried = collection.retry(whole.payment, METHOD, now)
                books.payments[retried.id] = retried
            elif whole.attempt is None:
                continue
            elif step == "lost":
                flying = whole.attempt.status in IN_FLIGHT
                if flying and whole.attempt.gateway_reference is None:
                    books.record(settling.never_executed(whole, now))
            else:
                settle(books, OUTCOMES[step], now)
        except Conflict:
            pass
        check(books)


@pytest.mark.parametrize("name", sorted(OUTCOMES))
def test_an_answer_settled_twice_is_settled_once(name):
    once, twice = begin(shop()), begin(shop())
    settle(once, OUTCOMES[name])
    settle(twice, OUTCOMES[name])
    settle(twice, OUTCOMES[name])
    assert once.ledger() == twice.ledger()
    assert once.told == twice.told
    assert bill(once).payment.status is bill(twice).payment.status
    assert bill(once).attempt.status is bill(twice).attempt.status


@pytest.mark.parametrize(
    ("first", "then"), [p for p in product(sorted(SETTLING), sorted(OUTCOMES)) if p[0] != p[1]]
)
def test_what_is_settled_is_not_settled_otherwise(first, then):
    books = begin(shop())
    settle(books, OUTCOMES[first])
    ledger, payment_, status = books.ledger(), bill(books).payment, bill(books).attempt.status
    settle(books, OUTCOMES[then])
    # Only money that moved after a no is worth a word, and it is one to a person; until then
    # nothing else is tried.
    is_late = first != "succeeded" and isinstance(OUTCOMES[then], Succeeded)
    assert (bill(books).attempt.detail or "").startswith(MANUAL_REVIEW) == is_late
    held = replace(payment_, failure_code=CAPTURED_AFTER_CLOSING, version=payment_.version + 1)
    assert (books.ledger(), bill(books).payment) == (ledger, held if is_late else payment_)
    assert bill(books).attempt.status is status


def test_what_was_given_up_waits_for_a_method():
    books = begin(shop())
    settle(books, OUTCOMES["requires_action"])
    settle(books, OUTCOMES["voided"])
    whole = bill(books)
    assert (whole.attempt.status, whole.payment.status) == ("canceled", "requires_payment_method")
    assert books.told[-1] == "payment.voided"
    assert whole.invoice.status is InvoiceStatus.OPEN


def test_money_that_is_held_is_not_counted_as_paid():
    books = begin(shop())
    before = books.ledger()
    settle(books, OUTCOMES["authorized"])
    assert (books.ledger(), bill(books).payment.status) == (before, Status.PROCESSING)
    settle(books, replace(OUTCOMES["authorized"], amount_minor=999))
    assert bill(books).attempt.detail == f"{MANUAL_REVIEW}the gateway holds 999 EUR"


def test_a_second_capture_under_another_name_is_told_to_a_person_once():
    books = begin(shop())
    settle(books, SUCCEEDED)
    settle(books, replace(SUCCEEDED, gateway_reference="ch_2"))
    version = bill(books).attempt.version
    assert bill(books).attempt.detail == f"{MANUAL_REVIEW}captured as ch_2 after it was closed"
    assert bill(books).attempt.gateway_reference == "ch_1"
    settle(books, replace(SUCCEEDED, gateway_reference="ch_3"))
    assert bill(books).attempt.version == version


def test_success_posts_cash_and_the_fee_that_was_kept():
    books = begin(shop())
    settle(books, SUCCEEDED)
    assert books.ledger() == {"deferred_revenue": -1000, "cash": 971, "gateway_fees": 29}
    assert {e.debit for e in books.entries} >= {f"cash:{GATEWAY}", Account.GATEWAY_FEES}


@pytest.mark.parametrize(
    "flying", ["pending", "authorized", "unknown", "requires_action", "not_executed"]
)
def test_while_money_may_be_moving_nothing_else_may_touch_the_invoice(flying):
    books = begin(shop())
    settle(books, OUTCOMES[flying])
    whole = bill(books)
    refused = (
        lambda: collection.begin(whole, (METHOD, GATEWAY), START, books.new_id, str),
        lambda: collection.void(whole.invoice, whole.payment, books.balance, START, books.new_id),
        lambda: collection.write_off(whole.invoice, whole.payment, books.new_id),
        lambda: offline.pay_all(whole.invoice, whole.payment, (), START, books.new_id),
        lambda: collection.retry(whole.payment, METHOD, START),
    )
    for attempt in refused:
        with pytest.raises(Conflict):
            attempt()


@pytest.mark.parametrize("status", [InvoiceStatus.PAID, InvoiceStatus.VOID, InvoiceStatus.DRAFT])
def test_no_attempt_begins_on_what_is_not_payable(status):
    whole = bill(shop())
    closed = replace(whole, invoice=replace(whole.invoice, status=status))
    with pytest.raises(Conflict, match=f"The invoice is {status}"):
        collection.begin(closed, (METHOD, GATEWAY), START, Books().new_id, str)


@pytest.mark.parametrize("name", sorted(SETTLING))
def test_the_page_for_the_customer_is_there_until_he_has_acted(name):
    books = begin(shop())
    settle(books, OUTCOMES["requires_action"])
    assert bill(books).payment.action_url == "https://bank.example/3ds"
    settle(books, OUTCOMES[name])
    assert bill(books).payment.action_url is None


def test_a_decline_says_why_and_what_the_gateway_called_it():
    books = begin(shop())
    settle(books, DECLINED)
    attempt, paying = bill(books).attempt, bill(books).payment
    assert (attempt.failure_code, attempt.gateway_code) == ("insufficient_funds", "51")
    assert (attempt.gateway_reference, attempt.look_up_at) == ("ch_1", None)
    assert attempt.settled_at == START
    assert (paying.failure_code, paying.failure_category) == ("insufficient_funds", "soft")
    assert (paying.due_at, paying.attempt_count) == (None, 1)
    retried = collection.retry(paying, None, START)
    books.payments[retried.id] = retried
    begin(books)
    assert bill(books).payment.failure_code is None


def test_looking_up_ends_with_a_person_after_the_last_time():
    books = begin(shop())
    now = START
    for delay in LOOK_UP_DELAYS:
        settle(books, OUTCOMES["unknown"], now)
        attempt = bill(books).attempt
        assert attempt.look_up_at == now + delay
        now = attempt.look_up_at
    settle(books, OUTCOMES["unknown"], now)
    assert bill(books).attempt.look_up_at is None
    assert bill(books).attempt.detail == f"{MANUAL_REVIEW}timeout"
    # A late answer still settles it, and nothing is left to look at.
    settle(books, SUCCEEDED, now)
    assert bill(books).attempt.detail is None
    assert bill(books).invoice.status is InvoiceStatus.PAID


def test_turned_away_means_to_come_back_when_told():
    books = begin(shop())
    settle(books, NotExecuted("rate_limited", 900))
    assert bill(books).attempt.look_up_at == START + timedelta(seconds=900)
    assert bill(books).attempt.status is AttemptStatus.PROCESSING


def test_what_the_gateway_has_named_was_executed():
    books = begin(shop())
    settle(books, OUTCOMES["pending"])
    with pytest.raises(AssertionError, match="was executed"):
        settling.never_executed(bill(books), START)


def test_what_provably_never_happened_is_closed_and_due_again_under_another_key():
    books = begin(shop())
    settle(books, OUTCOMES["unknown"])
    first = bill(books).attempt
    books.record(settling.never_executed(bill(books), START + DAY))
    closed, paying = books.attempts[first.id], bill(books).payment
    assert (closed.status, closed.settled_at) == (AttemptStatus.CANCELED, START + DAY)
    assert (closed.look_up_at, paying.status, paying.due_at) == (
        None,
        Status.SCHEDULED,
        START + DAY,
    )
    begin(books, START + DAY)
    again = bill(books).attempt
    assert again.ordinal == 2
    assert again.idempotency_key != first.idempotency_key


def test_captured_for_an_invoice_that_is_void_is_a_person_s_affair():
    books = begin(shop())
    whole = bill(books)
    void = replace(whole.invoice, status=InvoiceStatus.VOID)
    decision = settling.settle(replace(whole, invoice=void), SUCCEEDED, START, books.new_id)
    [attempt] = decision.attempts
    assert attempt.detail == f"{MANUAL_REVIEW}captured although the invoice is void"
    assert (attempt.gateway_reference, attempt.look_up_at) == ("ch_1", None)
    assert decision.entries == ()


def test_a_first_payment_sets_the_subscription_going_and_a_decline_leaves_it_waiting():
    books = begin(shop(wait_for_payment=True))
    settle(books, DECLINED)
    assert books.subscription.status is SubscriptionStatus.INCOMPLETE
    retried = collection.retry(bill(books).payment, None, START)
    books.payments[retried.id] = retried
    begin(books)
    settle(books, SUCCEEDED)
    assert (books.subscription.status, books.subscription.expires_at) == (
        SubscriptionStatus.ACTIVE,
        None,
    )
    assert [a.ordinal for a in books.attempts.values()] == [1, 2]


def test_only_the_latest_invoice_brings_a_subscription_back():
    books = begin(shop())
    whole = bill(books)
    [running] = whole.subscriptions
    behind = replace(running, status=SubscriptionStatus.PAST_DUE)
    newer = replace(behind, latest_invoice_id=METHOD)
    for subs, woken in (([behind], 1), ([newer], 0), ([], 0), ([behind, newer, behind], 2)):
        about = replace(whole, subscriptions=tuple(subs))
        decision = settling.settle(about, SUCCEEDED, START, books.new_id)
        assert len(decision.subscriptions) == woken


def test_only_the_latest_invoice_lets_a_subscription_fall_behind():
    books = begin(shop())
    whole = bill(books)
    [running] = whole.subscriptions
    newer = replace(running, latest_invoice_id=METHOD)
    for subs, fall in (([running], 1), ([newer], 0), ([], 0), ([running, newer, running], 2)):
        about = replace(whole, subscriptions=tuple(subs))
        decision = settling.settle(about, DECLINED, START, books.new_id)
        assert len(decision.subscriptions) == fall


def test_paid_outside_closes_the_payment_and_wakes_the_subscription():
    books = shop(wait_for_payment=True)
    whole = bill(books)
    books.record(
        offline.pay_all(whole.invoice, whole.payment, [books.subscription], START, books.new_id)
    )
    assert books.ledger() == {"deferred_revenue": -1000, "cash": 1000}
    assert next(iter(books.payments.values())).status is Status.CANCELED
    assert books.subscription.status is SubscriptionStatus.ACTIVE


def test_a_payment_without_a_method_waits_for_one():
    books = Books(method=None)
    books.subscribe(order())
    whole = bill(books)
    assert (whole.payment.status, whole.payment.due_at) == (Status.REQUIRES_PAYMENT_METHOD, None)
    with pytest.raises(InvalidRequest, match="no payment method"):
        collection.retry(whole.payment, None, START)
    retried = collection.retry(whole.payment, METHOD, START + DAY)
    assert (retried.status, retried.due_at) == (Status.SCHEDULED, START + DAY)
    waiting = collection.wait_for_method(retried).payments[0]
    assert (waiting.status, waiting.failure_code) == (
        Status.REQUIRES_PAYMENT_METHOD,
        "payment_method_detached",
    )


def test_one_attempt_has_one_key_for_ever():
    books = begin(shop())
    key = bill(books).attempt.idempotency_key
    settle(books, OUTCOMES["unknown"])
    assert bill(books).attempt.idempotency_key == key
    assert key == f"perennial-{bill(books).attempt.id.hex}"
    assert payment.RETRYABLE.isdisjoint({Status.PROCESSING, Status.UNKNOWN})
