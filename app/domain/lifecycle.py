"""What becomes of a subscription: stepped through its periods, changed, canceled. Pure decisions.

`step` makes the one thing happen that is due next; whoever repeats it until nothing is due has
caught up. The clock, a test clock, a single call and a simulation all go through it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app.domain import balance as balances
from app.domain import collection, pricing
from app.domain import invoice as invoicing
from app.domain import payment as paying
from app.domain.balance import Balance
from app.domain.calendar import Period
from app.domain.collection import Bill
from app.domain.decision import Decision, DiscountUse
from app.domain.errors import Conflict
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.invoice import (
    Billed,
    BillingReason,
    Charge,
    Collection,
    Invoice,
    LineKind,
    Order,
)
from app.domain.payment import Status as PaymentStatus
from app.domain.pricing import Timing
from app.domain.subscription import (
    ENDED,
    Happening,
    Status,
    Subscription,
    after,
)

IN_FLIGHT: Final = frozenset(
    {PaymentStatus.PROCESSING, PaymentStatus.UNKNOWN, PaymentStatus.REQUIRES_ACTION}
)
IN_FLIGHT_GRACE: Final = timedelta(hours=1)
"""How long to wait again for a first payment whose outcome is not known at its expiry."""
CATCH_UP_PERIODS_MAX: Final = 400
"""Periods one subscription may be behind before it is parked for a person to look at: more than a
year of daily billing, far more than any outage."""


@dataclass(frozen=True, slots=True)
class Account:
    """A subscription with what else its bills depend on."""

    subscription: Subscription
    balance: Balance
    method_id: UUID | None
    """The payment method to charge: the subscription's own, else the customer's default."""
    first_bill: Bill | None = None
    """The unpaid first invoice, while the subscription is `incomplete`."""


def step(account: Account, now: datetime, new_id: NewId) -> Decision:
    """Make the one thing happen that is due; it must be due."""
    sub = account.subscription
    due = sub.next_action_at
    assert due is not None
    assert due <= now, "nothing is due yet"
    if sub.status is Status.INCOMPLETE:
        return _expire(account, now, new_id)
    if sub.period is None:
        return _unpayable(start(account, now, new_id), new_id)
    if sub.cancel_at is not None and sub.cancel_at <= due:
        return end(account, sub.cancel_at, now, new_id)
    if sub.cancel_at_period_end:
        return end(account, sub.period.end, now, new_id)
    if sub.status is Status.TRIALING:
        return _end_trial(account, now, new_id)
    renewed = _enter(account, sub.period_index + 1, Happening.RENEW, now, new_id)
    return _unpayable(renewed, new_id)


def _unpayable(decision: Decision, new_id: NewId) -> Decision:
    """The decision; where it bills somebody without a payment method, that has failed already."""
    sub = decision.subscriptions[0]
    if sub.status is not Status.ACTIVE:
        return decision
    if not any(p.status is PaymentStatus.REQUIRES_PAYMENT_METHOD for p in decision.payments):
        return decision
    behind = replace(sub, status=after(sub.status, Happening.PAYMENT_FAILED))
    event = Event(new_id(), Type.SUBSCRIPTION_PAST_DUE, behind)
    return replace(decision, subscriptions=(behind,), events=(*decision.events, event))


def is_hopelessly_behind(sub: Subscription, now: datetime) -> bool:
    """More periods behind than a run may catch up by itself."""
    if sub.period is None or now <= sub.period.end:
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
    return _updated(changed, {"cancel_at_period_end": sub.cancel_at_period_end}, new_id)


@dataclass(frozen=True, slots=True)
class Edit:
    """The fields of a subscription that change nothing about its price, as they shall be."""

    payment_method_id: UUID | None
    metadata: Mapping[str, str]
    cancel_at_period_end: bool


def edit(sub: Subscription, wanted: Edit, now: datetime, new_id: NewId) -> Decision:
    """The subscription with those fields; the event says what they were before."""
    if sub.status in ENDED:
        raise Conflict("It has ended already.", code=f"subscription_{sub.status}")
    before = {
        name: getattr(sub, name)
        for name in ("payment_method_id", "metadata", "cancel_at_period_end")
        if getattr(sub, name) != getattr(wanted, name)
    }
    if wanted.cancel_at_period_end and sub.period is None:
        raise Conflict("It has not started yet; cancel it now.", code="subscription_scheduled")
    canceled_at = sub.canceled_at
    if "cancel_at_period_end" in before:
        canceled_at = now if wanted.cancel_at_period_end else None
    changed = replace(
        sub,
        payment_method_id=wanted.payment_method_id,
        metadata=wanted.metadata,
        cancel_at_period_end=wanted.cancel_at_period_end,
        canceled_at=canceled_at,
        version=sub.version + 1,
    )
    return _updated(changed, before, new_id)


def cancel_now(account: Account, now: datetime, new_id: NewId) -> Decision:
    """End it at this instant; a first bill that was never paid is voided with it."""
    sub, bill = account.subscription, account.first_bill
    decision = end(account, now, now, new_id)
    if sub.status is not Status.INCOMPLETE or bill is None:
        return decision
    voided = collection.void(bill.invoice, bill.payment, account.balance, now, new_id)
    return replace(
        voided,
        subscriptions=decision.subscriptions,
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
    return _updated(changed, before, new_id)


def end(account: Account, at: datetime, now: datetime, new_id: NewId) -> Decision:
    """End it at `at`, billing what was used of items in arrears; nothing in advance comes back."""
    sub = account.subscription
    status = after(sub.status, Happening.CANCEL)
    billed = None
    runs = sub.status not in (Status.TRIALING, Status.INCOMPLETE)
    if runs and sub.period is not None and sub.period.start < at:
        used = Period(sub.period.start, min(at, sub.period.end))
        charges = _charges(sub, Timing.ARREARS, sub.period, used)
        if charges:
            whole = Period(sub.period.start, at)
            order = _order(sub, BillingReason.SUBSCRIPTION_CANCEL, whole, cycle_start=at)
            billed = _bill(account, order, charges, now, new_id)
    ended = replace(
        sub,
        status=status,
        canceled_at=sub.canceled_at or now,
        expires_at=None,
        ended_at=at,
        latest_invoice_id=billed.invoice.id if billed else sub.latest_invoice_id,
        version=sub.version + 1,
    )
    return _decided(account, (ended, Type.SUBSCRIPTION_CANCELED), billed, now, new_id)


def start(account: Account, now: datetime, new_id: NewId) -> Decision:
    """Begin the trial, or the first paid period with its bill."""
    sub = account.subscription
    if sub.trial_end is None or sub.trial_end <= sub.start_at:
        return _enter(account, 0, Happening.START, now, new_id)
    trialing = replace(
        sub,
        status=after(sub.status, Happening.START_TRIAL),
        period=Period(sub.start_at, sub.trial_end),
        version=sub.version + 1,
    )
    return told_of(trialing, Type.SUBSCRIPTION_ACTIVATED, new_id)


def _end_trial(account: Account, now: datetime, new_id: NewId) -> Decision:
    """Bill the first period; without a payment method to charge it to, the subscription ends."""
    sub = account.subscription
    assert sub.period is not None
    started = _enter(account, 0, Happening.START, now, new_id)
    if any(p.status is PaymentStatus.REQUIRES_PAYMENT_METHOD for p in started.payments):
        return end(account, sub.period.end, now, new_id)
    return started


def _enter(
    account: Account, index: int, happening: Happening, now: datetime, new_id: NewId
) -> Decision:
    """Begin period `index`: charge it in advance, and in arrears what the last one used."""
    sub = account.subscription
    anchor, zone = sub.anchor, sub.zone
    start = sub.period.end if sub.period is not None else sub.interval.after(anchor, index, zone)
    period = Period(start, sub.interval.after(anchor, index + 1, zone))
    charges = _charges(sub, Timing.ADVANCE, period, period)
    if happening is Happening.RENEW and sub.period is not None:
        charges = _charges(sub, Timing.ARREARS, sub.period, sub.period) + charges
    else:
        charges = _setup_fees(sub, period) + charges
    reason, told = BillingReason.SUBSCRIPTION_CREATE, Type.SUBSCRIPTION_ACTIVATED
    if happening is Happening.RENEW:
        reason, told = BillingReason.SUBSCRIPTION_CYCLE, Type.SUBSCRIPTION_RENEWED
    status = after(sub.status, happening)
    billed = None
    if charges:
        order = _order(sub, reason, period, cycle_start=period.start)
        billed = _bill(account, order, charges, now, new_id)
    entered = replace(
        sub,
        status=status,
        period=period,
        period_index=index,
        latest_invoice_id=billed.invoice.id if billed else sub.latest_invoice_id,
        version=sub.version + 1,
    )
    return _decided(account, (entered, told), billed, now, new_id)


def _bill(
    account: Account, order: Order, charges: list[Charge], now: datetime, new_id: NewId
) -> Billed:
    sub = account.subscription
    credit = account.balance.amount
    return invoicing.bill(order, charges, sub.discounts, sub.rates, credit, now, new_id)


def _decided(
    account: Account,
    change: tuple[Subscription, Type],
    billed: Billed | None,
    now: datetime,
    new_id: NewId,
) -> Decision:
    """The decision to make that change, with the invoice it is billed by and what follows."""
    sub, told = change
    if billed is None:
        return told_of(sub, told, new_id)
    invoice = billed.invoice
    used = _used(sub, invoice.order)
    if used:
        left = {use.id: use.periods_remaining for use in used}
        kept = (replace(d, periods_remaining=left.get(d.id)) for d in sub.discounts)
        sub = replace(sub, discounts=tuple(d for d in kept if d.periods_remaining != 0))
    return Decision(
        sub.merchant_id,
        subscriptions=(sub,),
        invoices=(invoice,),
        payments=_payments(account, invoice, now, new_id),
        balances=(
            (balances.apply(account.balance, invoice.balance_applied, invoice.id, new_id),)
            if invoice.balance_applied
            else ()
        ),
        discounts=used,
        entries=billed.entries,
        events=(Event(new_id(), told, sub), *billed.events),
    )


def _used(sub: Subscription, order: Order) -> tuple[DiscountUse, ...]:
    """The discounts of which this bill used up one paid period."""
    if not sub.discounts or order.reason is BillingReason.SUBSCRIPTION_CANCEL:
        return ()
    return tuple(
        DiscountUse(sub.merchant_id, d.id, d.periods_remaining - 1, order.period.start)
        for d in sub.discounts
        if d.periods_remaining is not None
    )


def _payments(
    account: Account, invoice: Invoice, now: datetime, new_id: NewId
) -> tuple[paying.Payment, ...]:
    if not invoice.amount_due or invoice.order.collection is not Collection.CHARGE_AUTOMATICALLY:
        return ()
    return (paying.schedule(invoice, account.method_id, now, new_id),)


def _charges(sub: Subscription, timing: Timing, whole: Period, part: Period) -> list[Charge]:
    """What the items of that timing cost for `part` of the period `whole`."""
    charges = []
    for item in sub.items:
        price = item.price
        if price.timing is not timing:
            continue
        amount = pricing.amount(price, item.quantity)
        if part is not whole:
            amount = amount.share(part.seconds, whole.seconds)
        charges.append(
            Charge(
                LineKind.PERIOD,
                price.description,
                item.quantity,
                part,
                amount.minor,
                item.id,
                price.id,
            )
        )
    return charges


def _setup_fees(sub: Subscription, period: Period) -> list[Charge]:
    return [
        Charge(
            LineKind.SETUP_FEE,
            f"{item.price.description}: set-up fee",
            1,
            period,
            item.price.setup_fee_minor,
            item.id,
            item.price.id,
        )
        for item in sub.items
        if item.price.setup_fee_minor
    ]


def _order(
    sub: Subscription, reason: BillingReason, period: Period, cycle_start: datetime
) -> Order:
    return Order(
        sub.merchant_id,
        sub.customer_id,
        sub.id,
        sub.currency,
        reason,
        period,
        sub.collection,
        sub.net_days,
        cycle_start,
        sub.test_clock_id,
    )


def _expire(account: Account, now: datetime, new_id: NewId) -> Decision:
    """The first payment did not come: end it and void its invoice, unless money is in flight."""
    sub, bill = account.subscription, account.first_bill
    if bill is not None and bill.payment.status in IN_FLIGHT:
        waiting = replace(sub, expires_at=now + IN_FLIGHT_GRACE, version=sub.version + 1)
        return Decision(sub.merchant_id, subscriptions=(waiting,))
    expired = replace(
        sub,
        status=after(sub.status, Happening.EXPIRE),
        expires_at=None,
        ended_at=now,
        version=sub.version + 1,
    )
    decision = told_of(expired, Type.SUBSCRIPTION_EXPIRED, new_id)
    if bill is None:
        return decision
    voided = collection.void(bill.invoice, bill.payment, account.balance, now, new_id)
    return replace(voided, subscriptions=(expired,), events=decision.events + voided.events)


def _updated(sub: Subscription, before: Mapping[str, object], new_id: NewId) -> Decision:
    event = Event(new_id(), Type.SUBSCRIPTION_UPDATED, sub, before)
    return Decision(sub.merchant_id, subscriptions=(sub,), events=(event,))


def told_of(sub: Subscription, type_: Type, new_id: NewId) -> Decision:
    """The decision that the subscription is now like this, and that this is told."""
    event = Event(new_id(), type_, sub)
    return Decision(sub.merchant_id, subscriptions=(sub,), events=(event,))
