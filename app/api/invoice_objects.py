"""What callers get of credit notes, pending items and numbering series."""

from typing import Annotated, Literal

from pydantic import Field

from app.api import common as c
from app.api.catalog_objects import Price
from app.api.common import At, Documents, Expanded, MinorUnits, Output, Version, open_enum
from app.api.objects import Customer, Invoice, InvoiceLine, LineDiscount, LineTax, Subscription
from app.domain.credit_note import Status
from app.domain.invoice import LineKind


class NoteLine(Output):
    id: c.CreditNoteLineId
    invoice_line_id: c.InvoiceLineId
    description: str
    quantity: int
    amount: Annotated[int, Field(description="Before discounts and taxes, in minor units.")]
    discount_amount: MinorUnits
    tax_amount: MinorUnits


class CreditNote(Output):
    """What of an invoice comes back; amounts are above zero."""

    id: c.CreditNoteId
    object: Literal["credit_note"]
    invoice_id: c.InvoiceId
    invoice: Invoice | None = Expanded
    customer_id: c.CustomerId
    customer: Customer | None = Expanded
    status: Annotated[str, open_enum(*Status)]
    number: Annotated[str | None, Field(examples=["CN-000001"], description="None in a preview.")]
    currency: c.Currency
    reason: str | None
    subtotal: MinorUnits
    discount_total: MinorUnits
    tax_total: MinorUnits
    tax_added: Annotated[int, Field(description="The part of the tax that was on top.")]
    total: MinorUnits
    to_invoice: Annotated[int, Field(description="What it took off what was due.")]
    to_balance: Annotated[int, Field(description="What became the customer's credit.")]
    to_refund: Annotated[int, Field(description="What goes back to where it was paid from.")]
    outside: Annotated[int, Field(description="What was given back outside of any gateway.")]
    lines: list[NoteLine]
    metadata: Documents
    created_at: At
    voided_at: At | None
    version: Version


class CreditNoteLine(NoteLine):
    object: Literal["credit_note_line"]
    credit_note_id: c.CreditNoteId
    credit_note: CreditNote | None = Expanded
    invoice_line: InvoiceLine | None = Expanded
    discounts: list[LineDiscount]
    taxes: list[LineTax]


class PendingItem(Output):
    """What waits to be billed, or stands on an invoice already."""

    id: c.PendingItemId
    object: Literal["pending_item"]
    customer_id: c.CustomerId
    customer: Customer | None = Expanded
    subscription_id: c.SubscriptionId | None
    subscription: Subscription | None = Expanded
    invoice_id: Annotated[c.InvoiceId | None, Field(description="What took it; null: it waits.")]
    invoice: Invoice | None = Expanded
    currency: c.Currency
    kind: Annotated[str, open_enum(*LineKind)]
    description: str
    quantity: int
    amount: MinorUnits
    period_start: At
    period_end: At
    price_id: c.PriceId | None
    price: Price | None = Expanded
    subscription_item_id: c.SubscriptionItemId | None
    reverses_line_id: c.InvoiceLineId | None
    tax_code: str | None
    metadata: Documents
    created_at: At
    deleted_at: At | None
    version: Version


class InvoiceSeries(Output):
    """How numbers look, and which comes next: `prefix` and then so many `digits`."""

    object: Literal["invoice_series"]
    series: Annotated[str, Field(examples=["default"])]
    prefix: Annotated[str, Field(examples=["INV-"])]
    digits: int
    first_number: Annotated[int, Field(description="From here on there is no gap.")]
    next_number: int
