"""Documents to render: one of each kind, and whatever a test wants changed."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from app.documents.model import (
    Address,
    BankAccount,
    Branding,
    Corrected,
    Document,
    Kind,
    Line,
    Party,
    Period,
    Tax,
    TaxCategory,
)

SELLER = Party(
    name="Muster Software GmbH",
    address=Address("Hauptstraße 1", None, "10115", "Berlin", None, "DE"),
    tax_id="DE123456788",
    registration_number="HRB 12345 B",
    email="billing@example.com",
    phone="+49 30 1234567",
    website="https://example.com",
)
BUYER = Party(
    name="Voorbeeld B.V.",
    address=Address("Kerkstraat 7", "2 hoog", "1017 GA", "Amsterdam", None, "NL"),
    tax_id="NL123456789B01",
    email="ap@example.org",
)
BANK = BankAccount("DE89370400440532013000", "Muster Software GmbH", "COBADEFFXXX")
START = datetime(2026, 1, 30, 23, tzinfo=UTC)  # 31 January in Berlin
END = datetime(2026, 2, 27, 23, tzinfo=UTC)
ISSUED = datetime(2026, 1, 30, 23, 30, tzinfo=UTC)
DUE = datetime(2026, 2, 13, 23, 30, tzinfo=UTC)


def tax(
    taxable: int,
    rate_ppm: int = 190_000,
    category: TaxCategory | None = None,
    *,
    inclusive: bool = False,
    amount: int | None = None,
) -> Tax:
    """A tax on `taxable`, rounded to the nearest unit, halves away from zero."""
    if category is None:
        category = TaxCategory.STANDARD if rate_ppm else TaxCategory.ZERO
    if amount is None:
        sign = -1 if taxable < 0 else 1
        amount = sign * ((abs(taxable) * rate_ppm + 500_000) // 1_000_000)
    return Tax("VAT", rate_ppm, category, taxable, amount, inclusive)


def line(amount: int = 4_900, **fields: Any) -> Line:
    """A line taxed at 19 % on top, unless it says otherwise."""
    discount = fields.get("discount_amount", 0)
    given: dict[str, Any] = {
        "description": "Pro plan",
        "amount": amount,
        "period": Period(START, END),
        "taxes": (tax(amount - discount),),
    }
    return Line(**given | fields)


def document(*lines: Line, **fields: Any) -> Document:
    """An open invoice in euro over these lines; its sums follow from them."""
    lines = lines or (line(quantity=7),)
    taxes = [part for each in lines for part in each.taxes]
    subtotal = sum(each.amount for each in lines)
    off = sum(each.discount_amount for each in lines)
    added = sum(part.amount for part in taxes if not part.inclusive)
    made = Document(
        kind=Kind.INVOICE,
        number="INV-2026-0042",
        language="en",
        zone="Europe/Berlin",
        currency="EUR",
        seller=SELLER,
        buyer=BUYER,
        issued_at=ISSUED,
        due_at=DUE,
        period=Period(START, END),
        lines=lines,
        subtotal=subtotal,
        discount_total=off,
        tax_total=sum(part.amount for part in taxes),
        tax_added=added,
        total=subtotal - off + added,
        bank=BANK,
        branding=Branding(footer="Managing director: Ada Lovelace"),
        payment_instructions="Please pay by bank transfer.",
    )
    return replace(made, **fields)


def credit_note(*lines: Line, **fields: Any) -> Document:
    """A credit note on the invoice above."""
    given: dict[str, Any] = {
        "kind": Kind.CREDIT_NOTE,
        "number": "CN-2026-0007",
        "corrects": Corrected("INV-2026-0042", ISSUED),
        "due_at": None,
        "reason": "Cancelled early",
    }
    return document(*lines, **given | fields)
