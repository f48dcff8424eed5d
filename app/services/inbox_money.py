"""Events about charges and refunds: fetched as they stand now, and settled like any answer."""

from dataclasses import replace
from datetime import datetime

from app.db import inbox_subjects
from app.db.inbox import Claimed
from app.domain.inbox import Again, Ignored, Orphaned, Reason, Settled, Verdict
from app.domain.outcome import (
    Authorized,
    Found,
    Inconclusive,
    NotFound,
    Outcome,
    PaymentLookup,
    Pending,
    RefundDeclined,
    Refunded,
    RefundLookup,
    RefundOutcome,
    RefundPending,
    Succeeded,
)
from app.domain.payment import IN_FLIGHT, Attempt
from app.domain.refund import Refund
from app.domain.refund import Status as RefundStatus
from app.gateways.base import Gateway
from app.gateways.requests import PaymentQuery, RefundQuery
from app.runtime import Runtime
from app.services import look_ups, payments, refund_calls


async def settle_payment(rt: Runtime, gateway: Gateway, claimed: Claimed) -> Verdict:
    """A charge at the gateway, as it stands now, is its attempt's outcome."""
    found = await _fetch_payment(gateway, claimed)
    match found:
        case Inconclusive():
            return Again(found.cause)
        case NotFound():
            return Again("the gateway does not know it", is_absent=True)
        case Found():
            pass
    ours = found.reference or claimed.event.our_reference
    known = await _attempt(rt, claimed, ours)
    if known is None:
        return _stray_payment(found.outcome, ours)
    attempt, now = known
    if found.reference is not None and found.reference != attempt.reference:
        return Again(f"the gateway says it is {found.reference}'s, we that it is ours")
    outcome = found.outcome
    if isinstance(outcome, Authorized) and attempt.status in IN_FLIGHT:
        outcome = await look_ups.take(rt, gateway, attempt, outcome, now)
    await payments.settle_all(rt, [(attempt, outcome)], now, heard=True)
    return _second_capture(attempt, outcome) or Settled()


async def settle_refund(rt: Runtime, gateway: Gateway, claimed: Claimed) -> Verdict:
    """A refund at the gateway, as it stands now, is the outcome of ours."""
    found = await _fetch_refund(gateway, claimed)
    match found:
        case Inconclusive():
            return Again(found.cause)
        case NotFound():
            return Again("the gateway does not know it", is_absent=True)
        case Found():
            pass
    ours = found.reference or claimed.event.our_reference
    known = await _refund(rt, claimed, ours)
    if known is None:
        return _stray_refund(found.outcome, ours)
    refund, now = known
    if found.reference is not None and found.reference != refund.reference:
        return Again(f"the gateway says it is {found.reference}'s, we that it is ours")
    outcome = found.outcome
    if isinstance(outcome, RefundDeclined) and outcome.gateway_reference is None:
        outcome = replace(outcome, gateway_reference=claimed.event.reference)
    after = await refund_calls.settle(rt, refund, outcome, now, heard=True)
    return _contradiction(after, outcome) or Settled()


async def _fetch_payment(gateway: Gateway, claimed: Claimed) -> PaymentLookup:
    event = claimed.event
    if event.reference is not None:
        return await gateway.fetch_payment(event.reference)
    assert event.our_reference is not None, "an event without a subject is never claimed"
    return await gateway.find_payment(PaymentQuery(event.our_reference))


async def _fetch_refund(gateway: Gateway, claimed: Claimed) -> RefundLookup:
    event = claimed.event
    if event.reference is not None:
        return await gateway.fetch_refund(event.reference, event.payment_reference)
    assert event.our_reference is not None, "an event without a subject is never claimed"
    query = RefundQuery(event.our_reference, payment_reference=event.payment_reference)
    return await gateway.find_refund(query)


async def _attempt(
    rt: Runtime, claimed: Claimed, ours: str | None
) -> tuple[Attempt, datetime] | None:
    account = claimed.account["gateway_account_id"]
    async with rt.db.begin_system() as tx:
        found = await inbox_subjects.attempt_of(
            tx, claimed.merchant_id, account, ours, claimed.event.reference
        )
    return None if found is None else (found[0], found[1] or rt.clock.now())


async def _refund(
    rt: Runtime, claimed: Claimed, ours: str | None
) -> tuple[Refund, datetime] | None:
    account = claimed.account["gateway_account_id"]
    async with rt.db.begin_system() as tx:
        found = await inbox_subjects.refund_of(
            tx, claimed.merchant_id, account, ours, claimed.event.reference
        )
    return None if found is None else (found[0], found[1] or rt.clock.now())


def _second_capture(attempt: Attempt, outcome: Outcome) -> Orphaned | None:
    """Money that moved for an attempt which was closed, or which other money had moved for."""
    if attempt.status in IN_FLIGHT or not isinstance(outcome, Succeeded):
        return None
    if attempt.gateway_reference == outcome.gateway_reference and attempt.status == "succeeded":
        return None
    return Orphaned(
        Reason.CAPTURED_AGAIN,
        f"{outcome.amount_minor} {outcome.currency} as {outcome.gateway_reference}, "
        f"for an attempt that is {attempt.status}",
    )


def _contradiction(refund: Refund, outcome: RefundOutcome) -> Orphaned | None:
    """What the gateway says of a refund, where our books cannot say the same."""
    match refund.status, outcome:
        case RefundStatus.SUCCEEDED, RefundDeclined(gateway_reference=None, gateway_code=code):
            cause = f"it came back: {code}"
        case RefundStatus.SUCCEEDED, Refunded(gateway_reference=other) if (
            other != refund.gateway_reference
        ):
            cause = f"{outcome.amount_minor} {outcome.currency} went out again, as {other}"
        case RefundStatus.FAILED, Refunded():
            cause = f"{outcome.amount_minor} {outcome.currency} went out after it had failed here"
        case _:
            return None
    return Orphaned(Reason.REFUNDED_OTHERWISE, cause)


def _stray_payment(outcome: Outcome, ours: str | None) -> Verdict:
    match outcome:
        case Succeeded() | Authorized():
            reason = Reason.FOREIGN if ours is None else Reason.UNKNOWN_REFERENCE
            word = "captured" if isinstance(outcome, Succeeded) else "held"
            return Orphaned(reason, f"{word} {outcome.amount_minor} {outcome.currency}")
        case Pending():
            return Again("it is not ours, and not decided yet")
        case _:
            return Ignored(Reason.NOT_OURS)


def _stray_refund(outcome: RefundOutcome, ours: str | None) -> Verdict:
    match outcome:
        case Refunded():
            reason = Reason.FOREIGN if ours is None else Reason.UNKNOWN_REFERENCE
            return Orphaned(reason, f"refunded {outcome.amount_minor} {outcome.currency}")
        case RefundPending():
            return Again("it is not ours, and not decided yet")
        case _:
            return Ignored(Reason.NOT_OURS)
