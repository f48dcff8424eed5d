"""What customers hold, and every movement of it, as rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db import bulk, tables
from app.db.base import Tx, dumps
from app.domain.balance import BalanceEntry
from app.domain.errors import Stale

COLUMNS: Final = (
    "merchant_id",
    "id",
    "customer_id",
    "currency",
    "type",
    "amount",
    "ending_balance",
    "invoice_id",
    "description",
    "created_at",
)


async def write(tx: Tx, entries: Sequence[BalanceEntry], now: datetime) -> None:
    """Move balances, each from where its first entry found it. Raises Stale."""
    if not entries:
        return
    moves: dict[tuple[UUID, UUID, str], tuple[int, int]] = {}
    for entry in entries:
        key = (entry.merchant_id, entry.customer_id, entry.currency)
        start = moves[key][0] if key in moves else entry.ending - entry.amount
        moves[key] = (start, entry.ending)
    keys = sorted(moves)
    touched = await tx.run(
        """
        INSERT INTO customer_balances AS b (merchant_id, customer_id, currency, balance)
        SELECT merchant_id, customer_id, currency, ending
          FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[])
               AS v (merchant_id, customer_id, currency, ending)
        ON CONFLICT (merchant_id, customer_id, currency) DO UPDATE
           SET balance = excluded.balance, version = b.version + 1
         WHERE b.balance = ($5::jsonb ->> (b.customer_id || b.currency))::bigint
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
        [k[2] for k in keys],
        [moves[k][1] for k in keys],
        dumps(
            {
                f"{customer}{currency}": moves[m, customer, currency][0]
                for m, customer, currency in keys
            }
        ),
    )
    if touched != len(keys):
        raise Stale("The customer's balance was changed by another request in the meantime.")
    await bulk.insert(
        tx,
        tables.balance_transactions,
        COLUMNS,
        [
            (
                b.merchant_id,
                b.id,
                b.customer_id,
                b.currency,
                b.type,
                b.amount,
                b.ending,
                b.invoice_id,
                b.description,
                now,
            )
            for b in entries
        ],
    )
