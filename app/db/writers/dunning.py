"""Dunning runs as rows, and the payment methods that will not work again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db import bulk, tables
from app.db.base import Tx, dumps
from app.domain.dunning_policy import document
from app.domain.dunning_run import Dunning

CHANGES: Final = (
    "merchant_id",
    "id",
    "status",
    "failed_at",
    "step",
    "attempts",
    "next_attempt_at",
    "next_action_at",
    "waiting_for",
    "first_category",
    "last_category",
    "last_code",
    "blocked_method_id",
    "changed_method_id",
    "method_changed_at",
    "paused_at",
    "ended_at",
    "end_reason",
    "final_action",
    "amount_recovered",
    "recovered_by_attempt",
    "version",
)
COLUMNS: Final = (
    *CHANGES,
    "invoice_id",
    "customer_id",
    "policy_id",
    "collection_method",
    "currency",
    "amount",
    "paid_before",
    "terms",
    "zone",
    "test_clock_id",
    "created_at",
)


def _change(d: Dunning) -> bulk.Row:
    return (
        d.merchant_id,
        d.id,
        d.status,
        d.failed_at,
        d.step,
        d.attempts,
        d.next_attempt_at,
        d.next_action_at,
        d.waiting_for,
        d.first_category,
        d.last_category,
        d.last_code,
        d.blocked_method_id,
        d.changed_method_id,
        d.method_changed_at,
        d.paused_at,
        d.ended_at,
        d.end_reason,
        d.final_action,
        d.amount_recovered,
        d.recovered_by_attempt,
        d.version,
    )


async def write(tx: Tx, runs: Sequence[Dunning]) -> None:
    """Insert what is new, update what has changed. Raises Stale, Conflict."""
    await bulk.update(tx, tables.dunning_runs, CHANGES, [_change(d) for d in runs if d.version > 1])
    fresh = [
        (
            *_change(d),
            d.invoice_id,
            d.customer_id,
            d.policy.id,
            d.collection,
            d.currency,
            d.amount,
            d.paid_before,
            dumps(document(d.policy)),
            d.zone,
            d.test_clock_id,
            d.created_at,
        )
        for d in runs
        if d.version == 1
    ]
    await bulk.insert(tx, tables.dunning_runs, COLUMNS, fresh)


async def refuse(tx: Tx, methods: Sequence[tuple[UUID, UUID]], now: datetime) -> None:
    """These methods, by (merchant, id), said that they will not work again."""
    if methods:
        await tx.run(
            """
            UPDATE payment_methods m SET refused_at = $3
              FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
             WHERE m.merchant_id = k.merchant_id AND m.id = k.id AND m.refused_at IS NULL
            """,
            [merchant for merchant, _ in methods],
            [method for _, method in methods],
            now,
        )
