"""What the public catalogue is made of, read in a few statements."""

from typing import Final
from uuid import UUID

from app.db import prices
from app.db.base import Row
from app.db.views.base import Source
from app.domain.pricing import Price

PLANS_MAX: Final = 500
PRICES_MAX: Final = 5_000
"""More than any page shows; a merchant with more filters by currency, or hides plans."""


async def plans(source: Source, merchant_id: UUID) -> list[Row]:
    """The public plans and add-ons that are sold, in the order of their rank."""
    return await source.fetch(
        """
        SELECT p.id, p.code, p.name, p.description, p.kind, p.family, p.rank,
               ARRAY(SELECT a.plan_id FROM addon_plans a
                       JOIN plans o ON o.merchant_id = a.merchant_id AND o.id = a.plan_id
                      WHERE a.merchant_id = p.merchant_id AND a.addon_id = p.id
                        AND o.active AND o.public
                      ORDER BY a.plan_id) AS addon_for,
               EXISTS (SELECT FROM addon_plans a
                        WHERE a.merchant_id = p.merchant_id AND a.addon_id = p.id) AS restricted
          FROM plans p
         WHERE p.merchant_id = $1 AND p.active AND p.public
         ORDER BY p.rank, p.id LIMIT $2
        """,
        merchant_id,
        PLANS_MAX,
    )


async def prices_of(
    source: Source, merchant_id: UUID, plans: list[UUID], currency: str | None
) -> list[Price]:
    """The prices that these plans are sold at, the oldest first."""
    rows = await source.fetch(
        """
        SELECT id FROM prices
         WHERE merchant_id = $1 AND plan_id = ANY ($2::uuid[]) AND active
           AND ($3::text IS NULL OR currency = $3)
         ORDER BY id LIMIT $4
        """,
        merchant_id,
        plans,
        currency,
        PRICES_MAX,
    )
    keys = [(merchant_id, row["id"]) for row in rows]
    found = await prices.load(source, keys)
    return [found[key] for key in keys if key in found]


async def gateways(source: Source, merchant_id: UUID) -> list[Row]:
    """The gateway accounts that take payments: what they are called, and nothing else."""
    return await source.fetch(
        """
        SELECT gateway, name, is_default FROM gateway_accounts
         WHERE merchant_id = $1 AND disabled_at IS NULL ORDER BY is_default DESC, id
        """,
        merchant_id,
    )
