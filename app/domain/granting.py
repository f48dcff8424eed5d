"""Giving a running subscription a discount, and taking one away: from its next bill on. Pure."""

from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from app.domain import billing, items
from app.domain.decision import Decision
from app.domain.discount import Discount
from app.domain.errors import Conflict, NotFound
from app.domain.ids import NewId
from app.domain.subscription import ENDED, Subscription

DISCOUNTS_MAX: Final = 10
"""On one subscription: beyond it nobody can say what an invoice will be."""


def grant(sub: Subscription, given: Discount, now: datetime, new_id: NewId) -> Decision:
    """The subscription with a discount more. Raises Conflict, NotFound."""
    _check_running(sub)
    if len(sub.discounts) >= DISCOUNTS_MAX:
        raise Conflict(
            f"A subscription has at most {DISCOUNTS_MAX} discounts.", code="too_many_discounts"
        )
    if given.item_id is not None and given.item_id not in {item.id for item in sub.items}:
        raise NotFound(
            "The subscription has no such item.",
            code="subscription_item_not_found",
            param="item_id",
        )
    return _with(sub, (*sub.discounts, given), now, new_id)


def take_off(sub: Subscription, discount_id: UUID, now: datetime, new_id: NewId) -> Decision:
    """The subscription with a discount less; what was billed with it stays. Raises NotFound."""
    _check_running(sub)
    left = tuple(d for d in sub.discounts if d.id != discount_id or d.customer_id is not None)
    if len(left) == len(sub.discounts):
        raise NotFound("The subscription has no such discount.", code="discount_not_found")
    return _with(sub, left, now, new_id)


def _check_running(sub: Subscription) -> None:
    if sub.status in ENDED:
        raise Conflict("It has ended already.", code=f"subscription_{sub.status}")


def _with(
    sub: Subscription, discounts: tuple[Discount, ...], now: datetime, new_id: NewId
) -> Decision:
    changed = replace(sub, discounts=discounts, version=sub.version + 1)
    states = items.recast_states(sub, changed, now)
    return replace(
        billing.updated(changed, {}, new_id),
        new_discounts=states.new_discounts,
        discounts=states.discounts,
    )
