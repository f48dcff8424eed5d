"""Disputes post what the gateway took, once, whatever it says and however often."""

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.dispute import Dispute, DisputeReport, DisputeStatus
from app.domain.disputing import ENDED, position, refundable, told
from app.domain.errors import Conflict, InvalidRequest
from app.domain.event import Type
from app.domain.payment import Attempt, AttemptStatus, Payment, Status
from app.ids import new_id

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
MERCHANT, ACCOUNT = new_id(), new_id()
PAYMENT = Payment(
    new_id(), MERCHANT, new_id(), new_id(), None, Status.SUCCEEDED, "EUR", 1000, NOW,
    amount_captured=1000,
)  # fmt: skip
ATTEMPT = Attempt(
    new_id(), MERCHANT, PAYMENT.id, PAYMENT.invoice_id, ACCOUNT, new_id(), 1,
    AttemptStatus.SUCCEEDED, "EUR", 1000, "ref", NOW,
)  # fmt: skip
OPENED = DisputeReport("dp_1", "ch_1", DisputeStatus.NEEDS_RESPONSE, 1000, "EUR", 1000, 1500)


def heard(before: Dispute | None, report: DisputeReport, asked_at: datetime = NOW):
    return told(before, report, (ATTEMPT, PAYMENT), asked_at, asked_at, new_id)


def moves(decision) -> list[tuple[str, str, int]]:
    return [(e.debit.split(":")[0], e.credit.split(":")[0], e.amount) for e in decision.entries]


def types(decision) -> list[Type]:
    return [event.type for event in decision.events]


def test_what_is_withdrawn_leaves_the_gateway_and_may_come_back() -> None:
    opened = heard(None, OPENED)
    assert moves(opened) == [("disputes", "cash", 1000), ("gateway_fees", "cash", 1500)]
    assert types(opened) == [Type.DISPUTE_CREATED]
    [dispute] = opened.disputes
    won = heard(dispute, replace(OPENED, status=DisputeStatus.WON, withdrawn_minor=0))
    assert moves(won) == [("cash", "disputes", 1000)], "the fee stays with the gateway"
    assert types(won) == [Type.DISPUTE_CLOSED]
    assert won.events[0].previous["status"] is DisputeStatus.NEEDS_RESPONSE


def test_what_is_lost_is_a_loss() -> None:
    [dispute] = heard(None, OPENED).disputes
    lost = heard(dispute, replace(OPENED, status=DisputeStatus.LOST))
    assert moves(lost) == [("dispute_losses", "disputes", 1000)]
    assert lost.disputes[0].closed_at == NOW


def test_one_that_is_heard_of_when_it_is_over_is_told_whole() -> None:
    lost = heard(None, replace(OPENED, status=DisputeStatus.LOST, fee_minor=None))
    assert moves(lost) == [("disputes", "cash", 1000), ("dispute_losses", "disputes", 1000)]
    assert types(lost) == [Type.DISPUTE_CREATED, Type.DISPUTE_CLOSED]


def test_the_same_word_again_and_an_older_one_change_nothing() -> None:
    [dispute] = heard(None, OPENED, NOW).disputes
    assert heard(dispute, OPENED, NOW + timedelta(hours=1)).disputes == ()
    won = replace(OPENED, status=DisputeStatus.WON, withdrawn_minor=0)
    older = heard(dispute, won, NOW - timedelta(seconds=1))
    assert (older.disputes, older.entries, older.events) == ((), (), ())


def test_a_second_round_opens_it_again() -> None:
    [dispute] = heard(None, replace(OPENED, status=DisputeStatus.WON, withdrawn_minor=0)).disputes
    again = heard(dispute, OPENED)
    assert types(again) == [Type.DISPUTE_UPDATED]
    assert again.disputes[0].closed_at is None
    assert moves(again) == [("disputes", "cash", 1000)]


REPORTS = st.builds(
    DisputeReport,
    st.just("dp_1"),
    st.just("ch_1"),
    st.sampled_from(DisputeStatus),
    st.integers(1, 1000),
    st.just("EUR"),
    st.integers(0, 1000),
    st.none() | st.integers(0, 2000),
)


@given(st.lists(REPORTS, min_size=1, max_size=12))
def test_the_ledger_always_holds_what_the_last_word_says(reports: list[DisputeReport]) -> None:
    ledger: dict[str, int] = defaultdict(int)
    dispute, closed = None, 0
    for place, report in enumerate(reports):
        decision = heard(dispute, report, NOW + timedelta(seconds=place))
        for debit, credit, amount in moves(decision):
            assert amount > 0
            ledger[debit] += amount
            ledger[credit] -= amount
        [dispute] = decision.disputes or (dispute,)
        closed += types(decision).count(Type.DISPUTE_CLOSED)
        assert (dispute.closed_at is not None) == (report.status in ENDED)
        assert closed or dispute.closed_at is None
    lies = position(dispute)
    assert ledger["disputes"] == lies.at_stake
    assert ledger["dispute_losses"] == lies.lost
    assert ledger["gateway_fees"] == lies.fee
    assert ledger["cash"] == -(lies.at_stake + lies.lost + lies.fee)


def test_what_a_dispute_took_is_not_refunded_once_more() -> None:
    assert refundable(PAYMENT, 0, None) is None
    assert refundable(PAYMENT, 400, None) == 600
    assert refundable(PAYMENT, 400, 600) == 600
    with pytest.raises(InvalidRequest, match="between 1 and 600"):
        refundable(PAYMENT, 400, 601)
    with pytest.raises(Conflict, match="dispute"):
        refundable(PAYMENT, 1000, 1)
