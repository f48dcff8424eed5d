"""Ledger entries as rows, and the accounts they are the first to use."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from app.db import bulk, tables
from app.db.base import Tx
from app.domain.ledger import Entry

COLUMNS: Final = (
    "merchant_id",
    "id",
    "source",
    "source_id",
    "debit",
    "credit",
    "currency",
    "amount",
    "effective_at",
)


async def write(tx: Tx, entries: Sequence[Entry], now: datetime) -> None:
    """Post `entries`, all effective at `now`."""
    if not entries:
        return
    accounts = {(e.merchant_id, e.debit, e.currency) for e in entries}
    accounts.update((e.merchant_id, e.credit, e.currency) for e in entries)
    await bulk.insert(
        tx,
        tables.ledger_accounts,
        ("merchant_id", "code", "currency", "created_at"),
        [(*account, now) for account in sorted(accounts)],
        "ON CONFLICT DO NOTHING",
    )
    await bulk.insert(
        tx,
        tables.ledger_entries,
        COLUMNS,
        [
            (
                e.merchant_id,
                e.id,
                e.source,
                e.source_id,
                e.debit,
                e.credit,
                e.currency,
                e.amount,
                now,
            )
            for e in entries
        ],
    )
