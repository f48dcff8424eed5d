"""Meters: what is measured, and what was used step by step."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from app.db import meters as rows
from app.db import usage, views
from app.db.base import Row, Tx
from app.domain import metering
from app.domain.calendar import Period
from app.domain.errors import InvalidRequest
from app.domain.metering import Aggregation, Filter, Granularity, Meter
from app.ids import new_id, show
from app.runtime import Runtime
from app.services import idempotency, lookup
from app.services.caller import Caller
from app.services.customers import check_version
from app.services.metadata import merged


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateMeter:
    """What is measured, and how; the how never changes."""

    name: str
    event_name: str
    aggregation: Aggregation
    value_key: str = "value"
    unique_key: str | None = None
    filters: tuple[Filter, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UpdateMeter:
    """Fields of a meter to change; `metadata` is merged."""

    id: UUID
    changes: Mapping[str, Any]
    expected_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadUsage:
    """A meter's usage between two instants, by one customer or by all, in steps of a zone."""

    meter_id: UUID
    start: datetime | None = None
    end: datetime | None = None
    granularity: Granularity = Granularity.DAY
    zone: str = "UTC"
    customer_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class MeterUsage:
    """What was used, step by step."""

    steps: tuple[Period, ...]
    series: usage.Series


async def create(rt: Runtime, caller: Caller, cmd: CreateMeter) -> Row:
    """Create a meter. Raises InvalidRequest, and Conflict where the event_name is taken."""
    meter = Meter(
        id=new_id(),
        event_name=cmd.event_name,
        aggregation=cmd.aggregation,
        value_key=cmd.value_key,
        unique_key=cmd.unique_key,
        filters=cmd.filters,
    )
    if problems := [*metering.problems(meter)]:
        raise InvalidRequest.of(problems)
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        await rows.insert(tx, caller.merchant_id, meter, cmd.name, cmd.metadata, now)
        return await _answer(tx, caller, meter.id)


async def update(rt: Runtime, caller: Caller, cmd: UpdateMeter) -> Row:
    """Rename a meter, archive it or take it up again. Raises NotFound, Stale, Conflict."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        before = await rows.lock(tx, caller.merchant_id, cmd.id)
        if before is None:
            raise lookup.missing(views.METER)
        check_version(before, cmd.expected_version)
        fields: dict[str, Any] = dict(before) | dict(cmd.changes)
        kept = orjson.loads(before["metadata"])
        fields["metadata"] = merged(kept, cmd.changes.get("metadata") or {})
        archived = cmd.changes.get("archived")
        if archived is not None:
            fields["archived_at"] = (before["archived_at"] or now) if archived else None
        await rows.update(tx, caller.merchant_id, cmd.id, fields)
        return await _answer(tx, caller, cmd.id)


async def read_usage(rt: Runtime, caller: Caller, cmd: ReadUsage) -> MeterUsage:
    """A meter's usage in steps; of the present month up to now unless said otherwise.

    Raises NotFound, and InvalidRequest where there are too many steps or none.
    """
    end = cmd.end or rt.clock.now()
    start = cmd.start or metering.month_start(end, cmd.zone)
    steps = metering.buckets(start, end, cmd.granularity, cmd.zone)
    async with rt.db.read(caller.merchant_id) as reader:
        meter = await rows.one(reader, caller.merchant_id, cmd.meter_id)
        if meter is None:
            raise lookup.missing(views.METER)
        found = await usage.series(reader, caller.merchant_id, meter, steps, cmd.customer_id)
    return MeterUsage(steps, found)


async def _answer(tx: Tx, caller: Caller, id: UUID) -> Row:
    await idempotency.answered(tx, caller, show("mtr", id))
    row = await views.one(tx, views.METER, caller.merchant_id, id)
    assert row is not None
    return row
