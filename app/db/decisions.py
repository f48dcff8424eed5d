"""`record`: the only writer of money rows. One decision or a thousand, in the same statements."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from app.db import bulk, dunning, scheduled, tables
from app.db.base import Row, Tx
from app.db.writers import (
    balance,
    credit_note,
    dispute,
    event,
    invoice,
    ledger,
    payment,
    pending,
    refund,
    subscription,
)
from app.db.writers import dunning as dunning_runs
from app.db.writers.invoice import Number
from app.domain import credit_note as notes
from app.domain.credit_note import CreditNote
from app.domain.decision import Decision, DiscountUse
from app.domain.invoice import Invoice, Status

PREFIXES: Final = {notes.SERIES: "CN-"}
DEFAULT_PREFIX: Final = "INV-"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the database added: the number and place in its series of each invoice that became
    final, and of each credit note.
    """

    numbers: dict[UUID, Number] = field(default_factory=dict)
    invoices: int = 0
    payments: int = 0


async def record(tx: Tx, decisions: Sequence[Decision], now: datetime) -> Recorded:
    """Write everything that `decisions` want to be true. Raises Stale, Conflict.

    New rows have version 1; changed ones must still have the version before theirs. Invoice
    numbers are taken last of all, so that the lock on a series is held as briefly as can be. What
    all of it means for dunning is added here, so that no way of paying or ending forgets it.
    """
    await subscription.write(tx, [s for d in decisions for s in d.subscriptions])
    await subscription.write_items(tx, [i for d in decisions for i in d.items])
    await subscription.write_discounts(tx, [n for d in decisions for n in d.new_discounts])
    await scheduled.write(tx, [s for d in decisions for s in d.scheduled])
    await subscription.use_discounts(tx, [u for d in decisions for u in _uses(d)])
    await balance.write(tx, [b for d in decisions for b in d.balances], now)
    await ledger.write(tx, [e for d in decisions for e in d.entries], now)
    invoices = [i for d in decisions for i in d.invoices]
    credit_notes = [n for d in decisions for n in d.credit_notes]
    numbers = await _numbers(tx, [*filter(_wants_number, invoices), *_issued(credit_notes)])
    await invoice.write(tx, invoices, numbers)
    await credit_note.write(tx, credit_notes, numbers)
    await pending.write(tx, [p for d in decisions for p in d.pending])
    await invoice.delete(tx, [i for d in decisions for i in d.deleted])
    decisions = await dunning.followed(tx, decisions, now)
    payments = [p for d in decisions for p in d.payments]
    await payment.write(tx, payments)
    await payment.write_attempts(tx, [a for d in decisions for a in d.attempts])
    await refund.write(tx, [r for d in decisions for r in d.refunds])
    await payment.abandon(tx, [(d.merchant_id, s) for d in decisions for s in d.abandoned], now)
    await dispute.write(tx, [p for d in decisions for p in d.disputes])
    await dunning_runs.write(tx, [r for d in decisions for r in d.dunning])
    await dunning_runs.refuse(tx, [(d.merchant_id, m) for d in decisions for m in d.refused], now)
    await event.write(tx, [e for d in decisions for e in d.events], numbers, now)
    return Recorded(numbers, len(invoices), len(payments))


def _uses(decision: Decision) -> Iterator[DiscountUse]:
    """The uses of discounts that stood before; what is new is written as it is after its first."""
    if not decision.discounts:
        return
    new = {n.discount.id for n in decision.new_discounts}
    for sub in decision.subscriptions:
        if sub.version == 1:
            new |= {d.id for d in sub.discounts if d.customer_id is None}
    yield from (use for use in decision.discounts if use.id not in new)


def _wants_number(bill: Invoice) -> bool:
    return bill.number is None and bill.status is not Status.DRAFT


def _issued(credit_notes: Sequence[CreditNote]) -> list[CreditNote]:
    return [note for note in credit_notes if note.number is None]


class _Numbered(Protocol):
    """What bears a number of a series."""

    @property
    def id(self) -> UUID: ...
    @property
    def merchant_id(self) -> UUID: ...
    @property
    def series(self) -> str: ...


async def _numbers(tx: Tx, wanted: Sequence[_Numbered]) -> dict[UUID, Number]:
    """The next numbers of each one's series, without gaps: the row lock lasts to the commit."""
    counts = Counter((w.merchant_id, w.series) for w in wanted)
    if not counts:
        return {}
    keys = sorted(counts)
    taken = await _take(tx, keys, counts)
    if len(taken) < len(keys):
        rows = [(merchant, name, PREFIXES.get(name, DEFAULT_PREFIX)) for merchant, name in keys]
        columns = ("merchant_id", "series", "prefix")
        await bulk.insert(tx, tables.invoice_series, columns, rows, "ON CONFLICT DO NOTHING")
        have = {(row["merchant_id"], row["series"]) for row in taken}
        taken += await _take(tx, [key for key in keys if key not in have], counts)
    following = {(r["merchant_id"], r["series"]): r["first_number"] for r in taken}
    shown = {(r["merchant_id"], r["series"]): (r["prefix"], r["digits"]) for r in taken}
    numbers = {}
    for one in wanted:
        key = one.merchant_id, one.series
        number, (prefix, digits) = following[key], shown[key]
        following[key] = number + 1
        numbers[one.id] = (number, f"{prefix}{number:0{digits}d}")
    return numbers


async def _take(
    tx: Tx, keys: Sequence[tuple[UUID, str]], counts: Counter[tuple[UUID, str]]
) -> list[Row]:
    columns = [k[0] for k in keys], [k[1] for k in keys], [counts[k] for k in keys]
    return await tx.fetch(TAKE_NUMBERS, *columns)


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
    RETURNING s.merchant_id, s.series, s.prefix, s.digits,
              s.next_number - locked.n AS first_number
"""
