"""What a subscription is billed: charges from its items, bills from charges, a decision from both.

Everything that bills a subscription, at a boundary or in between, goes through here.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from app.domain import discount as discounting
from app.domain import invoicing, pricing, proration
from app.domain import payment as paying
from app.domain import policy as policies
from app.domain.ahead import Billed as BilledAhead
from app.domain.balance import Balance
from app.domain.calendar import DAY, Period
from app.domain.collection import Bill as OpenBill
from app.domain.crediting import Charged
from app.domain.decision import Decision, DiscountUse
from app.domain.discount import Discount
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.invoice import BillingReason, Charge, Collection, Invoice, LineKind, Order, Status
from app.domain.invoicing import Billed, Credit
from app.domain.issuing import Corrected
from app.domain.money import divide
from app.domain.pending import PendingItem
from app.domain.policy import FirstPeriod, Policy
from app.domain.pricing import SCALE, PlanKind, Price, Timing
from app.domain.proration import FULL, Share
from app.domain.subscription import Happening, Item, PausedInvoices, Subscription, after
from app.domain.subscription import Status as SubscriptionStatus
from app.domain.tax import TaxRate, with_behaviour


class Metered(NamedTuple):
    """What was used: the quantity that is priced, and how many events it came from."""

    quantity: int
    events: int = 0


UNUSED = Metered(0)
OWING: Final = frozenset({SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID})


class Taxation(Protocol):
    """The taxes that a customer owes, found by who sells what to whom."""

    def rates(self, tax_code: str | None, at: datetime) -> tuple[TaxRate, ...]:
        """The rates for a kind of product at a tax point."""


@dataclass(frozen=True, slots=True)
class Account:
    """A subscription with what else its bills depend on."""

    subscription: Subscription
    balance: Balance
    method_id: UUID | None
    """The payment method to charge: the subscription's own, else the customer's default."""
    first_bill: OpenBill | None = None
    """The unpaid first invoice, while the subscription is `incomplete`."""
    policy: Policy = policies.DEFAULT
    pending: tuple[PendingItem, ...] = ()
    """What waits for its next invoice."""
    charged: tuple[Charged, ...] = ()
    """The lines of the present period that are in force; loaded for changes only."""
    usage: Mapping[UUID, Metered] = field(default_factory=dict)
    """What its metered items used in the period that is about to be billed, by item."""
    late: tuple[Charge, ...] = ()
    """Usage of earlier periods that arrived after they were billed."""
    taxation: Taxation | None = None
    held: tuple[Invoice, ...] = ()
    """Drafts and unpaid invoices made while it was paused; loaded to resume it."""
    corrected: Mapping[UUID, Corrected] = field(default_factory=dict)
    """The invoices of `charged`, where what comes back of them comes by credit notes."""
    ahead: BilledAhead | None = None
    """What was billed of the period to come."""
    names: Container[datetime] = ()
    """The boundaries of its present period, and to come, that invoices are named after already."""

    def name_of(self, boundary: datetime) -> datetime | None:
        """What the bill of a boundary is named after; None where another has that name: one that
        was made ahead, whatever became of it.
        """
        return None if boundary in self.names else boundary

    @property
    def creditable(self) -> tuple[Charged, ...]:
        """What can come back of what was charged: for time of the present period. What an earlier
        one had left when another began in its place was given up.
        """
        period = self.subscription.period
        if period is None:
            return ()
        return tuple(c for c in self.charged if c.line.charge.period.start >= period.start)


@dataclass(frozen=True, slots=True)
class Lines:
    """What a bill charges and gives back."""

    charges: Sequence[Charge] = ()
    credits: Sequence[Credit] = ()

    def __bool__(self) -> bool:
        return bool(self.charges or self.credits)


def rates(account: Account, price: Price, at: datetime) -> tuple[TaxRate, ...]:
    """The taxes on a price: found by place and product, or those the subscription was given."""
    if account.taxation is None:
        return account.subscription.rates
    return with_behaviour(account.taxation.rates(price.tax_code, at), price.tax_behaviour)


def share_of(
    sub: Subscription, part: Period, index: int, policy: Policy, whole: Period | None = None
) -> Share:
    """`part` of period `index`, which is `whole` (None: the present one), as a share of what a full
    price is for.
    """
    aligned = sub.interval.period(sub.anchor, index, sub.zone)
    if part == aligned:
        return FULL
    if whole is None:
        whole = sub.period
    if whole is not None and not (aligned.start < whole.start and whole.end == aligned.end):
        return proration.share(part, aligned, policy, sub.zone)
    if aligned.start < sub.begins_at <= part.start:
        first = Period(sub.begins_at, aligned.end)  # also for who pauses in it, and comes back
        if policy.first_period is FirstPeriod.FREE:
            return proration.NOTHING
        if policy.first_period is FirstPeriod.FULL:
            return proration.share(part, first, policy, sub.zone)
    stub = whole if whole is not None and part.start >= whole.start else part
    return proration.reference(part, stub, aligned, sub.interval, policy, sub.zone)


def charge(account: Account, item: Item, period: Period, share: Share) -> Charge:
    """What an item costs for a period that is `share` of a full one; rounded once."""
    price = item.price
    exact = pricing.amount_scaled(price, item.quantity)
    amount = divide(exact * share.part, SCALE * share.whole, account.policy.rounding)
    return Charge(
        LineKind.PERIOD,
        price.description,
        item.quantity,
        period,
        amount,
        item.id,
        price.id,
        price.plan_id,
        share,
        rates(account, price, period.start),
        None,
        price.plan_kind is PlanKind.ADDON,
    )


def advance(account: Account, items: Sequence[Item], period: Period, share: Share) -> list[Charge]:
    """What the items billed in advance cost for `period`."""
    return [
        charge(account, item, period, share)
        for item in items
        if item.price.timing is Timing.ADVANCE
    ]


def arrears(account: Account, items: Sequence[Item], until: datetime) -> list[Charge]:
    """What the items billed in arrears cost from the start of the present period to `until`."""
    sub, policy = account.subscription, account.policy
    charges: list[Charge] = []
    if sub.period is None or _stands_still(sub):
        return charges
    for item in items:
        if item.price.timing is not Timing.ARREARS:
            continue
        start = sub.period.start if item.since is None else max(item.since, sub.period.start)
        if start >= until:
            continue
        part = Period(start, until)
        if item.price.usage is pricing.Usage.METERED:
            charges.append(_used(account, item, part))
        else:
            share = share_of(sub, part, sub.period_index, policy)
            charges.append(charge(account, item, part, share))
    return charges


def _stands_still(sub: Subscription) -> bool:
    """Whether it is paused so that nothing is used; what was used before was billed with that."""
    return sub.pause is not None and sub.pause.invoices is PausedInvoices.NONE


def _used(account: Account, item: Item, part: Period) -> Charge:
    """What a metered item used: all of it in full, however short the time was."""
    used = account.usage.get(item.id, UNUSED)
    exact = pricing.amount_scaled(item.price, used.quantity, used.events)
    return Charge(
        LineKind.USAGE,
        item.price.description,
        used.quantity,
        part,
        divide(exact, SCALE, account.policy.rounding),
        item.id,
        item.price.id,
        item.price.plan_id,
        FULL,
        rates(account, item.price, part.start),
        None,
        item.price.plan_kind is PlanKind.ADDON,
    )


def setup_fees(account: Account, items: Sequence[Item], period: Period) -> list[Charge]:
    """What the items cost once, at their beginning."""
    return [
        Charge(
            LineKind.SETUP_FEE,
            f"{item.price.description}: set-up fee",
            1,
            period,
            item.price.setup_fee_minor,
            item.id,
            item.price.id,
            item.price.plan_id,
            FULL,
            rates(account, item.price, period.start),
        )
        for item in items
        if item.price.setup_fee_minor
    ]


def trial_fees(account: Account, period: Period) -> list[Charge]:
    """What the items' paid trials cost."""
    return [
        Charge(
            LineKind.TRIAL,
            f"{item.price.description}: trial",
            1,
            period,
            item.price.trial_amount_minor,
            item.id,
            item.price.id,
            item.price.plan_id,
            FULL,
            rates(account, item.price, period.start),
        )
        for item in account.subscription.items
        if item.price.trial_amount_minor
    ]


