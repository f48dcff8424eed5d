"""Merchants' billing settings, and the policy that decisions about a subscription follow."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson

from app.db.base import Tx, dumps
from app.domain import policy
from app.domain.errors import NotFound
from app.domain.policy import Policy
from app.domain.pricing import Price


async def load(tx: Tx, merchants: Iterable[UUID]) -> dict[UUID, Policy]:
    """Each merchant's policy; those who changed nothing share the default."""
    rows = await tx.fetch(
        "SELECT id, billing_settings FROM merchants WHERE id = ANY ($1::uuid[])",
        sorted(set(merchants)),
    )
    return {row["id"]: parsed(row["billing_settings"]) for row in rows}


async def of_merchant(tx: Tx, merchant_id: UUID) -> Policy:
    """The policy of the transaction's merchant."""
    return (await load(tx, [merchant_id]))[merchant_id]


async def lock_settings(tx: Tx, merchant_id: UUID) -> dict[str, Any]:
    """A merchant's settings, locked to be changed. Raises NotFound."""
    row = await tx.fetchrow(
        "SELECT billing_settings FROM merchants WHERE id = $1 FOR NO KEY UPDATE", merchant_id
    )
    if row is None:
        raise NotFound("There is no such merchant.", code="merchant_not_found")
    return dict(orjson.loads(row["billing_settings"]))


async def set_settings(tx: Tx, merchant_id: UUID, settings: Mapping[str, Any]) -> None:
    """Replace a merchant's settings."""
    await tx.run(
        "UPDATE merchants SET billing_settings = $2, version = version + 1 WHERE id = $1",
        merchant_id,
        dumps(settings),
    )


async def consolidating(tx: Tx) -> list[UUID]:
    """The merchants whose customers may have one invoice for several subscriptions."""
    rows = await tx.fetch(
        "SELECT id FROM merchants WHERE billing_settings ->> 'invoice_consolidation' = $1",
        policy.Consolidation.CUSTOMER,
    )
    return [row["id"] for row in rows]


def narrowed(merchants: Policy, prices: Iterable[Price], settings: Mapping[str, object]) -> Policy:
    """The merchant's policy with what the plans say otherwise, and then the subscription."""
    return policy.narrowed(merchants, prices, settings)


@lru_cache(maxsize=1024)
def parsed(text: str) -> Policy:
    """The policy that stored settings stand for; equal texts share one."""
    return policy.override(policy.DEFAULT, orjson.loads(text))
