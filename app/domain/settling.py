"""What an answer of a gateway makes of the attempt that was sent, its payment and its invoice.

The synchronous answer, the look-up of a lost one and, later, a webhook all bring an `Outcome`;
what was settled already is left alone, so any of them may come twice and in any order.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from app.domain import invoice as invoices
from app.domain.collection import (
    PAYABLE,
    Bill,
    of_the_rest,
    told_of_paying,
    with_subscriptions,
)
from app.domain.decision import Decision
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.ledger import Account, Entry, Source, cash
from app.domain.outcome import (
    Authorized,
    Declined,
    NotExecuted,
    Outcome,
    Pending,
    RequiresAction,
    Succeeded,
    Unknown,
    Voided,
)
from app.domain.payment import (
    CAPTURED_AFTER_CLOSING,
    IN_FLIGHT,
    RETRYABLE,
    Attempt,
    AttemptStatus,
    Payment,
    Status,
)

LOOK_UP_DELAYS: Final = tuple(
    timedelta(seconds=s) for s in (30, 120, 600, 3600, 3600, 3600, 21600, 21600, 86400, 86400)
)
"""When to ask about an outcome that is not known yet; after the last a person has to look. What the
gateway says it is still working on is asked for at the last of these intervals from then on.
"""
EXPECTED_MAX: Final = timedelta(days=7)
"""A gateway that promises an answer later than this is asked before."""
MANUAL_REVIEW: Final = "manual_review: "
CAPTURED_AS: Final = "captured as "
"""How the review of money begins that came for an attempt which was closed."""
PENDING: Final = "the gateway is processing it"
HELD: Final = "the money is held, to be captured"
Open: TypeAlias = Authorized | Pending | RequiresAction | Unknown | NotExecuted
"""The outcomes that leave an attempt in flight."""


def settle(bill: Bill, outcome: Outcome, now: datetime, new_id: NewId) -> Decision:
    """What follows from `outcome`; nothing when the attempt was settled before.

    Unless money moved although it was closed: that is never passed over, a person has to look.
    """
    attempt = bill.attempt
    assert attempt is not None
    if attempt.status not in IN_FLIGHT:
        if not isinstance(outcome, Succeeded) or _is_known(attempt, outcome):
            return Decision(attempt.merchant_id)
        decision = review(attempt, f"{CAPTURED_AS}{outcome.gateway_reference} after it was closed")
        return replace(decision, payments=_held_back(bill))
    match outcome:
        case Succeeded():
            if (outcome.amount_minor, outcome.currency) != (attempt.amount, attempt.currency):
                cause = f"the gateway took {outcome.amount_minor} {outcome.currency}"
                return _unclear(bill, attempt, cause, now, new_id, review=True)
            return _succeeded(bill, attempt, outcome, now, new_id)
        case Declined():
            return _declined(bill, attempt, outcome, now, new_id)
        case Voided():
            return _given_up(bill, attempt, outcome, now, new_id)
        case _:
            return _not_over(bill, attempt, outcome, now, new_id)


def _held_back(bill: Bill) -> tuple[Payment, ...]:
    """The payment, which is tried no more by itself: money has come that may be what is owed."""
    is_held = bill.payment.failure_code == CAPTURED_AFTER_CLOSING
    if is_held or bill.payment.status not in RETRYABLE:
        return ()
    waiting = replace(
        bill.payment,
        status=Status.REQUIRES_PAYMENT_METHOD,
        due_at=None,
        postponed_reason=None,
        failure_code=CAPTURED_AFTER_CLOSING,
        version=bill.payment.version + 1,
    )
    return (waiting,)


def heard(bill: Bill, outcome: Outcome, now: datetime, new_id: NewId) -> Decision:
    """What follows from an outcome that the gateway told by itself: as from one that was asked for,
    but what is known already is no news, and the look-ups that are left stay as many.
    """
    attempt = bill.attempt
    assert attempt is not None
    if attempt.status in IN_FLIGHT and not _is_news(bill, attempt, outcome):
        return Decision(attempt.merchant_id)
    decision = settle(bill, outcome, now, new_id)
    asked = tuple(
        replace(each, look_ups=attempt.look_ups, look_up_at=attempt.look_up_at)
        if isinstance(outcome, Authorized | Pending | RequiresAction) and each.look_up_at
        else each
        for each in decision.attempts
    )
    return replace(decision, attempts=asked)


def _is_news(bill: Bill, attempt: Attempt, outcome: Outcome) -> bool:
    match outcome:
        case Pending():
            return attempt.detail != PENDING or bill.payment.status is not Status.PROCESSING
        case Authorized():
            return attempt.detail != HELD or bill.payment.status is not Status.PROCESSING
        case RequiresAction():
            return attempt.status is not AttemptStatus.REQUIRES_ACTION
        case Unknown() | NotExecuted():
            return False
        case _:
            return True


def _not_over(
    bill: Bill, attempt: Attempt, outcome: Open, now: datetime, new_id: NewId
) -> Decision:
    match outcome:
        case Authorized():
            return _held(bill, attempt, outcome, now, new_id)
        case RequiresAction():
            return _requires_action(bill, attempt, outcome, now, new_id)
        case Pending():
            return _pending(bill, attempt, outcome, now, new_id)
        case Unknown():
            known = replace(
                attempt, gateway_reference=attempt.gateway_reference or outcome.gateway_reference
            )
            return _unclear(bill, known, outcome.cause, now, new_id)
        case NotExecuted():
            return _again_later(attempt, outcome, now)


def never_executed(bill: Bill, now: datetime) -> Decision:
    """The gateway provably never took the attempt: it is closed, and the payment is due again."""
    attempt, payment = bill.attempt, bill.payment
    assert attempt is not None
    assert attempt.gateway_reference is None, "what the gateway has named was executed"
    closed = replace(
        attempt,
        status=AttemptStatus.CANCELED,
        detail="not executed, as the gateway's own books say",
        look_up_at=None,
        settled_at=now,
        version=attempt.version + 1,
    )
    due = replace(payment, status=Status.SCHEDULED, due_at=now, version=payment.version + 1)
    if attempt.void_wanted_at is not None:
        due = replace(due, status=Status.REQUIRES_PAYMENT_METHOD, due_at=None)
    return Decision(payment.merchant_id, payments=(due,), attempts=(closed,))


def look_again(
    attempt: Attempt, detail: str, now: datetime, until: datetime | None = None
) -> Decision:
    """Nothing was learned: ask again later, or hand it to a person after the last time.

    There is something to learn at `until`: it is not given to a person before.
    """
    return Decision(attempt.merchant_id, attempts=(_later(attempt, detail, now, until),))


def hand_over(attempt: Attempt, cause: str) -> Decision:
    """It is still in flight, and only a person can say what becomes of it: no more look-ups."""
    [noted] = review(attempt, cause).attempts or (replace(attempt, version=attempt.version + 1),)
    return Decision(attempt.merchant_id, attempts=(replace(noted, look_up_at=None),))


def review(attempt: Attempt, cause: str) -> Decision:
    """A person has to look at the attempt; its status stays. Once is enough."""
    if (attempt.detail or "").startswith(MANUAL_REVIEW):
        return Decision(attempt.merchant_id)
    noted = replace(attempt, detail=MANUAL_REVIEW + cause, version=attempt.version + 1)
    return Decision(attempt.merchant_id, attempts=(noted,))


def closed_by_hand(bill: Bill, now: datetime, new_id: NewId) -> Decision:
    """A person says that it was never executed: it is closed, and the payment waits to be retried.

    Should money have moved all the same, its news is still told to a person (see `settle`).
    """
    attempt, payment = bill.attempt, bill.payment
    assert attempt is not None
    assert attempt.status in IN_FLIGHT, "what is settled stays so"
    closed = replace(
        attempt,
        status=AttemptStatus.CANCELED,
        detail="not executed, as a person says",
        look_up_at=None,
        settled_at=now,
        version=attempt.version + 1,
    )
    waiting = replace(
        payment,
        status=Status.REQUIRES_PAYMENT_METHOD,
        amount=bill.asked,
        due_at=None,
        action_url=None,
        version=payment.version + 1,
    )
    return _moved(waiting, closed, Type.PAYMENT_VOIDED, new_id)


def _is_known(attempt: Attempt, captured: Succeeded) -> bool:
    settled = attempt.status is AttemptStatus.SUCCEEDED
    return settled and attempt.gateway_reference == captured.gateway_reference


def _succeeded(
    bill: Bill, attempt: Attempt, outcome: Succeeded, now: datetime, new_id: NewId
) -> Decision:
    if bill.invoice.status not in PAYABLE:
        cause = f"captured although the invoice is {bill.invoice.status}"
        known = replace(attempt, gateway_reference=outcome.gateway_reference)
        return _unclear(bill, known, cause, now, new_id, review=True)
    done = replace(
        attempt,
        status=AttemptStatus.SUCCEEDED,
        gateway_reference=outcome.gateway_reference,
        network_transaction_id=outcome.network_transaction_id or attempt.network_transaction_id,
        fee=outcome.fee_minor,
        detail=None,
        look_up_at=None,
        settled_at=now,
        version=attempt.version + 1,
    )
    payment = replace(
        bill.payment,
        status=Status.SUCCEEDED,
        amount_captured=attempt.amount,
        due_at=None,
        action_url=None,
        succeeded_at=now,
        version=bill.payment.version + 1,
    )
    invoice = invoices.pay(bill.invoice, attempt.amount, now)
    account, owed = cash(attempt.gateway_account_id), invoices.owed_on(bill.invoice)
    entries = [_entry(payment, account, owed, payment.amount, new_id)]
    if outcome.fee_minor:
        entries.append(_entry(payment, Account.GATEWAY_FEES, account, outcome.fee_minor, new_id))
    events = [
        Event(new_id(), Type.PAYMENT_SUCCEEDED, payment),
        told_of_paying(invoice, new_id),
    ]
    decision = Decision(
        payment.merchant_id,
        invoices=(invoice,),
        payments=(payment, *of_the_rest(invoice, attempt.payment_method_id, now, new_id)),
        attempts=(done,),
        entries=tuple(entries),
        events=tuple(events),
    )
    if invoice.status in PAYABLE:
        return decision
    return with_subscriptions(decision, invoice, bill.subscriptions, new_id)


def _declined(
    bill: Bill, attempt: Attempt, outcome: Declined, now: datetime, new_id: NewId
) -> Decision:
    info = outcome.info
    failed = replace(
        attempt,
        status=AttemptStatus.FAILED,
        gateway_reference=outcome.gateway_reference or attempt.gateway_reference,
        network_transaction_id=outcome.network_transaction_id,
        failure_code=info.reason,
        failure_category=info.category,
        gateway_code=info.gateway_code,
        decline=info,
        detail=None,
        look_up_at=None,
        settled_at=now,
        version=attempt.version + 1,
    )
    payment = replace(
        bill.payment,
        status=Status.REQUIRES_PAYMENT_METHOD,
        amount=bill.asked,
        due_at=None,
        action_url=None,
        failure_code=info.reason,
        failure_category=info.category,
        version=bill.payment.version + 1,
    )
    events = [
        Event(new_id(), Type.PAYMENT_FAILED, payment),
        Event(new_id(), Type.INVOICE_PAYMENT_FAILED, bill.invoice),
    ]
    decision = Decision(
        payment.merchant_id, payments=(payment,), attempts=(failed,), events=tuple(events)
    )
    return with_subscriptions(decision, bill.invoice, bill.subscriptions, new_id)


def _given_up(
    bill: Bill, attempt: Attempt, outcome: Voided, now: datetime, new_id: NewId
) -> Decision:
    """Nothing moved and nothing will: the attempt is closed, the payment waits to be retried."""
    closed = replace(
        attempt,
        status=AttemptStatus.CANCELED,
        gateway_reference=attempt.gateway_reference or outcome.gateway_reference,
        detail="given up before any money moved",
        look_up_at=None,
        settled_at=now,
        version=attempt.version + 1,
    )
    waiting = replace(
        bill.payment,
        status=Status.REQUIRES_PAYMENT_METHOD,
        amount=bill.asked,
        due_at=None,
        action_url=None,
        version=bill.payment.version + 1,
    )
    return _moved(waiting, closed, Type.PAYMENT_VOIDED, new_id)


def _requires_action(
    bill: Bill, attempt: Attempt, outcome: RequiresAction, now: datetime, new_id: NewId
) -> Decision:
    waiting = replace(
        _later(attempt, "the customer must act", now),
        status=AttemptStatus.REQUIRES_ACTION,
        gateway_reference=outcome.gateway_reference or attempt.gateway_reference,
    )
    if bill.payment.status is Status.REQUIRES_ACTION:
        return Decision(attempt.merchant_id, attempts=(waiting,))
    payment = replace(
        bill.payment,
        status=Status.REQUIRES_ACTION,
        action_url=outcome.action_url,
        due_at=None,
        version=bill.payment.version + 1,
    )
    return _moved(payment, waiting, Type.PAYMENT_ACTION_REQUIRED, new_id)


def _held(
    bill: Bill, attempt: Attempt, outcome: Authorized, now: datetime, new_id: NewId
) -> Decision:
    """Our charges take money at once; whatever is only held is captured by the next look-up."""
    if (outcome.amount_minor, outcome.currency) != (attempt.amount, attempt.currency):
        cause = f"the gateway holds {outcome.amount_minor} {outcome.currency}"
        return _unclear(bill, attempt, cause, now, new_id, review=True)
    known = replace(
        attempt,
        gateway_reference=outcome.gateway_reference,
        network_transaction_id=outcome.network_transaction_id or attempt.network_transaction_id,
    )
    return _taken(bill, _working(known, HELD, now), attempt.detail, new_id)


def _pending(
    bill: Bill, attempt: Attempt, outcome: Pending, now: datetime, new_id: NewId
) -> Decision:
    known = replace(
        attempt,
        gateway_reference=outcome.gateway_reference or attempt.gateway_reference,
        network_transaction_id=outcome.network_transaction_id or attempt.network_transaction_id,
    )
    known = _working(known, PENDING, now)
    if outcome.expected_by is not None and known.look_up_at is not None:
        expected = min(outcome.expected_by, now + EXPECTED_MAX)
        known = replace(known, look_up_at=max(known.look_up_at, expected))
    return _taken(bill, known, attempt.detail, new_id)


def _working(attempt: Attempt, detail: str, now: datetime) -> Attempt:
    """The gateway has it: it is asked for until it is decided, however often that is."""
    place = min(attempt.look_ups, len(LOOK_UP_DELAYS) - 1)
    return replace(
        attempt,
        status=AttemptStatus.PROCESSING,
        detail=detail,
        look_ups=attempt.look_ups + 1,
        look_up_at=now + LOOK_UP_DELAYS[place],
        version=attempt.version + 1,
    )


def _taken(bill: Bill, known: Attempt, before: str | None, new_id: NewId) -> Decision:
    """The gateway has it, and it is not decided yet; told once."""
    if known.detail == before and bill.payment.status is Status.PROCESSING:
        return Decision(known.merchant_id, attempts=(known,))
    payment = replace(
        bill.payment, status=Status.PROCESSING, due_at=None, version=bill.payment.version + 1
    )
    return _moved(payment, known, Type.PAYMENT_PROCESSING, new_id)


def _unclear(
    bill: Bill, attempt: Attempt, cause: str, now: datetime, new_id: NewId, *, review: bool = False
) -> Decision:
    unknown = replace(_later(attempt, cause, now), status=AttemptStatus.UNKNOWN)
    if review:
        unknown = replace(unknown, detail=MANUAL_REVIEW + cause, look_up_at=None)
    if bill.payment.status is Status.UNKNOWN:
        return Decision(attempt.merchant_id, attempts=(unknown,))
    payment = replace(
        bill.payment, status=Status.UNKNOWN, due_at=None, version=bill.payment.version + 1
    )
    return _moved(payment, unknown, Type.PAYMENT_UNKNOWN, new_id)


def _again_later(attempt: Attempt, outcome: NotExecuted, now: datetime) -> Decision:
    """This call did nothing; the attempt stands as it stood, to be sent again with its key."""
    later = _later(attempt, f"not executed: {outcome.cause}", now)
    if later.look_up_at is not None:
        wait = now + timedelta(seconds=outcome.retry_after_seconds or 0)
        later = replace(later, look_up_at=max(later.look_up_at, wait))
    return Decision(attempt.merchant_id, attempts=(later,))


def _later(attempt: Attempt, detail: str, now: datetime, until: datetime | None = None) -> Attempt:
    at = until if until is not None and until > now else None
    if attempt.look_ups < len(LOOK_UP_DELAYS):
        at = now + LOOK_UP_DELAYS[attempt.look_ups]
    return replace(
        attempt,
        detail=MANUAL_REVIEW + detail if at is None else detail,
        look_ups=attempt.look_ups + 1,
        look_up_at=at,
        version=attempt.version + 1,
    )


def _moved(payment: Payment, attempt: Attempt, told: Type, new_id: NewId) -> Decision:
    return Decision(
        payment.merchant_id,
        payments=(payment,),
        attempts=(attempt,),
        events=(Event(new_id(), told, payment),),
    )


def _entry(payment: Payment, debit: str, credit: str, amount: int, new_id: NewId) -> Entry:
    return Entry(
        new_id(),
        payment.merchant_id,
        Source.PAYMENT,
        payment.id,
        debit,
        credit,
        payment.currency,
        amount,
    )
