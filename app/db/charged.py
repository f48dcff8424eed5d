"""The lines of running periods that are in force, with what was returned of them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import orjson

from app.db import invoices
from app.db.base import Row, Tx
from app.domain.crediting import Charged, Returned
from app.domain.invoice import Line

Key = tuple[UUID, UUID]


async def in_force(
    tx: Tx, wanted: Sequence[tuple[UUID, UUID, datetime, datetime]]
) -> dict[Key, tuple[Charged, ...]]:
    """What was charged for time after an instant of the present period: by each (merchant,
    subscription, the period's start, the instant). What an earlier period forfeited stays so, and
    what was billed of one to come is not its affair.
    """
    if not wanted:
        return {}
    rows = await tx.fetch(
        f"""
        SELECT {invoices.LINES}, b.subscription_id, i.status
          FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[])
               AS k (merchant_id, subscription_id, since, at)
          JOIN {invoices.BILLS} b USING (merchant_id, subscription_id)
          JOIN invoices i ON i.merchant_id = b.merchant_id AND i.id = b.invoice_id
          JOIN subscriptions s ON s.merchant_id = k.merchant_id AND s.id = k.subscription_id
          JOIN invoice_lines l ON l.merchant_id = i.merchant_id AND l.invoice_id = i.id
               {invoices.OF_LINES}
         WHERE i.status <> 'void' AND i.id IS DISTINCT FROM s.ahead_invoice_id
           AND (l.subscription_id IS NULL OR l.subscription_id = b.subscription_id)
           AND l.kind = 'period' AND l.reverses_line_id IS NULL AND l.amount > 0
           AND l.period_end > k.at AND l.period_start >= k.since
         ORDER BY l.id
        """,
        [w[0] for w in wanted],
        [w[1] for w in wanted],
        [w[2] for w in wanted],
        [w[3] for w in wanted],
    )
    found: dict[Key, list[Charged]] = defaultdict(list)
    for row, charged in zip(rows, await of_lines(tx, rows), strict=True):
        found[row["merchant_id"], row["subscription_id"]].append(charged)
    return {key: tuple(lines) for key, lines in found.items()}


async def of_lines(tx: Tx, rows: Sequence[Row]) -> list[Charged]:
    """Lines, as rows with LINES and their invoice's `status`, with what was returned of them."""
    lines = await invoices.lines_of(tx, rows)
    taken = await _returned(tx, [(row["merchant_id"], row["id"]) for row in rows])
    return [
        _charged(row, line, taken.get((row["merchant_id"], row["id"])))
        for row, line in zip(rows, lines, strict=True)
    ]


@dataclass(slots=True)
class _Taken:
    """What credits took back of one line, added up."""

    amount: int = 0
    discounts: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))
    taxes: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))
    taxables: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))
    spans: list[tuple[datetime, datetime]] = field(default_factory=list)

    def add_tax(self, rate_id: UUID, taxable: int, amount: int) -> None:
        self.taxes[rate_id] += amount
        self.taxables[rate_id] += taxable


def _charged(row: Row, line: Line, taken: _Taken | None) -> Charged:
    until = line.charge.period.end
    is_paid = row["status"] == "paid"
    if taken is None:
        return Charged(line, row["invoice_id"], until, is_paid=is_paid)
    for start, end in sorted(taken.spans, key=lambda span: span[1], reverse=True):
        if end >= until:
            until = min(until, start)
    returned = Returned(taken.amount, taken.discounts, taken.taxes, taken.taxables)
    return Charged(line, row["invoice_id"], until, returned, is_paid)


async def _returned(tx: Tx, keys: Sequence[Key]) -> dict[Key, _Taken]:
    """What lines, pending items and credit notes gave back of each (merchant, line)."""
    found: dict[Key, _Taken] = defaultdict(_Taken)
    if not keys:
        return found
    args = [k[0] for k in keys], [k[1] for k in keys]
    await _by_lines(tx, args, found)
    await _by_pending_items(tx, args, found)
    await _by_credit_notes(tx, args, found)
    return found


async def _by_lines(tx: Tx, args: tuple[list[UUID], list[UUID]], found: dict[Key, _Taken]) -> None:
    rows = await tx.fetch(
        f"""
        SELECT {invoices.LINES} FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, line_id)
          JOIN invoice_lines l ON l.merchant_id = k.merchant_id AND l.reverses_line_id = k.line_id
          JOIN invoices i ON i.merchant_id = l.merchant_id AND i.id = l.invoice_id
               {invoices.OF_LINES}
         WHERE i.status <> 'void'
        """,
        *args,
    )
    for row, line in zip(rows, await invoices.lines_of(tx, rows), strict=True):
        taken = found[row["merchant_id"], row["reverses_line_id"]]
        taken.amount -= line.charge.amount
        taken.spans.append((line.charge.period.start, line.charge.period.end))
        for off in line.discounts:
            taken.discounts[off.discount_id] -= off.amount
        for tax in line.taxes:
            taken.add_tax(tax.rate.id, -tax.taxable, -tax.amount)


async def _by_pending_items(
    tx: Tx, args: tuple[list[UUID], list[UUID]], found: dict[Key, _Taken]
) -> None:
    rows = await tx.fetch(
        """
        SELECT p.merchant_id, p.reverses_line_id, p.amount, p.period_start, p.period_end,
               p.discounts, p.taxes
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, line_id)
          JOIN pending_items p
            ON p.merchant_id = k.merchant_id AND p.reverses_line_id = k.line_id
         WHERE p.invoice_id IS NULL AND p.deleted_at IS NULL
        """,
        *args,
    )
    for row in rows:
        taken = found[row["merchant_id"], row["reverses_line_id"]]
        taken.amount -= row["amount"]
        taken.spans.append((row["period_start"], row["period_end"]))
        for discount_id, amount in orjson.loads(row["discounts"]):
            taken.discounts[UUID(discount_id)] -= amount
        for rate_id, taxable, amount, *_ in orjson.loads(row["taxes"]):
            taken.add_tax(UUID(rate_id), -taxable, -amount)


async def _by_credit_notes(
    tx: Tx, args: tuple[list[UUID], list[UUID]], found: dict[Key, _Taken]
) -> None:
    rows = await tx.fetch(
        """
        SELECT n.merchant_id, n.invoice_line_id, n.amount, n.discounts, n.taxes, n.period_start,
               n.period_end
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, line_id)
          JOIN credit_note_lines n
            ON n.merchant_id = k.merchant_id AND n.invoice_line_id = k.line_id
          JOIN credit_notes c ON c.merchant_id = n.merchant_id AND c.id = n.credit_note_id
         WHERE c.status <> 'void'
        """,
        *args,
    )
    for row in rows:
        taken = found[row["merchant_id"], row["invoice_line_id"]]
        taken.amount += row["amount"]
        if row["period_start"] is not None:
            taken.spans.append((row["period_start"], row["period_end"]))
        for discount_id, amount in orjson.loads(row["discounts"]):
            taken.discounts[UUID(discount_id)] += amount
        for rate_id, taxable, amount, *_ in orjson.loads(row["taxes"]):
            taken.add_tax(UUID(rate_id), taxable, amount)
