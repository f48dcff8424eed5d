"""Rows of `audit_log`: who did what that only some may do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.db.base import Tx, dumps
from app.ids import new_id


@dataclass(frozen=True, slots=True)
class Deed:
    """`actor` did `action` (`api_key.created`) to an object."""

    merchant_id: UUID
    actor: str
    action: str
    noun: str
    object_id: UUID
    request_id: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


async def append(tx: Tx, deed: Deed, now: datetime) -> None:
    """Write down a privileged change, in the transaction that makes it."""
    await tx.run(
        """
        INSERT INTO audit_log
            (merchant_id, id, actor, action, object, object_id, detail, request_id, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        deed.merchant_id,
        new_id(),
        deed.actor,
        deed.action,
        deed.noun,
        deed.object_id,
        dumps(deed.detail),
        deed.request_id,
        now,
    )
