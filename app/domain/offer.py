"""Offers: who is won back or treated to what, until when; and what a redeemed one gives."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from app.domain.errors import Problem
from app.domain.redemption import Refusal

TRIAL_DAYS_MAX: Final = 730
SEGMENT_DAYS_MAX: Final = 3_660
"""Ten years: a customer gone for longer is a new one."""
CUSTOMERS_MAX: Final = 1_000
"""Customers an offer may name; a larger crowd is a segment, or a link for each."""


class Segment(StrEnum):
    """Customers by what they have been doing, judged when an offer is redeemed."""

    CANCELED_WITHIN_DAYS = "canceled_within_days"
    """Nothing of theirs runs, and something ended in the last so many days."""
    NEVER_SUBSCRIBED = "never_subscribed"
    ON_PLAN = "on_plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom an offer is for: these customers, those of a segment, or everyone (neither)."""

    customer_ids: frozenset[UUID] = frozenset()
    segment: Segment | None = None
    segment_days: int | None = None
    segment_plan_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a customer's subscriptions have been doing."""

    has_subscribed: bool = False
    has_running: bool = False
    last_ended_at: datetime | None = None
    plan_ids: frozenset[UUID] = frozenset()
    """The plans of what runs."""


@dataclass(frozen=True, slots=True)
class Gift:
    """What an offer gives: a coupon, a price that is not otherwise sold, days of trial."""

    coupon_id: UUID | None
    price_id: UUID | None
    trial_days: int | None


def refusal(
    target: Target, customer_id: UUID | None, standing: Standing, now: datetime
) -> Refusal | None:
    """Why an offer with this target is not for the customer; None when it is."""
    named = not target.customer_ids or customer_id in target.customer_ids
    if named and (target.segment is None or _belongs(target, standing, now)):
        return None
    return Refusal("offer_not_for_customer", "This offer is for other customers.")


def _belongs(target: Target, standing: Standing, now: datetime) -> bool:
    match target.segment:
        case Segment.CANCELED_WITHIN_DAYS:
            ended = standing.last_ended_at
            since = now - timedelta(days=target.segment_days or 0)
            return not standing.has_running and ended is not None and ended >= since
        case Segment.NEVER_SUBSCRIBED:
            return not standing.has_subscribed
        case Segment.ON_PLAN:
            return target.segment_plan_id in standing.plan_ids
        case None:
            return True


def problems(target: Target, gift: Gift) -> Iterator[Problem]:
    """Everything that keeps an offer from being made."""
    if gift.coupon_id is None and gift.price_id is None and not gift.trial_days:
        yield Problem("An offer gives a coupon, a price or trial days.", "coupon_id")
    if gift.trial_days is not None and not 1 <= gift.trial_days <= TRIAL_DAYS_MAX:
        yield Problem(f"trial_days is from 1 to {TRIAL_DAYS_MAX}.", "trial_days")
    if len(target.customer_ids) > CUSTOMERS_MAX:
        yield Problem(f"An offer names at most {CUSTOMERS_MAX} customers.", "customer_ids")
    by_days = target.segment is Segment.CANCELED_WITHIN_DAYS
    if by_days != (target.segment_days is not None):
        yield Problem(
            "segment_days goes with the segment canceled_within_days, and only with it.",
            "segment_days",
        )
    elif target.segment_days is not None and not 1 <= target.segment_days <= SEGMENT_DAYS_MAX:
        yield Problem(f"segment_days is from 1 to {SEGMENT_DAYS_MAX}.", "segment_days")
    if (target.segment is Segment.ON_PLAN) != (target.segment_plan_id is not None):
        yield Problem(
            "segment_plan_id goes with the segment on_plan, and only with it.", "segment_plan_id"
        )
