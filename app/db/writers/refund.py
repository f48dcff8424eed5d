"""Refunds as rows."""

from collections.abc import Sequence
from typing import Final

from app.db import bulk, tables
from app.db.base import Tx
from app.domain.refund import Refund

CHANGES: Final = (
    "merchant_id",
    "id",
    "status",
    "gateway_reference",
    "failure_code",
    "detail",
    "look_ups",
    "look_up_at",
    "settled_at",
    "version",
)
COLUMNS: Final = (
    *CHANGES,
    "payment_id",
    "invoice_id",
    "gateway_account_id",
    "destination",
    "currency",
    "amount",
    "reason",
    "idempotency_key",
    "reference",
    "created_at",
)


def _change(r: Refund) -> bulk.Row:
    return (
        r.merchant_id,
        r.id,
        r.status,
        r.gateway_reference,
        r.failure_code,
        r.detail,
        r.look_ups,
        r.look_up_at,
        r.settled_at,
        r.version,
    )


async def write(tx: Tx, refunds: Sequence[Refund]) -> None:
    """Insert what is new, update what has changed. Raises Stale."""
    changed = [_change(r) for r in refunds if r.version > 1]
    await bulk.update(tx, tables.refunds, CHANGES, changed)
    fresh = [
        (
            *_change(r),
            r.payment_id,
            r.invoice_id,
            r.gateway_account_id,
            r.destination,
            r.currency,
            r.amount,
            r.reason,
            r.idempotency_key,
            r.reference,
            r.created_at,
        )
        for r in refunds
        if r.version == 1
    ]
    await bulk.insert(tx, tables.refunds, COLUMNS, fresh)
