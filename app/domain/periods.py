"""Boundaries: one period ends and the next begins, with the one bill for both."""

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.domain import ahead, billing, items
from app.domain.billing import Account, Became, Lines
from app.domain.calendar import Period
from app.domain.decision import Decision, DiscountUse
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.invoice import BillingReason, Status
from app.domain.proration import FULL, Share
from app.domain.subscription import (
    Ahead,
    Happening,
    Item,
    PausedInvoices,
    Scheduled,
    Subscription,
    after,
)
from app.domain.subscription import Status as SubscriptionStatus


class Entered(NamedTuple):
    """A period that begins, and which share of a full one it is, where that is known already."""

    period: Period
    nth: int
    share: Share | None = None


def coming(
    sub: Subscription, index: int, planned: Scheduled | None, new_id: NewId
) -> tuple[Subscription, Entered]:
    """The subscription as it is in its period `index`, with a `planned` change of that boundary,
    and that period. Raises InvalidRequest where the change does not fit any more.
    """
    start = sub.start_at if sub.period is None else sub.period.end
    fresh = sub
    if planned is not None and planned.change is not None:
        fresh = items.recast(sub, planned.change, start, new_id)
        fresh = replace(fresh, scheduled=tuple(s for s in sub.scheduled if s is not planned))
        if fresh.interval != sub.interval:
            fresh, index = replace(fresh, anchor=start), 0
    aligned = fresh.interval.period(fresh.anchor, index, sub.zone)
    if start != aligned.start:
        return fresh, Entered(Period(start, aligned.end), index)
    return fresh, Entered(aligned, index, FULL)


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
    fresh, entered = coming(sub, index, planned, new_id)
    start = entered.period.start
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
    billed = account.ahead if ahead.is_taken_up(account.ahead, before, period.start) else None
    advance = ahead.Rest(billing.advance(account, sub.items, period, share), ())
    if billed is not None:
        advance = ahead.rest(advance.charges, billed)
    charges = list(lines.charges)
    charges += billing.setup_fees(account, sub.items if is_first else _added(before, sub), period)
    charges += advance.charges
    reason, told = _told(happening)
    # Where a period begins again at the instant of the last, that one's bill has its name.
    again = before.period is not None and before.period.start == period.start
    name = None if again or billed is not None else account.name_of(period.start)
    order = billing.order(sub, reason, period, cycle_start=name)
    cycles = sub.cycles_left
    fields = {
        "status": after(before.status, happening),
        "period": period,
        "period_index": index,
        "items": _since_the_boundary(sub.items),
        "pause": None if happening is Happening.RESUME else sub.pause,
        "cycles_left": None if cycles is None else max(0, cycles - _counts(sub, index)),
        "ahead": _still_ahead(before, billed, period),
        "version": before.version + 1,
    }
    if sub.pause is not None and sub.pause.invoices is PausedInvoices.VOID:
        account = replace(account, pending=(), late=())  # what waits is not given away
    due = billing.with_pending(account, Lines(charges, [*lines.credits, *advance.credits]))
    became = Became(sub, told, fields=fields)
    if billed is not None:
        open_to = ahead.still_open(sub.discounts, billed)
        account = replace(account, subscription=replace(sub, discounts=open_to))
    decision = billing.decide(account, became, (order, due), now, new_id)
    if billed is not None:
        decision = _taken_up(decision, sub, billed, new_id)
    elif name is None and not again and decision.invoices:
        [bill] = decision.invoices
        named = replace(bill, order=replace(bill.order, cycle_start=period.start))
        decision = _used_up(decision, sub, billing.uses(sub, named))
    if spent:
        decision = replace(decision, discounts=(*spent, *decision.discounts))
    running = decision.subscriptions[0]
    if running.items is sub.items:
        return decision
    return replace(decision, items=items.recast_states(sub, running, period.start).items)


def _still_ahead(before: Subscription, billed: ahead.Billed | None, period: Period) -> Ahead | None:
    """What is known of bills made ahead once the period runs: one in vain waits to be taken back,
    and one that was taken back keeps its name.
    """
    known = before.ahead
    if known is None or billed is not None:
        return None
    if known.invoice_id is None and known.start <= period.start:
        return None
    return known


def _taken_up(
    decision: Decision, sub: Subscription, billed: ahead.Billed, new_id: NewId
) -> Decision:
    """The decision with the bill that was made ahead as the period's own: its discounts are used
    up, it is the latest that counts, and if it could not be paid, that has failed already.
    """
    latest = _latest(decision, sub, billed)
    decision = _used_up(decision, sub, billing.uses(sub, billed.invoice), latest)
    [running] = decision.subscriptions
    if not billed.has_failed or running.status is not SubscriptionStatus.ACTIVE:
        return decision
    behind = billing.behind(running)
    event = Event(new_id(), Type.SUBSCRIPTION_PAST_DUE, behind)
    return replace(decision, subscriptions=(behind,), events=(*decision.events, event))


def _used_up(
    decision: Decision,
    sub: Subscription,
    used: tuple[DiscountUse, ...],
    latest: UUID | None = None,
) -> Decision:
    """The decision with one more period of the subscription's discounts used up."""
    [running] = decision.subscriptions
    became = replace(
        running,
        discounts=billing.left_of(sub.discounts, used),
        latest_invoice_id=latest or running.latest_invoice_id,
    )
    return replace(
        decision,
        subscriptions=(became,),
        discounts=(*decision.discounts, *used),
        events=tuple(
            replace(event, subject=became) if event.subject.id == sub.id else event
            for event in decision.events
        ),
    )


def _latest(decision: Decision, sub: Subscription, billed: ahead.Billed) -> UUID | None:
    """The invoice by which it is judged whether the subscription is paid for."""
    match billed.invoice.status:
        case Status.OPEN:
            return billed.invoice.id
        case Status.PAID if not decision.invoices and sub.status not in billing.OWING:
            return billed.invoice.id
        case _:
            return decision.subscriptions[0].latest_invoice_id


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
