"""Rows of `merchants`, and the gateway account each one begins with."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.db.base import Row, Tx


@dataclass(frozen=True, slots=True)
class NewMerchant:
    """A tenant to be."""

    id: UUID
    name: str
    mode: str
    default_currency: str
    zone: str


async def insert(tx: Tx, merchant: NewMerchant, now: datetime) -> bool:
    """Store a merchant, with the counter of its events; False when its id is taken."""
    inserted = await tx.run(
        """
        WITH made AS (
            INSERT INTO merchants (id, name, mode, default_currency, zone, created_at)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (id) DO NOTHING RETURNING id)
        INSERT INTO event_counters (merchant_id, last_number) SELECT id, 0 FROM made
        """,
        merchant.id,
        merchant.name,
        merchant.mode,
        merchant.default_currency,
        merchant.zone,
        now,
    )
    return inserted == 1


async def insert_gateway_account(
    tx: Tx, merchant_id: UUID, id: UUID, gateway: str, mode: str, now: datetime
) -> None:
    """Open a merchant's default account with `gateway`."""
    await tx.run(
        """
        INSERT INTO gateway_accounts
            (merchant_id, id, gateway, name, mode, is_default, created_at)
        VALUES ($1, $2, $3, $3, $4, true, $5)
        """,
        merchant_id,
        id,
        gateway,
        mode,
        now,
    )


async def one(tx: Tx, id: UUID) -> Row | None:
    """The merchant with this id."""
    return await tx.fetchrow(
        """
        SELECT id, name, mode, default_currency, zone AS time_zone, created_at, version
        FROM merchants WHERE id = $1
        """,
        id,
    )


async def page(tx: Tx, after: UUID | None, limit: int) -> list[Row]:
    """Merchants older than `after`, the newest first."""
    return await tx.fetch(
        """
        SELECT id, name, mode, default_currency, zone AS time_zone, created_at, version
        FROM merchants WHERE $1::uuid IS NULL OR id < $1
        ORDER BY id DESC LIMIT $2
        """,
        after,
        limit,
    )