def order(
    sub: Subscription, reason: BillingReason, period: Period, cycle_start: datetime | None = None
) -> Order:
    """Who is billed and why. `cycle_start` names the boundary: one bill for each, ever."""
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


def with_pending(account: Account, lines: Lines) -> Lines:
    """The lines with those that waited, which come first."""
    if not account.pending and not account.late:
        return lines
    charges: list[Charge] = list(account.late)
    given: list[Credit] = []
    for item in account.pending:
        if isinstance(item.line, Credit):
            given.append(item.line)
        else:
            charges.append(_taxed(account, item.line))
    return Lines([*charges, *lines.charges], [*given, *lines.credits])


def _taxed(account: Account, waited: Charge) -> Charge:
    """A charge that waited, with the taxes of the day it is billed."""
    if account.taxation is None:
        return replace(waited, rates=account.subscription.rates)
    for item in account.subscription.items:
        if item.price.id == waited.price_id:
            return replace(waited, rates=rates(account, item.price, waited.period.start))
    return replace(waited, rates=account.taxation.rates(None, waited.period.start))


def late(
    account: Account, item: Item, period: Period, used: Metered, billed: tuple[int, int]
) -> Charge:
    """Usage of a period that was billed with (quantity, amount) and is known better now."""
    exact = pricing.amount_scaled(item.price, used.quantity, used.events)
    return Charge(
        LineKind.USAGE,
        f"{item.price.description}: late usage",
        used.quantity - billed[0],
        period,
        divide(exact, SCALE, account.policy.rounding) - billed[1],
        item.id,
        item.price.id,
        item.price.plan_id,
        FULL,
        rates(account, item.price, period.start),
        None,
        item.price.plan_kind is PlanKind.ADDON,
    )


