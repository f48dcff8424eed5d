"""How a subscription comes to be: created here, or taken over from elsewhere. Pure decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app.domain.balance import Balance
from app.domain.calendar import Period
from app.domain.decision import Decision
from app.domain.discount import Discount
from app.domain.errors import InvalidRequest
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.invoice import Collection
from app.domain.lifecycle import CATCH_UP_PERIODS_MAX, Account, start, told_of
from app.domain.pricing import Price
from app.domain.subscription import (
    FIRST_PAYMENT_WINDOW,
    Happening,
    Item,
    Status,
    Subscription,
    after,
)
from app.domain.tax import TaxRate

ITEMS_MAX: Final = 20
"""Prices in one subscription, as at Stripe: bounds the lines of an invoice."""


@dataclass(frozen=True, slots=True)
class Create:
    """What a new subscription is to be. `start_at` None means now; in the past it is billed from
    there on, period by period.
    """

    merchant_id: UUID
    customer_id: UUID
    items: Sequence[tuple[Price, int]]
    zone: str
    discounts: tuple[Discount, ...] = ()
    rates: tuple[TaxRate, ...] = ()
    collection: Collection = Collection.CHARGE_AUTOMATICALLY
    net_days: int = 0
    payment_method_id: UUID | None = None
    start_at: datetime | None = None
    trial_days: int | None = None
    trial_end: datetime | None = None
    """The instant itself, where it is known; `trial_days` is not looked at then."""
    cancel_at: datetime | None = None
    cancel_at_period_end: bool = False
    test_clock_id: UUID | None = None
    external_id: str | None = None
    metadata: Mapping[str, str] | None = None
    wait_for_payment: bool = True
    """Stay `incomplete` until the first invoice is paid."""


def create(
    cmd: Create, balance: Balance, method_id: UUID | None, now: datetime, new_id: NewId
) -> Decision:
    """A new subscription; if it starts now, in its trial or with its first invoice."""
    sub = _new(cmd, now, new_id)
    account = Account(sub, balance, method_id)
    decision = start(account, now, new_id) if sub.start_at <= now else _scheduled(sub)
    sub = decision.subscriptions[0]
    if cmd.wait_for_payment and sub.status is Status.ACTIVE and decision.payments:
        waiting = after(sub.status, Happening.AWAIT_PAYMENT)
        sub = replace(sub, status=waiting, expires_at=now + FIRST_PAYMENT_WINDOW)
    created = Event(new_id(), Type.SUBSCRIPTION_CREATED, sub)
    told = tuple(e for e in decision.events if not isinstance(e.subject, Subscription))
    return replace(decision, subscriptions=(sub,), events=(created, *told))


def adopt(cmd: Create, now: datetime, new_id: NewId) -> Decision:
    """A subscription that has been running elsewhere since `cmd.start_at`, taken over as it is.

    Its present period was billed there; ours begin at the next boundary, on the same anchor.
    """
    sub = _new(cmd, now, new_id)
    assert sub.start_at <= now, "what has not started yet is created, not adopted"
    if sub.trial_end is not None and now < sub.trial_end:
        taken = replace(
            sub, status=Status.TRIALING, period=Period(sub.start_at, sub.trial_end), version=1
        )
    else:
        index = sub.interval.index(sub.anchor, now, sub.zone)
        period = sub.interval.period(sub.anchor, index, sub.zone)
        taken = replace(sub, status=Status.ACTIVE, period=period, period_index=index, version=1)
    return told_of(taken, Type.SUBSCRIPTION_CREATED, new_id)


def _new(cmd: Create, now: datetime, new_id: NewId) -> Subscription:
    _check(cmd, now)
    first = cmd.items[0][0]
    start = cmd.start_at or now
    trial_days = first.trial_days if cmd.trial_days is None else cmd.trial_days
    trial_end = cmd.trial_end or (start + timedelta(days=trial_days) if trial_days else None)
    return Subscription(
        id=new_id(),
        merchant_id=cmd.merchant_id,
        customer_id=cmd.customer_id,
        status=Status.SCHEDULED,
        currency=first.currency,
        interval=first.interval,
        zone=cmd.zone,
        anchor=trial_end or start,
        period=None,
        period_index=-1,
        items=tuple(Item(new_id(), price, quantity) for price, quantity in cmd.items),
        discounts=cmd.discounts,
        rates=cmd.rates,
        collection=cmd.collection,
        net_days=cmd.net_days,
        payment_method_id=cmd.payment_method_id,
        start_at=start,
        trial_end=trial_end,
        expires_at=None,
        cancel_at=cmd.cancel_at,
        cancel_at_period_end=cmd.cancel_at_period_end,
        canceled_at=None,
        ended_at=None,
        latest_invoice_id=None,
        test_clock_id=cmd.test_clock_id,
        created_at=now,
        external_id=cmd.external_id,
        metadata=cmd.metadata or {},
        version=0,
    )


def _check(cmd: Create, now: datetime) -> None:
    if not 0 < len(cmd.items) <= ITEMS_MAX:
        raise InvalidRequest(f"A subscription has 1 to {ITEMS_MAX} items.", param="items")
    first = cmd.items[0][0]
    for n, (price, _) in enumerate(cmd.items):
        if price.currency != first.currency or price.interval != first.interval:
            raise InvalidRequest(
                "All items must have the same currency and interval.", param=f"items[{n}].price_id"
            )
    start = cmd.start_at or now
    if first.interval.index(start, now, cmd.zone) > CATCH_UP_PERIODS_MAX:
        raise InvalidRequest(
            f"start_at is more than {CATCH_UP_PERIODS_MAX} periods back.", param="start_at"
        )
    if cmd.cancel_at is not None and cmd.cancel_at <= start:
        raise InvalidRequest("cancel_at must come after the start.", param="cancel_at")
    if cmd.trial_end is not None and cmd.trial_end <= start:
        raise InvalidRequest("trial_end must come after the start.", param="trial_end")


def _scheduled(sub: Subscription) -> Decision:
    return Decision(sub.merchant_id, subscriptions=(replace(sub, version=sub.version + 1),))
