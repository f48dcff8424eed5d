"""Disputes as rows."""

from collections.abc import Sequence
from typing import Final

from app.db import bulk, tables
from app.db.base import Tx
from app.domain.dispute import Dispute

CHANGES: Final = (
    "merchant_id",
    "id",
    "status",
    "amount",
    "withdrawn",
    "fee",
    "reason",
    "opened_at",
    "evidence_due_by",
    "closed_at",
    "asked_at",
    "version",
)
COLUMNS: Final = (
    *CHANGES,
    "gateway_account_id",
    "gateway_reference",
    "payment_id",
    "invoice_id",
    "customer_id",
    "currency",
    "created_at",
)


def _change(d: Dispute) -> bulk.Row:
    return (
        d.merchant_id,
        d.id,
        d.status,
        d.amount,
        d.withdrawn,
        d.fee,
        d.reason,
        d.opened_at,
        d.evidence_due_by,
        d.closed_at,
        d.asked_at,
        d.version,
    )


async def write(tx: Tx, disputes: Sequence[Dispute]) -> None:
    """Insert what is new, update what has changed. Raises Stale, Conflict."""
    changed = [_change(d) for d in disputes if d.version > 1]
    await bulk.update(tx, tables.disputes, CHANGES, changed)
    fresh = [
        (
            *_change(d),
            d.gateway_account_id,
            d.gateway_reference,
            d.payment_id,
            d.invoice_id,
            d.customer_id,
            d.currency,
            d.created_at,
        )
        for d in disputes
        if d.version == 1
    ]
    await bulk.insert(tx, tables.disputes, COLUMNS, fresh)
