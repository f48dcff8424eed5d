"""Rows of `tax_engines`: at most one for each merchant."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.db.base import Row, Tx
from app.domain.tax_engine import FailPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTaxEngine:
    """An engine to be stored; `id` stays that of the one it takes the place of."""

    id: UUID
    kind: str
    url: str
    fail_policy: FailPolicy
    ttl_seconds: int


async def put(tx: Tx, merchant_id: UUID, new: NewTaxEngine, now: datetime) -> Row:
    """Store the merchant's engine, in place of any other."""
    row = await tx.fetchrow(
        """
        INSERT INTO tax_engines
            (merchant_id, id, kind, url, fail_policy, ttl_seconds, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (merchant_id) DO UPDATE
           SET kind = excluded.kind, url = excluded.url, fail_policy = excluded.fail_policy,
               ttl_seconds = excluded.ttl_seconds, version = tax_engines.version + 1
        RETURNING id, kind, url, fail_policy, ttl_seconds, created_at, version
        """,
        merchant_id,
        new.id,
        new.kind,
        new.url,
        new.fail_policy,
        new.ttl_seconds,
        now,
    )
    assert row is not None
    return row


async def of_merchant(tx: Tx, merchant_id: UUID, *, lock: bool = False) -> Row | None:
    """The merchant's engine, if it has one."""
    return await tx.fetchrow(
        "SELECT id, kind, url, fail_policy, ttl_seconds, created_at, version FROM tax_engines "
        f"WHERE merchant_id = $1 {'FOR NO KEY UPDATE' if lock else ''}",
        merchant_id,
    )


async def some(tx: Tx, merchants: Sequence[UUID]) -> dict[UUID, Row]:
    """The engines of those merchants that have one."""
    rows = await tx.fetch(
        "SELECT merchant_id, id, kind, url, ttl_seconds FROM tax_engines "
        "WHERE merchant_id = ANY ($1::uuid[])",
        list(merchants),
    )
    return {row["merchant_id"]: row for row in rows}


async def delete(tx: Tx, merchant_id: UUID) -> None:
    """Forget the merchant's engine."""
    await tx.run("DELETE FROM tax_engines WHERE merchant_id = $1", merchant_id)
