"""How a subscription comes to be: created here, or taken over from elsewhere. Pure decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from app.domain import billing, pricing
from app.domain import policy as policies
from app.domain.balance import Balance
from app.domain.billing import Account, Taxation, told_of
from app.domain.calendar import SECOND, Interval, Period, next_aligned
from app.domain.decision import Decision
from app.domain.discount import Discount
from app.domain.errors import InvalidRequest
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.invoice import Charge, Collection, LineKind
from app.domain.items import ITEMS_MAX
from app.domain.lifecycle import CATCH_UP_PERIODS_MAX, start
from app.domain.pending import PendingItem
from app.domain.policy import Anchor, Policy
from app.domain.pricing import Price, TrialEnd, check_quantity
from app.domain.subscription import (
    FIRST_PAYMENT_WINDOW,
    Happening,
    Item,
    Status,
    Subscription,
    after,
)
from app.domain.tax import TaxRate


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
    one_offs: Sequence[tuple[Price, int]] = ()
    """One-time prices, charged on the first invoice."""
    anchor: datetime | None = None
    """The first boundary; before it comes a stub. None: as the policy says."""
    customers_anchor: datetime | None = None
    """Where the periods of the customer's oldest running subscription are counted from."""
    cycles: int | None = None
    """After how many full periods it ends."""
    automatic_tax: bool = False
    trial_end_without_payment_method: TrialEnd | None = None
    policy: Policy = policies.DEFAULT
    settings: Mapping[str, object] | None = None
    taxation: Taxation | None = None


def create(
    cmd: Create, balance: Balance, method_id: UUID | None, now: datetime, new_id: NewId
) -> Decision:
    """A new subscription; if it starts now, in its trial or with its first invoice."""
    sub = _new(cmd, now, new_id)
    account = Account(sub, balance, method_id, policy=cmd.policy, taxation=cmd.taxation)
    waiting = tuple(_one_off(account, price, n, now, new_id) for price, n in cmd.one_offs)
    if sub.start_at > now:
        decision = replace(_scheduled(sub), pending=waiting)
    else:
        decision = start(replace(account, pending=waiting), now, new_id)
        billed = {item.id: replace(item, version=1) for item in decision.pending}
        decision = replace(decision, pending=tuple(billed.get(item.id, item) for item in waiting))
    sub = decision.subscriptions[0]
    if cmd.wait_for_payment and sub.status is Status.ACTIVE and decision.payments:
        unpaid = after(sub.status, Happening.AWAIT_PAYMENT)
        sub = replace(sub, status=unpaid, expires_at=now + FIRST_PAYMENT_WINDOW)
    created = Event(new_id(), Type.SUBSCRIPTION_CREATED, sub)
    told = tuple(e for e in decision.events if not isinstance(e.subject, Subscription))
    return replace(decision, subscriptions=(sub,), events=(created, *told))


def _one_off(
    account: Account, price: Price, quantity: int, now: datetime, new_id: NewId
) -> PendingItem:
    """A one-time price, to be charged with the next invoice."""
    sub = account.subscription
    charge = Charge(
        LineKind.ONE_OFF,
        price.description,
        quantity,
        Period(now, now + SECOND),
        pricing.amount(price, quantity, account.policy.rounding).minor,
        None,
        price.id,
        price.plan_id,
        rates=billing.rates(account, price, now),
    )
    return PendingItem(
        new_id(), sub.merchant_id, sub.customer_id, sub.id, sub.currency, charge, now
    )


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
    made = Subscription(
        id=new_id(),
        merchant_id=cmd.merchant_id,
        customer_id=cmd.customer_id,
        status=Status.SCHEDULED,
        currency=first.currency,
        interval=first.every,
        zone=cmd.zone,
        anchor=_anchor(cmd, first.every, trial_end or start),
        period=None,
        period_index=-1,
        items=tuple(
            Item(new_id(), price, quantity, place)
            for place, (price, quantity) in enumerate(cmd.items)
        ),
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
        cycles_left=cmd.cycles,
        automatic_tax=cmd.automatic_tax,
        trial_end_without_payment_method=(
            cmd.trial_end_without_payment_method or first.trial_end_without_payment_method
        ),
        settings=cmd.settings or {},
    )
    return replace(made, period_index=made.first_index - 1)


def _anchor(cmd: Create, interval: Interval, begin: datetime) -> datetime:
    """Where periods are counted from. Raises InvalidRequest."""
    if cmd.anchor is None:
        if cmd.policy.anchor is Anchor.CUSTOMER and cmd.customers_anchor is not None:
            return cmd.customers_anchor
        if cmd.policy.anchor is Anchor.CALENDAR:
            return next_aligned(begin, interval, cmd.zone)
        return begin
    if not begin <= cmd.anchor <= interval.after(begin, 1, cmd.zone):
        raise InvalidRequest(
            "The billing anchor lies between the first paid moment and one interval later.",
            param="billing_anchor",
        )
    return cmd.anchor


def _check(cmd: Create, now: datetime) -> None:
    if not 0 < len(cmd.items) <= ITEMS_MAX:
        raise InvalidRequest(f"A subscription has 1 to {ITEMS_MAX} items.", param="items")
    first = cmd.items[0][0]
    for n, (price, quantity) in enumerate(cmd.items):
        if price.interval is None:
            raise InvalidRequest("A one-time price is not an item.", param=f"items[{n}].price_id")
        check_quantity(price, quantity, param=f"items[{n}].quantity")
        if price.currency != first.currency or price.interval != first.interval:
            raise InvalidRequest(
                "All items must have the same currency and interval.", param=f"items[{n}].price_id"
            )
    start = cmd.start_at or now
    for n, (price, quantity) in enumerate(cmd.one_offs):
        _check_one_off(first, price, quantity, n)
    if first.every.index(start, now, cmd.zone) > CATCH_UP_PERIODS_MAX:
        raise InvalidRequest(
            f"start_at is more than {CATCH_UP_PERIODS_MAX} periods back.", param="start_at"
        )
    if cmd.cancel_at is not None and cmd.cancel_at <= start:
        raise InvalidRequest("cancel_at must come after the start.", param="cancel_at")
    if cmd.trial_end is not None and cmd.trial_end <= start:
        raise InvalidRequest("trial_end must come after the start.", param="trial_end")


def _check_one_off(first: Price, price: Price, quantity: int, place: int) -> None:
    param = f"one_off_items[{place}].price_id"
    if price.interval is not None:
        raise InvalidRequest("A recurring price is an item.", param=param)
    if price.currency != first.currency:
        raise InvalidRequest("All prices must have the same currency.", param=param)
    check_quantity(price, quantity, param=f"one_off_items[{place}].quantity")


def _scheduled(sub: Subscription) -> Decision:
    return Decision(sub.merchant_id, subscriptions=(replace(sub, version=sub.version + 1),))
