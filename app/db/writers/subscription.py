"""Subscriptions, their items, tax rates and discounts as rows."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db import bulk, tables
from app.db.base import Tx, dumps
from app.domain.decision import DiscountUse, ItemState, NewDiscount
from app.domain.discount import Discount
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
    "pause_invoices",
    "paused_at",
    "resumes_at",
    "cycles_left",
    "ahead_start",
    "ahead_invoice_id",
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
    "automatic_tax",
    "trial_end_without_payment_method",
    "billing_settings",
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
    "item_id",
    "coupon_id",
    "promotion_code_id",
    "offer_id",
    "periods_remaining",
    "position",
    "start_at",
    "end_at",
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
        *(
            (None, None, None)
            if s.pause is None
            else (s.pause.invoices, s.pause.paused_at, s.pause.resumes_at)
        ),
        s.cycles_left,
        *((None, None) if s.ahead is None else (s.ahead.start, s.ahead.invoice_id)),
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
            s.automatic_tax,
            s.trial_end_without_payment_method,
            dumps(s.settings),
        )
        for s in fresh
    ]
    await bulk.insert(tx, tables.subscriptions, COLUMNS, rows)
    await bulk.insert(
        tx,
        tables.subscription_items,
        ITEM_COLUMNS,
        [
            (s.merchant_id, item.id, s.id, item.price.id, item.quantity, item.position)
            for s in fresh
            for item in s.items
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
            _discount(s.merchant_id, s.id, d, place, s.created_at)
            for s in fresh
            for place, d in enumerate(s.discounts)
            if d.customer_id is None
        ],
    )


def _discount(merchant: UUID, sub_id: UUID, given: Discount, place: int, at: datetime) -> bulk.Row:
    return (
        merchant,
        given.id,
        sub_id,
        given.item_id,
        given.coupon.id,
        given.promotion_code_id,
        given.offer_id,
        given.periods_remaining,
        place,
        given.start_at,
        given.end_at,
        at,
    )


async def write_items(tx: Tx, states: Sequence[ItemState]) -> None:
    """Insert items that are new to running subscriptions, change and remove others."""
    if not states:
        return
    await tx.run(
        """
        INSERT INTO subscription_items AS i
               (merchant_id, id, subscription_id, price_id, quantity, position, since, removed_at)
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[],
                             $6::smallint[], $7::timestamptz[], $8::timestamptz[])
        ON CONFLICT (merchant_id, id) DO UPDATE
           SET price_id = excluded.price_id, quantity = excluded.quantity,
               since = excluded.since, removed_at = excluded.removed_at
        """,
        [s.merchant_id for s in states],
        [s.item.id for s in states],
        [s.subscription_id for s in states],
        [s.item.price.id for s in states],
        [s.item.quantity for s in states],
        [s.item.position for s in states],
        [s.item.since for s in states],
        [s.removed_at for s in states],
    )


async def write_discounts(tx: Tx, new: Sequence[NewDiscount]) -> None:
    """Insert the discounts that running subscriptions are given."""
    rows = [_discount(n.merchant_id, n.subscription_id, n.discount, n.position, n.at) for n in new]
    await bulk.insert(tx, tables.discounts, DISCOUNT_COLUMNS, rows)


async def use_discounts(tx: Tx, uses: Sequence[DiscountUse]) -> None:
    """Count down the periods that discounts have left, and end those that are over.

    A customer's discount may be used by several subscriptions at once: each use counts.
    """
    if not uses:
        return
    counted = Counter((u.merchant_id, u.id) for u in uses if not u.is_removed)
    ended = {(u.merchant_id, u.id): u.at for u in uses if u.is_removed}
    keys = sorted(counted.keys() | ended.keys())
    await tx.run(
        """
        UPDATE discounts AS d
           SET periods_remaining = greatest(0, d.periods_remaining - v.used),
               ended_at = coalesce(d.ended_at, v.ended_at)
          FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::timestamptz[])
               AS v (merchant_id, id, used, ended_at)
         WHERE d.merchant_id = v.merchant_id AND d.id = v.id
        """,
        [key[0] for key in keys],
        [key[1] for key in keys],
        [counted[key] for key in keys],
        [ended.get(key) for key in keys],
    )
