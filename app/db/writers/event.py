"""Events as rows: each carries what its subject was at that moment."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final
from uuid import UUID

import orjson

from app.db import bulk, outbox, tables
from app.db.base import Tx, dumps
from app.db.writers.invoice import Number
from app.domain.event import Event, Type

COLUMNS: Final = (
    "merchant_id",
    "id",
    "type",
    "object",
    "object_id",
    "object_version",
    "data",
    "previous",
    "created_at",
)


@lru_cache(maxsize=64)
def _object(type_: Type) -> str:
    return type_.partition(".")[0]


async def write(
    tx: Tx, events: Sequence[Event], numbers: Mapping[UUID, Number], now: datetime
) -> None:
    """Insert `events`, told at `now`; `numbers` are what invoices were given just now."""
    await bulk.insert(
        tx,
        tables.events,
        COLUMNS,
        list(_rows(events, numbers, now)),
    )
    await outbox.put(tx, [(event.subject.merchant_id, event.id) for event in events])


def _rows(
    events: Iterable[Event], numbers: Mapping[UUID, Number], now: datetime
) -> Iterator[bulk.Row]:
    for event in events:
        subject = event.subject
        data = subject.snapshot()
        number = numbers.get(subject.id)
        if number is not None:
            data["number"] = number[1]
        yield (
            subject.merchant_id,
            event.id,
            event.type,
            _object(event.type),
            subject.id,
            subject.version,
            orjson.dumps(data, default=str).decode(),
            None if event.previous is None else dumps(event.previous),
            now,
        )
