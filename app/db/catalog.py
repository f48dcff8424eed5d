"""Rows of `plans`, `prices` and `coupons`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from app.db.base import Row, Tx, dumps

Table: TypeAlias = Literal["plans", "prices", "coupons"]

# The fields of each noun that may change after it is made.
MUTABLE: Final[Mapping[Table, tuple[str, ...]]] = {
    "plans": ("name", "description", "rank", "features", "metadata", "active"),
    "prices": ("nickname", "lookup_key", "metadata", "active"),
    "coupons": ("name", "metadata", "active"),
}
DOCUMENTS: Final = frozenset({"features", "metadata", "tiers"})


@dataclass(frozen=True, slots=True)
class NewPlan:
    """A plan to be stored."""

    id: UUID
    code: str
    name: str
    description: str | None
    rank: int
    features: Mapping[str, object]
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPrice:
    """A price to be stored: decimal text and plain tiers."""

    id: UUID
    plan_id: UUID
    lookup_key: str | None
    nickname: str | None
    currency: str
    interval_unit: str
    interval_count: int
    model: str
    unit_amount_decimal: str | None
    tiers: list[dict[str, object]]
    package_size: int | None
    timing: str
    usage_type: str
    tax_behaviour: str
    setup_fee: int
    trial_days: int
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NewCoupon:
    """A coupon to be stored."""

    id: UUID
    code: str
    name: str
    percent_off_ppm: int | None
    amount_off: int | None
    currency: str | None
    duration: str
    duration_in_periods: int | None
    metadata: Mapping[str, str]


async def insert_plan(tx: Tx, merchant_id: UUID, plan: NewPlan, now: datetime) -> None:
    """Store a plan."""
    await tx.run(
        """
        INSERT INTO plans
            (merchant_id, id, code, name, description, rank, features, metadata, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        merchant_id,
        plan.id,
        plan.code,
        plan.name,
        plan.description,
        plan.rank,
        dumps(plan.features),
        dumps(plan.metadata),
        now,
    )


async def insert_price(tx: Tx, merchant_id: UUID, price: NewPrice, now: datetime) -> None:
    """Store a price as the next version of its plan's prices in this currency and interval."""
    await tx.run(
        """
        INSERT INTO prices
            (merchant_id, id, plan_id, price_version, lookup_key, nickname, currency,
             interval_unit, interval_count, model, unit_amount_decimal, tiers, package_size,
             timing, usage_type, tax_behaviour, setup_fee, trial_days, metadata, created_at)
        SELECT $1, $2, $3, 1 + coalesce(max(p.price_version), 0), $4, $5, $6, $7, $8, $9, $10,
               $11, $12, $13, $14, $15, $16, $17, $18, $19
        FROM prices p
        WHERE p.merchant_id = $1 AND p.plan_id = $3 AND p.currency = $6
          AND p.interval_unit = $7 AND p.interval_count = $8
        """,
        merchant_id,
        price.id,
        price.plan_id,
        price.lookup_key,
        price.nickname,
        price.currency,
        price.interval_unit,
        price.interval_count,
        price.model,
        price.unit_amount_decimal,
        dumps(price.tiers),
        price.package_size,
        price.timing,
        price.usage_type,
        price.tax_behaviour,
        price.setup_fee,
        price.trial_days,
        dumps(price.metadata),
        now,
    )


async def release_lookup_key(tx: Tx, merchant_id: UUID, lookup_key: str) -> None:
    """Take a lookup key from the price that has it, for a newer one to carry."""
    await tx.run(
        """
        UPDATE prices SET lookup_key = NULL, version = version + 1
        WHERE merchant_id = $1 AND lookup_key = $2
        """,
        merchant_id,
        lookup_key,
    )


async def lock_plan(tx: Tx, merchant_id: UUID, id: UUID) -> Row | None:
    """A plan, locked against other changes of it and of its prices' versions."""
    return await tx.fetchrow(
        "SELECT id, active FROM plans WHERE merchant_id = $1 AND id = $2 FOR NO KEY UPDATE",
        merchant_id,
        id,
    )


async def insert_coupon(tx: Tx, merchant_id: UUID, coupon: NewCoupon, now: datetime) -> None:
    """Store a coupon."""
    await tx.run(
        """
        INSERT INTO coupons
            (merchant_id, id, code, name, percent_off_ppm, amount_off, currency, duration,
             duration_in_periods, metadata, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        """,
        merchant_id,
        coupon.id,
        coupon.code,
        coupon.name,
        coupon.percent_off_ppm,
        coupon.amount_off,
        coupon.currency,
        coupon.duration,
        coupon.duration_in_periods,
        dumps(coupon.metadata),
        now,
    )


async def lock(tx: Tx, table: Table, merchant_id: UUID, id: UUID) -> Row | None:
    """What may change of one row of `table`, locked, with its version."""
    return await tx.fetchrow(
        f"SELECT version, {', '.join(MUTABLE[table])} FROM {table} "
        "WHERE merchant_id = $1 AND id = $2 FOR NO KEY UPDATE",
        merchant_id,
        id,
    )


async def update(
    tx: Tx, table: Table, merchant_id: UUID, id: UUID, fields: Mapping[str, Any]
) -> None:
    """Write what may change of a locked row, and count its version on."""
    names = MUTABLE[table]
    settings = ", ".join(f"{name} = ${place}" for place, name in enumerate(names, 3))
    values = [dumps(fields[name]) if name in DOCUMENTS else fields[name] for name in names]
    await tx.run(
        f"UPDATE {table} SET {settings}, version = version + 1 WHERE merchant_id = $1 AND id = $2",
        merchant_id,
        id,
        *values,
    )
