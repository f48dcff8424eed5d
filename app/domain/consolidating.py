"""One invoice for several subscriptions of a customer whose boundaries fall on the same instant.

Each subscription is decided alone, as if it were billed alone; then the bills are put together.
Lines and discounts stay as they are; taxes are reckoned once more over all lines, so that they are
rounded once for each rate; one credit balance pays, and one payment collects.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

from app.domain import billing, invoicing
from app.domain import payment as paying
from app.domain.billing import Account
from app.domain.decision import Decision
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.invoice import BillingReason, Collection, Invoice, Status
from app.domain.invoicing import Billed
from app.domain.payment import Payment
from app.domain.policy import Consolidation
from app.domain.sharing import Shared
from app.domain.subscription import Status as SubscriptionStatus
from app.domain.subscription import Subscription

OF_THE_BILL: Final = frozenset(
    {"subscriptions", "invoices", "payments", "balances", "entries", "events", "pending"}
)
"""The parts of a decision that are made anew when bills are put together."""


Step: TypeAlias = Callable[[Account], Decision]
"""What happens next to a subscription, decided alone."""


@dataclass(frozen=True, slots=True)
class Part:
    """A subscription as it was, and what was decided about it alone."""

    account: Account
    decision: Decision


def step(
    accounts: Sequence[Account], alone: Step, shared: Shared, now: datetime, new_id: NewId
) -> list[Decision]:
    """What happens at one instant to subscriptions of one customer, those bills put together that
    become one invoice. `shared` is what was decided of the customer before; it goes on from there.

    Each is decided twice: first to see which belong together, since what one leaves of the credit
    is the next one's.
    """
    groups: dict[Hashable, list[Account]] = defaultdict(list)
    for place, part in enumerate(_parts(accounts, alone, shared.fork())):
        alike = _group(part)
        groups[place if alike is None else alike].append(accounts[place])
    decided = []
    for of in groups.values():
        parts = _parts(of, alone, shared.fork())
        decision = parts[0].decision if len(of) == 1 else merged(parts, now, new_id)
        shared.note(parts[0].account, decision)
        decided.append(decision)
    return decided


def _parts(accounts: Sequence[Account], alone: Step, shared: Shared) -> list[Part]:
    parts = []
    for account in accounts:
        seen = shared.left_to(account)
        parts.append(Part(seen, alone(seen)))
        shared.note(seen, parts[-1].decision)
    return parts


def _group(part: Part) -> Hashable | None:
    """What bills must have in common to become one; None: this one stays alone."""
    account, policy = part.account, part.account.policy
    if policy.invoice_consolidation is not Consolidation.CUSTOMER:
        return None
    if len(part.decision.invoices) != 1 or account.subscription.pause is not None:
        return None
    [invoice] = part.decision.invoices
    order = invoice.order
    if order.reason is not BillingReason.SUBSCRIPTION_CYCLE or invoice.status not in _FINAL:
        return None
    if order.cycle_start is None:  # the rest of what was billed ahead
        return None
    return (
        *(order.merchant_id, order.customer_id, order.currency, order.test_clock_id),
        *(order.collection, order.net_days, order.series, order.period.start),
        *(account.method_id, policy.rounding, policy.tax_rounding),
    )


_FINAL: Final = frozenset({Status.OPEN, Status.PAID})


def merged(parts: Sequence[Part], now: datetime, new_id: NewId) -> Decision:
    """The one decision of several: one invoice with all their lines, and what follows from it.

    The balance is that of the first part, as it was before any of them.
    """
    balance = parts[0].account.balance
    bills = [part.decision.invoices[0] for part in parts]
    billed = invoicing.consolidate(bills, balance, now, new_id)
    payments = _payments(billed.invoice, parts[0].account.method_id, now, new_id)
    running = [_after(part, billed.invoice) for part in parts]
    rows = _rest(parts)
    return Decision(
        billed.invoice.merchant_id,
        subscriptions=tuple(_unpayable(running, payments)),
        invoices=(billed.invoice,),
        payments=payments,
        balances=billed.balances,
        pending=tuple(
            replace(item, invoice_id=billed.invoice.id) if item.invoice_id in rows.own else item
            for part in parts
            for item in part.decision.pending
        ),
        entries=billed.entries,
        events=_events(parts, running, billed, payments, new_id),
        **rows.others,
    )


@dataclass(frozen=True, slots=True)
class _Rest:
    """What of the decisions is no part of their bills, and what these were called."""

    own: frozenset[UUID]
    others: dict[str, Any]


def _rest(parts: Sequence[Part]) -> _Rest:
    names = (f.name for f in fields(Decision) if f.name not in OF_THE_BILL | {"merchant_id"})
    return _Rest(
        frozenset(part.decision.invoices[0].id for part in parts),
        {
            name: tuple(row for part in parts for row in getattr(part.decision, name))
            for name in names
        },
    )


def _payments(
    invoice: Invoice, method_id: UUID | None, now: datetime, new_id: NewId
) -> tuple[Payment, ...]:
    if invoice.status is not Status.OPEN:
        return ()
    if invoice.order.collection is not Collection.CHARGE_AUTOMATICALLY:
        return ()
    return (paying.schedule(invoice, method_id, now, new_id),)


def _renewed(part: Part) -> Event:
    """The event of the subscription's new period; its subject is the subscription before anything
    was found to be unpaid.
    """
    return next(e for e in part.decision.events if e.type is Type.SUBSCRIPTION_RENEWED)


def _after(part: Part, invoice: Invoice) -> Subscription:
    """The subscription in its new period; what it still owes on an earlier invoice stays the
    latest, as if it were billed alone.
    """
    sub = _renewed(part).subject
    assert isinstance(sub, Subscription)
    before = part.account.subscription
    latest: UUID | None = invoice.id
    if invoice.status is Status.PAID and before.status in billing.OWING:
        latest = before.latest_invoice_id or latest
    return replace(sub, latest_invoice_id=latest)


def _unpayable(running: Sequence[Subscription], payments: Sequence[Payment]) -> list[Subscription]:
    """The subscriptions; where there is nothing to pay with, that has failed already."""
    if not any(p.status is paying.Status.REQUIRES_PAYMENT_METHOD for p in payments):
        return list(running)
    active = SubscriptionStatus.ACTIVE
    return [billing.behind(sub) if sub.status is active else sub for sub in running]


def _events(
    parts: Sequence[Part],
    running: Sequence[Subscription],
    billed: Billed,
    payments: Sequence[Payment],
    new_id: NewId,
) -> tuple[Event, ...]:
    """What is told: each subscription's own, then what becomes of the one invoice."""
    told: list[Event] = []
    for part, sub in zip(parts, running, strict=True):
        renewed = _renewed(part)
        told += [
            replace(event, subject=sub) if event is renewed else event
            for event in part.decision.events
            if not isinstance(event.subject, Invoice)
            and event.type is not Type.SUBSCRIPTION_PAST_DUE
        ]
    told += billed.events
    for sub, became in zip(running, _unpayable(running, payments), strict=True):
        if became is not sub:
            told.append(Event(new_id(), Type.SUBSCRIPTION_PAST_DUE, became))
    return tuple(told)
