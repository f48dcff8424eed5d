"""Refunds as decisions: reserve first, then ask the gateway, then settle what it answered. What
goes another way than by the gateway is only written down.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from app.domain import balance as balances
from app.domain.balance import Balance
from app.domain.collection import SEND_LEASE
from app.domain.decision import Decision
from app.domain.errors import Conflict, InvalidRequest
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.ledger import Account, Entry, Source, cash, swapped
from app.domain.outcome import (
    NotExecuted,
    RefundDeclined,
    RefundDeclineReason,
    Refunded,
    RefundOutcome,
    RefundPending,
    Unknown,
)
from app.domain.payment import Attempt, Payment
from app.domain.refund import OPEN, Destination, Refund, Status
from app.domain.settling import LOOK_UP_DELAYS, MANUAL_REVIEW, PENDING


def request(  # noqa: PLR0913  what is refunded, why, when, and how things are named
    payment: Payment,
    captured: Attempt,
    amount: int | None,
    reason: str | None,
    now: datetime,
    new_id: NewId,
    name: Callable[[UUID], str],
) -> Decision:
    """Reserve `amount` (None: all that is left) of a payment for a refund about to be sent."""
    amount = _amount(payment, amount)
    refund_id = new_id()
    refund = Refund(
        id=refund_id,
        merchant_id=payment.merchant_id,
        payment_id=payment.id,
        invoice_id=payment.invoice_id,
        gateway_account_id=captured.gateway_account_id,
        status=Status.PROCESSING,
        currency=payment.currency,
        amount=amount,
        reference=name(refund_id),
        created_at=now,
        reason=reason,
        look_up_at=now + SEND_LEASE,
    )
    reserved = replace(
        payment,
        amount_refund_reserved=payment.amount_refund_reserved + amount,
        version=payment.version + 1,
    )
    return Decision(payment.merchant_id, payments=(reserved,), refunds=(refund,))


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A refund that no gateway makes: to the balance, which is locked, or by the merchant's own
    way; `amount` None: all that is left.
    """

    destination: Destination
    balance: Balance
    amount: int | None = None
    reason: str | None = None


def give(
    payment: Payment,
    wanted: Elsewhere,
    now: datetime,
    new_id: NewId,
    name: Callable[[UUID], str],
) -> Decision:
    """Write down a refund that is over with that: it was paid out already, or becomes credit."""
    assert wanted.destination is not Destination.GATEWAY
    amount = _amount(payment, wanted.amount)
    refund_id = new_id()
    refund = Refund(
        id=refund_id,
        merchant_id=payment.merchant_id,
        payment_id=payment.id,
        invoice_id=payment.invoice_id,
        gateway_account_id=None,
        status=Status.SUCCEEDED,
        currency=payment.currency,
        amount=amount,
        reference=name(refund_id),
        created_at=now,
        reason=wanted.reason,
        settled_at=now,
        destination=wanted.destination,
    )
    returned = replace(
        payment,
        amount_refunded=payment.amount_refunded + amount,
        version=payment.version + 1,
    )
    is_credit = wanted.destination is Destination.BALANCE
    kind, about = balances.Type.REFUND, payment.invoice_id
    credit = (balances.move(wanted.balance, amount, about, kind, new_id),) if is_credit else ()
    return Decision(
        refund.merchant_id,
        payments=(returned,),
        refunds=(refund,),
        balances=credit,
        entries=(_entry(refund, new_id),),
        events=(Event(new_id(), Type.REFUND_SUCCEEDED, refund),),
    )


def _entry(refund: Refund, new_id: NewId) -> Entry:
    """What a refund that is over posts."""
    is_credit = refund.destination is Destination.BALANCE
    return Entry(
        new_id(),
        refund.merchant_id,
        Source.REFUND,
        refund.id,
        Account.REFUNDS,
        Account.CUSTOMER_CREDIT if is_credit else cash(refund.gateway_account_id),
        refund.currency,
        refund.amount,
    )


def _amount(payment: Payment, amount: int | None) -> int:
    """What is refunded of a payment; None: all that is left. Raises Conflict, InvalidRequest."""
    left = payment.refundable
    if left <= 0:
        raise Conflict("Nothing of this payment is left to refund.", code="nothing_to_refund")
    amount = left if amount is None else amount
    if not 0 < amount <= left:
        raise InvalidRequest(
            f"Between 1 and {left} of this payment can be refunded.",
            code="refund_exceeds_payment",
            param="amount",
        )
    return amount


