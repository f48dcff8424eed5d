"""Rows of `features`, and what running subscriptions entitle to through them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from app.db.base import Row, Tx, dumps
from app.db.views.base import Source
from app.domain.entitlement import Feature, FeatureType, Grant, Held, Reset
from app.domain.subscription import Status

MUTABLE: Final = ("name", "description", "unit", "metadata", "active")
"""The fields that may change after it is made; another type would change what plans gave."""


async def insert(
    tx: Tx,
    merchant_id: UUID,
    feature: Feature,
    description: str | None,
    metadata: Mapping[str, str],
    now: datetime,
) -> None:
    """Store a feature. Raises Conflict where the key is taken."""
    await tx.run(
        """
        INSERT INTO features (merchant_id, id, key, name, description, type, unit, per_unit,
                              metadata, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """,
        merchant_id,
        feature.id,
        feature.key,
        feature.name,
        description,
        feature.type,
        feature.unit,
        feature.per_unit,
        dumps(metadata),
        now,
    )


async def lock(tx: Tx, merchant_id: UUID, id: UUID) -> Row | None:
    """What may change of a feature, locked, with its version."""
    return await tx.fetchrow(
        f"SELECT version, {', '.join(MUTABLE)} FROM features "
        "WHERE merchant_id = $1 AND id = $2 FOR NO KEY UPDATE",
        merchant_id,
        id,
    )


async def update(tx: Tx, merchant_id: UUID, id: UUID, fields: Mapping[str, Any]) -> None:
    """Write what may change of a locked feature, and count its version on."""
    settings = ", ".join(f"{name} = ${place}" for place, name in enumerate(MUTABLE, 3))
    values = [dumps(fields[name]) if name == "metadata" else fields[name] for name in MUTABLE]
    await tx.run(
        f"UPDATE features SET {settings}, version = version + 1 WHERE merchant_id = $1 AND id = $2",
        merchant_id,
        id,
        *values,
    )


async def named(
    tx: Tx, merchant_id: UUID, ids: Collection[UUID], keys: Collection[str]
) -> list[tuple[Feature, bool]]:
    """The features with these ids or keys, each with whether it may be given anew."""
    rows = await tx.fetch(
        """
        SELECT id, key, name, type, unit, per_unit, active FROM features
         WHERE merchant_id = $1 AND (id = ANY ($2::uuid[]) OR key = ANY ($3::text[]))
        """,
        merchant_id,
        list(ids),
        list(keys),
    )
    return [(_feature(row), row["active"]) for row in rows]


async def held_by_customer(source: Source, merchant_id: UUID, id: UUID) -> list[Held]:
    """The items of all of a customer's subscriptions, with what their plans give."""
    return await _held(source, merchant_id, "s.customer_id = $2", id)


async def held_by_subscription(source: Source, merchant_id: UUID, id: UUID) -> list[Held]:
    """The items of one subscription, with what their plans give."""
    return await _held(source, merchant_id, "s.id = $2", id)


async def grants_of(
    source: Source, merchant_id: UUID, plans: Iterable[UUID]
) -> dict[UUID, tuple[Grant, ...]]:
    """What plans give, by plan; one that gives nothing is missing."""
    rows = await source.fetch(
        """
        SELECT pf.plan_id, pf.value, pf.reset, f.id, f.key, f.name, f.type, f.unit, f.per_unit
          FROM plan_features pf
          JOIN features f ON f.merchant_id = pf.merchant_id AND f.id = pf.feature_id
         WHERE pf.merchant_id = $1 AND pf.plan_id = ANY ($2::uuid[])
         ORDER BY pf.plan_id, pf.position
        """,
        merchant_id,
        sorted(set(plans)),
    )
    found: dict[UUID, list[Grant]] = defaultdict(list)
    features: dict[UUID, Feature] = {}
    for row in rows:
        feature = features.setdefault(row["id"], _feature(row))
        found[row["plan_id"]].append(
            Grant(feature, orjson.loads(row["value"]), Reset(row["reset"]))
        )
    return {plan: tuple(grants) for plan, grants in found.items()}


async def _held(source: Source, merchant_id: UUID, whose: str, id: UUID) -> list[Held]:
    rows: Sequence[Row] = await source.fetch(
        f"""
        SELECT s.id AS subscription_id, s.status, p.plan_id, plans.rank, i.quantity
          FROM subscriptions s
          JOIN subscription_items i ON i.merchant_id = s.merchant_id AND i.subscription_id = s.id
          JOIN prices p ON p.merchant_id = i.merchant_id AND p.id = i.price_id
          JOIN plans ON plans.merchant_id = p.merchant_id AND plans.id = p.plan_id
         WHERE s.merchant_id = $1 AND {whose}
        """,
        merchant_id,
        id,
    )
    grants = await grants_of(source, merchant_id, (row["plan_id"] for row in rows))
    return [
        Held(
            row["subscription_id"],
            Status(row["status"]),
            row["plan_id"],
            row["rank"],
            row["quantity"],
            grants.get(row["plan_id"], ()),
        )
        for row in rows
    ]


def _feature(row: Row) -> Feature:
    return Feature(
        row["id"], row["key"], row["name"], FeatureType(row["type"]), row["unit"], row["per_unit"]
    )
