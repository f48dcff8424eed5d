"""Credit notes and their lines as rows."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from app.db import bulk, tables
from app.db.base import Tx, dumps
from app.db.writers.invoice import Number
from app.db.writers.pending import tax
from app.domain.credit_note import CreditNote, NoteLine

CHANGES: Final = ("merchant_id", "id", "status", "voided_at", "version")
COLUMNS: Final = (
    *CHANGES,
    "invoice_id",
    "customer_id",
    "series",
    "series_number",
    "number",
    "currency",
    "reason",
    "subtotal",
    "discount_total",
    "tax_total",
    "tax_added",
    "total",
    "to_invoice",
    "to_balance",
    "to_refund",
    "outside",
    "created_at",
    "metadata",
)
LINE_COLUMNS: Final = (
    "merchant_id",
    "id",
    "credit_note_id",
    "invoice_line_id",
    "position",
    "description",
    "quantity",
    "amount",
    "discount_amount",
    "tax_amount",
    "discounts",
    "taxes",
    "period_start",
    "period_end",
)


async def write(tx: Tx, found: Sequence[CreditNote], numbers: Mapping[UUID, Number]) -> None:
    """Insert what is new, with its lines and number; note which were voided. Raises Stale."""
    changed = [_change(note) for note in found if note.version > 1]
    await bulk.update(tx, tables.credit_notes, CHANGES, changed)
    fresh = [note for note in found if note.version == 1]
    await bulk.insert(tx, tables.credit_notes, COLUMNS, [_row(n, numbers[n.id]) for n in fresh])
    lines = [_line(note, line) for note in fresh for line in note.lines]
    await bulk.insert(tx, tables.credit_note_lines, LINE_COLUMNS, lines)


def _change(note: CreditNote) -> bulk.Row:
    return (note.merchant_id, note.id, note.status, note.voided_at, note.version)


def _row(note: CreditNote, number: Number) -> bulk.Row:
    return (
        *_change(note),
        note.invoice_id,
        note.customer_id,
        note.series,
        *number,
        note.currency,
        note.reason,
        note.subtotal,
        note.discount_total,
        note.tax_total,
        note.tax_added,
        note.total,
        note.to_invoice,
        note.to_balance,
        note.to_refund,
        note.outside,
        note.created_at,
        dumps(dict(note.metadata)),
    )


def _line(note: CreditNote, line: NoteLine) -> bulk.Row:
    return (
        note.merchant_id,
        line.id,
        note.id,
        line.invoice_line_id,
        line.position,
        line.description,
        line.quantity,
        line.amount,
        line.discount_amount,
        line.tax_amount,
        dumps([[str(part.discount_id), part.amount] for part in line.discounts]),
        dumps([tax(part) for part in line.taxes]),
        None if line.period is None else line.period.start,
        None if line.period is None else line.period.end,
    )