def settle(
    refund: Refund, payment: Payment, outcome: RefundOutcome, now: datetime, new_id: NewId
) -> Decision:
    """What follows from `outcome`; nothing when the refund was settled so before."""
    if refund.status not in OPEN:
        return _overturned(refund, payment, outcome, now, new_id)
    match outcome:
        case Refunded():
            if (outcome.amount_minor, outcome.currency) != (refund.amount, refund.currency):
                cause = f"the gateway returned {outcome.amount_minor} {outcome.currency}"
                return _later(refund, MANUAL_REVIEW + cause, now, Status.UNKNOWN, review=True)
            return _refunded(refund, payment, outcome, now, new_id)
        case RefundDeclined():
            return _refused(refund, payment, outcome, now, new_id)
        case RefundPending():
            name = outcome.gateway_reference or refund.gateway_reference
            return _working(replace(refund, gateway_reference=name), now)
        case Unknown():
            return _later(refund, outcome.cause, now, Status.UNKNOWN)
        case NotExecuted():
            return _again_later(refund, outcome, now)


def _again_later(refund: Refund, outcome: NotExecuted, now: datetime) -> Decision:
    """This call did nothing; the refund stands as it stood, and is not tried before it may be."""
    decision = _later(refund, f"not executed: {outcome.cause}", now, refund.status)
    [later] = decision.refunds
    if later.look_up_at is None:
        return decision
    wait = now + timedelta(seconds=outcome.retry_after_seconds or 0)
    return replace(decision, refunds=(replace(later, look_up_at=max(later.look_up_at, wait)),))


def heard(
    refund: Refund, payment: Payment, outcome: RefundOutcome, now: datetime, new_id: NewId
) -> Decision:
    """What follows from an outcome that the gateway told by itself: as from one that was asked for,
    but what is known already is no news, and the look-ups that are left stay as many.
    """
    match outcome:
        case Unknown() | NotExecuted():
            return Decision(refund.merchant_id)
        case RefundPending() if refund.detail == PENDING and refund.status is Status.PROCESSING:
            return Decision(refund.merchant_id)
        case RefundPending():
            decision = settle(refund, payment, outcome, now, new_id)
            asked = tuple(
                replace(each, look_ups=refund.look_ups, look_up_at=refund.look_up_at)
                for each in decision.refunds
            )
            return replace(decision, refunds=asked)
        case _:
            return settle(refund, payment, outcome, now, new_id)


def look_again(
    refund: Refund, detail: str, now: datetime, until: datetime | None = None
) -> Decision:
    """Nothing was learned: ask again later, or hand it to a person after the last time. Nothing
    follows where it is over by now: looked for again, it might be sent again.

    There is something to learn at `until`: it is not given to a person before.
    """
    if refund.status not in OPEN:
        return Decision(refund.merchant_id)
    return _later(refund, detail, now, refund.status, until=until)


def hand_over(refund: Refund, cause: str) -> Decision:
    """It is still on its way, and only a person can say what becomes of it: no more look-ups."""
    if refund.status not in OPEN:
        return Decision(refund.merchant_id)
    noted = replace(
        refund, detail=MANUAL_REVIEW + cause, look_up_at=None, version=refund.version + 1
    )
    return Decision(refund.merchant_id, refunds=(noted,))


def review(refund: Refund, cause: str) -> Decision:
    """A person has to look at the refund; its status stays. Once is enough."""
    if (refund.detail or "").startswith(MANUAL_REVIEW):
        return Decision(refund.merchant_id)
    noted = replace(refund, detail=MANUAL_REVIEW + cause, version=refund.version + 1)
    return Decision(refund.merchant_id, refunds=(noted,))


def closed_by_hand(refund: Refund, payment: Payment, now: datetime, new_id: NewId) -> Decision:
    """A person says that it was never executed: what it had reserved can be refunded again.

    Should money have gone back all the same, its news is heard as ever (see `settle`).
    """
    assert refund.status in OPEN, "what is settled stays so"
    never = RefundDeclined(RefundDeclineReason.GENERIC, "not executed, as a person says")
    return _refused(refund, payment, never, now, new_id)


def _working(refund: Refund, now: datetime) -> Decision:
    """The gateway has it: it is asked for until it is decided, however often that is."""
    place = min(refund.look_ups, len(LOOK_UP_DELAYS) - 1)
    known = replace(
        refund,
        status=Status.PROCESSING,
        detail=PENDING,
        look_ups=refund.look_ups + 1,
        look_up_at=now + LOOK_UP_DELAYS[place],
        version=refund.version + 1,
    )
    return Decision(refund.merchant_id, refunds=(known,))


