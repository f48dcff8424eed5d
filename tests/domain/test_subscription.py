"""The states of a subscription: every cell of the table, and what can be reached at all."""

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from app.domain.calendar import Period
from app.domain.errors import Conflict
from app.domain.subscription import ENDED, TRANSITIONS, Happening, Status, after
from tests.domain.books import START, Books, order

S, H = Status, Happening
LEGAL = {
    S.SCHEDULED: {H.START_TRIAL: S.TRIALING, H.START: S.ACTIVE, H.CANCEL: S.CANCELED},
    S.INCOMPLETE: {
        H.PAID: S.ACTIVE,
        H.PAYMENT_FAILED: S.INCOMPLETE,
        H.EXPIRE: S.INCOMPLETE_EXPIRED,
        H.CANCEL: S.CANCELED,
    },
    S.INCOMPLETE_EXPIRED: {},
    S.TRIALING: {
        H.START: S.ACTIVE,
        H.PAID: S.TRIALING,
        H.PAYMENT_FAILED: S.TRIALING,
        H.PAUSE: S.PAUSED,
        H.CANCEL: S.CANCELED,
    },
    S.ACTIVE: {
        H.RENEW: S.ACTIVE,
        H.PAID: S.ACTIVE,
        H.AWAIT_PAYMENT: S.INCOMPLETE,
        H.PAYMENT_FAILED: S.PAST_DUE,
        H.PAUSE: S.PAUSED,
        H.CANCEL: S.CANCELED,
    },
    S.PAST_DUE: {
        H.RENEW: S.PAST_DUE,
        H.PAID: S.ACTIVE,
        H.PAYMENT_FAILED: S.PAST_DUE,
        H.GIVE_UP: S.UNPAID,
        H.PAUSE: S.PAUSED,
        H.CANCEL: S.CANCELED,
    },
    S.UNPAID: {
        H.RENEW: S.UNPAID,
        H.PAID: S.ACTIVE,
        H.PAYMENT_FAILED: S.UNPAID,
        H.PAUSE: S.PAUSED,
        H.CANCEL: S.CANCELED,
    },
    S.PAUSED: {
        H.PAID: S.PAUSED,
        H.PAYMENT_FAILED: S.PAUSED,
        H.RENEW: S.PAUSED,
        H.RESUME: S.ACTIVE,
        H.CANCEL: S.CANCELED,
    },
    S.CANCELED: {},
}


@pytest.mark.parametrize(("status", "happening"), list(product(Status, Happening)))
def test_every_cell_of_the_table_is_as_it_should_be(status, happening):
    expected = LEGAL[status].get(happening)
    if expected is not None:
        assert after(status, happening) is expected
        return
    with pytest.raises(Conflict, match=f"is {status} cannot") as refused:
        after(status, happening)
    assert refused.value.code == f"subscription_{status}"


def test_nothing_leads_out_of_an_end():
    assert {s for s, _ in TRANSITIONS} == set(Status) - ENDED
    assert all(LEGAL[status] == {} for status in ENDED)


def test_every_status_can_be_reached_from_a_fresh_start():
    reached, seen = {S.SCHEDULED}, set()
    while reached - seen:
        status = (reached - seen).pop()
        seen.add(status)
        reached |= set(LEGAL[status].values())
    assert reached == set(Status)


def test_the_next_action_is_the_earliest_of_what_is_planned():
    books = Books()
    sub = books.subscribe(order())
    assert sub.next_action_at == sub.period.end
    day = timedelta(days=1)
    assert replace(sub, cancel_at=sub.period.end - day).next_action_at == sub.period.end - day
    assert replace(sub, cancel_at=sub.period.end + day).next_action_at == sub.period.end
    assert replace(sub, status=S.CANCELED).next_action_at is None
    waiting = replace(sub, status=S.INCOMPLETE, expires_at=START + day)
    assert waiting.next_action_at == START + day
    assert replace(sub, period=None, start_at=START + day).next_action_at == START + day


def test_a_period_is_longer_than_nothing():
    with pytest.raises(AssertionError):
        Period(START, START)
