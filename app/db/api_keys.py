"""Rows of `api_keys`: hashes, never the keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.db.base import Row, Tx


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to be stored; `prefix` and `last_four` are all that can ever be shown again."""

    id: UUID
    merchant_id: UUID
    name: str | None
    kind: str
    prefix: str
    last_four: str
    hash: bytes
    scopes: Sequence[str]
    expires_at: datetime | None


async def insert(tx: Tx, key: NewKey, now: datetime) -> None:
    """Store a key."""
    await tx.run(
        """
        INSERT INTO api_keys
            (merchant_id, id, name, kind, prefix, last_four, hash, scopes, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """,
        key.merchant_id,
        key.id,
        key.name,
        key.kind,
        key.prefix,
        key.last_four,
        key.hash,
        list(key.scopes),
        now,
        key.expires_at,
    )


async def by_hash(tx: Tx, hash: bytes) -> Row | None:
    """The key with this hash, of whichever merchant, with its merchant's mode."""
    return await tx.fetchrow(
        """
        SELECT k.merchant_id, k.id, k.kind, k.scopes, k.expires_at, k.revoked_at, k.last_used_at,
               m.mode
        FROM api_keys k JOIN merchants m ON m.id = k.merchant_id
        WHERE k.hash = $1
        """,
        hash,
    )


async def touch(tx: Tx, merchant_id: UUID, id: UUID, now: datetime, before: datetime) -> None:
    """Note the use of a key, unless one after `before` is noted already or someone is at it."""
    await tx.run(
        """
        UPDATE api_keys SET last_used_at = $3
        WHERE (merchant_id, id) = (
            SELECT merchant_id, id FROM api_keys
            WHERE merchant_id = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at < $4)
            FOR UPDATE SKIP LOCKED
        )
        """,
        merchant_id,
        id,
        now,
        before,
    )


async def revoke(tx: Tx, merchant_id: UUID, id: UUID, now: datetime) -> bool:
    """End a key; False when there is none. The first revocation counts."""
    revoked = await tx.run(
        """
        UPDATE api_keys SET revoked_at = coalesce(revoked_at, $3)
        WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        id,
        now,
    )
    return revoked == 1
