"""Finding out at PayPal: by its own ids, by our codes in its report, its lists and its disputes."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.clock import ManualClock, SystemClock
from app.domain.dispute import DisputeStatus
from app.domain.outcome import (
    Authorized,
    Declined,
    Found,
    Inconclusive,
    NotFound,
    Pending,
    Refunded,
    Succeeded,
)
from app.gateways.base import AccountMode, ListingFailed
from app.gateways.paypal.gateway import PayPalGateway
from app.gateways.paypal.lookups import Search
from app.gateways.reports import TransactionKind, TransactionStatus
from app.gateways.requests import PaymentQuery, RefundQuery, TimeWindow
from tests.gateways.paypal import PayPalProcess
from tests.gateways.test_paypal_charges import (
    capture_of,
    charge_of,
    charged,
    held_of,
    refund_of,
)

HOURS = timedelta(hours=1)
DAYS = timedelta(days=1)


@pytest.fixture
async def gateway(paypal: PayPalProcess, anyio_backend: str) -> AsyncIterator[PayPalGateway]:
    gateway = paypal.open()
    yield gateway
    await gateway.aclose()


def now() -> datetime:
    return SystemClock().now()


def lately() -> TimeWindow:
    return TimeWindow(now() - HOURS, now() + HOURS)


def row(number: int, at: datetime, **given: Any) -> dict[str, Any]:
    """A line of the report that is nobody's of ours."""
    return {
        "transaction_id": f"SEED{number:013d}",
        "transaction_event_code": "T0006",
        "transaction_initiation_date": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "transaction_updated_date": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "transaction_amount": {"currency_code": "EUR", "value": "10.00"},
        "fee_amount": {"currency_code": "EUR", "value": "-0.59"},
        "transaction_status": "S",
        "invoice_id": f"seed{number}",
    } | given


# ── by our code ───────────────────────────────────────────────────────────────────────────────────


