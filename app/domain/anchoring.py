"""Moving the boundaries of a running subscription. Pure decisions.

What is paid stays paid: by default the present period becomes longer, up to the first boundary of
the new anchor that lies at or after its end, and the gap is billed at once. Or it is given back,
and a period that ends at the new anchor begins at once.
"""

from dataclasses import replace
from datetime import datetime

from app.domain import billing, changing, items, noting, phases, proration
from app.domain.billing import Account, Became, Lines
from app.domain.calendar import Period
from app.domain.changing import Begun
from app.domain.decision import Decision
from app.domain.errors import Conflict, InvalidRequest
from app.domain.event import Type
from app.domain.ids import NewId
from app.domain.invoice import BillingReason
from app.domain.noting import Way
from app.domain.policy import AnchorChange
from app.domain.subscription import ENDED, Status, Subscription


def move(
    account: Account, anchor: datetime, how: AnchorChange | None, now: datetime, new_id: NewId
) -> Decision:
    """Count periods from `anchor` from now on; None: as the policy says.

    Before it has begun, or on trial, nothing is billed. Raises Conflict, InvalidRequest.
    """
    sub = account.subscription
    _check(sub)
    phases.check_none_left(sub)
    if sub.status in (Status.SCHEDULED, Status.TRIALING):
        return _before_the_first(sub, anchor, new_id)
    assert sub.period is not None
    latest = sub.interval.after(sub.period.end, 1, sub.zone)
    if not now <= anchor <= latest:
        raise InvalidRequest(
            "The billing anchor lies between now and one interval after the present period.",
            param="billing_anchor",
        )
    if (how or account.policy.anchor_change) is AnchorChange.RESET:
        return _reset(account, anchor, now, new_id)
    return _fill_the_gap(account, anchor, now, new_id)


def _check(sub: Subscription) -> None:
    if sub.status in ENDED or sub.status is Status.INCOMPLETE:
        raise Conflict(
            f"A subscription that is {sub.status} cannot change.", code=f"subscription_{sub.status}"
        )
    if sub.pause is not None:
        raise Conflict("Resume it first.", code="subscription_paused")
    if sub.cancel_at_period_end or sub.cancel_at is not None:
        raise Conflict("It is to be canceled; keep it first.", code="cancellation_planned")
    if sub.scheduled:
        raise Conflict(
            "Changes wait for its present boundaries; take them back first.",
            code="scheduled_changes_pending",
        )


def _before_the_first(sub: Subscription, anchor: datetime, new_id: NewId) -> Decision:
    begin = sub.begins_at
    if not begin <= anchor <= sub.interval.after(begin, 1, sub.zone):
        raise InvalidRequest(
            "The billing anchor lies between the first paid moment and one interval later.",
            param="billing_anchor",
        )
    moved = replace(sub, anchor=anchor, version=sub.version + 1)
    moved = replace(moved, period_index=moved.first_index - 1)
    return billing.updated(moved, {"anchor": sub.anchor}, new_id)


def _fill_the_gap(account: Account, anchor: datetime, now: datetime, new_id: NewId) -> Decision:
    """The present period up to the new boundary; what is added to it is billed now."""
    sub = account.subscription
    assert sub.period is not None
    end = sub.period.end
    index = sub.interval.index(anchor, end, sub.zone)
    if sub.interval.after(anchor, index, sub.zone) < end:
        index += 1
    boundary = sub.interval.after(anchor, index, sub.zone)
    moved = replace(
        sub,
        anchor=anchor,
        period=Period(sub.period.start, boundary),
        period_index=index - 1,
        version=sub.version + 1,
    )
    was = {"anchor": sub.anchor, "period_end": end}
    if boundary == end:
        return billing.updated(moved, was, new_id)
    gap = Period(end, boundary)
    full = sub.interval.period(anchor, index - 1, sub.zone)
    share = proration.share(gap, full, account.policy, sub.zone)
    lines = Lines() if not share.part else Lines(billing.advance(account, sub.items, gap, share))
    all_of_it = {item.id for item in sub.items}
    discounts = changing.for_a_part(sub, all_of_it, share)
    billed = replace(account, subscription=replace(moved, discounts=discounts))
    order = billing.order(sub, BillingReason.SUBSCRIPTION_UPDATE, gap)
    told = Became(moved, Type.SUBSCRIPTION_UPDATED, was)
    bill = (order, billing.with_pending(billed, lines)) if lines else None
    return billing.decide(billed, told, bill, now, new_id)


def _reset(account: Account, anchor: datetime, now: datetime, new_id: NewId) -> Decision:
    """A period that ends at the new anchor begins now; one that begins there is a full one."""
    sub = account.subscription
    assert sub.period is not None
    recast = replace(sub, version=sub.version + 1)
    index = sub.interval.index(anchor, now, sub.zone)
    full = sub.interval.period(anchor, index, sub.zone)
    period = Period(now, full.end)
    moved = replace(sub, anchor=anchor)
    share = billing.share_of(moved, period, index, account.policy, period)
    begun = Begun(anchor, index, period, share, is_credited=True)
    decision = noting.beside(
        account,
        lambda noted: changing.unused_of_items(noted, now),
        lambda rest: changing.begin_anew(rest, recast, begun, now, new_id),
        Way(account.corrected),
        now,
        new_id,
    )
    states = items.recast_states(sub, decision.subscriptions[0], now)
    return replace(decision, items=states.items)
