"""Boundaries: one period ends and the next begins, with the one bill for both."""

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from app.domain import billing, items
from app.domain.billing import Account, Became, Lines
from app.domain.calendar import Period
from app.domain.decision import Decision
from app.domain.event import Type
from app.domain.ids import NewId
from app.domain.invoice import BillingReason
from app.domain.proration import FULL, Share
from app.domain.subscription import (
    Happening,
    Item,
    PausedInvoices,
    Scheduled,
    Subscription,
    after,
)


class Entered(NamedTuple):
    """A period that begins, and which share of a full one it is, where that is known already."""

    period: Period
    nth: int
    share: Share | None = None


def enter(
    account: Account,
    index: int,
    happening: Happening,
    now: datetime,
    new_id: NewId,
    planned: Scheduled | None = None,
) -> Decision:
    """Begin period `index`: charge it in advance, and in arrears what the last one used.

    With a `planned` change what ends is billed as it was, and what begins as it will be.
    """
    sub = account.subscription
    start = sub.start_at if sub.period is None else sub.period.end
    fresh = sub
    if planned is not None and planned.change is not None:
        fresh = items.recast(sub, planned.change, start, new_id)
        fresh = replace(fresh, scheduled=tuple(s for s in sub.scheduled if s is not planned))
        if fresh.interval != sub.interval:
            fresh, index = replace(fresh, anchor=start), 0
    aligned = fresh.interval.period(fresh.anchor, index, sub.zone)
    entered = Entered(aligned, index, FULL)
    if start != aligned.start:
        entered = Entered(Period(start, aligned.end), index)
    charges = (
        billing.arrears(account, sub.items, start)
        if happening is Happening.RENEW and sub.period is not None
        else []
    )
    entering = account if fresh is sub else replace(account, subscription=fresh)
    decision = begin(entering, sub, entered, happening, Lines(charges), now, new_id)
    if planned is None:
        return decision
    states = items.recast_states(sub, decision.subscriptions[0], start)
    return replace(
        decision,
        items=states.items,
        new_discounts=states.new_discounts,
        discounts=decision.discounts + states.discounts,
        scheduled=(items.applied(sub, planned, now),),
    )


def begin(  # noqa: PLR0913  what begins, what was before, and what is billed with it
    account: Account,
    before: Subscription,
    entered: Entered,
    happening: Happening,
    lines: Lines,
    now: datetime,
    new_id: NewId,
) -> Decision:
    """Begin a period of the account's subscription; `lines` of what came before are billed too."""
    period, index, share = entered
    sub, spent = billing.without_spent(account.subscription, period.start)
    if spent:
        account = replace(account, subscription=sub)
    is_first = happening is not Happening.RENEW and before.period_index < before.first_index
    if share is None:
        share = billing.share_of(sub, period, index, account.policy, period)
    charges = list(lines.charges)
    charges += billing.setup_fees(account, sub.items if is_first else _added(before, sub), period)
    charges += billing.advance(account, sub.items, period, share)
    reason, told = _told(happening)
    # Where a period begins again at the instant of the last, that one's bill has its name.
    again = before.period is not None and before.period.start == period.start
    order = billing.order(sub, reason, period, cycle_start=None if again else period.start)
    cycles = sub.cycles_left
    fields = {
        "status": after(before.status, happening),
        "period": period,
        "period_index": index,
        "items": _since_the_boundary(sub.items),
        "pause": None if happening is Happening.RESUME else sub.pause,
        "cycles_left": None if cycles is None else max(0, cycles - _counts(sub, index)),
        "version": before.version + 1,
    }
    if sub.pause is not None and sub.pause.invoices is PausedInvoices.VOID:
        account = replace(account, pending=(), late=())  # what waits is not given away
    due = billing.with_pending(account, Lines(charges, lines.credits))
    became = Became(sub, told, fields=fields)
    decision = billing.decide(account, became, (order, due), now, new_id)
    if spent:
        decision = replace(decision, discounts=(*spent, *decision.discounts))
    running = decision.subscriptions[0]
    if running.items is sub.items:
        return decision
    return replace(decision, items=items.recast_states(sub, running, period.start).items)


def _counts(sub: Subscription, index: int) -> bool:
    """Whether the period is one of those that were agreed on: a stub before the first is not."""
    return sub.interval.after(sub.anchor, index, sub.zone) >= sub.begins_at


def _told(happening: Happening) -> tuple[BillingReason, Type]:
    match happening:
        case Happening.RENEW:
            return BillingReason.SUBSCRIPTION_CYCLE, Type.SUBSCRIPTION_RENEWED
        case Happening.RESUME:
            return BillingReason.SUBSCRIPTION_CYCLE, Type.SUBSCRIPTION_RESUMED
        case _:
            return BillingReason.SUBSCRIPTION_CREATE, Type.SUBSCRIPTION_ACTIVATED


def _added(before: Subscription, sub: Subscription) -> tuple[Item, ...]:
    if before.items is sub.items:
        return ()
    known = {item.id for item in before.items}
    return tuple(item for item in sub.items if item.id not in known)


def _since_the_boundary(found: tuple[Item, ...]) -> tuple[Item, ...]:
    """The items, none of which began inside the period that begins."""
    if all(item.since is None for item in found):
        return found
    return tuple(item if item.since is None else replace(item, since=None) for item in found)
