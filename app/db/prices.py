"""Rows of `prices`: stored, versioned, and as decisions need them, whole and parsed."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from app.db.base import Row, Tx, dumps
from app.db.views.base import Source
from app.domain import pricing
from app.domain.calendar import Interval, Unit
from app.domain.pricing import (
    TIERED,
    PlanKind,
    Price,
    PriceModel,
    PriceType,
    TaxBehaviour,
    Tier,
    Timing,
    TrialEnd,
    Usage,
)

Key = tuple[UUID, UUID]

MUTABLE: Final = ("nickname", "lookup_key", "metadata", "active")
"""The fields that may change after it is made: none that says what it costs."""
NO_SETTINGS: Final[Mapping[str, Any]] = {}


async def load(tx: Source, keys: Iterable[Key]) -> dict[Key, Price]:
    """The prices with these (merchant, price) ids; what does not exist is missing."""
    wanted = sorted(set(keys))
    rows = await tx.fetch(
        """
        SELECT p.merchant_id, p.id, p.plan_id, p.price_version, p.lookup_key, p.nickname,
               p.currency, p.type, p.interval_unit, p.interval_count, p.model,
               p.unit_amount_decimal, p.tiers, p.package_size, p.percentage_ppm, p.event_amount,
               p.free_events, p.free_amount, p.timing, p.usage_type, p.meter_id, p.min_quantity,
               p.max_quantity, p.countries, p.tax_behaviour, p.setup_fee, p.trial_days,
               p.trial_amount, p.trial_requires_payment_method,
               p.trial_end_without_payment_method, p.active AND plans.active AS active,
               plans.name AS plan_name, plans.kind AS plan_kind, plans.family AS plan_family,
               plans.rank AS plan_rank, plans.tax_code, plans.billing_settings,
               ARRAY(SELECT a.plan_id FROM addon_plans a
                      WHERE a.merchant_id = p.merchant_id AND a.addon_id = p.plan_id
                        AND plans.kind = 'addon') AS addon_for
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN prices p USING (merchant_id, id)
          JOIN plans ON plans.merchant_id = p.merchant_id AND plans.id = p.plan_id
        """,
        [key[0] for key in wanted],
        [key[1] for key in wanted],
    )
    return {(row["merchant_id"], row["id"]): price(row) for row in rows}


def price(row: Row) -> Price:
    """The price that a row of `prices`, with its plan's facts, stands for."""
    name, nickname, unit = row["plan_name"], row["nickname"], row["interval_unit"]
    trial_end, settings = row["trial_end_without_payment_method"], row["billing_settings"]
    return Price(
        id=row["id"],
        plan_id=row["plan_id"],
        version=row["price_version"],
        currency=row["currency"],
        type=PriceType(row["type"]),
        interval=None if unit is None else Interval(Unit(unit), row["interval_count"]),
        model=PriceModel(row["model"]),
        unit_amount_scaled=_scaled(row["unit_amount_decimal"]),
        tiers=tuple(_tier(tier) for tier in orjson.loads(row["tiers"])),
        package_size=row["package_size"] or 1,
        percentage_ppm=row["percentage_ppm"] or 0,
        event_amount_minor=row["event_amount"],
        free_events=row["free_events"],
        free_amount_minor=row["free_amount"],
        timing=Timing(row["timing"]),
        usage=Usage(row["usage_type"]),
        meter_id=row["meter_id"],
        min_quantity=row["min_quantity"],
        max_quantity=row["max_quantity"],
        countries=frozenset(row["countries"]),
        tax_behaviour=TaxBehaviour(row["tax_behaviour"]),
        setup_fee_minor=row["setup_fee"],
        trial_days=row["trial_days"],
        trial_amount_minor=row["trial_amount"],
        trial_requires_payment_method=row["trial_requires_payment_method"],
        trial_end_without_payment_method=None if trial_end is None else TrialEnd(trial_end),
        active=row["active"],
        description=f"{name} ({nickname})" if nickname else name,
        nickname=nickname,
        lookup_key=row["lookup_key"],
        plan_kind=PlanKind(row["plan_kind"]),
        addon_for=frozenset(row["addon_for"]),
        plan_family=row["plan_family"],
        plan_rank=row["plan_rank"],
        tax_code=row["tax_code"],
        plan_settings=NO_SETTINGS if settings == "{}" else orjson.loads(settings),
    )


