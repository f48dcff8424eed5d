"""/v1/invoices/preview: the invoices that would come, to the cent. Nothing is stored."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, model_validator
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer
from app.api.common import At, Input, MinorUnits, Output, open_enum
from app.api.endpoint import Asked, Endpoint
from app.api.subscriptions import (
    BillingAnchorUpdate,
    SubscriptionCancel,
    SubscriptionChange,
    SubscriptionCreate,
)
from app.domain import decimals
from app.domain.credit_note import CreditNote
from app.domain.invoice import BillingReason, Charge, DiscountPart, Invoice, Line
from app.domain.pending import PendingItem
from app.domain.subscription import Subscription
from app.domain.tax import TaxPart
from app.ids import show
from app.services import previews
from app.services.previews import PreviewInvoices
from app.services.public import PERCENT_PLACES

router = APIRouter(prefix="/v1/invoices", tags=["previews"], route_class=Endpoint)


class InvoicePreviewCreate(Input):
    """A new subscription (`create`), or one that runs: changed, canceled, or as things stand."""

    create: Annotated[
        SubscriptionCreate | None, Field(description="As to POST /v1/subscriptions.")
    ] = None
    subscription_id: c.SubscriptionRef | None = None
    change: Annotated[
        SubscriptionChange | None, Field(description="As to POST /v1/subscriptions/…/change.")
    ] = None
    cancel: Annotated[
        SubscriptionCancel | None, Field(description="As to POST /v1/subscriptions/…/cancel.")
    ] = None
    move: Annotated[
        BillingAnchorUpdate | None,
        Field(description="As to POST /v1/subscriptions/…/billing_anchor."),
    ] = None
    at: Annotated[
        c.Instant | None,
        Field(description="Do it then, after all that happens until then. Absent: now."),
    ] = None

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if (self.create is None) == (self.subscription_id is None):
            raise ValueError("Describe a new subscription to create, or name a subscription_id.")
        wanted = [w for w in (self.change, self.cancel, self.move) if w is not None]
        if self.create is not None and wanted:
            raise ValueError("What is new is not changed or canceled yet.")
        if len(wanted) > 1:
            raise ValueError("Preview a change, a cancellation or another anchor, one at a time.")
        return self

    def command(self, version: int | None) -> PreviewInvoices:
        if self.create is not None:
            return PreviewInvoices(create=self.create.command(), at=self.at)
        about = self.subscription_id
        assert about is not None
        return PreviewInvoices(
            about,
            change=None if self.change is None else self.change.command(about, version),
            cancel=None if self.cancel is None else self.cancel.command(about, version),
            move=None if self.move is None else self.move.command(about, version),
            at=self.at,
        )


class PreviewedDiscount(Output):
    coupon_id: c.CouponId | None
    amount: MinorUnits


class PreviewedTax(Output):
    tax_rate_id: c.TaxRateId
    display_name: str
    percentage: c.Percentage
    inclusive: bool
    reason: str | None
    taxable_amount: MinorUnits
    amount: MinorUnits


class PreviewedLine(Output):
    kind: Annotated[str, open_enum("period", "usage", "trial", "setup_fee", "one_off")]
    description: str
    price_id: c.PriceId | None
    quantity: int
    period_start: At
    period_end: At
    amount: MinorUnits
    discount_amount: MinorUnits
    tax_amount: MinorUnits
    reverses_line_id: Annotated[
        c.InvoiceLineId | None, Field(description="The line that a credit takes back.")
    ]
    subscription_id: Annotated[
        str | None, Field(description="Which one it is for, on an invoice for several.")
    ]
    discounts: list[PreviewedDiscount]
    taxes: list[PreviewedTax]


class PreviewedInvoice(Output):
    billing_reason: Annotated[str, open_enum(*BillingReason)]
    currency: c.Currency
    period_start: At
    period_end: At
    collection_method: Annotated[str, open_enum("charge_automatically", "send_invoice")]
    lines: list[PreviewedLine]
    subtotal: MinorUnits
    discount_total: MinorUnits
    tax_total: MinorUnits
    tax_added: MinorUnits
    total: MinorUnits
    balance_applied: MinorUnits
    amount_due: MinorUnits
    created_at: At
    finalized_at: Annotated[At | None, Field(description="Later where drafts have days of grace.")]
    due_at: At


class PreviewedCreditNote(Output):
    """What comes back of an invoice by a credit note; the last four add up to the total."""

    invoice_id: c.InvoiceId
    currency: c.Currency
    subtotal: MinorUnits
    discount_total: MinorUnits
    tax_total: MinorUnits
    total: MinorUnits
    to_invoice: Annotated[int, Field(description="Taken off what is still due.")]
    to_balance: MinorUnits
    to_refund: MinorUnits
    outside: MinorUnits


class PreviewedItem(Output):
    price_id: c.PriceId
    quantity: int


class PreviewedSubscription(Output):
    id: Annotated[c.SubscriptionId | None, Field(description="None yet of a new one.")]
    status: str
    period_start: At | None
    period_end: At | None
    trial_end: At | None
    items: list[PreviewedItem]
    cancel_at: At | None
    cancel_at_period_end: bool
    changes_at: Annotated[list[At], Field(description="When scheduled changes take place.")]


class InvoicePreview(Output):
    object: Literal["invoice_preview"]
    at: At
    subscription: Annotated[PreviewedSubscription, Field(description="As it would be then.")]
    invoices: Annotated[list[PreviewedInvoice], Field(description="What would be billed then.")]
    credit_notes: Annotated[
        list[PreviewedCreditNote], Field(description="What would come back by credit notes then.")
    ]
    pending_lines: Annotated[
        list[PreviewedLine], Field(description="What would wait for the next invoice.")
    ]
    next: Annotated[
        PreviewedInvoice | None,
        Field(description="The invoice after these, if payments succeed; null: none comes."),
    ]


@dataclass(frozen=True, slots=True)
class Names:
    """Which coupon each discount is of; which lines nobody knows, since they were made up here; and
    what such subscriptions are called, if anything.
    """

    coupons: Mapping[UUID, UUID]
    invented: Collection[UUID] = ()
    new: Mapping[UUID, str | None] = field(default_factory=dict)

    def subscription(self, id: UUID | None) -> str | None:
        """What a subscription is called."""
        if id is None or id in self.new:
            return None if id is None else self.new[id]
        return show("sub", id)


@router.post("/preview", operation_id="preview_invoice", response_model=InvoicePreview)
async def preview_invoice(ask: Asked, body: InvoicePreviewCreate) -> Response:
    """The invoices that would come of a subscription, a change or a cancellation, to the cent.

    The same decisions are made as for the real thing; none of them is kept.
    """
    made = await previews.invoices(ask.rt, ask.caller, body.command(ask.expected_version()))
    new = body.create is not None
    found = made.preview
    about = found.subscription.id
    names = Names(made.coupons, made.invented, {about: None} if new else {})
    return answer(
        {
            "object": "invoice_preview",
            "at": found.at,
            "subscription": _subscription(found.subscription, new=new),
            "invoices": [invoice_shown(invoice, names) for invoice in found.invoices],
            "credit_notes": [_note(note) for note in found.credit_notes],
            "pending_lines": [_pending(item, names) for item in found.pending],
            "next": None if found.next is None else invoice_shown(found.next, names),
        }
    )


def invoice_shown(invoice: Invoice, names: Names) -> dict[str, Any]:
    """An invoice that is none: it has amounts and lines, and no names of its own."""
    order = invoice.order
    return {
        "billing_reason": order.reason,
        "currency": order.currency,
        "period_start": order.period.start,
        "period_end": order.period.end,
        "collection_method": order.collection,
        "lines": [line_shown(line, names) for line in invoice.lines],
        "subtotal": invoice.subtotal,
        "discount_total": invoice.discount_total,
        "tax_total": invoice.tax_total,
        "tax_added": invoice.tax_added,
        "total": invoice.total,
        "balance_applied": invoice.balance_applied,
        "amount_due": invoice.amount_due,
        "created_at": invoice.created_at,
        "finalized_at": invoice.finalized_at,
        "due_at": invoice.due_at,
    }


def line_shown(line: Line, names: Names) -> dict[str, Any]:
    """A line with its discounts and taxes."""
    return _charge(line.charge, names) | {
        "subscription_id": names.subscription(line.subscription_id),
        "discount_amount": line.discount_amount,
        "tax_amount": line.tax_amount,
        "discounts": [_discount(part, names) for part in line.discounts],
        "taxes": [_tax(part) for part in line.taxes],
    }


def _note(note: CreditNote) -> dict[str, Any]:
    return {
        "invoice_id": show("inv", note.invoice_id),
        "currency": note.currency,
        "subtotal": note.subtotal,
        "discount_total": note.discount_total,
        "tax_total": note.tax_total,
        "total": note.total,
        "to_invoice": note.to_invoice,
        "to_balance": note.to_balance,
        "to_refund": note.to_refund,
        "outside": note.outside,
    }


def _pending(item: PendingItem, names: Names) -> dict[str, Any]:
    """A line that waits: what it will be discounted and taxed is known when it is billed."""
    discounts = () if isinstance(item.line, Charge) else item.line.discounts
    taxes = () if isinstance(item.line, Charge) else item.line.taxes
    return _charge(item.charge, names) | {
        "subscription_id": None,
        "discount_amount": sum(part.amount for part in discounts),
        "tax_amount": sum(part.amount for part in taxes),
        "discounts": [_discount(part, names) for part in discounts],
        "taxes": [_tax(part) for part in taxes],
    }


def _charge(charge: Charge, names: Names) -> dict[str, Any]:
    reversed_id = charge.reverses_line_id
    return {
        "kind": charge.kind,
        "description": charge.description,
        "price_id": None if charge.price_id is None else show("price", charge.price_id),
        "quantity": charge.quantity,
        "period_start": charge.period.start,
        "period_end": charge.period.end,
        "amount": charge.amount,
        "reverses_line_id": None
        if reversed_id is None or reversed_id in names.invented
        else show("il", reversed_id),
    }


def _discount(part: DiscountPart, names: Names) -> dict[str, Any]:
    coupon = names.coupons.get(part.discount_id)
    return {"coupon_id": None if coupon is None else show("cpn", coupon), "amount": part.amount}


def _tax(part: TaxPart) -> dict[str, Any]:
    rate = part.rate
    return {
        "tax_rate_id": show("txr", rate.id),
        "display_name": rate.display_name,
        "percentage": decimals.show(rate.rate_ppm, PERCENT_PLACES),
        "inclusive": rate.inclusive,
        "reason": rate.reason,
        "taxable_amount": part.taxable,
        "amount": part.amount,
    }


def _subscription(sub: Subscription, *, new: bool) -> dict[str, Any]:
    return {
        "id": None if new else show("sub", sub.id),
        "status": sub.status,
        "period_start": None if sub.period is None else sub.period.start,
        "period_end": None if sub.period is None else sub.period.end,
        "trial_end": sub.trial_end,
        "items": [
            {"price_id": show("price", item.price.id), "quantity": item.quantity}
            for item in sub.items
        ],
        "cancel_at": sub.cancel_at,
        "cancel_at_period_end": sub.cancel_at_period_end,
        "changes_at": [planned.due_at for planned in sub.scheduled],
    }
