"""Changing a running subscription: other items, prices, quantities or intervals. Pure decisions.

What was charged for the rest of the period is credited, then the rest is charged as it is now; or
as the settlement says. Called for now, or kept for later and called by the clock.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from app.domain import billing, crediting, items, noting, pricing, waiting
from app.domain import discount as discounting
from app.domain.billing import Account, Became, Lines
from app.domain.calendar import SECOND, Interval, Period, Unit
from app.domain.decision import Decision, ScheduledState
from app.domain.discount import Discount
from app.domain.errors import Conflict, InvalidRequest, NotFound
from app.domain.event import Type
from app.domain.ids import NewId
from app.domain.invoice import BillingReason
from app.domain.invoicing import Credit
from app.domain.noting import Way
from app.domain.policy import DirectionBy, Policy, Settlement, When
from app.domain.pricing import Timing
from app.domain.proration import FULL, NOTHING, Share
from app.domain.subscription import (
    ENDED,
    Change,
    Item,
    ItemChange,
    PausedInvoices,
    Scheduled,
    ScheduledStatus,
    Status,
    Subscription,
)

SCHEDULED_MAX: Final = 60
"""Changes that may wait on one subscription: five years of monthly phases."""
SECONDS: Final = {
    Unit.DAY: 86_400,
    Unit.WEEK: 604_800,
    Unit.MONTH: 2_629_746,
    Unit.YEAR: 31_556_952,
}
"""The mean length of each unit (Gregorian), to compare prices of different intervals."""
RESETS: Final = frozenset({Settlement.RESET, Settlement.RESET_WITHOUT_CREDIT})


def change(
    account: Account, wanted: Change, at: datetime, now: datetime, new_id: NewId
) -> Decision:
    """Change the subscription as of `at`, settled as the change or the policy says.

    What has not begun, or is on trial, only changes: its first bill will be of what it is then.
    Raises Conflict, InvalidRequest.
    """
    sub = account.subscription
    if sub.status in ENDED or sub.status is Status.INCOMPLETE:
        raise Conflict(
            f"A subscription that is {sub.status} cannot change.", code=f"subscription_{sub.status}"
        )
    recast = items.recast(sub, wanted, at, new_id)
    return noting.beside(
        account,
        lambda noted: _given_back(noted, recast, wanted, at),
        lambda rest: _settled(rest, recast, wanted, at, now, new_id),
        Way(account.corrected),
        now,
        new_id,
    )


def _given_back(
    account: Account, recast: Subscription, wanted: Change, at: datetime
) -> list[Credit]:
    """What the change gives back of what was charged, whatever the form of it."""
    sub = account.subscription
    settlement = wanted.settlement or account.policy.settlement
    if _waits(sub, at) or sub.period is None:
        return []
    if recast.interval == sub.interval and settlement is Settlement.NONE:
        return []
    if recast.interval == sub.interval and settlement not in RESETS:
        return _unused(account, items.touched(sub, recast), at)
    if settlement is Settlement.RESET_WITHOUT_CREDIT and sub.period.start < at:
        return []
    return unused_of_items(account, at)


def unused_of_items(account: Account, at: datetime) -> list[Credit]:
    """What is left at `at` of what was charged for the items that there are now."""
    return _unused(account, {item.id for item in account.subscription.items}, at)


def _settled(
    account: Account,
    recast: Subscription,
    wanted: Change,
    at: datetime,
    now: datetime,
    new_id: NewId,
) -> Decision:
    """The change, settled as it or the policy says."""
    sub = account.subscription
    settlement = wanted.settlement or account.policy.settlement
    if _waits(sub, at):
        decision = _changed_only(account, recast, now, new_id)
    elif recast.interval != sub.interval or settlement in RESETS:
        decision = _reset(account, recast, settlement, at, now, new_id)
    elif settlement is Settlement.NONE:
        decision = _unsettled(account, recast, at, now, new_id)
    else:
        decision = _prorated(account, recast, settlement, at, now, new_id)
    states = items.recast_states(sub, decision.subscriptions[0], at)
    return replace(
        decision,
        items=states.items,
        new_discounts=states.new_discounts,
        discounts=decision.discounts + states.discounts,
    )


def _waits(sub: Subscription, at: datetime) -> bool:
    """Whether nothing runs that a change could be settled with: it has not begun, is on trial, or
    is paused beyond what was paid for.
    """
    if sub.status in (Status.SCHEDULED, Status.TRIALING):
        return True
    still = sub.pause is not None and sub.pause.invoices is PausedInvoices.NONE
    return still and (sub.period is None or at >= sub.period.end)


def _changed_only(account: Account, recast: Subscription, now: datetime, new_id: NewId) -> Decision:
    """It becomes another without a bill; what an item costs once waits, where the first bill is
    over already.
    """
    sub = account.subscription
    decision = billing.updated(recast, _before(sub), new_id)
    if sub.period is None or sub.status is Status.TRIALING:
        return decision
    known = {item.id for item in sub.items}
    added = [item for item in recast.items if item.id not in known]
    fees = billing.setup_fees(account, added, Period(now, now + SECOND))
    return replace(decision, pending=waiting.keep(sub, Lines(fees), now, new_id))


def _unsettled(
    account: Account, recast: Subscription, at: datetime, now: datetime, new_id: NewId
) -> Decision:
    """The present period is left as it is billed; what is in arrears costs for all of it what it
    costs at its end. What goes before that is billed for what was used of it.
    """
    sub = account.subscription
    known = {item.id: item for item in sub.items}
    kept = tuple(
        replace(item, since=known[item.id].since) if item.id in known else item
        for item in recast.items
    )
    recast = replace(recast, items=kept)
    gone = [item for item in sub.items if item.id not in {item.id for item in kept}]
    used = Lines(billing.arrears(account, gone, at))
    decision = billing.updated(recast, _before(sub), new_id)
    return replace(decision, pending=waiting.keep(sub, used, now, new_id))


def apply_planned(account: Account, planned: Scheduled, now: datetime, new_id: NewId) -> Decision:
    """A change that was scheduled for a moment inside a period takes place."""
    sub = account.subscription
    assert planned.change is not None
    left = replace(sub, scheduled=tuple(s for s in sub.scheduled if s is not planned))
    at = planned.due_at if sub.period is None else max(planned.due_at, sub.period.start)
    changed = change(replace(account, subscription=left), planned.change, at, now, new_id)
    return replace(changed, scheduled=(items.applied(sub, planned, now),))


def _before(sub: Subscription) -> Mapping[str, object]:
    was = sub.snapshot()
    return {name: was[name] for name in ("items", "interval", "interval_count")}


def _prorated(
    account: Account,
    recast: Subscription,
    settlement: Settlement,
    at: datetime,
    now: datetime,
    new_id: NewId,
) -> Decision:
    """Credit the unused part of what changes and charge the rest: now, or with the next invoice."""
    sub = account.subscription
    assert sub.period is not None
    rest = Period(min(at, sub.period.end - SECOND), sub.period.end)
    share = billing.share_of(sub, rest, sub.period_index, account.policy)
    lines = _difference(account, recast, at, rest, share)
    changed = items.touched(sub, recast)
    cut = waiting.cut(account, changed, at, now, new_id)
    if settlement is Settlement.NEXT_INVOICE:
        kept = waiting.keep(sub, lines, now, new_id)
        decision = billing.updated(recast, _before(sub), new_id)
        return replace(decision, pending=(*cut.written, *kept))
    discounts = for_a_part(recast, changed, share)
    billed = replace(account, subscription=replace(recast, discounts=discounts), pending=cut.kept)
    order = billing.order(recast, BillingReason.SUBSCRIPTION_UPDATE, rest)
    bill = order, billing.with_pending(billed, lines)
    told = Became(recast, Type.SUBSCRIPTION_UPDATED, _before(sub))
    decision = billing.decide(billed, told, bill, now, new_id)
    return replace(decision, pending=cut.with_taken(decision.pending))


def for_a_part(sub: Subscription, changed: set[UUID], share: Share) -> tuple[Discount, ...]:
    """The discounts as they are for what is charged anew: fixed amounts in the proportion of the
    time, and of the items that change among all that share them.
    """
    costs = {item.id: _amount(item) for item in sub.items if item.price.timing is Timing.ADVANCE}
    whole = sum(costs.values())
    part = sum(cost for item_id, cost in costs.items() if item_id in changed)
    if not whole:
        part = whole = 1
    if part * share.part == whole * share.whole:
        return sub.discounts
    return tuple(
        discounting.prorated(d, share.part * part, share.whole * whole) for d in sub.discounts
    )


def _difference(
    account: Account, recast: Subscription, at: datetime, rest: Period, share: Share
) -> Lines:
    """What the change gives back and charges for the rest of the present period."""
    sub = account.subscription
    changed = items.touched(sub, recast)
    old = [item for item in sub.items if item.id in changed]
    new = [item for item in recast.items if item.id in changed]
    known = {item.id for item in sub.items}
    charges = billing.arrears(account, old, at)
    charges += billing.setup_fees(account, [item for item in new if item.id not in known], rest)
    if share != NOTHING:
        charges += billing.advance(account, new, rest, share)
    return Lines(charges, _unused(account, changed, at))


def unused(account: Account, at: datetime) -> list[Credit]:
    """What is left at `at` of all that was charged, also for items that are gone by now."""
    sub, policy = account.subscription, account.policy
    found = [crediting.unused(c, at, policy, sub.zone) for c in account.creditable]
    return [credit for credit in found if credit is not None]


def _unused(account: Account, which: set[UUID], at: datetime) -> list[Credit]:
    chosen = tuple(c for c in account.charged if c.line.charge.item_id in which)
    return unused(replace(account, charged=chosen), at)


def _reset(
    account: Account,
    recast: Subscription,
    settlement: Settlement,
    at: datetime,
    now: datetime,
    new_id: NewId,
) -> Decision:
    """A new period begins at `at` in full; of the old one the unused part may come back."""
    whole = recast.interval.period(at, 0, recast.zone)
    begun = Begun(at, 0, whole, FULL, settlement is not Settlement.RESET_WITHOUT_CREDIT)
    return begin_anew(account, recast, begun, now, new_id)


class Begun(NamedTuple):
    """A period that begins in the middle of another: where it is counted from and as which, what
    share of a full one it is, and whether what is left of the other comes back.
    """

    anchor: datetime
    nth: int
    period: Period
    share: Share
    is_credited: bool


def begin_anew(
    account: Account, recast: Subscription, begun: Begun, now: datetime, new_id: NewId
) -> Decision:
    """The subscription as `recast` says, in a period that begins in place of the present one."""
    sub, period, at = account.subscription, begun.period, begun.period.start
    assert sub.period is not None
    known = {item.id for item in sub.items}
    running = replace(
        recast,
        anchor=begun.anchor,
        period=period,
        period_index=begun.nth,
        items=tuple(replace(item, since=None) for item in recast.items),
    )
    charges = billing.arrears(account, sub.items, at)
    added = [item for item in running.items if item.id not in known]
    charges += billing.setup_fees(account, added, period)
    charges += billing.advance(account, running.items, period, begun.share)
    given, cut = _unused(account, known, at), waiting.cut(account, known, at, now, new_id)
    if not begun.is_credited and sub.period.start < at:
        given, cut = [], waiting.Cut(account.pending)
    # Where the present period was billed at this very instant, that bill has the boundary's name.
    boundary = at if sub.period.start < at else None
    name = None if boundary is None else account.name_of(boundary)
    order = billing.order(running, BillingReason.SUBSCRIPTION_UPDATE, period, name)
    # A new period is billed: what the last one used up of the discounts is gone with it.
    running, spent = billing.without_spent(running, at) if boundary else (running, ())
    billed = replace(account, subscription=running, pending=cut.kept)
    bill = order, billing.with_pending(billed, Lines(charges, given))
    told = Became(running, Type.SUBSCRIPTION_UPDATED, _before(sub))
    decision = billing.decide(billed, told, bill, now, new_id)
    return replace(
        decision,
        pending=cut.with_taken(decision.pending),
        discounts=(*spent, *decision.discounts),
    )


# ── when a change takes place ─────────────────────────────────────────────────────────────────────


def when(sub: Subscription, wanted: Change, policy: Policy) -> When:
    """When the change takes place if nobody says: by what it changes, and which way.

    One part that is to happen now takes the others with it.
    """
    if wanted.is_whole or not wanted.items:
        return When.NOW
    known = {item.id: item for item in sub.items}
    moments = set()
    for part in wanted.items:
        old = known.get(part.item_id) if part.item_id is not None else None
        moments.add(_when(old, part, policy))
    return When.NOW if When.NOW in moments else When.PERIOD_END


def _when(old: Item | None, part: ItemChange, policy: Policy) -> When:
    if part.is_removed:
        return policy.downgrade
    if old is None:
        return policy.upgrade
    if part.price is not None and part.price.every != old.price.every:
        return policy.interval_change
    quantity = old.quantity if part.quantity is None else part.quantity
    if part.price is None or part.price.id == old.price.id:
        more = quantity >= old.quantity
        return policy.quantity_increase if more else policy.quantity_decrease
    new = replace(old, price=part.price, quantity=quantity)
    return policy.upgrade if is_upgrade(old, new, policy.direction_by) else policy.downgrade


def is_upgrade(old: Item, new: Item, by: DirectionBy) -> bool:
    """Whether `new` is the better one: by rank, and where that is equal by its price per day."""
    ranks = old.price.plan_rank, new.price.plan_rank
    if by is DirectionBy.PLAN_RANK and ranks[0] != ranks[1]:
        return ranks[1] > ranks[0]
    return _amount(new) * _seconds(old.price.every) >= _amount(old) * _seconds(new.price.every)


def _amount(item: Item) -> int:
    return pricing.amount_scaled(item.price, item.quantity)


def _seconds(interval: Interval) -> int:
    return SECONDS[interval.unit] * interval.count


def schedule(
    sub: Subscription, wanted: Change, due_at: datetime, now: datetime, new_id: NewId
) -> Decision:
    """Keep the change for `due_at`; one that waits for the same moment gives way to it."""
    if sub.status in ENDED:
        raise Conflict("It has ended already.", code=f"subscription_{sub.status}")
    if due_at <= now:
        raise InvalidRequest("A scheduled change lies in the future.", param="at")
    items.recast(sub, wanted, due_at, new_id)  # refuses now what it would refuse then
    replaced = [s for s in sub.scheduled if s.due_at == due_at and s.change is not None]
    return add(sub, [Scheduled(new_id(), due_at, wanted, created_at=now)], replaced, now, new_id)


def add(
    sub: Subscription,
    new: list[Scheduled],
    replaced: list[Scheduled],
    now: datetime,
    new_id: NewId,
) -> Decision:
    """The subscription with scheduled changes more, and some less. Raises Conflict."""
    kept = [s for s in sub.scheduled if s not in replaced]
    waiting = sorted([*kept, *new], key=lambda s: s.due_at)
    if len(waiting) > SCHEDULED_MAX:
        raise Conflict(
            f"At most {SCHEDULED_MAX} changes can be scheduled.", code="too_many_scheduled_changes"
        )
    planned = replace(sub, scheduled=tuple(waiting), version=sub.version + 1)
    before = {"scheduled_changes": sub.snapshot()["scheduled_changes"]}
    states = [
        ScheduledState(sub.merchant_id, sub.id, s, ScheduledStatus.CANCELED, now) for s in replaced
    ]
    states += [
        ScheduledState(sub.merchant_id, sub.id, s, ScheduledStatus.PENDING, now) for s in new
    ]
    return replace(billing.updated(planned, before, new_id), scheduled=tuple(states))


def unschedule(sub: Subscription, scheduled_id: UUID, now: datetime, new_id: NewId) -> Decision:
    """Take back a change that has not happened. Raises NotFound."""
    found = [s for s in sub.scheduled if s.id == scheduled_id]
    if not found:
        raise NotFound("There is no such scheduled change.", code="scheduled_change_not_found")
    return add(sub, [], found, now, new_id)


def set_trial_end(sub: Subscription, at: datetime, now: datetime, new_id: NewId) -> Decision:
    """End the trial at `at`, or at once; periods are counted from there, or from the next boundary
    of an anchor that was set by hand.
    """
    if sub.status is not Status.TRIALING:
        raise Conflict("It is not on trial.", code="subscription_not_trialing")
    assert sub.period is not None
    if at < now:
        raise InvalidRequest("A trial ends now or later.", param="trial_end")
    end = max(at, sub.period.start + SECOND)
    changed = replace(
        sub,
        trial_end=end,
        anchor=end if sub.anchor == sub.trial_end else sub.anchor,
        period=Period(sub.period.start, end),
        version=sub.version + 1,
    )
    changed = replace(changed, period_index=changed.first_index - 1)
    return billing.updated(changed, {"trial_end": sub.trial_end}, new_id)