def _refunded(
    refund: Refund, payment: Payment, outcome: Refunded, now: datetime, new_id: NewId
) -> Decision:
    done = replace(
        refund,
        status=Status.SUCCEEDED,
        gateway_reference=outcome.gateway_reference,
        detail=None,
        look_up_at=None,
        settled_at=now,
        version=refund.version + 1,
    )
    returned = replace(
        payment,
        amount_refunded=payment.amount_refunded + refund.amount,
        amount_refund_reserved=payment.amount_refund_reserved - refund.amount,
        version=payment.version + 1,
    )
    return Decision(
        refund.merchant_id,
        payments=(returned,),
        refunds=(done,),
        entries=(_entry(refund, new_id),),
        events=(Event(new_id(), Type.REFUND_SUCCEEDED, done),),
    )


def _overturned(
    refund: Refund, payment: Payment, outcome: RefundOutcome, now: datetime, new_id: NewId
) -> Decision:
    """What follows where the gateway says another thing of this very refund than it did before."""
    nothing, known = Decision(refund.merchant_id), refund.gateway_reference
    match refund.status, outcome:
        case Status.SUCCEEDED, RefundDeclined(gateway_reference=str(name)) if name == known:
            return _sent_back(refund, payment, outcome, now, new_id)
        case Status.FAILED, Refunded(gateway_reference=name) if known in (None, name):
            is_all = (outcome.amount_minor, outcome.currency) == (refund.amount, refund.currency)
            if not is_all or payment.refundable < refund.amount:
                return nothing
            reserved = payment.amount_refund_reserved + refund.amount
            payment = replace(payment, amount_refund_reserved=reserved)
            before = {"status": refund.status, "failure_code": refund.failure_code}
            decision = _refunded(replace(refund, failure_code=None), payment, outcome, now, new_id)
            [told] = decision.events
            return replace(decision, events=(replace(told, previous=before),))
        case _:
            return nothing


def _sent_back(
    refund: Refund, payment: Payment, outcome: RefundDeclined, now: datetime, new_id: NewId
) -> Decision:
    """The money is at the gateway again, weeks after it left: as if the refund had been refused.

    What a credit note says of it stays: that much is still owed to the customer, by another way.
    """
    failed = replace(
        refund,
        status=Status.FAILED,
        failure_code=outcome.reason,
        detail=outcome.gateway_code,
        settled_at=now,
        version=refund.version + 1,
    )
    kept = replace(
        payment,
        amount_refunded=payment.amount_refunded - refund.amount,
        version=payment.version + 1,
    )
    before = {"status": refund.status, "failure_code": None, "settled_at": refund.settled_at}
    return Decision(
        refund.merchant_id,
        payments=(kept,),
        refunds=(failed,),
        entries=(swapped(_entry(refund, new_id)),),
        events=(Event(new_id(), Type.REFUND_FAILED, failed, before),),
    )


def _refused(
    refund: Refund, payment: Payment, outcome: RefundDeclined, now: datetime, new_id: NewId
) -> Decision:
    failed = replace(
        refund,
        status=Status.FAILED,
        gateway_reference=outcome.gateway_reference or refund.gateway_reference,
        failure_code=outcome.reason,
        detail=outcome.gateway_code,
        look_up_at=None,
        settled_at=now,
        version=refund.version + 1,
    )
    released = replace(
        payment,
        amount_refund_reserved=payment.amount_refund_reserved - refund.amount,
        version=payment.version + 1,
    )
    return Decision(
        refund.merchant_id,
        payments=(released,),
        refunds=(failed,),
        events=(Event(new_id(), Type.REFUND_FAILED, failed),),
    )


def _later(
    refund: Refund,
    detail: str,
    now: datetime,
    status: Status,
    *,
    review: bool = False,
    until: datetime | None = None,
) -> Decision:
    at = until if until is not None and until > now else None
    if refund.look_ups < len(LOOK_UP_DELAYS):
        at = now + LOOK_UP_DELAYS[refund.look_ups]
    if review:
        at = None
    is_said = detail.startswith(MANUAL_REVIEW) or at is not None
    later = replace(
        refund,
        status=status,
        detail=detail if is_said else MANUAL_REVIEW + detail,
        look_ups=refund.look_ups + 1,
        look_up_at=at,
        version=refund.version + 1,
    )
    return Decision(refund.merchant_id, refunds=(later,))
