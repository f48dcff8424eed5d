"""The gateway's own books, as reconciliation reads them, and what banks take back."""

from collections import Counter
from datetime import timedelta

import pytest

from app.domain.dispute import DisputeStatus
from app.domain.outcome import Found, NotFound, Refunded
from app.gateways.base import ListingFailed
from app.gateways.capabilities import News
from app.gateways.reports import TransactionKind, TransactionStatus
from app.gateways.requests import TimeWindow
from app.testing.harness import Entry
from app.testing.trial import AMOUNT, Trial

NOBODY_LISTENS = "http://127.0.0.1:9"


async def test_the_list_is_the_ledger_to_the_last_unit(trial: Trial) -> None:
    """Every charge and refund that moved money, each once, with our reference, and no other."""
    charge, paid = await trial.paid()
    other, _ = await trial.paid(amount_minor=AMOUNT + 1)
    refund = trial.refund_of(charge, paid)
    outcome = await trial.ended_refund(refund, await trial.gateway.refund(refund))
    assert isinstance(outcome, Refunded), outcome
    await trial.harness.settle()
    window = trial.window()

    listed = [each async for each in trial.gateway.list_transactions(window)]

    moved = [each for each in listed if each.status is TransactionStatus.SUCCEEDED]
    entries = (Entry(e.reference, e.kind, e.amount_minor, e.currency) for e in moved)
    assert Counter(entries) == Counter(await trial.harness.books(window))
    ours = {each.our_reference: each for each in moved}
    assert {charge.attempt_code, other.attempt_code} <= ours.keys()
    assert ours[charge.attempt_code].amount_minor == AMOUNT
    [returned] = [e for e in moved if e.reference == outcome.gateway_reference]
    assert returned.kind is TransactionKind.REFUND
    assert returned.payment_reference in {paid.gateway_reference, None}


async def test_the_list_keeps_to_its_window(trial: Trial) -> None:
    """What was made now is not in a window that ended a day ago."""
    charge, _ = await trial.paid()
    day = timedelta(days=1)
    past = TimeWindow(trial.window().start - 2 * day, trial.window().start - day)
    listed = [each.our_reference async for each in trial.gateway.list_transactions(past)]
    assert charge.attempt_code not in listed


async def test_a_list_that_breaks_off_says_so(trial: Trial) -> None:
    """Half of the books must not be taken for the whole."""
    async with trial.account(trial.harness.account(NOBODY_LISTENS)) as gateway:
        with pytest.raises(ListingFailed):
            [each async for each in gateway.list_transactions(trial.window())]
        if trial.can.disputes is not News.NONE:
            with pytest.raises(ListingFailed):
                [each async for each in gateway.list_disputes(trial.window())]


@pytest.mark.parametrize("is_won", [True, False])
async def test_a_dispute_is_listed_and_fetched_as_it_stands(trial: Trial, is_won: bool) -> None:
    """Opened for the whole charge, then won or lost."""
    if trial.can.disputes is News.NONE:
        trial.leave("it tells of no disputes")
    charge, paid = await trial.paid()
    dispute = await trial.harness.dispute(paid.gateway_reference)

    found = await trial.gateway.fetch_dispute(dispute)

    assert isinstance(found, Found), found
    report = found.outcome
    assert report.payment_reference == paid.gateway_reference
    assert report.status in {DisputeStatus.NEEDS_RESPONSE, DisputeStatus.UNDER_REVIEW}
    assert (report.amount_minor, report.currency) == (AMOUNT, charge.currency)
    listed = [each async for each in trial.gateway.list_disputes(trial.window())]
    assert dispute in {each.gateway_reference for each in listed}

    await trial.harness.decide(dispute, is_won=is_won)

    ended = await trial.gateway.fetch_dispute(dispute)
    assert isinstance(ended, Found)
    assert ended.outcome.status is (DisputeStatus.WON if is_won else DisputeStatus.LOST)
    assert ended.outcome.withdrawn_minor == (0 if is_won else AMOUNT)


async def test_a_dispute_that_there_is_not_is_not_found(trial: Trial) -> None:
    """Nor invented."""
    if trial.can.disputes is News.NONE:
        trial.leave("it tells of no disputes")
    _, paid = await trial.paid()
    dispute = await trial.harness.dispute(paid.gateway_reference)
    stranger = dispute[:-4] + ("0000" if dispute[-4:] != "0000" else "1111")
    assert isinstance(await trial.gateway.fetch_dispute(stranger), NotFound)