async def insert(
    tx: Tx, merchant_id: UUID, price: Price, metadata: Mapping[str, str], now: datetime
) -> None:
    """Store a price as the next version of its plan's in this currency and interval.

    The plan is locked. Raises Conflict where the lookup key is taken.
    """
    columns = _columns(price) | {"metadata": dumps(metadata), "created_at": now}
    places = ", ".join(f"${place}" for place in range(3, len(columns) + 3))
    await tx.run(
        f"""
        INSERT INTO prices (merchant_id, price_version, id, {", ".join(columns)})
        SELECT $1, 1 + coalesce(max(p.price_version), 0), $2, {places}
          FROM prices p
         WHERE p.merchant_id = $1 AND p.plan_id = $3 AND p.currency = $4
           AND p.interval_unit IS NOT DISTINCT FROM $5
           AND p.interval_count IS NOT DISTINCT FROM $6
        """,
        merchant_id,
        price.id,
        *columns.values(),
    )


async def lock(tx: Tx, merchant_id: UUID, id: UUID) -> Row | None:
    """What may change of a price, locked, with its version."""
    return await tx.fetchrow(
        f"SELECT plan_id, version, {', '.join(MUTABLE)} FROM prices "
        "WHERE merchant_id = $1 AND id = $2 FOR NO KEY UPDATE",
        merchant_id,
        id,
    )


async def plan_of(tx: Tx, merchant_id: UUID, id: UUID) -> UUID | None:
    """The plan of a price, which never changes."""
    plan: UUID | None = await tx.fetchval(
        "SELECT plan_id FROM prices WHERE merchant_id = $1 AND id = $2", merchant_id, id
    )
    return plan


async def update(tx: Tx, merchant_id: UUID, id: UUID, fields: Mapping[str, Any]) -> None:
    """Write what may change of a locked price, and count its version on."""
    settings = ", ".join(f"{name} = ${place}" for place, name in enumerate(MUTABLE, 3))
    values = [dumps(fields[name]) if name == "metadata" else fields[name] for name in MUTABLE]
    await tx.run(
        f"UPDATE prices SET {settings}, version = version + 1 WHERE merchant_id = $1 AND id = $2",
        merchant_id,
        id,
        *values,
    )


async def with_lookup_key(tx: Tx, merchant_id: UUID, lookup_key: str) -> UUID | None:
    """The price that has this lookup key."""
    found: UUID | None = await tx.fetchval(
        "SELECT id FROM prices WHERE merchant_id = $1 AND lookup_key = $2", merchant_id, lookup_key
    )
    return found


async def has_meter(tx: Tx, merchant_id: UUID, meter_id: UUID) -> bool:
    """Whether there is such a meter that still counts."""
    found: bool = await tx.fetchval(
        "SELECT EXISTS (SELECT FROM meters WHERE merchant_id = $1 AND id = $2"
        " AND archived_at IS NULL)",
        merchant_id,
        meter_id,
    )
    return found


def _columns(price: Price) -> dict[str, object]:
    """What is stored of a price; the first four say which prices it is a version among."""
    model = price.model
    whole = model not in TIERED and model is not PriceModel.PERCENTAGE
    return {
        "plan_id": price.plan_id,
        "currency": price.currency,
        "interval_unit": None if price.interval is None else price.interval.unit,
        "interval_count": None if price.interval is None else price.interval.count,
        "type": price.type,
        "lookup_key": price.lookup_key,
        "nickname": price.nickname,
        "model": model,
        "unit_amount_decimal": pricing.show_unit_amount(price.unit_amount_scaled)
        if whole
        else None,
        "tiers": dumps([_tier_row(tier) for tier in price.tiers]),
        "package_size": price.package_size if model is PriceModel.PACKAGE else None,
        "percentage_ppm": price.percentage_ppm if model is PriceModel.PERCENTAGE else None,
        "event_amount": price.event_amount_minor,
        "free_events": price.free_events,
        "free_amount": price.free_amount_minor,
        "timing": price.timing,
        "usage_type": price.usage,
        "meter_id": price.meter_id,
        "min_quantity": price.min_quantity,
        "max_quantity": price.max_quantity,
        "countries": sorted(price.countries),
        "tax_behaviour": price.tax_behaviour,
        "setup_fee": price.setup_fee_minor,
        "trial_days": price.trial_days,
        "trial_amount": price.trial_amount_minor,
        "trial_requires_payment_method": price.trial_requires_payment_method,
        "trial_end_without_payment_method": price.trial_end_without_payment_method,
    }


def _scaled(decimal: str | None) -> int:
    return 0 if decimal is None else pricing.parse_unit_amount(decimal)


def _tier(tier: dict[str, object]) -> Tier:
    up_to, flat = tier["up_to"], tier.get("flat_amount") or 0
    assert up_to is None or isinstance(up_to, int)
    assert isinstance(flat, int)
    return Tier(up_to, pricing.parse_unit_amount(str(tier["unit_amount_decimal"])), flat)


def _tier_row(tier: Tier) -> dict[str, object]:
    return {
        "up_to": tier.up_to,
        "unit_amount_decimal": pricing.show_unit_amount(tier.unit_amount_scaled),
        "flat_amount": tier.flat_amount,
    }
