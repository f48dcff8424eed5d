"""Refunds: whatever is asked and answered, never more goes back than came."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import refunding
from app.domain.errors import BillingError, Conflict, InvalidRequest
from app.domain.outcome import (
    NotExecuted,
    RefundDeclined,
    RefundDeclineReason,
    Refunded,
    RefundPending,
    Unknown,
)
from app.domain.refund import FOLLOWING, Status
from app.domain.settling import LOOK_UP_DELAYS, MANUAL_REVIEW
from tests.domain.books import START
from tests.domain.test_collection import SUCCEEDED, begin, bill, settle, shop


def paid():
    books = begin(shop())
    settle(books, SUCCEEDED)
    return books


def request(books, amount):
    [attempt] = books.attempts.values()
    decision = refunding.request(
        bill(books).payment, attempt, amount, "asked", START, books.new_id, str
    )
    return books.record(decision).refunds[0]


def answer(books, refund, outcome):
    latest = books.refunds[refund.id]
    return books.record(refunding.settle(latest, bill(books).payment, outcome, START, books.new_id))


def answers(amount):
    return {
        "refunded": Refunded("re_1", amount, "EUR"),
        "pending": RefundPending("re_1"),
        "declined": RefundDeclined(RefundDeclineReason.GENERIC, "no"),
        "sent_back": RefundDeclined(RefundDeclineReason.GENERIC, "no", "re_1"),
        "another_failed": RefundDeclined(RefundDeclineReason.GENERIC, "no", "re_2"),
        "unknown": Unknown("timeout"),
        "not_executed": NotExecuted("rate_limited"),
        "wrong": Refunded("re_1", amount + 1, "EUR"),
    }


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(-5, 1200)),
            st.lists(st.sampled_from(sorted(answers(1))), max_size=4),
        ),
        max_size=8,
    )
)
def test_refunded_and_reserved_never_exceed_the_capture(course):
    books = paid()
    for amount, outcomes in course:
        try:
            refund = request(books, amount)
        except BillingError:
            continue
        for name in outcomes:
            before = books.refunds[refund.id].status
            answer(books, refund, answers(refund.amount)[name])
            assert books.refunds[refund.id].status in FOLLOWING[before]
            payment = bill(books).payment
            done = sum(r.amount for r in books.refunds.values() if r.status is Status.SUCCEEDED)
            held = sum(
                r.amount
                for r in books.refunds.values()
                if r.status in (Status.PROCESSING, Status.UNKNOWN)
            )
            assert (payment.amount_refunded, payment.amount_refund_reserved) == (done, held)
            assert 0 <= done + held <= payment.amount_captured
            assert books.ledger().get("refunds", 0) == done
            assert books.ledger()["cash"] == 971 - done


@pytest.mark.parametrize("amount", [0, -1, 1001])
def test_an_amount_that_is_no_refund_is_refused(amount):
    with pytest.raises(InvalidRequest, match="Between 1 and 1000"):
        request(paid(), amount)


def test_nothing_left_is_said_so():
    books = paid()
    request(books, None)
    with pytest.raises(Conflict, match="left to refund"):
        request(books, 1)


@pytest.mark.parametrize("name", sorted(answers(1)))
def test_an_answer_settled_twice_is_settled_once(name):
    once, twice = paid(), paid()
    for books, times in ((once, 1), (twice, 2)):
        refund = request(books, 400)
        for _ in range(times):
            answer(books, refund, answers(400)[name])
    assert once.ledger() == twice.ledger()
    assert once.told == twice.told


def test_the_last_unit_can_be_refunded_too():
    books = paid()
    answer(books, request(books, 999), answers(999)["refunded"])
    assert request(books, None).amount == 1


def test_a_refusal_keeps_what_the_gateway_said():
    books = paid()
    refund = request(books, 400)
    no = RefundDeclined(RefundDeclineReason.INSUFFICIENT_BALANCE, "poor", "re_9")
    answer(books, refund, no)
    latest = books.refunds[refund.id]
    assert (latest.failure_code, latest.detail) == ("insufficient_balance", "poor")
    assert (latest.gateway_reference, latest.settled_at) == ("re_9", START)
    assert books.told[-1] == "refund.failed"


def test_after_the_last_look_a_person_is_told():
    books = paid()
    refund = request(books, 400)
    for _ in range(len(LOOK_UP_DELAYS) + 1):
        answer(books, refund, Unknown("timeout"))
    latest = books.refunds[refund.id]
    assert (latest.look_up_at, latest.detail) == (None, f"{MANUAL_REVIEW}timeout")
    assert latest.created_at + timedelta(0) == START


def test_a_look_up_that_taught_nothing_is_no_news_of_a_refund_that_is_over() -> None:
    # Told as failed while it was looked for: asked for again, it would be sent again in the end.
    books = paid()
    refund = request(books, 400)
    answer(books, refund, RefundDeclined(RefundDeclineReason.GENERIC, "no"))
    over = books.refunds[refund.id]
    assert refunding.look_again(over, "not there", START, START + timedelta(days=1)).refunds == ()