class Became(NamedTuple):
    """What a subscription becomes, what that is called, and what its changed fields were before.

    `fields` are still to be put into it: they go in together with what its bill changes.
    """

    subscription: Subscription
    told: Type
    previous: Mapping[str, object] | None = None
    fields: Mapping[str, Any] = MappingProxyType({})


def decide(
    account: Account,
    change: Became,
    bill: tuple[Order, Lines] | None,
    now: datetime,
    new_id: NewId,
) -> Decision:
    """The decision to make that change, with the invoice it is billed by and what follows.

    Without lines nothing is billed. Under a merchant's days of grace, or in a pause that keeps
    drafts, the invoice is a draft; what pays it comes when it is finalized.
    """
    sub, told, previous, fields = change
    if bill is None or not bill[1]:
        became = replace(sub, **fields) if fields else sub
        return told_of(became, told, new_id, previous)
    billed = _bill(account, *bill, now, new_id)
    invoice = billed.invoice
    used = uses(account.subscription, invoice)
    discounts = left_of(sub.discounts, used) if used else sub.discounts
    latest = invoice.id
    if invoice.status is Status.PAID and sub.status in OWING:
        latest = sub.latest_invoice_id or latest  # what is still owed is on that one
    sub = replace(sub, **fields, latest_invoice_id=latest, discounts=discounts)
    return Decision(
        sub.merchant_id,
        subscriptions=(sub,),
        invoices=(invoice,),
        payments=_payments(account, invoice, now, new_id),
        balances=billed.balances,
        discounts=used,
        pending=tuple(
            replace(item, invoice_id=invoice.id, version=item.version + 1)
            for item in account.pending
        ),
        entries=billed.entries,
        events=(Event(new_id(), told, sub, previous), *billed.events),
    )


