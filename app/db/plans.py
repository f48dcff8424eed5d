"""Rows of `plans`, with what they entitle to and, for add-ons, the plans they go with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app.db.base import Row, Tx, dumps
from app.domain.entitlement import Grant
from app.domain.pricing import PlanKind

MUTABLE: Final = (
    "name",
    "description",
    "family",
    "rank",
    "tax_code",
    "billing_settings",
    "public",
    "metadata",
    "active",
)
"""The fields that may change after it is made."""
DOCUMENTS: Final = frozenset({"billing_settings", "metadata"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPlan:
    """A plan to be stored."""

    id: UUID
    code: str
    name: str
    description: str | None
    kind: PlanKind
    family: str | None
    rank: int
    tax_code: str | None
    billing_settings: Mapping[str, object]
    public: bool
    metadata: Mapping[str, str]


async def insert(tx: Tx, merchant_id: UUID, plan: NewPlan, now: datetime) -> None:
    """Store a plan. Raises Conflict where the code is taken."""
    await tx.run(
        """
        INSERT INTO plans
            (merchant_id, id, code, name, description, kind, family, rank, tax_code,
             billing_settings, public, metadata, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        """,
        merchant_id,
        plan.id,
        plan.code,
        plan.name,
        plan.description,
        plan.kind,
        plan.family,
        plan.rank,
        plan.tax_code,
        dumps(plan.billing_settings),
        plan.public,
        dumps(plan.metadata),
        now,
    )


async def lock(tx: Tx, merchant_id: UUID, id: UUID) -> Row | None:
    """A plan, locked against other changes of it and of its prices' versions."""
    return await tx.fetchrow(
        "SELECT id, active FROM plans WHERE merchant_id = $1 AND id = $2 FOR NO KEY UPDATE",
        merchant_id,
        id,
    )


async def update(tx: Tx, merchant_id: UUID, id: UUID, fields: Mapping[str, Any]) -> None:
    """Write what may change of a locked plan, and count its version on."""
    settings = ", ".join(f"{name} = ${place}" for place, name in enumerate(MUTABLE, 3))
    values = [dumps(fields[name]) if name in DOCUMENTS else fields[name] for name in MUTABLE]
    await tx.run(
        f"UPDATE plans SET {settings}, version = version + 1 WHERE merchant_id = $1 AND id = $2",
        merchant_id,
        id,
        *values,
    )


async def give(tx: Tx, merchant_id: UUID, id: UUID, grants: Sequence[Grant]) -> None:
    """Make these all that a locked plan entitles to, in this order."""
    await tx.run(
        "DELETE FROM plan_features WHERE merchant_id = $1 AND plan_id = $2", merchant_id, id
    )
    await tx.run(
        """
        INSERT INTO plan_features (merchant_id, plan_id, feature_id, value, reset, position)
        SELECT $1, $2, k.feature_id, k.value::json, k.reset, k.place
          FROM unnest($3::uuid[], $4::text[], $5::text[]) WITH ORDINALITY
               AS k (feature_id, value, reset, place)
        """,
        merchant_id,
        id,
        [grant.feature.id for grant in grants],
        [dumps(grant.value) for grant in grants],
        [grant.reset for grant in grants],
    )


async def go_with(tx: Tx, merchant_id: UUID, id: UUID, plans: Sequence[UUID]) -> None:
    """Make these the plans that a locked add-on goes with."""
    await tx.run(
        "DELETE FROM addon_plans WHERE merchant_id = $1 AND addon_id = $2", merchant_id, id
    )
    await tx.run(
        "INSERT INTO addon_plans (merchant_id, addon_id, plan_id)"
        " SELECT $1, $2, unnest($3::uuid[])",
        merchant_id,
        id,
        list(plans),
    )


async def of_kind(tx: Tx, merchant_id: UUID, kind: PlanKind, ids: Sequence[UUID]) -> set[UUID]:
    """Which of these plans are there, and of this kind."""
    rows = await tx.fetch(
        "SELECT id FROM plans WHERE merchant_id = $1 AND kind = $2 AND id = ANY ($3::uuid[])",
        merchant_id,
        kind,
        list(ids),
    )
    return {row["id"] for row in rows}
