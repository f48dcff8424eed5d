"""Subscriptions, their items, tax rates and discounts as rows."""

from collections.abc import Sequence
from typing import Final

from app.db import bulk, tables
from app.db.base import Tx, dumps
from app.domain.decision import DiscountUse
from app.domain.subscription import Subscription

CHANGES: Final = (
    "merchant_id",
    "id",
    "status",
    "interval_unit",
    "interval_count",
    "anchor",
    "period_start",
    "period_end",
    "period_index",
    "collection_method",
    "net_days",
    "payment_method_id",
    "trial_end",
    "expires_at",
    "cancel_at",
    "cancel_at_period_end",
    "canceled_at",
    "ended_at",
    "latest_invoice_id",
    "next_action_at",
    "version",
)
COLUMNS: Final = (
    *CHANGES,
    "customer_id",
    "external_id",
    "currency",
    "zone",
    "start_at",
    "test_clock_id",
    "metadata",
    "created_at",
)
ITEM_COLUMNS: Final = (
    "merchant_id",
    "id",
    "subscription_id",
    "price_id",
    "quantity",
    "position",
)
RATE_COLUMNS: Final = ("merchant_id", "subscription_id", "tax_rate_id", "position")
DISCOUNT_COLUMNS: Final = (
    "merchant_id",
    "id",
    "subscription_id",
    "coupon_id",
    "periods_remaining",
    "position",
    "created_at",
)


def _change(s: Subscription) -> bulk.Row:
    return (
        s.merchant_id,
        s.id,
        s.status,
        s.interval.unit,
        s.interval.count,
        s.anchor,
        s.period.start if s.period else None,
        s.period.end if s.period else None,
        s.period_index,
        s.collection,
        s.net_days,
        s.payment_method_id,
        s.trial_end,
        s.expires_at,
        s.cancel_at,
        s.cancel_at_period_end,
        s.canceled_at,
        s.ended_at,
        s.latest_invoice_id,
        s.next_action_at,
        s.version,
    )


async def write(tx: Tx, subs: Sequence[Subscription]) -> None:
    """Insert what is new, with all that belongs to it; update what has changed. Raises Stale."""
    changed = [_change(s) for s in subs if s.version > 1]
    await bulk.update(tx, tables.subscriptions, CHANGES, changed)
    fresh = [s for s in subs if s.version == 1]
    if not fresh:
        return
    rows = [
        (
            *_change(s),
            s.customer_id,
            s.external_id,
            s.currency,
            s.zone,
            s.start_at,
            s.test_clock_id,
            dumps(s.metadata),
            s.created_at,
        )
        for s in fresh
    ]
    await bulk.insert(tx, tables.subscriptions, COLUMNS, rows)
    await bulk.insert(
        tx,
        tables.subscription_items,
        ITEM_COLUMNS,
        [
            (s.merchant_id, item.id, s.id, item.price.id, item.quantity, place)
            for s in fresh
            for place, item in enumerate(s.items)
        ],
    )
    await bulk.insert(
        tx,
        tables.subscription_tax_rates,
        RATE_COLUMNS,
        [
            (s.merchant_id, s.id, rate.id, place)
            for s in fresh
            for place, rate in enumerate(s.rates)
        ],
    )
    await bulk.insert(
        tx,
        tables.discounts,
        DISCOUNT_COLUMNS,
        [
            (s.merchant_id, d.id, s.id, d.coupon.id, d.periods_remaining, place, s.created_at)
            for s in fresh
            for place, d in enumerate(s.discounts)
        ],
    )


async def use_discounts(tx: Tx, uses: Sequence[DiscountUse]) -> None:
    """Count the periods that discounts have left; one with none left has ended."""
    if not uses:
        return
    await tx.run(
        """
        UPDATE discounts AS d
           SET periods_remaining = v.left_over,
               ended_at = CASE WHEN v.left_over = 0 THEN v.at END
          FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::timestamptz[])
               AS v (merchant_id, id, left_over, at)
         WHERE d.merchant_id = v.merchant_id AND d.id = v.id
        """,
        [u.merchant_id for u in uses],
        [u.id for u in uses],
        [u.periods_remaining for u in uses],
        [u.at for u in uses],
    )