def _bill(account: Account, order: Order, lines: Lines, now: datetime, new_id: NewId) -> Billed:
    sub, policy = account.subscription, account.policy
    discounts = sub.discounts
    if discounts:
        discounts = discounting.at(discounts, order.period.start)
    what = invoicing.Bill(order, lines.charges, lines.credits, discounts, policy)
    meanwhile = PausedInvoices.NONE if sub.pause is None else sub.pause.invoices
    if meanwhile is PausedInvoices.DRAFT:
        return invoicing.draft(what, None, now, new_id)
    if meanwhile is PausedInvoices.VOID:
        return invoicing.given_away(what, now, new_id)
    days = policy.invoice_grace_days
    if days and order.reason is BillingReason.SUBSCRIPTION_CYCLE:
        return invoicing.draft(what, now + days * DAY, now, new_id)
    return invoicing.bill(what, account.balance, now, new_id)


def left_of(discounts: tuple[Discount, ...], used: tuple[DiscountUse, ...]) -> tuple[Discount, ...]:
    """The discounts, as `used` leaves them."""
    left = {use.id: use.periods_remaining for use in used}
    return tuple(replace(d, periods_remaining=left[d.id]) if d.id in left else d for d in discounts)


def uses(sub: Subscription, invoice: Invoice) -> tuple[DiscountUse, ...]:
    """The discounts of which this bill used up one paid period; at zero they stay for changes
    inside it.
    """
    order = invoice.order
    if not sub.discounts or order.cycle_start is None or invoice.status is Status.VOID:
        return ()
    if order.reason is BillingReason.SUBSCRIPTION_CANCEL:
        return ()
    return tuple(
        DiscountUse(sub.merchant_id, d.id, d.periods_remaining - 1, order.period.start)
        for d in sub.discounts
        if d.periods_remaining
    )


def without_spent(sub: Subscription, at: datetime) -> tuple[Subscription, tuple[DiscountUse, ...]]:
    """The subscription as a new period begins: discounts whose last period is over have ended."""
    spent = [d for d in sub.discounts if d.periods_remaining == 0]
    if not spent:
        return sub, ()
    left = tuple(d for d in sub.discounts if d.periods_remaining != 0)
    uses = tuple(DiscountUse(sub.merchant_id, d.id, 0, at, is_removed=True) for d in spent)
    return replace(sub, discounts=left), uses


def _payments(
    account: Account, invoice: Invoice, now: datetime, new_id: NewId
) -> tuple[paying.Payment, ...]:
    pause = account.subscription.pause
    if pause is not None and pause.invoices is PausedInvoices.KEEP:
        return ()
    if invoice.status is not Status.OPEN:
        return ()
    if invoice.order.collection is not Collection.CHARGE_AUTOMATICALLY:
        return ()
    return (paying.schedule(invoice, account.method_id, now, new_id),)


def behind(sub: Subscription) -> Subscription:
    """The running subscription whose bill there is nothing to pay with: that has failed already."""
    return replace(sub, status=after(sub.status, Happening.PAYMENT_FAILED))


def told_of(
    sub: Subscription, type_: Type, new_id: NewId, previous: Mapping[str, object] | None = None
) -> Decision:
    """The decision that the subscription is now like this, and that this is told."""
    event = Event(new_id(), type_, sub, previous)
    return Decision(sub.merchant_id, subscriptions=(sub,), events=(event,))


def updated(sub: Subscription, before: Mapping[str, object], new_id: NewId) -> Decision:
    """The decision that the subscription is now like this; the event says what was before."""
    return told_of(sub, Type.SUBSCRIPTION_UPDATED, new_id, before)
