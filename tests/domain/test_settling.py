"""When an attempt is asked for again, and when it is given to a person."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain import refunding, settling
from app.domain.outcome import Authorized, Pending, RefundPending, Unknown
from app.domain.payment import AttemptStatus, Status
from app.domain.settling import EXPECTED_MAX, LOOK_UP_DELAYS, MANUAL_REVIEW
from tests.domain.books import START
from tests.domain.test_collection import begin, bill, settle, shop
from tests.domain.test_refunding import paid, request

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("expected", "at"),
    [
        (None, START + LOOK_UP_DELAYS[0]),
        (START - DAY, START + LOOK_UP_DELAYS[0]),  # a promise that was not kept
        (START + 2 * DAY, START + 2 * DAY),
        (START + 99 * DAY, START + EXPECTED_MAX),
    ],
)
def test_a_gateway_that_says_when_it_will_know_is_asked_then(expected, at):
    books = begin(shop())
    settle(books, Pending("ch_1", expected_by=expected))
    assert bill(books).attempt.look_up_at == at


@pytest.mark.parametrize("outcome", [Pending("ch_1"), Authorized("ch_1", 1000, "EUR")])
def test_what_the_gateway_is_working_on_is_asked_for_without_end(outcome):
    books, now = begin(shop()), START
    for _ in range(3 * len(LOOK_UP_DELAYS)):
        settle(books, outcome, now)
        assert now < bill(books).attempt.look_up_at <= now + LOOK_UP_DELAYS[-1]
        now = bill(books).attempt.look_up_at
    assert bill(books).attempt.status is AttemptStatus.PROCESSING


def test_a_pending_refund_is_asked_for_without_end():
    books, now = paid(), START
    refund, payment = request(books, 400), bill(books).payment
    for _ in range(3 * len(LOOK_UP_DELAYS)):
        [refund] = refunding.settle(refund, payment, RefundPending("rf_1"), now, None).refunds
        assert now < refund.look_up_at <= now + LOOK_UP_DELAYS[-1]
        now = refund.look_up_at
    [refund] = refunding.hand_over(refund, "too long").refunds
    assert (refund.look_up_at, refund.detail) == (None, f"{MANUAL_REVIEW}too long")


def test_what_can_be_learned_later_is_not_given_to_a_person_before():
    attempt = bill(begin(shop())).attempt
    spent = replace(attempt, look_ups=len(LOOK_UP_DELAYS))
    [waiting] = settling.look_again(spent, "not there", START, START + DAY).attempts
    assert (waiting.look_up_at, waiting.detail) == (START + DAY, "not there")
    [given] = settling.look_again(waiting, "not there", START + DAY, START + DAY).attempts
    assert (given.look_up_at, given.detail) == (None, f"{MANUAL_REVIEW}not there")


def test_what_is_handed_over_is_not_asked_for_any_more_and_keeps_its_status():
    books = begin(shop())
    settle(books, Pending("ch_1"))
    for _ in range(2):
        books.record(settling.hand_over(bill(books).attempt, "too long"))
    attempt = bill(books).attempt
    assert (attempt.look_up_at, attempt.detail) == (None, f"{MANUAL_REVIEW}too long")
    assert attempt.status is AttemptStatus.PROCESSING


def test_what_nobody_wants_any_more_is_not_due_again_when_it_was_never_executed():
    books = begin(shop())
    settle(books, Unknown("timeout"))
    whole = bill(books)
    wanted = settling.never_executed(whole, START).payments[0]
    unwanted = replace(whole, attempt=replace(whole.attempt, void_wanted_at=START))
    left = settling.never_executed(unwanted, START).payments[0]
    assert (wanted.status, wanted.due_at) == (Status.SCHEDULED, START)
    assert (left.status, left.due_at) == (Status.REQUIRES_PAYMENT_METHOD, None)


def test_a_person_s_word_closes_what_is_in_flight_and_nothing_else():
    books = begin(shop())
    settle(books, Unknown("timeout"))
    books.record(settling.closed_by_hand(bill(books), START, books.new_id))
    whole = bill(books)
    assert (whole.attempt.status, whole.payment.status) == ("canceled", "requires_payment_method")
    assert books.told[-1] == "payment.voided"
    with pytest.raises(AssertionError, match="stays so"):
        settling.closed_by_hand(whole, START, books.new_id)
