"""Rows of `meters`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from app.db.base import Row, Tx, dumps
from app.db.views.base import Source
from app.domain.metering import Aggregation, Filter, Meter

COLUMNS = "m.id, m.event_name, m.aggregation, m.value_key, m.unique_key, m.filters"


async def insert(
    tx: Tx, merchant_id: UUID, meter: Meter, name: str, metadata: Mapping[str, str], now: datetime
) -> None:
    """Store a meter. Raises Conflict where another active one has its event_name."""
    await tx.run(
        """
        INSERT INTO meters (merchant_id, id, name, event_name, aggregation, value_key, unique_key,
                            filters, metadata, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """,
        merchant_id,
        meter.id,
        name,
        meter.event_name,
        meter.aggregation,
        meter.value_key,
        meter.unique_key,
        dumps([{"property": f.property, "values": f.values} for f in meter.filters]),
        dumps(metadata),
        now,
    )


async def lock(tx: Tx, merchant_id: UUID, id: UUID) -> Row | None:
    """What may change of a meter, locked, with its version."""
    return await tx.fetchrow(
        """
        SELECT name, metadata, archived_at, version FROM meters
         WHERE merchant_id = $1 AND id = $2 FOR NO KEY UPDATE
        """,
        merchant_id,
        id,
    )


async def update(tx: Tx, merchant_id: UUID, id: UUID, fields: Mapping[str, Any]) -> None:
    """Write what may change of a locked meter, and count its version on. Raises Conflict."""
    await tx.run(
        """
        UPDATE meters SET name = $3, metadata = $4, archived_at = $5, version = version + 1
         WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        id,
        fields["name"],
        dumps(fields["metadata"]),
        fields["archived_at"],
    )


async def one(source: Source, merchant_id: UUID, id: UUID) -> Meter | None:
    """The meter with this id."""
    row = await source.fetchrow(
        f"SELECT {COLUMNS} FROM meters m WHERE m.merchant_id = $1 AND m.id = $2", merchant_id, id
    )
    return None if row is None else meter(row)


async def by_event_name(tx: Tx, merchant_id: UUID, names: Sequence[str]) -> dict[str, Meter]:
    """The active meters that take events of these names."""
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM meters m
         WHERE m.merchant_id = $1 AND m.event_name = ANY ($2::text[]) AND m.archived_at IS NULL
        """,
        merchant_id,
        names,
    )
    return {row["event_name"]: meter(row) for row in rows}


def meter(row: Row) -> Meter:
    """The meter that a row of `meters` stands for."""
    return Meter(
        id=row["id"],
        event_name=row["event_name"],
        aggregation=Aggregation(row["aggregation"]),
        value_key=row["value_key"],
        unique_key=row["unique_key"],
        filters=tuple(
            Filter(kept["property"], tuple(kept["values"])) for kept in orjson.loads(row["filters"])
        ),
    )
