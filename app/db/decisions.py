"""`record`: the only writer of money rows. One decision or a thousand, in the same statements."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db import bulk, scheduled, tables
from app.db.base import Tx
from app.db.writers import balance, event, invoice, ledger, payment, pending, refund, subscription
from app.db.writers.invoice import Number
from app.domain.decision import Decision
from app.domain.invoice import Invoice, Status

DEFAULT_PREFIX: Final = "INV-"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the database added: the number and place in its series of each finalized invoice."""

    numbers: dict[UUID, Number] = field(default_factory=dict)
    invoices: int = 0
    payments: int = 0


async def record(tx: Tx, decisions: Sequence[Decision], now: datetime) -> Recorded:
    """Write everything that `decisions` want to be true. Raises Stale, Conflict.

    New rows have version 1; changed ones must still have the version before theirs. Invoice
    numbers are taken last of all, so that the lock on a series is held as briefly as can be.
    """
    await subscription.write(tx, [s for d in decisions for s in d.subscriptions])
    await subscription.write_items(tx, [i for d in decisions for i in d.items])
    await subscription.write_discounts(tx, [n for d in decisions for n in d.new_discounts])
    await scheduled.write(tx, [s for d in decisions for s in d.scheduled])
    await subscription.use_discounts(tx, [u for d in decisions for u in d.discounts])
    await balance.write(tx, [b for d in decisions for b in d.balances], now)
    await ledger.write(tx, [e for d in decisions for e in d.entries], now)
    invoices = [i for d in decisions for i in d.invoices]
    numbers = await _numbers(tx, [i for i in invoices if _wants_number(i)])
    await invoice.write(tx, invoices, numbers)
    await pending.write(tx, [p for d in decisions for p in d.pending])
    payments = [p for d in decisions for p in d.payments]
    await payment.write(tx, payments)
    await payment.write_attempts(tx, [a for d in decisions for a in d.attempts])
    await refund.write(tx, [r for d in decisions for r in d.refunds])
    await event.write(tx, [e for d in decisions for e in d.events], numbers, now)
    return Recorded(numbers, len(invoices), len(payments))


def _wants_number(bill: Invoice) -> bool:
    return bill.number is None and bill.status is not Status.DRAFT


async def _numbers(tx: Tx, invoices: Sequence[Invoice]) -> dict[UUID, Number]:
    """The next numbers of each invoice's series, without gaps: the row lock lasts to the commit."""
    wanted = Counter((i.order.merchant_id, i.order.series) for i in invoices)
    if not wanted:
        return {}
    keys = sorted(wanted)
    columns = ([k[0] for k in keys], [k[1] for k in keys], [wanted[k] for k in keys])
    taken = await tx.fetch(TAKE_NUMBERS, *columns)
    if len(taken) < len(keys):
        rows = [(merchant, series, DEFAULT_PREFIX) for merchant, series in keys]
        series_columns = ("merchant_id", "series", "prefix")
        await bulk.insert(tx, tables.invoice_series, series_columns, rows, "ON CONFLICT DO NOTHING")
        have = {(row["merchant_id"], row["series"]) for row in taken}
        rest = [k for k in keys if k not in have]
        columns = ([k[0] for k in rest], [k[1] for k in rest], [wanted[k] for k in rest])
        taken += await tx.fetch(TAKE_NUMBERS, *columns)
    following = {(r["merchant_id"], r["series"]): (r["first_number"], r["prefix"]) for r in taken}
    numbers = {}
    for bill in invoices:
        key = (bill.order.merchant_id, bill.order.series)
        number, prefix = following[key]
        following[key] = (number + 1, prefix)
        numbers[bill.id] = (number, f"{prefix}{number:06d}")
    return numbers


TAKE_NUMBERS: Final = """
    WITH wanted AS (
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS w (merchant_id, series, n)
    ), locked AS (
        SELECT s.merchant_id, s.series, w.n
          FROM invoice_series s JOIN wanted w USING (merchant_id, series)
         ORDER BY s.merchant_id, s.series FOR UPDATE OF s
    )
    UPDATE invoice_series s SET next_number = s.next_number + locked.n FROM locked
     WHERE s.merchant_id = locked.merchant_id AND s.series = locked.series
    RETURNING s.merchant_id, s.series, s.prefix, s.next_number - locked.n AS first_number
"""