async def test_a_charge_is_found_by_our_code_alone_once_the_report_has_it(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = charge_of("wallet-ok")
    sent = now()
    outcome = await gateway.charge(request)
    query = PaymentQuery(request.attempt_code, created_at=sent)

    assert await gateway.find_payment(query) == Found(outcome)

    paypal.turn(reporting_delay_seconds=3 * 3600)
    # The report says itself that it does not reach so far: that is no proof of absence.
    assert await gateway.find_payment(query) == NotFound(definitive=False)


async def test_a_report_that_is_more_than_a_day_behind_proves_no_absence(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    """It reaches beyond the first call, but not to the repetition that took the money."""
    paypal.turn(reporting_delay_seconds=30 * 3600)
    request = charge_of("wallet-ok")
    await gateway.charge(request)
    first_sent = now() - 32 * HOURS
    query = PaymentQuery(request.attempt_code, created_at=first_sent)
    assert await gateway.find_payment(query) == NotFound(definitive=False)
    assert await gateway.find_payment(replace(query, created_at=None)) == NotFound(definitive=False)
    refund = RefundQuery("unknown", created_at=first_sent)
    assert await gateway.find_refund(refund) == NotFound(definitive=False)

    paypal.turn(reporting_delay_seconds=22 * 3600)
    never = PaymentQuery("never-sent", created_at=first_sent)
    assert await gateway.find_payment(never) == NotFound(definitive=True)


async def test_of_several_charges_one_that_may_still_succeed_is_no_decline(
    gateway: PayPalGateway,
) -> None:
    refused = charge_of("card-5120")
    await gateway.charge(refused)
    again = replace(
        charge_of("wallet-pending"),
        attempt_code=refused.attempt_code,
        idempotency_key=f"{refused.idempotency_key}-2",
    )
    waiting = await gateway.charge(again)
    assert isinstance(waiting, Pending)
    assert await gateway.find_payment(PaymentQuery(refused.attempt_code)) == Found(waiting)


@pytest.mark.parametrize("created", [None, timedelta(0), 3 * DAYS])
async def test_what_was_never_sent_is_not_found(
    gateway: PayPalGateway, created: timedelta | None
) -> None:
    at = now() - created if created is not None else None
    query = PaymentQuery("never-sent", created_at=at)
    assert await gateway.find_payment(query) == NotFound(definitive=True)
    refund = RefundQuery("never-sent", created_at=at)
    assert await gateway.find_refund(refund) == NotFound(definitive=True)


@pytest.mark.parametrize(
    ("token", "kind"),
    [("wallet-pending", Pending), ("card-5120", Declined), ("wallet-ok", Succeeded)],
)
async def test_pending_and_declined_charges_are_found_as_such(
    gateway: PayPalGateway, token: str, kind: type
) -> None:
    request = charge_of(token)
    outcome = await gateway.charge(request)
    assert isinstance(outcome, kind)
    assert await gateway.find_payment(PaymentQuery(request.attempt_code)) == Found(outcome)


@pytest.mark.parametrize("away", [-300 * DAYS, 300 * DAYS])
async def test_in_test_mode_a_clock_of_another_year_hides_no_charge(
    gateway: PayPalGateway, away: timedelta
) -> None:
    request = charge_of("wallet-ok")
    outcome = await gateway.charge(request)
    query = PaymentQuery(request.attempt_code, created_at=now() + away)
    assert await gateway.find_payment(query) == Found(outcome)
    absent = PaymentQuery("never-sent", created_at=now() + away)
    assert await gateway.find_payment(absent) == NotFound(definitive=away < timedelta(0))


@pytest.mark.parametrize(
    ("created", "start", "end"),
    [
        (timedelta(0), -HOURS, HOURS),
        (-5 * HOURS, -6 * HOURS, HOURS),
        (-5 * DAYS, -5 * DAYS - HOURS, -4 * DAYS),
        (None, HOURS - 31 * DAYS, HOURS),
    ],
)
def test_a_live_charge_is_looked_for_where_it_can_have_been_executed(
    created: timedelta | None, start: timedelta, end: timedelta
) -> None:
    clock = ManualClock(now())
    at = clock.at + created if created is not None else None
    window = Search(clock, is_test=False).window(at)
    assert window == TimeWindow(clock.at + start, clock.at + end)


async def test_a_hold_is_found_by_our_code_and_so_is_its_capture(gateway: PayPalGateway) -> None:
    request = held_of("wallet-ok")
    held = await gateway.charge(request)
    assert isinstance(held, Authorized)
    query = PaymentQuery(request.attempt_code)
    assert await gateway.find_payment(query) == Found(held)
    taken = await gateway.capture(capture_of(held.gateway_reference, 700))
    assert await gateway.find_payment(query) == Found(taken)


async def test_without_the_permission_to_search_nothing_is_proved_and_all_else_works(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    paypal.turn(reporting_permitted=False)
    request = charge_of("wallet-ok")
    outcome = await gateway.charge(request)
    query = PaymentQuery(request.attempt_code)
    assert await gateway.find_payment(query) == NotFound(definitive=False)
    with pytest.raises(ListingFailed):
        [one async for one in gateway.list_transactions(lately())]
    assert isinstance(outcome, Succeeded)
    named = PaymentQuery(request.attempt_code, gateway_reference=outcome.gateway_reference)
    assert await gateway.find_payment(named) == Found(outcome)


@pytest.mark.parametrize(
    "fault", ["error_500_before", "timeout_before_effect", "cut_body", "error_429", "garbage"]
)
async def test_a_look_up_that_fails_proves_nothing(paypal: PayPalProcess, fault: str) -> None:
    gateway = paypal.open(total_timeout_seconds=1)
    request = charge_of("wallet-ok")
    outcome = await gateway.charge(request)
    assert isinstance(outcome, Succeeded)
    refund = refund_of(outcome.gateway_reference, 100)
    refunded = await gateway.refund(refund)
    assert isinstance(refunded, Refunded)
    paypal.set_fault(fault, operations=["lookup"])
    looked = [
        await gateway.find_payment(PaymentQuery(request.attempt_code)),
        await gateway.fetch_payment(outcome.gateway_reference),
        await gateway.find_refund(
            RefundQuery(refund.refund_code, payment_reference=outcome.gateway_reference)
        ),
        await gateway.fetch_refund(refunded.gateway_reference),
    ]
    await gateway.aclose()
    assert all(isinstance(one, Inconclusive) for one in looked)


async def test_an_id_of_another_charge_is_not_taken_for_ours(gateway: PayPalGateway) -> None:
    other = await charged(gateway)
    query = PaymentQuery("ours", gateway_reference=other.gateway_reference)
    assert await gateway.find_payment(query) == Inconclusive("answer_for_another_charge")


async def test_an_id_that_is_gone_leaves_the_report(gateway: PayPalGateway) -> None:
    query = PaymentQuery("ours", gateway_reference="GONE")
    assert await gateway.find_payment(query) == NotFound(definitive=True)
    assert await gateway.fetch_payment("GONE") == NotFound(definitive=True)
    assert await gateway.fetch_refund("GONE") == NotFound(definitive=True)


async def test_a_refund_is_found_with_its_payment_at_once_and_else_in_the_report(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    paypal.turn(reporting_delay_seconds=3 * 3600)
    payment = await charged(gateway)
    request = refund_of(payment.gateway_reference, 400)
    await gateway.refund(refund_of(payment.gateway_reference, 100))
    named = RefundQuery(request.refund_code, now(), payment_reference=payment.gateway_reference)
    assert await gateway.find_refund(named) == NotFound(definitive=True)

    outcome = await gateway.refund(request)

    assert await gateway.find_refund(named) == Found(outcome)
    unnamed = RefundQuery(request.refund_code, now())
    assert await gateway.find_refund(unnamed) == NotFound(definitive=False)
    paypal.turn(reporting_delay_seconds=0)
    assert await gateway.find_refund(unnamed) == Found(outcome)


async def test_a_live_refund_is_found_however_late_its_repetition_was_executed(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    payment = await charged(gateway)
    first_sent = now()
    paypal.fake("POST", "clock", {"seconds": 40 * 86_400})
    clock = ManualClock(first_sent + 41 * DAYS)
    live = PayPalGateway(replace(paypal.account(), mode=AccountMode.LIVE), clock)
    request = refund_of(payment.gateway_reference, 400)
    outcome = await live.refund(request)

    found = await live.find_refund(RefundQuery(request.refund_code, created_at=first_sent))
    await live.aclose()

    assert found == Found(outcome)


# ── the list ──────────────────────────────────────────────────────────────────────────────────────


async def test_every_charge_and_refund_is_listed_once(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    start = now()
    paid = charge_of("wallet-ok", 2000)
    payment = await gateway.charge(paid)
    assert isinstance(payment, Succeeded)
    declined, held = charge_of("card-5120"), held_of("wallet-ok")
    await gateway.charge(declined)
    await gateway.charge(held)
    captured = held_of("card-ok", 3000)
    hold_of = await gateway.charge(captured)
    assert isinstance(hold_of, Authorized)
    await gateway.capture(capture_of(hold_of.gateway_reference, 1000))
    refund = refund_of(payment.gateway_reference, 500)
    await gateway.refund(refund)

    listed = [one async for one in gateway.list_transactions(TimeWindow(start, now()))]

    told = {one.our_reference: one for one in listed}
    assert len(told) == len(listed) == 5
    assert (told[paid.attempt_code].status, told[paid.attempt_code].amount_minor) == (
        TransactionStatus.SUCCEEDED,
        2000,
    )
    assert told[paid.attempt_code].reference == payment.gateway_reference
    assert told[paid.attempt_code].fee_minor == 60
    assert told[declined.attempt_code].status is TransactionStatus.FAILED
    assert told[held.attempt_code].status is TransactionStatus.AUTHORIZED
    assert told[held.attempt_code].reference.startswith("authorization:")
    assert told[captured.attempt_code].status is TransactionStatus.SUCCEEDED
    assert told[captured.attempt_code].amount_minor == 1000
    back = told[refund.refund_code]
    assert (back.kind, back.amount_minor) == (TransactionKind.REFUND, 500)
    assert back.payment_reference == payment.gateway_reference


async def test_a_window_of_months_is_asked_for_in_parts_and_pages(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    # One a day for 100 days; pages of seven; a part of 30 days then takes five pages.
    start = (now() - 101 * DAYS).replace(microsecond=0)
    paypal.fake("POST", "rows", {"rows": [row(n, start + n * DAYS) for n in range(100)]})
    paypal.turn(page_max=7)

    listed = [one async for one in gateway.list_transactions(TimeWindow(start, start + 100 * DAYS))]

    assert sorted(one.reference for one in listed) == [f"SEED{n:013d}" for n in range(100)]
    calls = paypal.calls("/v1/reporting")
    assert len({call["query"].partition("&page=")[0] for call in calls}) == 4
    assert len(calls) > 10


async def test_a_window_with_more_than_paypal_reports_is_halved(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    start = (now() - 20 * DAYS).replace(microsecond=0)
    paypal.fake("POST", "rows", {"rows": [row(n, start + n * HOURS) for n in range(100)]})
    paypal.turn(result_max=30)

    listed = [one async for one in gateway.list_transactions(TimeWindow(start, now()))]

    assert len({one.reference for one in listed}) == len(listed) == 100


async def test_more_within_a_minute_than_paypal_reports_is_a_failure_and_no_short_list(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    at = now() - 2 * DAYS
    paypal.fake("POST", "rows", {"rows": [row(n, at) for n in range(10)]})
    paypal.turn(result_max=5)
    with pytest.raises(ListingFailed):
        [one async for one in gateway.list_transactions(TimeWindow(at - HOURS, at + HOURS))]


async def test_windows_are_half_open(gateway: PayPalGateway, paypal: PayPalProcess) -> None:
    at = (now() - 2 * DAYS).replace(microsecond=0)
    paypal.fake("POST", "rows", {"rows": [row(n, at + n * HOURS) for n in range(3)]})
    window = TimeWindow(at, at + 2 * HOURS)
    listed = [one.reference async for one in gateway.list_transactions(window)]
    assert sorted(listed) == [f"SEED{n:013d}" for n in range(2)]


async def test_what_is_neither_charge_nor_refund_is_not_listed(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    at = now() - 2 * DAYS
    others = [
        row(1, at, transaction_event_code="T1201"),  # a chargeback
        row(2, at, transaction_event_code="T0400"),  # a withdrawal
        row(3, at, transaction_amount={"currency_code": "EUR", "value": "-5.00"}),  # paid out
        row(4, at, transaction_event_code="T0200"),  # a conversion
        row(5, at, transaction_status="V"),  # refunded whole
        row(6, at, transaction_id="SEED0000000000005"),  # the same once more
    ]
    paypal.fake("POST", "rows", {"rows": others})
    listed = [one async for one in gateway.list_transactions(TimeWindow(at - HOURS, at + HOURS))]
    [only] = listed
    assert (only.status, only.refunded_minor) == (TransactionStatus.SUCCEEDED, 1000)


@pytest.mark.parametrize("fault", ["error_500_before", "cut_body", "garbage", "error_429"])
async def test_a_list_that_breaks_off_raises(
    gateway: PayPalGateway, paypal: PayPalProcess, fault: str
) -> None:
    at = now() - 20 * DAYS
    paypal.fake("POST", "rows", {"rows": [row(n, at + n * HOURS) for n in range(10)]})
    paypal.turn(page_max=2)
    paypal.set_fault(fault, operations=["lookup"], skip=2)
    with pytest.raises(ListingFailed):
        [one async for one in gateway.list_transactions(TimeWindow(at, now()))]
    paypal.clear_faults()
    for number in range(5):
        paypal.fake("PUT", f"disputes/PP-R-{number}", dispute_of("CAP"))
    paypal.set_fault(fault, operations=["lookup"], skip=3)
    with pytest.raises(ListingFailed):
        [one async for one in gateway.list_disputes(lately())]


# ── disputes ──────────────────────────────────────────────────────────────────────────────────────


def dispute_of(capture: str, **given: Any) -> dict[str, Any]:
    return {
        "disputed_transactions": [{"seller_transaction_id": capture}],
        "reason": "UNAUTHORISED",
        "status": "WAITING_FOR_SELLER_RESPONSE",
        "dispute_amount": {"currency_code": "EUR", "value": "10.00"},
        "dispute_life_cycle_stage": "CHARGEBACK",
        "seller_response_due_date": "2026-12-24T12:00:00.000Z",
    } | given


def moved(value: str, kind: str = "DEBIT", reason: str = "DISPUTE_SETTLEMENT") -> dict[str, Any]:
    return {
        "affected_party": "SELLER",
        "type": kind,
        "reason": reason,
        "amount": {"currency_code": "EUR", "value": value},
    }


async def test_a_dispute_is_told_with_what_paypal_took_for_it(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    payment = await charged(gateway)
    taken = [moved("10.00"), moved("16.00", reason="CHARGEBACK_FEE")]
    opened = dispute_of(payment.gateway_reference, money_movements=taken)
    paypal.fake("PUT", "disputes/PP-D-1", opened)

    found = await gateway.fetch_dispute("PP-D-1")

    assert isinstance(found, Found)
    report = found.outcome
    assert report.payment_reference == payment.gateway_reference
    assert (report.status, report.amount_minor, report.currency) == (
        DisputeStatus.NEEDS_RESPONSE,
        1000,
        "EUR",
    )
    assert (report.withdrawn_minor, report.fee_minor) == (1000, 1600)
    assert report.reason == "unauthorised"
    assert report.evidence_due_by is not None
    assert report.opened_at is not None


@pytest.mark.parametrize(
    ("status", "outcome", "movements", "wanted", "withdrawn"),
    [
        ("OPEN", None, [], DisputeStatus.NEEDS_RESPONSE, 0),
        ("UNDER_REVIEW", None, [moved("10.00")], DisputeStatus.UNDER_REVIEW, 1000),
        ("WAITING_FOR_BUYER_RESPONSE", None, [], DisputeStatus.UNDER_REVIEW, 0),
        ("RESOLVED", "RESOLVED_SELLER_FAVOUR", [], DisputeStatus.WON, 0),
        (
            "RESOLVED",
            "RESOLVED_SELLER_FAVOUR",
            [moved("10.00"), moved("10.00", "CREDIT")],
            DisputeStatus.WON,
            0,
        ),
        ("RESOLVED", "RESOLVED_BUYER_FAVOUR", [], DisputeStatus.LOST, 1000),
        ("RESOLVED", "ACCEPTED", [moved("4.00")], DisputeStatus.LOST, 400),
        ("RESOLVED", "CANCELED_BY_BUYER", [], DisputeStatus.CLOSED, 0),
        ("RESOLVED", "RESOLVED_WITH_PAYOUT", [], DisputeStatus.WON, 0),
        ("RESOLVED", "RESOLVED_WITH_PAYOUT", [moved("10.00")], DisputeStatus.LOST, 1000),
        ("RESOLVED", None, [], DisputeStatus.CLOSED, 0),
    ],
)
async def test_how_a_dispute_stands(
    gateway: PayPalGateway,
    paypal: PayPalProcess,
    status: str,
    outcome: str | None,
    movements: list[dict[str, Any]],
    wanted: DisputeStatus,
    withdrawn: int,
) -> None:
    more: dict[str, Any] = {"money_movements": movements} if movements else {}
    if outcome is not None:
        more["dispute_outcome"] = {"outcome_code": outcome}
    paypal.fake("PUT", "disputes/PP-D-2", dispute_of("CAP", status=status, **more))
    found = await gateway.fetch_dispute("PP-D-2")
    assert isinstance(found, Found)
    assert (found.outcome.status, found.outcome.withdrawn_minor) == (wanted, withdrawn)


async def test_a_lost_dispute_took_what_was_refunded(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    part = {"currency_code": "EUR", "value": "2.50"}
    lost = {"outcome_code": "RESOLVED_BUYER_FAVOUR", "amount_refunded": part}
    paypal.fake("PUT", "disputes/PP-D-3", dispute_of("C", status="RESOLVED", dispute_outcome=lost))
    found = await gateway.fetch_dispute("PP-D-3")
    assert isinstance(found, Found)
    assert found.outcome.withdrawn_minor == 250


@pytest.mark.parametrize(
    ("movements", "withdrawn"),
    [(["DEBIT"], 1000), (["DEBIT", "CREDIT"], 0), (["DEBIT", "CREDIT", "DEBIT"], 1000)],
)
async def test_what_a_dispute_took_in_another_currency_is_all_of_it_or_nothing(
    gateway: PayPalGateway, paypal: PayPalProcess, movements: list[str], withdrawn: int
) -> None:
    dollars = {"currency_code": "USD", "value": "11.20"}
    moves = [moved("0.00", kind) | {"amount": dollars} for kind in movements]
    lost = {"outcome_code": "RESOLVED_BUYER_FAVOUR"}
    opened = dispute_of("C", status="RESOLVED", dispute_outcome=lost, money_movements=moves)
    paypal.fake("PUT", "disputes/PP-D-5", opened)
    found = await gateway.fetch_dispute("PP-D-5")
    assert isinstance(found, Found)
    assert (found.outcome.withdrawn_minor, found.outcome.fee_minor) == (withdrawn, None)


async def test_disputes_changed_in_a_window_are_listed_over_all_pages(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    for number in range(5):
        paypal.fake("PUT", f"disputes/PP-D-{number}", dispute_of(f"CAP{number}"))
    listed = [one async for one in gateway.list_disputes(lately())]
    assert sorted(one.gateway_reference for one in listed) == [f"PP-D-{n}" for n in range(5)]
    assert [
        one async for one in gateway.list_disputes(TimeWindow(now() - 2 * DAYS, now() - DAYS))
    ] == []


async def test_disputes_from_too_long_ago_are_a_failure_and_no_short_list(
    gateway: PayPalGateway,
) -> None:
    with pytest.raises(ListingFailed):
        [one async for one in gateway.list_disputes(TimeWindow(now() - 200 * DAYS, now()))]


async def test_no_such_dispute(gateway: PayPalGateway) -> None:
    assert await gateway.fetch_dispute("PP-D-NONE") == NotFound(definitive=True)


async def test_a_dispute_without_a_payment_says_nothing(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    paypal.fake("PUT", "disputes/PP-D-4", dispute_of("C", disputed_transactions=[{}]))
    assert await gateway.fetch_dispute("PP-D-4") == Inconclusive("unreadable_answer")
