"""What a change makes of a subscription: its items, and what is written of them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from app.domain.calendar import Interval
from app.domain.decision import Decision, DiscountUse, ItemState, NewDiscount, ScheduledState
from app.domain.discount import Discount
from app.domain.errors import InvalidRequest
from app.domain.ids import NewId
from app.domain.pricing import check_quantity, check_together
from app.domain.subscription import (
    Change,
    Item,
    ItemChange,
    Scheduled,
    ScheduledStatus,
    Subscription,
)

ITEMS_MAX: Final = 20
"""Prices in one subscription, as at Stripe: bounds the lines of an invoice."""


def recast(sub: Subscription, change: Change, at: datetime, new_id: NewId) -> Subscription:
    """The subscription with the change's items, discounts and way of paying; nothing is billed.

    An item that is new or other from `at` on says so, unless that is a boundary. A price of
    another interval takes the whole subscription with it. Raises InvalidRequest.
    """
    items = _items(sub, change, new_id)
    known = {item.id: item for item in sub.items}
    if sub.period is not None and sub.period.start < at < sub.period.end:
        items = [item if known.get(item.id) == item else replace(item, since=at) for item in items]
    return replace(
        sub,
        items=tuple(items),
        interval=_interval_of(sub, items),
        discounts=_discounts(sub, change),
        collection=change.collection or sub.collection,
        net_days=sub.net_days if change.net_days is None else change.net_days,
        version=sub.version + 1,
    )


def _discounts(sub: Subscription, change: Change) -> tuple[Discount, ...]:
    """The change's discounts in the place of its own; those of its customer are not its to lose."""
    if change.discounts is None:
        return sub.discounts
    return (*change.discounts, *(d for d in sub.discounts if d.customer_id is not None))


def _items(sub: Subscription, change: Change, new_id: NewId) -> list[Item]:
    left = {item.id: item for item in sub.items}
    items: list[Item] = [] if change.is_whole else list(sub.items)
    following = 1 + max((item.position for item in sub.items), default=-1)
    for place, wanted in enumerate(change.items):
        old = _meant(sub, wanted, change, place)
        if old is None and wanted.is_removed:
            raise InvalidRequest("Name the item that goes.", param=f"items[{place}].id")
        if old is None:
            assert wanted.price is not None
            fresh = Item(new_id(), wanted.price, _counted(wanted, 1), following)
            following += 1
            items.append(fresh)
        else:
            if left.pop(old.id, None) is None:
                raise InvalidRequest("An item is named twice.", param=f"items[{place}].id")
            items = [item for item in items if item.id != old.id]
            if not wanted.is_removed:
                price = wanted.price or old.price
                items.append(replace(old, price=price, quantity=_counted(wanted, old.quantity)))
    items.sort(key=lambda item: item.position)
    if not items:
        raise InvalidRequest(
            "A subscription keeps at least one item; cancel it instead.", param="items"
        )
    if len(items) > ITEMS_MAX:
        raise InvalidRequest(f"A subscription has at most {ITEMS_MAX} items.", param="items")
    for item in items:
        check_quantity(item.price, item.quantity)
    check_together([item.price for item in items])
    return items


def _meant(sub: Subscription, wanted: ItemChange, change: Change, place: int) -> Item | None:
    """Which item a change is about; None: a new one."""
    if wanted.item_id is not None:
        for item in sub.items:
            if item.id == wanted.item_id:
                return item
        raise InvalidRequest(
            "The subscription has no such item.",
            code="subscription_item_not_found",
            param=f"items[{place}].id",
        )
    if wanted.price is None:
        raise InvalidRequest(
            "Name the item that changes, or the price of a new one.", param=f"items[{place}]"
        )
    if change.is_whole:
        return next((item for item in sub.items if item.price.id == wanted.price.id), None)
    return None


def _counted(wanted: ItemChange, otherwise: int) -> int:
    return otherwise if wanted.quantity is None else wanted.quantity


def _interval_of(sub: Subscription, items: Sequence[Item]) -> Interval:
    """The one interval of all items. Raises InvalidRequest where they differ."""
    interval = items[0].price.every
    for place, item in enumerate(items):
        if item.price.currency != sub.currency:
            raise InvalidRequest(
                f"The subscription is in {sub.currency}.", param=f"items[{place}].price_id"
            )
        if item.price.every != interval:
            raise InvalidRequest(
                "All items must have the same interval.", param=f"items[{place}].price_id"
            )
    return interval


def touched(before: Subscription, after: Subscription) -> set[UUID]:
    """The ids of the items that the change made another, took away or added."""
    old = {item.id: (item.price.id, item.quantity) for item in before.items}
    new = {item.id: (item.price.id, item.quantity) for item in after.items}
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


def recast_states(before: Subscription, after: Subscription, at: datetime) -> Decision:
    """What has to be written where `before` became `after`: items and discounts."""
    known = {item.id: item for item in before.items}
    kept = {item.id for item in after.items}
    merchant, sub_id = after.merchant_id, after.id
    items = [
        ItemState(merchant, sub_id, item) for item in after.items if known.get(item.id) != item
    ]
    items += [ItemState(merchant, sub_id, item, at) for item in before.items if item.id not in kept]
    had = {discount.id for discount in before.discounts}
    has = {discount.id for discount in after.discounts}
    return Decision(
        merchant,
        items=tuple(items),
        new_discounts=tuple(
            NewDiscount(merchant, sub_id, discount, place, at)
            for place, discount in enumerate(after.discounts)
            if discount.id not in had
        ),
        discounts=tuple(
            DiscountUse(merchant, d.id, d.periods_remaining, at, is_removed=True)
            for d in before.discounts
            if d.id not in has
        ),
    )


def dropped(sub: Subscription, at: datetime) -> tuple[ScheduledState, ...]:
    """All scheduled changes, canceled: the subscription ends before them."""
    return tuple(
        ScheduledState(sub.merchant_id, sub.id, planned, ScheduledStatus.CANCELED, at)
        for planned in sub.scheduled
    )


def applied(sub: Subscription, planned: Scheduled, at: datetime) -> ScheduledState:
    """That a scheduled change took place."""
    return ScheduledState(sub.merchant_id, sub.id, planned, ScheduledStatus.APPLIED, at)
