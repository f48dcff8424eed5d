"""What documents are made of: an invoice or credit note with both parties, and how they look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app.db.base import Row, Tx, dumps
from app.db.views.base import Source

# Who bought: the customer as it is, as it was when the document was issued, and its tax number.
BUYER: Final = """
    c.name AS customer_name, c.email AS customer_email, c.address AS customer_address,
    c.language AS customer_language, c.zone AS customer_zone, c.deleted_at AS customer_deleted_at,
    m.name AS merchant_name, s.zone AS subscription_zone,
    (SELECT n.normalized_value FROM customer_tax_ids n
      WHERE n.merchant_id = c.merchant_id AND n.customer_id = c.id
      ORDER BY n.type = 'eu_vat' DESC, n.country = c.country DESC, n.id LIMIT 1) AS customer_tax_id,
    (SELECT r.number FROM tax_registrations r
      WHERE r.merchant_id = c.merchant_id AND r.home AND r.number IS NOT NULL
      ORDER BY r.id DESC LIMIT 1) AS merchant_tax_id,
    (SELECT e.data FROM events e
      WHERE e.merchant_id = c.merchant_id AND e.object_id = c.id AND e.object = 'customer'
        AND e.created_at <= {issued}
      ORDER BY e.object_version DESC LIMIT 1) AS customer_then
"""
SETTINGS: Final = """
    id, version, legal_name, address, tax_id, registration_number, email, phone, website,
    logo_digest, accent_color, footer, payment_instructions, account_holder, iban, bic,
    default_language, created_at
"""


@dataclass(frozen=True, slots=True)
class Logo:
    """A picture as it is stored."""

    digest: str
    media_type: str
    data: bytes


async def invoice(source: Source, merchant_id: UUID, id: UUID) -> Row | None:
    """An invoice's header with its parties."""
    return await source.fetchrow(
        f"""
        SELECT i.*, {BUYER.format(issued="coalesce(i.finalized_at, i.created_at)")}
          FROM invoices i
          JOIN merchants m ON m.id = i.merchant_id
          JOIN customers c ON c.merchant_id = i.merchant_id AND c.id = i.customer_id
          LEFT JOIN subscriptions s ON s.merchant_id = i.merchant_id AND s.id = i.subscription_id
         WHERE i.merchant_id = $1 AND i.id = $2
        """,
        merchant_id,
        id,
    )


async def credit_note(source: Source, merchant_id: UUID, id: UUID) -> Row | None:
    """A credit note's header with its parties and the invoice it corrects."""
    return await source.fetchrow(
        f"""
        SELECT n.*, i.number AS invoice_number, i.finalized_at AS invoice_issued_at,
               {BUYER.format(issued="coalesce(i.finalized_at, i.created_at)")}
          FROM credit_notes n
          JOIN merchants m ON m.id = n.merchant_id
          JOIN invoices i ON i.merchant_id = n.merchant_id AND i.id = n.invoice_id
          JOIN customers c ON c.merchant_id = n.merchant_id AND c.id = n.customer_id
          LEFT JOIN subscriptions s ON s.merchant_id = i.merchant_id AND s.id = i.subscription_id
         WHERE n.merchant_id = $1 AND n.id = $2
        """,
        merchant_id,
        id,
    )


async def invoice_lines(source: Source, merchant_id: UUID, invoice_id: UUID) -> list[Row]:
    """An invoice's lines, in order."""
    return await source.fetch(
        "SELECT * FROM invoice_lines WHERE merchant_id = $1 AND invoice_id = $2 ORDER BY position",
        merchant_id,
        invoice_id,
    )


async def credit_note_lines(source: Source, merchant_id: UUID, note_id: UUID) -> list[Row]:
    """A credit note's lines, in order, with kind and period of the line that each one credits."""
    return await source.fetch(
        """
        SELECT l.kind, l.period_start, l.period_end, n.*
          FROM credit_note_lines n
          LEFT JOIN invoice_lines l ON l.merchant_id = n.merchant_id AND l.id = n.invoice_line_id
         WHERE n.merchant_id = $1 AND n.credit_note_id = $2 ORDER BY n.position
        """,
        merchant_id,
        note_id,
    )


async def line_taxes(source: Source, merchant_id: UUID, line_ids: Sequence[UUID]) -> list[Row]:
    """The taxes of invoice lines, with the names of their rates."""
    return await source.fetch(
        """
        SELECT r.display_name, t.*
          FROM invoice_line_taxes t
          JOIN tax_rates r ON r.merchant_id = t.merchant_id AND r.id = t.tax_rate_id
         WHERE t.merchant_id = $1 AND t.line_id = ANY($2::uuid[]) ORDER BY t.tax_rate_id
        """,
        merchant_id,
        list(line_ids),
    )


async def settings(source: Source, merchant_id: UUID) -> Row | None:
    """How the merchant's documents look at present."""
    return await source.fetchrow(
        f"SELECT {SETTINGS} FROM document_settings "
        "WHERE merchant_id = $1 ORDER BY version DESC LIMIT 1",
        merchant_id,
    )


async def settings_at(source: Source, merchant_id: UUID, at: datetime) -> Row | None:
    """How they looked at that time."""
    return await source.fetchrow(
        f"SELECT {SETTINGS} FROM document_settings "
        "WHERE merchant_id = $1 AND created_at <= $2 ORDER BY version DESC LIMIT 1",
        merchant_id,
        at,
    )


async def logo(source: Source, merchant_id: UUID, digest: str) -> Row | None:
    """A picture by its digest."""
    return await source.fetchrow(
        "SELECT media_type, data FROM document_logos WHERE merchant_id = $1 AND digest = $2",
        merchant_id,
        digest,
    )


async def insert_logo(tx: Tx, merchant_id: UUID, picture: Logo, now: datetime) -> None:
    """Store a picture, unless it is there."""
    await tx.run(
        """
        INSERT INTO document_logos (merchant_id, digest, media_type, data, created_at)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
        """,
        merchant_id,
        picture.digest,
        picture.media_type,
        picture.data,
        now,
    )


async def insert_settings(
    tx: Tx, merchant_id: UUID, id: UUID, fields: Mapping[str, Any], now: datetime
) -> None:
    """Store the next version of the settings."""
    await tx.run(
        f"""
        INSERT INTO document_settings (merchant_id, {SETTINGS})
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                $19)
        """,
        merchant_id,
        id,
        fields["version"],
        fields["legal_name"],
        dumps(fields["address"]),
        fields["tax_id"],
        fields["registration_number"],
        fields["email"],
        fields["phone"],
        fields["website"],
        fields["logo_digest"],
        fields["accent_color"],
        dumps(fields["footer"]),
        dumps(fields["payment_instructions"]),
        fields["account_holder"],
        fields["iban"],
        fields["bic"],
        fields["default_language"],
        now,
    )
