"""Rows of `events` for nouns without a decision: what changed, as it is now, in the same commit.

Decisions write theirs through `app.db.decisions`.
"""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from app.db.base import Row, Tx, dumps
from app.db.views import EVENT, View
from app.db.views.base import Fields, Source
from app.domain.event import Type
from app.ids import new_id

DOCUMENTS: Final = frozenset(
    {
        "address",
        "balances",
        "billing_settings",
        "currency_options",
        "estimate",
        "features",
        "filters",
        "mandate",
        "metadata",
        "minimum_amounts",
        "tiers",
    }
)


def changed(before: Fields, after: Fields) -> dict[str, Any]:
    """The fields that differ, with what they were before."""
    return {
        name: value for name, value in before.items() if name != "version" and value != after[name]
    }


async def append(  # noqa: PLR0913  what an event says
    tx: Tx,
    merchant_id: UUID,
    type: Type,
    view: View,
    row: Fields,
    now: datetime,
    previous: Fields | None = None,
) -> None:
    """Write down that `row` came to be or changed; `previous` holds the changed fields."""
    await tx.run(
        """
        INSERT INTO events
            (merchant_id, id, type, object, object_id, object_version, data, previous, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        merchant_id,
        new_id(),
        type,
        view.object,
        row["id"],
        row["version"],
        dumps(_fields(row)),
        None if previous is None else dumps(_fields(previous)),
        now,
    )


async def after(
    source: Source,
    merchant_id: UUID,
    seen: UUID,
    before: UUID,
    type: str | None,
    limit: int,
) -> list[Row]:
    """Events with ids between `seen` and `before`, the oldest first."""
    return await source.fetch(
        f"""
        SELECT {EVENT.columns} FROM events t
        WHERE t.merchant_id = $1 AND t.id > $2 AND t.id < $3
          AND ($4::text IS NULL OR t.type = $4)
        ORDER BY t.id LIMIT $5
        """,
        merchant_id,
        seen,
        before,
        type,
        limit,
    )


def _fields(row: Fields) -> dict[str, Any]:
    return {
        name: orjson.Fragment(value) if name in DOCUMENTS and isinstance(value, str) else value
        for name, value in row.items()
    }
