"""Credit notes as decisions need them, and invoices as credit notes do: locked, in one order.

A subscription is locked before its payments, these before the invoice, and the balance last: as
collection locks them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson

from app.db import accounts, balances, corrected, invoices, payments
from app.db.base import Row, Tx
from app.db.pending import rates_of
from app.domain.calendar import Period
from app.domain.credit_note import CreditNote, NoteLine, Status
from app.domain.errors import NotFound
from app.domain.invoice import DiscountPart
from app.domain.issuing import Corrected
from app.domain.tax import TaxPart, TaxRate


async def lock_invoice(tx: Tx, invoice_id: UUID) -> Corrected:
    """An invoice of the transaction's merchant with all that crediting needs. Raises NotFound."""
    about = await invoices.subscriptions_of(tx, invoice_id)
    merchant = await tx.fetchval("SELECT current_setting('app.merchant_id')::uuid")
    subs = await accounts.load_many(tx, [(merchant, one) for one in about])
    paid = await payments.of_invoice(tx, invoice_id)
    invoice = await invoices.lock(tx, invoice_id)
    key = invoice.merchant_id, invoice.order.customer_id, invoice.order.currency
    found = await corrected.corrected(tx, invoice, paid)
    held = (await balances.load(tx, [key]))[key]
    return replace(found, balance=held, subscriptions=tuple(subs.values()))


async def lock(tx: Tx, note_id: UUID) -> tuple[CreditNote, Corrected]:
    """A credit note of the transaction's merchant and its invoice, locked. Raises NotFound."""
    about = await tx.fetchval(
        "SELECT invoice_id FROM credit_notes "
        "WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1",
        note_id,
    )
    if about is None:
        raise NotFound("There is no such credit note.", code="credit_note_not_found")
    invoice = await lock_invoice(tx, about)
    row = await tx.fetchrow(
        "SELECT * FROM credit_notes "
        "WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1 "
        "FOR NO KEY UPDATE",
        note_id,
    )
    assert row is not None, "credit notes are never deleted"
    lines = await tx.fetch(
        "SELECT * FROM credit_note_lines WHERE merchant_id = $1 AND credit_note_id = $2 "
        "ORDER BY position",
        row["merchant_id"],
        note_id,
    )
    return await _note(tx, row, lines), invoice


async def _note(tx: Tx, row: Row, lines: Sequence[Row]) -> CreditNote:
    taxes = [orjson.loads(line["taxes"]) for line in lines]
    wanted = {(row["merchant_id"], UUID(tax[0])) for of_line in taxes for tax in of_line}
    rates = await rates_of(tx, sorted(wanted)) if wanted else {}
    by_id = {rate_id: rate for (_, rate_id), rate in rates.items()}
    return CreditNote(
        row["id"],
        row["merchant_id"],
        row["invoice_id"],
        row["customer_id"],
        row["currency"],
        Status(row["status"]),
        tuple(_line(line, of_line, by_id) for line, of_line in zip(lines, taxes, strict=True)),
        row["created_at"],
        row["to_invoice"],
        row["to_balance"],
        row["to_refund"],
        row["outside"],
        row["reason"],
        orjson.loads(row["metadata"]),
        row["series"],
        row["number"],
        row["voided_at"],
        row["version"],
    )


def _line(row: Row, taxes: Sequence[Sequence[Any]], rates: Mapping[UUID, TaxRate]) -> NoteLine:
    parts = []
    for rate_id, taxable, amount, ppm, inclusive, reason in taxes:
        known = rates[UUID(rate_id)]
        rate = replace(known, rate_ppm=ppm, inclusive=inclusive, reason=reason)
        parts.append(TaxPart(0, rate, taxable, amount))
    return NoteLine(
        row["id"],
        row["position"],
        row["invoice_line_id"],
        row["description"],
        row["quantity"],
        row["amount"],
        tuple(DiscountPart(UUID(off[0]), off[1]) for off in orjson.loads(row["discounts"])),
        tuple(parts),
        None if row["period_start"] is None else Period(row["period_start"], row["period_end"]),
    )
