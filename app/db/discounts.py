"""Rows of `discounts`: coupons in use, on an item, a subscription or a customer."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db import coupons
from app.db.base import Row, Tx
from app.domain.discount import Coupon, Discount

Key = tuple[UUID, UUID]

COLUMNS: Final = """
    d.merchant_id, d.subscription_id, d.customer_id, d.id, d.item_id, d.promotion_code_id,
    d.offer_id, d.periods_remaining, d.start_at, d.end_at, d.position
"""


async def of_subscriptions(tx: Tx, keys: Sequence[Key]) -> dict[Key, tuple[Discount, ...]]:
    """The discounts of each (merchant, subscription) and of its items, in their order."""
    return await _load(tx, "subscription_id", keys)


async def of_customers(tx: Tx, keys: Sequence[Key]) -> dict[Key, tuple[Discount, ...]]:
    """The discounts of each (merchant, customer), in their order.

    Those that count periods are locked, because several subscriptions use them up together.
    """
    found = await _load(tx, "customer_id", keys)
    counted = [
        (merchant, discount.id)
        for (merchant, _), discounts in found.items()
        for discount in discounts
        if discount.periods_remaining is not None
    ]
    if not counted:
        return found
    await tx.run(
        """
        SELECT 1 FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN discounts d USING (merchant_id, id) ORDER BY d.id FOR NO KEY UPDATE OF d
        """,
        [key[0] for key in counted],
        [key[1] for key in counted],
    )
    return await _load(tx, "customer_id", keys)  # as they are now that nobody else counts


async def _load(tx: Tx, column: str, keys: Sequence[Key]) -> dict[Key, tuple[Discount, ...]]:
    if not keys:
        return {}
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS}, {coupons.COLUMNS}
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, {column})
          JOIN discounts d USING (merchant_id, {column})
          JOIN coupons c ON c.merchant_id = d.merchant_id AND c.id = d.coupon_id
         WHERE d.ended_at IS NULL ORDER BY d.{column}, d.position, d.id
        """,
        [key[0] for key in keys],
        [key[1] for key in keys],
    )
    known: dict[Key, Coupon] = {}
    found: dict[Key, list[Discount]] = defaultdict(list)
    for row in rows:
        given = (row["merchant_id"], row["coupon_id"])
        coupon = known.get(given)
        if coupon is None:
            coupon = known[given] = coupons.coupon(row)
        found[row["merchant_id"], row[column]].append(discount(row, coupon))
    return {key: tuple(discounts) for key, discounts in found.items()}


def discount(row: Row, coupon: Coupon) -> Discount:
    """The discount that a row stands for."""
    return Discount(
        row["id"],
        coupon,
        row["periods_remaining"],
        row["item_id"],
        row["customer_id"],
        row["promotion_code_id"],
        row["offer_id"],
        row["start_at"],
        row["end_at"],
    )


async def insert(tx: Tx, merchant_id: UUID, discount: Discount, now: datetime) -> None:
    """Store a discount of a customer, after those that it has."""
    await tx.run(
        """
        INSERT INTO discounts
            (merchant_id, id, customer_id, coupon_id, promotion_code_id, offer_id,
             periods_remaining, position, start_at, end_at, created_at)
        SELECT $1, $2, $3, $4, $5, $6, $7, coalesce(max(d.position) + 1, 0), $8, $9, $10
          FROM discounts d WHERE d.merchant_id = $1 AND d.customer_id = $3
        """,
        merchant_id,
        discount.id,
        discount.customer_id,
        discount.coupon.id,
        discount.promotion_code_id,
        discount.offer_id,
        discount.periods_remaining,
        discount.start_at,
        discount.end_at,
        now,
    )


async def count_of_customer(tx: Tx, merchant_id: UUID, customer_id: UUID) -> int:
    """How many discounts run on a customer."""
    found: int = await tx.fetchval(
        """
        SELECT count(*) FROM discounts
         WHERE merchant_id = $1 AND customer_id = $2 AND ended_at IS NULL
        """,
        merchant_id,
        customer_id,
    )
    return found


async def end(tx: Tx, merchant_id: UUID, customer_id: UUID, id: UUID, now: datetime) -> bool:
    """End a customer's discount; False when there is none that still runs."""
    touched = await tx.run(
        """
        UPDATE discounts SET ended_at = $4
         WHERE merchant_id = $1 AND customer_id = $2 AND id = $3 AND ended_at IS NULL
        """,
        merchant_id,
        customer_id,
        id,
        now,
    )
    return touched > 0
