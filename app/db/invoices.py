"""Invoices as decisions need them: the header, locked; with the lines where those matter."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from app.db import policies
from app.db.base import Row, Tx
from app.domain.calendar import Period
from app.domain.errors import NotFound
from app.domain.invoice import (
    BillingReason,
    Charge,
    Collection,
    DiscountPart,
    Invoice,
    Line,
    LineKind,
    Order,
    Status,
)
from app.domain.pricing import PlanKind
from app.domain.proration import Share
from app.domain.tax import TaxPart, TaxRate

COLUMNS: Final = """
    i.merchant_id, i.id, i.customer_id, i.subscription_id, i.status, i.series, i.series_number,
    i.number, i.currency, i.billing_reason, i.cycle_start, i.period_start, i.period_end,
    i.collection_method, i.subtotal, i.discount_total, i.tax_total, i.tax_added, i.total,
    i.balance_applied, i.amount_due, i.amount_paid, i.due_at, i.created_at, i.finalized_at,
    i.paid_at, i.voided_at, i.test_clock_id, i.version, i.finalize_at, i.amount_credited,
    i.description, i.billing_settings, i.net_days
"""


async def lock(tx: Tx, invoice_id: UUID) -> Invoice:
    """One invoice of the transaction's merchant with its lines, locked. Raises NotFound."""
    row = await tx.fetchrow(
        f"SELECT {COLUMNS} FROM invoices i "
        "WHERE i.merchant_id = current_setting('app.merchant_id')::uuid AND i.id = $1 "
        "FOR NO KEY UPDATE",
        invoice_id,
    )
    if row is None:
        raise NotFound("There is no such invoice.", code="invoice_not_found")
    key = (row["merchant_id"], row["id"])
    return invoice(row, (await load_lines(tx, [key])).get(key, ()))


async def lock_many(tx: Tx, keys: Sequence[tuple[UUID, UUID]]) -> list[Invoice]:
    """Invoices by (merchant, id) with their lines, locked in order of their ids."""
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN invoices i USING (merchant_id, id) ORDER BY i.id FOR NO KEY UPDATE OF i
        """,
        [key[0] for key in keys],
        [key[1] for key in keys],
    )
    lines = await load_lines(tx, keys)
    return [invoice(row, lines.get((row["merchant_id"], row["id"]), ())) for row in rows]


async def held(
    tx: Tx, keys: Sequence[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], tuple[Invoice, ...]]:
    """What pauses held back of each (merchant, subscription): drafts, and open invoices that no
    gateway was to collect yet; locked, no lines.
    """
    if not keys:
        return {}
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, subscription_id)
          JOIN invoices i USING (merchant_id, subscription_id)
         WHERE i.finalize_at IS NULL AND (i.status = 'draft' OR (i.status = 'open'
           AND NOT EXISTS (SELECT FROM payments p
                            WHERE p.merchant_id = i.merchant_id AND p.invoice_id = i.id
                              AND p.offline_method IS NULL)))
         ORDER BY i.id FOR NO KEY UPDATE OF i
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
    )
    found: dict[tuple[UUID, UUID], list[Invoice]] = defaultdict(list)
    for row in rows:
        found[row["merchant_id"], row["subscription_id"]].append(invoice(row))
    return {key: tuple(invoices) for key, invoices in found.items()}


async def subscriptions_of(tx: Tx, invoice_id: UUID) -> list[UUID]:
    """Which subscriptions an invoice is for, in order. Raises NotFound where there is no such
    invoice.
    """
    alone = await subscription_of(tx, invoice_id)
    if alone is not None:
        return [alone]
    rows = await tx.fetch(
        "SELECT subscription_id FROM invoice_subscriptions "
        "WHERE merchant_id = current_setting('app.merchant_id')::uuid AND invoice_id = $1 "
        "ORDER BY subscription_id",
        invoice_id,
    )
    return [row["subscription_id"] for row in rows]


async def subscription_of(tx: Tx, invoice_id: UUID) -> UUID | None:
    """Which one subscription an invoice is for, if any. Raises NotFound where there is no such
    invoice.
    """
    row = await tx.fetchrow(
        "SELECT subscription_id FROM invoices "
        "WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1",
        invoice_id,
    )
    if row is None:
        raise NotFound("There is no such invoice.", code="invoice_not_found")
    about: UUID | None = row["subscription_id"]
    return about


def invoice(row: Row, lines: tuple[Line, ...] = ()) -> Invoice:
    """The invoice that a row of `invoices` stands for."""
    order = Order(
        row["merchant_id"],
        row["customer_id"],
        row["subscription_id"],
        row["currency"],
        BillingReason(row["billing_reason"]),
        Period(row["period_start"], row["period_end"]),
        Collection(row["collection_method"]),
        row["net_days"],
        row["cycle_start"],
        row["test_clock_id"],
        row["series"],
        row["description"],
    )
    return Invoice(
        id=row["id"],
        order=order,
        status=Status(row["status"]),
        subtotal=row["subtotal"],
        discount_total=row["discount_total"],
        tax_total=row["tax_total"],
        tax_added=row["tax_added"],
        total=row["total"],
        balance_applied=row["balance_applied"],
        amount_due=row["amount_due"],
        amount_paid=row["amount_paid"],
        due_at=row["due_at"],
        created_at=row["created_at"],
        finalized_at=row["finalized_at"],
        paid_at=row["paid_at"],
        voided_at=row["voided_at"],
        number=row["number"],
        series_number=row["series_number"],
        finalize_at=row["finalize_at"],
        amount_credited=row["amount_credited"],
        policy=policies.parsed(row["billing_settings"]),
        lines=lines,
        version=row["version"],
    )


BILLS: Final = """(
    SELECT merchant_id, subscription_id, id AS invoice_id, cycle_start, period_start, period_end
      FROM invoices WHERE subscription_id IS NOT NULL
     UNION ALL
    SELECT merchant_id, subscription_id, invoice_id, cycle_start, period_start, period_end
      FROM invoice_subscriptions)"""
"""Which invoices a subscription was billed by: its own, and those it shares with others."""
LINES: Final = """
    l.merchant_id, l.id, l.invoice_id, l.position, l.kind, l.subscription_item_id, l.price_id,
    l.description, l.quantity, l.period_start, l.period_end, l.amount, l.discount_amount,
    l.tax_amount, l.share_part, l.share_whole, l.reverses_line_id, l.subscription_id AS about_id,
    pr.plan_id,
    pl.kind AS plan_kind
