"""Rows of `webhook_endpoints`: where they are, what they ask for, and their sealed secrets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.db.base import Row, Tx, dumps
from app.domain.delivery import Disabled
from app.domain.webhook import Endpoint

Key = tuple[UUID, UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEndpoint:
    """An endpoint to be stored."""

    id: UUID
    url: str
    description: str | None
    event_types: Sequence[str]
    secret_ciphertext: str
    metadata: Mapping[str, str]


async def insert(tx: Tx, merchant_id: UUID, new: NewEndpoint, now: datetime) -> None:
    """Store an endpoint, enabled."""
    await tx.run(
        """
        INSERT INTO webhook_endpoints
            (merchant_id, id, url, description, event_types, secret_ciphertext, metadata, enabled,
             created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, true, $8)
        """,
        merchant_id,
        new.id,
        new.url,
        new.description,
        list(new.event_types),
        new.secret_ciphertext,
        dumps(new.metadata),
        now,
    )


async def count(tx: Tx, merchant_id: UUID) -> int:
    """How many the merchant has, but for deleted ones."""
    found: int = await tx.fetchval(
        "SELECT count(*) FROM webhook_endpoints WHERE merchant_id = $1 AND deleted_at IS NULL",
        merchant_id,
    )
    return found


async def lock(tx: Tx, merchant_id: UUID, id: UUID) -> Row | None:
    """Keep an endpoint that is not deleted from changing until the end: its secret, as stored."""
    return await tx.fetchrow(
        """
        SELECT id, event_types, enabled, secret_ciphertext FROM webhook_endpoints
         WHERE merchant_id = $1 AND id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE
        """,
        merchant_id,
        id,
    )


async def update(
    tx: Tx, merchant_id: UUID, id: UUID, fields: Mapping[str, Any], now: datetime
) -> None:
    """Write what may change of a locked endpoint, and count its version on."""
    await tx.run(
        """
        UPDATE webhook_endpoints
           SET url = $3, description = $4, event_types = $5, metadata = $6, enabled = $7,
               disabled_at = CASE WHEN NOT $7 THEN coalesce(disabled_at, $8) END,
               disabled_reason = CASE WHEN NOT $7 THEN coalesce(disabled_reason, $9) END,
               version = version + 1
         WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        id,
        fields["url"],
        fields["description"],
        list(fields["event_types"]),
        dumps(fields["metadata"]),
        fields["enabled"],
        now,
        Disabled.BY_REQUEST,
    )


async def disable(tx: Tx, key: Key, reason: Disabled, now: datetime) -> bool:
    """Call an endpoint no more; False where that is so already."""
    return (
        await tx.run(
            """
        UPDATE webhook_endpoints
           SET enabled = false, disabled_at = $3, disabled_reason = $4, version = version + 1
         WHERE merchant_id = $1 AND id = $2 AND enabled
        """,
            *key,
            now,
            reason,
        )
        == 1
    )


async def delete(tx: Tx, merchant_id: UUID, id: UUID, now: datetime) -> None:
    """Take a locked endpoint away for good, its secrets at once."""
    await tx.run(
        """
        UPDATE webhook_endpoints
           SET enabled = false, deleted_at = $3, disabled_at = coalesce(disabled_at, $3),
               disabled_reason = coalesce(disabled_reason, $4), secret_ciphertext = NULL,
               previous_secret_ciphertext = NULL, previous_secret_expires_at = NULL,
               version = version + 1
         WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        id,
        now,
        Disabled.BY_REQUEST,
    )


async def put_secrets(
    tx: Tx, key: Key, secret: str, previous: str | None, previous_expires_at: datetime | None
) -> None:
    """Write a locked endpoint's sealed secrets, and count its version on."""
    await tx.run(
        """
        UPDATE webhook_endpoints
           SET secret_ciphertext = $3, previous_secret_ciphertext = $4,
               previous_secret_expires_at = $5, version = version + 1
         WHERE merchant_id = $1 AND id = $2
        """,
        *key,
        secret,
        previous,
        previous_expires_at,
    )


async def enabled(tx: Tx, merchants: Sequence[UUID]) -> dict[UUID, list[Endpoint]]:
    """The endpoints of some merchants that are told of events."""
    rows = await tx.fetch(
        """
        SELECT merchant_id, id, event_types FROM webhook_endpoints
         WHERE merchant_id = ANY ($1::uuid[]) AND enabled ORDER BY merchant_id, id
        """,
        list(merchants),
    )
    found: dict[UUID, list[Endpoint]] = {}
    for row in rows:
        found.setdefault(row["merchant_id"], []).append(endpoint(row))
    return found


def endpoint(row: Row) -> Endpoint:
    """The endpoint that a row stands for."""
    return Endpoint(row["id"], frozenset(row["event_types"]))


async def target(tx: Tx, key: Key) -> Row | None:
    """Where an endpoint is and what it is signed by, if it is enabled."""
    return await tx.fetchrow(
        """
        SELECT url, secret_ciphertext, previous_secret_ciphertext, previous_secret_expires_at
          FROM webhook_endpoints WHERE merchant_id = $1 AND id = $2 AND enabled
        """,
        *key,
    )
