"""Rows of `dunning_policies`, and whom they are for."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from app.db.base import Row, Tx, dumps
from app.domain.dunning_policy import Policy, document, of_document

Key = tuple[UUID, UUID]


def policy(id: UUID, terms: str) -> Policy:
    """The policy that a row stands for."""
    return of_document(orjson.loads(terms) | {"policy_id": str(id)})


async def load(tx: Tx, keys: Collection[Key]) -> dict[Key, Policy]:
    """Policies by (merchant, id)."""
    rows = await tx.fetch(
        """
        SELECT d.merchant_id, d.id, d.terms
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN dunning_policies d USING (merchant_id, id)
        """,
        [key[0] for key in keys],
        [key[1] for key in keys],
    )
    return {(row["merchant_id"], row["id"]): policy(row["id"], row["terms"]) for row in rows}


async def of_merchant(tx: Tx, merchant_id: UUID) -> list[tuple[Policy, bool, list[UUID]]]:
    """Each policy in use, whether it is the default, and the plans that it is for."""
    rows = await tx.fetch(
        """
        SELECT d.id, d.terms, d.is_default,
               ARRAY(SELECT p.plan_id FROM dunning_policy_plans p
                      WHERE p.merchant_id = d.merchant_id AND p.policy_id = d.id) AS plans
          FROM dunning_policies d WHERE d.merchant_id = $1 AND d.active
        """,
        merchant_id,
    )
    return [(policy(row["id"], row["terms"]), row["is_default"], row["plans"]) for row in rows]


async def insert(
    tx: Tx, merchant_id: UUID, made: Policy, named: Mapping[str, Any], now: datetime
) -> None:
    """Store a policy; `named` are its code, name, is_default, segment and metadata."""
    await tx.run(
        """
        INSERT INTO dunning_policies
            (merchant_id, id, code, name, is_default, segment, terms, metadata, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        merchant_id,
        made.id,
        named["code"],
        named["name"],
        named["is_default"],
        named["segment"],
        dumps(document(made)),
        dumps(named["metadata"]),
        now,
    )


async def lock(tx: Tx, merchant_id: UUID, id: UUID) -> Row | None:
    """A policy, locked, with what may change of it."""
    return await tx.fetchrow(
        """
        SELECT id, name, is_default, segment, terms, metadata, active, version
          FROM dunning_policies WHERE merchant_id = $1 AND id = $2 FOR NO KEY UPDATE
        """,
        merchant_id,
        id,
    )


async def update(tx: Tx, merchant_id: UUID, made: Policy, named: Mapping[str, Any]) -> None:
    """Write a locked policy as it is now, and count its version on."""
    await tx.run(
        """
        UPDATE dunning_policies
           SET name = $3, is_default = $4, segment = $5, terms = $6, metadata = $7, active = $8,
               version = version + 1
         WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        made.id,
        named["name"],
        named["is_default"],
        named["segment"],
        dumps(document(made)),
        dumps(named["metadata"]),
        named["active"],
    )


async def no_default(tx: Tx, merchant_id: UUID, but: UUID) -> None:
    """The policy that was the merchant's default is it no more, for `but` is now."""
    await tx.run(
        """
        UPDATE dunning_policies SET is_default = false, version = version + 1
         WHERE merchant_id = $1 AND is_default AND id <> $2
        """,
        merchant_id,
        but,
    )


async def set_plans(tx: Tx, merchant_id: UUID, id: UUID, plans: Sequence[UUID]) -> None:
    """The policy is for these plans, whatever was for them before."""
    await tx.run(
        """
        DELETE FROM dunning_policy_plans
         WHERE merchant_id = $1 AND (policy_id = $2 OR plan_id = ANY ($3::uuid[]))
        """,
        merchant_id,
        id,
        list(plans),
    )
    await tx.run(
        """
        INSERT INTO dunning_policy_plans (merchant_id, plan_id, policy_id)
        SELECT $1, plan_id, $2 FROM unnest($3::uuid[]) AS k (plan_id)
        """,
        merchant_id,
        id,
        list(plans),
    )
