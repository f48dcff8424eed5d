"""Rows of `promotion_codes`: words that customers type in to get a coupon."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.db import coupons
from app.db.base import Row, Tx, dumps
from app.db.views.base import Source
from app.domain.redemption import Terms


@dataclass(frozen=True, slots=True)
class PromotionCode:
    """A word for a coupon, with terms of its own on top of the coupon's."""

    id: UUID
    code: str
    coupon_id: UUID
    terms: Terms


def normal(code: str) -> str:
    """How a code is stored and compared: in capitals, without blanks around it."""
    return code.strip().upper()


async def load(source: Source, codes: Sequence[str]) -> dict[str, PromotionCode]:
    """The codes of the transaction's merchant, by their normal form.

    Of several with one word it is the active one, or else the latest.
    """
    if not codes:
        return {}
    rows = await source.fetch(
        """
        SELECT DISTINCT ON (p.code) p.id, p.code, p.coupon_id, p.customer_id, p.minimum_amounts,
               p.first_time_only, p.expires_at, p.max_redemptions, p.times_redeemed, p.active
          FROM promotion_codes p
         WHERE p.merchant_id = current_setting('app.merchant_id')::uuid
           AND p.code = ANY ($1::text[])
         ORDER BY p.code, p.active DESC, p.id DESC
        """,
        [normal(code) for code in codes],
    )
    return {row["code"]: _promotion_code(row) for row in rows}


def _promotion_code(row: Row) -> PromotionCode:
    customer_id = row["customer_id"]
    terms = Terms(
        noun="promotion_code",
        active=row["active"],
        redeem_by=row["expires_at"],
        max_redemptions=row["max_redemptions"],
        times_redeemed=row["times_redeemed"],
        first_time_only=row["first_time_only"],
        customer_ids=None if customer_id is None else frozenset({customer_id}),
        minimum_amounts=coupons.document(row["minimum_amounts"]),
    )
    return PromotionCode(row["id"], row["code"], row["coupon_id"], terms)


async def insert(
    tx: Tx, merchant_id: UUID, new: PromotionCode, metadata: Mapping[str, str], now: datetime
) -> None:
    """Store a promotion code."""
    terms = new.terms
    await tx.run(
        """
        INSERT INTO promotion_codes
            (merchant_id, id, coupon_id, code, customer_id, minimum_amounts, first_time_only,
             expires_at, max_redemptions, metadata, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        """,
        merchant_id,
        new.id,
        new.coupon_id,
        normal(new.code),
        next(iter(terms.customer_ids or ()), None),
        dumps(terms.minimum_amounts),
        terms.first_time_only,
        terms.redeem_by,
        terms.max_redemptions,
        dumps(metadata),
        now,
    )


async def lock(tx: Tx, merchant_id: UUID, id: UUID) -> bool:
    """Keep a promotion code from changing until the end; False when there is none."""
    found = await tx.fetchval(
        "SELECT true FROM promotion_codes WHERE merchant_id = $1 AND id = $2 FOR NO KEY UPDATE",
        merchant_id,
        id,
    )
    return found is not None


async def update(tx: Tx, merchant_id: UUID, id: UUID, fields: Mapping[str, Any]) -> None:
    """Write what may change of a locked promotion code, and count its version on."""
    await tx.run(
        """
        UPDATE promotion_codes SET metadata = $3, active = $4, version = version + 1
        WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        id,
        dumps(fields["metadata"]),
        fields["active"],
    )
