"""Rows of `coupons`, and the coupons that they stand for."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson

from app.db.base import Row, Tx, dumps
from app.db.views.base import Source
from app.domain.discount import NO_IDS, AppliesTo, Coupon, Duration
from app.domain.money import Money
from app.domain.redemption import Terms

COLUMNS: Final = """
    c.id AS coupon_id, c.name, c.percent_off_ppm, c.amount_off, c.fixed_price, c.currency,
    c.currency_options, c.duration, c.duration_in_periods, c.applies_to, c.plan_ids, c.price_ids,
    c.minimum_amounts
"""
"""What `coupon` reads, of a row `c`; other tables' own `name` or `currency` stand under aliases."""
TERMS: Final = """
    c.active, c.valid_from, c.redeem_by, c.max_redemptions, c.max_redemptions_per_customer,
    c.times_redeemed, c.first_time_only
"""


class Offered(NamedTuple):
    """A coupon and when it may be redeemed."""

    coupon: Coupon
    terms: Terms


def coupon(row: Row) -> Coupon:
    """The coupon that a row with COLUMNS stands for."""
    amount, price, currency = row["amount_off"], row["fixed_price"], row["currency"]
    return Coupon(
        id=row["coupon_id"],
        name=row["name"],
        percent_off_ppm=row["percent_off_ppm"],
        amount_off=None if amount is None else Money(amount, currency),
        fixed_price=None if price is None else Money(price, currency),
        currency_options=document(row["currency_options"]),
        duration=Duration(row["duration"]),
        duration_periods=row["duration_in_periods"],
        applies_to=AppliesTo(row["applies_to"]),
        plan_ids=frozenset(row["plan_ids"]) if row["plan_ids"] else NO_IDS,
        price_ids=frozenset(row["price_ids"]) if row["price_ids"] else NO_IDS,
        minimum_amounts=document(row["minimum_amounts"]),
    )


def document(text: str) -> dict[str, int]:
    """Amounts by currency, as stored."""
    return orjson.loads(text) if text != "{}" else {}


def _terms(row: Row) -> Terms:
    return Terms(
        noun="coupon",
        active=row["active"],
        valid_from=row["valid_from"],
        redeem_by=row["redeem_by"],
        max_redemptions=row["max_redemptions"],
        max_redemptions_per_customer=row["max_redemptions_per_customer"],
        times_redeemed=row["times_redeemed"],
        first_time_only=row["first_time_only"],
    )


async def load(source: Source, ids: Sequence[UUID]) -> dict[UUID, Offered]:
    """Coupons of the transaction's merchant, with their terms, by id; whether active or not."""
    if not ids:
        return {}
    rows = await source.fetch(
        f"""
        SELECT {COLUMNS}, {TERMS} FROM coupons c
         WHERE c.merchant_id = current_setting('app.merchant_id')::uuid
           AND c.id = ANY ($1::uuid[])
        """,
        list(ids),
    )
    return {row["coupon_id"]: Offered(coupon(row), _terms(row)) for row in rows}


async def insert(
    tx: Tx,
    merchant_id: UUID,
    code: str,
    offered: Offered,
    metadata: Mapping[str, str],
    now: datetime,
) -> None:
    """Store a coupon."""
    given, terms = offered
    own = given.amount_off if given.fixed_price is None else given.fixed_price
    await tx.run(
        """
        INSERT INTO coupons
            (merchant_id, id, code, name, percent_off_ppm, amount_off, fixed_price, currency,
             currency_options, duration, duration_in_periods, applies_to, plan_ids, price_ids,
             minimum_amounts, first_time_only, valid_from, redeem_by, max_redemptions,
             max_redemptions_per_customer, metadata, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                $19, $20, $21, $22)
        """,
        merchant_id,
        given.id,
        code,
        given.name,
        given.percent_off_ppm,
        None if given.amount_off is None else given.amount_off.minor,
        None if given.fixed_price is None else given.fixed_price.minor,
        None if own is None else own.currency,
        dumps(given.currency_options),
        given.duration,
        given.duration_periods,
        given.applies_to,
        sorted(given.plan_ids),
        sorted(given.price_ids),
        dumps(given.minimum_amounts),
        terms.first_time_only,
        terms.valid_from,
        terms.redeem_by,
        terms.max_redemptions,
        terms.max_redemptions_per_customer,
        dumps(metadata),
        now,
    )


async def lock(tx: Tx, merchant_id: UUID, id: UUID) -> bool:
    """Keep a coupon from changing until the end; False when there is none."""
    found = await tx.fetchval(
        "SELECT true FROM coupons WHERE merchant_id = $1 AND id = $2 FOR NO KEY UPDATE",
        merchant_id,
        id,
    )
    return found is not None


async def update(tx: Tx, merchant_id: UUID, id: UUID, fields: Mapping[str, Any]) -> None:
    """Write what may change of a locked coupon, and count its version on."""
    await tx.run(
        """
        UPDATE coupons SET name = $3, metadata = $4, active = $5, version = version + 1
        WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        id,
        fields["name"],
        dumps(fields["metadata"]),
        fields["active"],
    )


async def missing(tx: Tx, table: str, ids: Sequence[UUID]) -> UUID | None:
    """The first of `ids` that the merchant's `table` does not have; None when all are there."""
    assert table in {"coupons", "customers", "plans", "prices"}
    if not ids:
        return None
    rows = await tx.fetch(
        f"""
        SELECT id FROM {table}
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = ANY ($1::uuid[])
        """,
        list(ids),
    )
    found = {row["id"] for row in rows}
    return next((wanted for wanted in ids if wanted not in found), None)
