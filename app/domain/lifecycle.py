"""What becomes of a subscription as time goes by: started, stepped through its periods, ended.

`step` makes the one thing happen that is due next; whoever repeats it until nothing is due has
caught up. The clock, a test clock, a single call and a simulation all go through it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from app.domain import billing, changing, collection, items, pausing, periods, waiting
from app.domain.billing import Account, Became, Lines
from app.domain.calendar import SECOND, Period
from app.domain.crediting import Charged, unused, whole
from app.domain.decision import Decision
from app.domain.errors import Conflict, InvalidRequest
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.invoice import BillingReason, Charge
from app.domain.invoicing import Credit
from app.domain.payment import Status as PaymentStatus
from app.domain.policy import CancelCredit
from app.domain.pricing import TrialEnd
from app.domain.proration import used_until
from app.domain.subscription import (
    ENDED,
    Happening,
    PausedInvoices,
    Scheduled,
    Status,
    Subscription,
    after,
)

IN_FLIGHT: Final = frozenset(
    {PaymentStatus.PROCESSING, PaymentStatus.UNKNOWN, PaymentStatus.REQUIRES_ACTION}
)
IN_FLIGHT_GRACE: Final = timedelta(hours=1)
"""How long to wait again for a first payment whose outcome is not known at its expiry."""
GIVING_UP_GRACE: Final = timedelta(minutes=5)
"""How long a first payment that nobody confirmed may take to be given up at its gateway."""
PART_PAID_GRACE: Final = timedelta(days=1)
"""How long to wait again for the rest of a first bill of which a part was paid."""
CATCH_UP_PERIODS_MAX: Final = 400
"""Periods one subscription may be behind before it is parked for a person to look at: more than a
year of daily billing, far more than any outage."""


def step(account: Account, now: datetime, new_id: NewId) -> Decision:
    """Make the one thing happen that is due; it must be due."""
    sub = account.subscription
    due = sub.next_action_at
    assert due is not None
    assert due <= now, "nothing is due yet"
    if sub.status is Status.INCOMPLETE:
        return _expire(account, now, new_id)
    if sub.period is None:
        return unpayable(start(account, now, new_id), new_id)
    if sub.cancel_at is not None and sub.cancel_at <= due:
        return end(account, sub.cancel_at, now, new_id)
    boundary = sub.period.end
    if due >= boundary and (sub.cancel_at_period_end or sub.cycles_left == 0):
        return end(account, boundary, now, new_id)
    if sub.pause is not None and sub.pause.resumes_at is not None and sub.pause.resumes_at <= due:
        return unpayable(pausing.resume(account, due, now, new_id), new_id)
    planned = sub.scheduled[0] if sub.scheduled and sub.pause is None else None
    if planned is not None and planned.due_at <= due:
        try:
            return _planned(account, planned, now, new_id)
        except InvalidRequest:  # what it was to change is gone, or does not fit any more
            return changing.add(sub, [], [planned], now, new_id)
    if sub.status is Status.TRIALING:
        return _end_trial(account, now, new_id)
    renewed = periods.enter(account, sub.period_index + 1, Happening.RENEW, now, new_id)
    return unpayable(renewed, new_id)


def _planned(account: Account, planned: Scheduled, now: datetime, new_id: NewId) -> Decision:
    """A scheduled change takes place: at a boundary together with what the boundary brings."""
    sub = account.subscription
    assert sub.period is not None
    if planned.pause is not None:
        return pausing.pause_as_planned(account, planned, now, new_id)
    if planned.due_at < sub.period.end:
        return unpayable(changing.apply_planned(account, planned, now, new_id), new_id)
    if sub.status is Status.TRIALING:
        return _end_trial(account, now, new_id, planned)
    index = sub.period_index + 1
    return unpayable(periods.enter(account, index, Happening.RENEW, now, new_id, planned), new_id)


def unpayable(decision: Decision, new_id: NewId) -> Decision:
    """The decision; where it bills somebody without a payment method, that has failed already."""
    sub = decision.subscriptions[0]
    if sub.status is not Status.ACTIVE:
        return decision
    if not any(p.status is PaymentStatus.REQUIRES_PAYMENT_METHOD for p in decision.payments):
        return decision
    behind = billing.behind(sub)
    event = Event(new_id(), Type.SUBSCRIPTION_PAST_DUE, behind)
    return replace(decision, subscriptions=(behind,), events=(*decision.events, event))


def is_hopelessly_behind(sub: Subscription, now: datetime) -> bool:
    """More periods behind than a run may catch up by itself."""
    if sub.period is None or now <= sub.period.end or sub.status is Status.PAUSED:
        return False
    length = sub.period.end - sub.period.start
    if (now - sub.period.end) < length * (CATCH_UP_PERIODS_MAX // 2):
        return False
    behind = sub.interval.index(sub.anchor, now, sub.zone) - sub.period_index
    return behind > CATCH_UP_PERIODS_MAX


def cancel_at_period_end(sub: Subscription, now: datetime, new_id: NewId) -> Decision:
    """Let it run to the end of what is paid, then end it."""
    after(sub.status, Happening.CANCEL)
    if sub.period is None:
        raise Conflict("It has not started yet; cancel it now.", code="subscription_scheduled")
    changed = replace(sub, cancel_at_period_end=True, canceled_at=now, version=sub.version + 1)
    return billing.updated(changed, {"cancel_at_period_end": sub.cancel_at_period_end}, new_id)


def cancel_at(sub: Subscription, at: datetime, now: datetime, new_id: NewId) -> Decision:
    """Let it run to `at`, then end it. Raises Conflict."""
    after(sub.status, Happening.CANCEL)
    if at <= now:
        raise Conflict("That moment has passed; cancel it now.", code="cancel_at_in_past")
    changed = replace(sub, cancel_at=at, canceled_at=now, version=sub.version + 1)
    return billing.updated(changed, {"cancel_at": sub.cancel_at}, new_id)


EDITABLE: Final[Mapping[str, str]] = {
    "payment_method_id": "payment_method_id",
    "metadata": "metadata",
    "cancel_at_period_end": "cancel_at_period_end",
    "collection": "collection_method",
    "net_days": "net_days",
    "automatic_tax": "automatic_tax",
    "rates": "tax_rate_ids",
}
"""The fields that change nothing about the price, and what callers know them as."""


def edit(sub: Subscription, changes: Mapping[str, Any], now: datetime, new_id: NewId) -> Decision:
    """The subscription with those of `EDITABLE` changed; the event says what they were before."""
    assert changes.keys() <= EDITABLE.keys()
    if sub.status in ENDED:
        raise Conflict("It has ended already.", code=f"subscription_{sub.status}")
    changed = {name: value for name, value in changes.items() if getattr(sub, name) != value}
    before = {EDITABLE[name]: getattr(sub, name) for name in changed}
    if "rates" in changed:
        before["tax_rate_ids"] = [rate.id for rate in sub.rates]
    if changes.get("cancel_at_period_end") and sub.period is None:
        raise Conflict("It has not started yet; cancel it now.", code="subscription_scheduled")
    if "cancel_at_period_end" in changed:
        changed["canceled_at"] = now if changes["cancel_at_period_end"] else None
    edited = replace(sub, **changed, version=sub.version + 1)
    return billing.updated(edited, before, new_id)


def cancel_now(
    account: Account, now: datetime, new_id: NewId, credit: CancelCredit = CancelCredit.NONE
) -> Decision:
    """End it at this instant; a first bill that was never paid is voided with it.

    `credit` says what of the present period comes back, as lines of a last invoice; `charged` of
    the account are the lines it may come back from.
    """
    sub, bill = account.subscription, account.first_bill
    decision = end(account, now, now, new_id, credit)
    if sub.status is not Status.INCOMPLETE or bill is None:
        return decision
    voided = collection.void(bill.invoice, bill.payment, account.balance, now, new_id)
    return replace(
        voided,
        subscriptions=decision.subscriptions,
        scheduled=decision.scheduled,
        abandoned=decision.abandoned,
        events=decision.events + voided.events,
    )


def keep(sub: Subscription, new_id: NewId) -> Decision:
    """Take back a cancellation that has not happened yet."""
    if sub.status in ENDED:
        raise Conflict("It has ended already.", code=f"subscription_{sub.status}")
    if not sub.cancel_at_period_end and sub.cancel_at is None:
        raise Conflict("No cancellation is planned.", code="no_cancellation_planned")
    before = {"cancel_at_period_end": sub.cancel_at_period_end, "cancel_at": sub.cancel_at}
    changed = replace(
        sub,
        cancel_at_period_end=False,
        cancel_at=None,
        canceled_at=None,
        version=sub.version + 1,
    )
    return billing.updated(changed, before, new_id)


def end(
    account: Account,
    at: datetime,
    now: datetime,
    new_id: NewId,
    credit: CancelCredit = CancelCredit.NONE,
) -> Decision:
    """End it at `at`, billing what was used of items in arrears and what was waiting.

    Of what was paid in advance `credit` comes back; what a trial began, or nobody paid, is not it.
    """
    sub = account.subscription
    status = after(sub.status, Happening.CANCEL)
    bill = None
    cut = _cut(account, credit, at, now, new_id)
    account = replace(account, pending=cut.kept)
    lines = _last_lines(account, credit, at)
    if lines:
        ran = sub.period is not None and sub.period.start < at
        span = (
            Period(sub.period.start, at) if sub.period is not None and ran else _around(account, at)
        )
        reason = BillingReason.SUBSCRIPTION_CANCEL
        bill = billing.order(sub, reason, span, account.name_of(at) if ran else None), lines
    ended = replace(
        sub,
        status=status,
        canceled_at=sub.canceled_at or now,
        expires_at=None,
        ended_at=at,
        pause=None,
        scheduled=(),
        version=sub.version + 1,
    )
    told = Became(ended, Type.SUBSCRIPTION_CANCELED)
    at_last = replace(account, subscription=_unpaused(sub))
    decision = billing.decide(at_last, told, bill, now, new_id)
    drafts, payments = pausing.released(account, now, new_id)
    return replace(
        decision,
        invoices=decision.invoices + drafts,
        payments=decision.payments + payments,
        pending=cut.with_taken(decision.pending),
        scheduled=items.dropped(sub, now),
        abandoned=(*decision.abandoned, sub.id),
    )


def _cut(
    account: Account, credit: CancelCredit, at: datetime, now: datetime, new_id: NewId
) -> waiting.Cut:
    """What waits is cut as what was billed is credited."""
    sub, policy = account.subscription, account.policy
    match credit:
        case CancelCredit.PRORATED:
            return waiting.cut(account, None, used_until(at, policy, sub.zone), now, new_id)
        case CancelCredit.FULL if sub.period is not None:
            return waiting.cut(account, None, sub.period.start, now, new_id, used_to=at)
        case _:
            return waiting.Cut(account.pending)


def _last_lines(account: Account, credit: CancelCredit, at: datetime) -> Lines:
    """What is still to be billed and given back when the subscription ends at `at`."""
    sub = account.subscription
    charges: list[Charge] = []
    runs = sub.status not in (Status.TRIALING, Status.INCOMPLETE, Status.SCHEDULED)
    is_still = sub.pause is not None and sub.pause.invoices is PausedInvoices.NONE
    if runs and not is_still and sub.period is not None:
        charges = billing.arrears(account, sub.items, min(at, sub.period.end))
    given = credits_of(account, credit, at) if runs else []
    return billing.with_pending(account, Lines(charges, given))


def _around(account: Account, at: datetime) -> Period:
    """A stretch of time for a last bill that is for none: from when its first line was decided."""
    began = [item.created_at for item in account.pending if item.created_at < at]
    return Period(min(began), at) if began else Period(at, at + SECOND)


def _unpaused(sub: Subscription) -> Subscription:
    return sub if sub.pause is None else replace(sub, pause=None)


def credits_of(account: Account, credit: CancelCredit, at: datetime) -> list[Credit]:
    """What of the lines in force comes back when the subscription ends at `at`."""
    found: list[Credit | None] = []
    match credit:
        case CancelCredit.NONE:
            pass
        case CancelCredit.FULL:
            found = [whole(charged) for charged in account.creditable]
        case CancelCredit.PRORATED:
            found = [_rest(account, charged, at) for charged in account.creditable]
    return [given for given in found if given is not None]


def _rest(account: Account, charged: Charged, at: datetime) -> Credit | None:
    sub, policy = account.subscription, account.policy
    return unused(charged, used_until(at, policy, sub.zone), policy, sub.zone)


def start(account: Account, now: datetime, new_id: NewId) -> Decision:
    """Begin the trial, with what it costs, or the first paid period with its bill."""
    sub = account.subscription
    if sub.trial_end is None or sub.trial_end <= sub.start_at:
        return periods.enter(account, sub.first_index, Happening.START, now, new_id)
    period = Period(sub.start_at, sub.trial_end)
    trialing = replace(
        sub,
        status=after(sub.status, Happening.START_TRIAL),
        period=period,
        period_index=sub.first_index - 1,
        version=sub.version + 1,
    )
    lines = billing.with_pending(account, Lines(billing.trial_fees(account, period)))
    order = billing.order(sub, BillingReason.SUBSCRIPTION_CREATE, period, period.start)
    told = Became(trialing, Type.SUBSCRIPTION_ACTIVATED)
    undiscounted = replace(account, subscription=replace(sub, discounts=()))
    return billing.decide(undiscounted, told, (order, lines), now, new_id)


def _end_trial(
    account: Account, now: datetime, new_id: NewId, planned: Scheduled | None = None
) -> Decision:
    """Bill the first period; without a payment method to charge it to, do as was decided."""
    sub = account.subscription
    assert sub.period is not None
    index = sub.period_index + 1
    started = periods.enter(account, index, Happening.START, now, new_id, planned)
    if not any(p.status is PaymentStatus.REQUIRES_PAYMENT_METHOD for p in started.payments):
        return started
    behaviour = sub.trial_end_without_payment_method
    match behaviour or account.policy.trial_end_without_payment_method:
        case TrialEnd.CANCEL:
            return end(account, sub.period.end, now, new_id)
        case TrialEnd.PAUSE:
            return pausing.pause_unpaid_trial(sub, new_id)
        case TrialEnd.CREATE_INVOICE:
            return unpayable(started, new_id)


def _expire(account: Account, now: datetime, new_id: NewId) -> Decision:
    """The first payment did not come: end it and void its invoice, unless money is in flight, or
    some has come: then somebody has to say what becomes of that.

    What only waits for its customer is given up, and then it ends.
    """
    sub, bill = account.subscription, account.first_bill
    if bill is not None and bill.payment.status in IN_FLIGHT:
        waits = bill.payment.status is PaymentStatus.REQUIRES_ACTION
        grace = GIVING_UP_GRACE if waits else IN_FLIGHT_GRACE
        waiting = replace(sub, expires_at=now + grace, version=sub.version + 1)
        abandoned = (sub.id,) if waits else ()
        return Decision(sub.merchant_id, subscriptions=(waiting,), abandoned=abandoned)
    if bill is not None and bill.invoice.amount_paid:
        waiting = replace(sub, expires_at=now + PART_PAID_GRACE, version=sub.version + 1)
        return Decision(sub.merchant_id, subscriptions=(waiting,))
    expired = replace(
        sub,
        status=after(sub.status, Happening.EXPIRE),
        expires_at=None,
        ended_at=now,
        scheduled=(),
        version=sub.version + 1,
    )
    decision = replace(
        billing.told_of(expired, Type.SUBSCRIPTION_EXPIRED, new_id),
        scheduled=items.dropped(sub, now),
    )
    if bill is None:
        return decision
    voided = collection.void(bill.invoice, bill.payment, account.balance, now, new_id)
    return replace(
        voided,
        subscriptions=(expired,),
        scheduled=decision.scheduled,
        events=decision.events + voided.events,
    )


def moments(subs: Sequence[Subscription]) -> list[datetime]:
    """When something is due on each of these, for a simulation to go from one to the next."""
    return sorted(at for sub in subs if (at := sub.next_action_at) is not None)
