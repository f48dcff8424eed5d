"""Set-up sessions as decisions: what may follow what, and that waiting comes to an end."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from app.domain.outcome import (
    DeclineAdvice,
    DeclineCategory,
    DeclineInfo,
    DeclineReason,
    NotExecuted,
    Unknown,
)
from app.domain.setup_session import (
    CHECK_DELAYS,
    ENDED,
    GRACE,
    LIFE,
    START_DELAYS,
    TRANSITIONS,
    UNREACHABLE,
    Happening,
    Session,
    Status,
    refused,
    settle,
)
from app.domain.vault import (
    MethodSaved,
    SavedMethod,
    SetupFailed,
    SetupFlow,
    SetupPending,
    SetupStarted,
)
from app.ids import new_id

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
STARTED = SetupStarted("set_1", SetupFlow.CLIENT_SECRET, "cus_1", client_secret="s")
SAVED = MethodSaved(SavedMethod("pm_1"))
NO = SetupFailed(
    DeclineInfo(DeclineCategory.HARD, DeclineReason.EXPIRED_CARD, "x", DeclineAdvice.DO_NOT_RETRY)
)
PENDING = SetupPending("set_1")


def session(status: Status = Status.STARTING, **changes) -> Session:
    ids = [new_id() for _ in range(4)]
    made = Session(*ids, status, "code", NOW, NOW + LIFE, look_up_at=NOW)
    if status is not Status.STARTING:
        made = replace(made, gateway_reference="set_1", flow=SetupFlow.CLIENT_SECRET)
    if status in ENDED:
        made = replace(made, ended_at=NOW, look_up_at=None)
    return replace(made, **changes)


@pytest.mark.parametrize(("status", "happening"), list(product(Status, Happening)))
def test_only_what_the_table_says_happens(status: Status, happening: Happening) -> None:
    outcomes = {Happening.STARTED: STARTED, Happening.SAVED: SAVED, Happening.REFUSED: NO}
    before = session(status)
    if happening is Happening.RAN_OUT:
        after = settle(before, PENDING, NOW + LIFE)
    else:
        after = settle(before, outcomes[happening], NOW)
    expected = TRANSITIONS.get((status, happening))
    if expected is None:
        assert after is before
        return
    assert (after.status, after.version) == (expected, before.version + 1)
    assert (after.ended_at is not None) == (expected in ENDED)
    assert (after.look_up_at is None) == (expected in ENDED)


def test_it_ends_when_the_gateway_says_where_that_is_sooner() -> None:
    soon = NOW + timedelta(minutes=5)
    opened = settle(session(), replace(STARTED, expires_at=soon), NOW)
    assert (opened.expires_at, opened.flow) == (soon, SetupFlow.CLIENT_SECRET)
    assert opened.look_up_at == NOW + CHECK_DELAYS[0]
    later = settle(session(), replace(STARTED, expires_at=NOW + 2 * LIFE), NOW)
    assert later.expires_at == NOW + LIFE


@pytest.mark.parametrize("outcome", [Unknown("timeout"), NotExecuted("refused")])
def test_what_cannot_be_begun_fails_after_a_while(outcome) -> None:
    one, at = session(), NOW
    for delay in START_DELAYS:
        one = settle(one, outcome, at)
        assert (one.status, one.look_up_at) == (Status.STARTING, at + delay)
        at = one.look_up_at
    one = settle(one, outcome, at)
    assert (one.status, one.failure_code) == (Status.FAILED, UNREACHABLE)


def test_an_open_one_is_asked_about_less_and_less_and_once_more_at_its_end() -> None:
    one, at, asked = settle(session(), STARTED, NOW), NOW, []
    while one.status is Status.OPEN:
        at = one.look_up_at
        asked.append(at)
        assert len(asked) < 20
        one = settle(one, PENDING, at)
    assert (one.status, asked[-1]) == (Status.EXPIRED, NOW + LIFE)
    assert len(asked) == len(CHECK_DELAYS) + 2


def test_a_gateway_that_is_away_at_the_end_is_asked_for_a_day_more() -> None:
    one, at = settle(session(), STARTED, NOW), NOW
    while one.status is Status.OPEN:
        at = one.look_up_at
        one = settle(one, Unknown("timeout"), at)
    assert one.status is Status.EXPIRED
    assert NOW + LIFE + GRACE <= at <= NOW + LIFE + GRACE + CHECK_DELAYS[-1]


def test_a_late_yes_is_never_lost_and_a_late_no_changes_nothing() -> None:
    for status in (Status.EXPIRED, Status.FAILED):
        assert settle(session(status), SAVED, NOW).status is Status.COMPLETED
    for status in ENDED:
        for outcome in (NO, PENDING, STARTED, Unknown("x")):
            one = session(status)
            assert settle(one, outcome, NOW) is one
    done = session(Status.COMPLETED)
    assert settle(done, SAVED, NOW) is done
    assert refused(done, "x", NOW) is done
