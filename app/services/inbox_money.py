"""Events about charges and refunds: fetched as they stand now, and settled like any answer."""

from dataclasses import replace
from datetime import datetime

from app.db import inbox_subjects, reconciliations
from app.db import payments as payment_rows
from app.db.inbox import Claimed
from app.domain import reconciling
from app.domain.inbox import Again, Ignored, Orphaned, Reason, Settled, Verdict
from app.domain.outcome import (
    Authorized,
    Declined,
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
    Voided,
)
from app.domain.payment import IN_FLIGHT, Attempt, AttemptStatus
from app.domain.reconciling import Kind
from app.domain.refund import Refund
from app.domain.refund import Status as RefundStatus
from app.gateways.base import Gateway
from app.gateways.requests import PaymentQuery, RefundQuery
from app.runtime import Runtime
from app.services import differences, look_ups, payments, refund_calls


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
    is_named = claimed.event.reference in (None, attempt.gateway_reference)
    if found.reference not in (None, attempt.reference) and not is_named:
        return Again(f"the gateway says it is {found.reference}'s, we that it is ours")
    outcome = found.outcome
    if isinstance(outcome, Authorized) and attempt.status in IN_FLIGHT:
        outcome = await look_ups.take(rt, gateway, attempt, outcome, now)
    await payments.settle_all(rt, [(attempt, outcome)], now, heard=True)
    fresh = await _attempt(rt, claimed, attempt.reference)
    assert fresh is not None, "attempts are never deleted"
    if found.others:
        await look_ups.review(rt, attempt, f"the gateway has it more than once: {found.others}")
        await differences.charged_again(rt, gateway, attempt, found.others)
        return Orphaned(Reason.CAPTURED_AGAIN, f"also as {', '.join(found.others)}")
    return await _otherwise(rt, fresh[0], outcome) or Settled()


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
        return await _stray_refund(rt, claimed, found.outcome, ours)
    refund, now = known
    is_named = claimed.event.reference in (None, refund.gateway_reference)
    if found.reference not in (None, refund.reference) and not is_named:
        return Again(f"the gateway says it is {found.reference}'s, we that it is ours")
    outcome = found.outcome
    if isinstance(outcome, RefundDeclined) and outcome.gateway_reference is None:
        outcome = replace(outcome, gateway_reference=claimed.event.reference)
    after = await refund_calls.settle(rt, refund, outcome, now, heard=True)
    if found.others:
        cause = f"the gateway has it more than once: {found.others}"
        await refund_calls.review(rt, refund, cause, now)
        paid = claimed.event.payment_reference
        await differences.refunded_again(rt, gateway, refund, paid, found.others)
        return Orphaned(Reason.REFUNDED_OTHERWISE, f"also as {', '.join(found.others)}")
    contradiction = _contradiction(after, outcome)
    if contradiction is None:
        return Settled()
    await refund_calls.review(rt, refund, contradiction.detail, now)
    if after.status is RefundStatus.SUCCEEDED and isinstance(outcome, Refunded):
        again = reconciling.money_back(outcome, refund.reference, refund.payment_id)
        place = claimed.merchant_id, claimed.account["gateway_account_id"]
        await differences.noticed(rt, place, [again])
    return contradiction


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


async def _otherwise(rt: Runtime, attempt: Attempt, outcome: Outcome) -> Orphaned | None:
    """What the gateway has of a settled attempt that our books have not, or the other way about."""
    place = attempt.merchant_id, attempt.gateway_account_id
    is_paid, known = attempt.status is AttemptStatus.SUCCEEDED, attempt.gateway_reference
    match outcome:
        case Succeeded(gateway_reference=other) if attempt.status not in IN_FLIGHT and not (
            is_paid and other == known
        ):
            kind = Kind.CHARGED_TWICE if is_paid else Kind.CHARGE_AFTER_CLOSING
            await differences.noticed(rt, place, [reconciling.money_of(kind, attempt, outcome)])
            moved = f"{outcome.amount_minor} {outcome.currency} as {other}"
            return Orphaned(
                Reason.CAPTURED_AGAIN, f"{moved}, for an attempt that is {attempt.status}"
            )
        case Voided(gateway_reference=name) | Declined(gateway_reference=name) if (
            is_paid and name in (None, known)
        ):
            async with rt.db.begin(attempt.merchant_id) as tx:
                payment = await payment_rows.lock(tx, attempt.payment_id)
            if not payment.refundable:
                return None  # it went back by a refund of ours, which some gateways make of a void
            await look_ups.review(rt, attempt, "the gateway has let go of the money")
            await differences.noticed(rt, place, [reconciling.undone(attempt)])
            return Orphaned(
                Reason.UNDONE_THERE, f"{attempt.amount} {attempt.currency} are not taken any more"
            )
        case _:
            return None


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


async def _stray_refund(
    rt: Runtime, claimed: Claimed, outcome: RefundOutcome, ours: str | None
) -> Verdict:
    """A refund that nobody here asked for: of a payment of ours it is told at once."""
    match outcome:
        case Refunded():
            place = claimed.merchant_id, claimed.account["gateway_account_id"]
            paid = claimed.event.payment_reference
            async with rt.db.begin_system() as tx:
                repairs = map(payments.reference, await reconciliations.given_back(tx, place))
                if ours is not None and ours in repairs:
                    return Settled("a difference was repaired by it")
                of = await inbox_subjects.attempt_of(tx, *place, None, paid) if paid else None
            if of is not None:
                back = reconciling.money_back(outcome, ours, of[0].payment_id)
                await differences.noticed(rt, place, [back])
            reason = Reason.FOREIGN if ours is None else Reason.UNKNOWN_REFERENCE
            return Orphaned(reason, f"refunded {outcome.amount_minor} {outcome.currency}")
        case RefundPending():
            return Again("it is not ours, and not decided yet")
        case _:
            return Ignored(Reason.NOT_OURS)