"""
OF_LINES: Final = """
    LEFT JOIN prices pr ON pr.merchant_id = l.merchant_id AND pr.id = l.price_id
    LEFT JOIN plans pl ON pl.merchant_id = l.merchant_id AND pl.id = pr.plan_id
"""


async def load_lines(
    tx: Tx, keys: Sequence[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], tuple[Line, ...]]:
    """The lines of each (merchant, invoice), with their discounts and taxes, in order."""
    rows = await tx.fetch(
        f"""
        SELECT {LINES} FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, invoice_id)
          JOIN invoice_lines l USING (merchant_id, invoice_id) {OF_LINES}
         ORDER BY l.invoice_id, l.position
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
    )
    lines: dict[tuple[UUID, UUID], list[Line]] = defaultdict(list)
    for row, line in zip(rows, await lines_of(tx, rows), strict=True):
        lines[row["merchant_id"], row["invoice_id"]].append(line)
    return {key: tuple(found) for key, found in lines.items()}


async def lines_of(tx: Tx, rows: Sequence[Row]) -> list[Line]:
    """The lines that rows with LINES stand for, with their discounts and taxes."""
    if not rows:
        return []
    keys = [r["merchant_id"] for r in rows], [r["id"] for r in rows]
    off: dict[UUID, list[DiscountPart]] = defaultdict(list)
    for row in await tx.fetch(
        """
        SELECT d.* FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, line_id)
          JOIN invoice_line_discounts d USING (merchant_id, line_id) ORDER BY d.discount_id
        """,
        *keys,
    ):
        off[row["line_id"]].append(DiscountPart(row["discount_id"], row["amount"]))
    taxes: dict[UUID, list[TaxPart]] = defaultdict(list)
    for row in await tx.fetch(
        """
        SELECT t.*, r.jurisdiction, r.display_name
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, line_id)
          JOIN invoice_line_taxes t USING (merchant_id, line_id)
          JOIN tax_rates r ON r.merchant_id = t.merchant_id AND r.id = t.tax_rate_id
         ORDER BY t.tax_rate_id
        """,
        *keys,
    ):
        taxes[row["line_id"]].append(_tax(row))
    return [_line(row, tuple(off[row["id"]]), tuple(taxes[row["id"]])) for row in rows]


def _tax(row: Row) -> TaxPart:
    rate = TaxRate(
        row["tax_rate_id"],
        row["rate_ppm"],
        row["inclusive"],
        row["jurisdiction"] or "",
        row["display_name"],
        row["reason"],
    )
    return TaxPart(0, rate, row["taxable_amount"], row["amount"])


def _line(row: Row, off: tuple[DiscountPart, ...], taxes: tuple[TaxPart, ...]) -> Line:
    charge = Charge(
        LineKind(row["kind"]),
        row["description"],
        row["quantity"],
        Period(row["period_start"], row["period_end"]),
        row["amount"],
        row["subscription_item_id"],
        row["price_id"],
        row["plan_id"],
        Share(row["share_part"], row["share_whole"]),
        tuple(tax.rate for tax in taxes),
        row["reverses_line_id"],
        row["plan_kind"] == PlanKind.ADDON,
    )
    return Line(
        row["id"],
        row["position"],
        charge,
        off,
        taxes,
        row["discount_amount"],
        row["tax_amount"],
        row["about_id"],
    )
