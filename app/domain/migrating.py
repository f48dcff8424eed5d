"""Moving subscriptions from one price to another, each by the decision that a change by hand is."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.domain import command, pricing
from app.domain.billing import Account
from app.domain.decision import Decision
from app.domain.errors import Conflict, InvalidRequest
from app.domain.ids import NewId
from app.domain.policy import Policy, Settlement, When
from app.domain.pricing import Price, Usage
from app.domain.subscription import ENDED, Change, Item, ItemChange, Subscription
from app.domain.subscription import Status as SubscriptionStatus


class Status(StrEnum):
    """Where a migration stands."""

    ESTIMATING = "estimating"
    """What it would do is being worked out; nothing is changed."""
    READY = "ready"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELED = "canceled"


class ItemStatus(StrEnum):
    """What became of one subscription."""

    PENDING = "pending"
    MOVED = "moved"
    FAILED = "failed"


class Moment(StrEnum):
    """When the subscriptions are moved."""

    NOW = "now"
    RENEWAL = "renewal"
    """Each when its present period is over."""
    AT = "at"


@dataclass(frozen=True, slots=True)
class Move:
    """From which prices to which, when, and how a move inside a period is settled."""

    sources: Collection[UUID]
    price: Price
    moment: Moment
    at: datetime | None = None
    settlement: Settlement | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """What a move does to one subscription, in minor units of its currency.

    `before` and `after` are what its items cost in a full period, without usage, discounts and
    taxes; `credited` and `charged` are the totals of the lines billed at once.
    """

    before: int
    after: int
    credited: int = 0
    charged: int = 0


def decide(
    account: Account, wanted: Move, country: str | None, now: datetime, new_id: NewId
) -> Decision:
    """Move a subscription, with its quantities. Raises Conflict, InvalidRequest: why it cannot."""
    sub, price = account.subscription, wanted.price
    if sub.status in ENDED or sub.status is SubscriptionStatus.INCOMPLETE:
        raise Conflict(f"It is {sub.status}.", code=f"subscription_{sub.status}")
    if price.currency != sub.currency:
        raise InvalidRequest(f"It is in {sub.currency}.", code="price_currency_mismatch")
    if price.every != sub.interval:
        raise InvalidRequest("It is billed at another interval.", code="price_interval_mismatch")
    pricing.check_offered(price, country)
    items = tuple(
        ItemChange(item_id=item.id, price=price) for item in sub.items if _is_meant(item, wanted)
    )
    if not items:
        raise Conflict("It has none of the prices any more.", code="price_not_subscribed")
    if any(waits.change is not None and waits.phase is None for waits in sub.scheduled):
        raise Conflict("Another change of it waits.", code="subscription_scheduled_changes")
    change = Change(items=items, settlement=wanted.settlement)
    return command.change(account, change, _when(sub, wanted, now), now, new_id)


def _is_meant(item: Item, wanted: Move) -> bool:
    return item.price.id in wanted.sources and item.price.id != wanted.price.id


def _when(sub: Subscription, wanted: Move, now: datetime) -> When | datetime:
    """When this one is moved: what has no period to wait for is moved now, without a bill."""
    if wanted.moment is Moment.NOW or sub.period is None or sub.period.end <= now:
        return When.NOW
    at = sub.period.end if wanted.moment is Moment.RENEWAL else wanted.at
    assert at is not None
    if at <= now:
        return When.NOW
    ends_with_period = sub.cancel_at_period_end or sub.cycles_left == 0
    ends_at = sub.period.end if ends_with_period else sub.cancel_at
    if ends_at is not None and ends_at <= at:
        raise Conflict("It ends before that.", code="subscription_ending")
    return at


def effect(account: Account, wanted: Move, decided: Decision) -> Effect:
    """What a decided move does: the prices of its items, and what is billed at once."""
    sub, policy = account.subscription, account.policy
    lines = [line.total for invoice in decided.invoices for line in invoice.lines]
    return Effect(
        before=sum(_full(item, item.price, policy) for item in sub.items),
        after=sum(
            _full(item, wanted.price if _is_meant(item, wanted) else item.price, policy)
            for item in sub.items
        ),
        credited=-sum(total for total in lines if total < 0),
        charged=sum(total for total in lines if total > 0),
    )


def _full(item: Item, price: Price, policy: Policy) -> int:
    if price.usage is Usage.METERED:
        return 0
    return pricing.amount(price, item.quantity, policy.rounding).minor
