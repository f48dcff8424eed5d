"""/v1/invoices: what was billed, and whether it is paid."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer
from app.api.common import Change, Flag, Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.objects import Invoice, InvoiceLine
from app.api.pages import Created, Listing
from app.api.pending_items import ItemOfInvoice
from app.db.views import INVOICE, INVOICE_LINE, PAYMENT
from app.domain.errors import InvalidRequest
from app.domain.invoice import Collection, Status
from app.domain.payment import Status as PaymentStatus
from app.services import invoices, lookup, one_offs
from app.services.invoices import PayInvoice
from app.services.one_offs import (
    DISCOUNTS_MAX,
    ITEMS_MAX,
    TAX_RATES_MAX,
    CreateInvoice,
    UpdateInvoice,
)

router = APIRouter(prefix="/v1/invoices", tags=["invoices"], route_class=Endpoint)

NetDays = Annotated[
    int, Field(strict=True, ge=0, le=365, description="Due so many days after it is final.")
]
Series = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
REFUSED = frozenset(
    {PaymentStatus.REQUIRES_PAYMENT_METHOD, PaymentStatus.SCHEDULED, PaymentStatus.FAILED}
)


class InvoicePay(Input):
    payment_method_id: Annotated[
        c.PaymentMethodRef | None, Field(description="Absent: the one in use.")
    ] = None
    paid_outside: Annotated[
        Flag,
        Field(
            description="All that remains was paid elsewhere: charge nothing. To say how, when, or "
            "of a part only, use `POST /v1/payments`."
        ),
    ] = False
    amount: Annotated[
        c.PositiveAmount | None,
        Field(description="Charge so much of what remains, and let the rest wait. Absent: all."),
    ] = None


class InvoiceCreate(Input):
    """Items given here, and what waits for the customer's next invoice."""

    customer_id: c.CustomerRef
    currency: Annotated[
        c.Currency | None, Field(description="Absent: that of the prices, or of what waits.")
    ] = None
    items: Annotated[list[ItemOfInvoice], Field(max_length=ITEMS_MAX)] = Field(default_factory=list)
    take_pending: Annotated[
        Flag, Field(description="Bill what waits, without a subscription, as well.")
    ] = True
    collection_method: Collection = Collection.CHARGE_AUTOMATICALLY
    net_days: NetDays = 0
    payment_method_id: c.PaymentMethodRef | None = None
    description: c.Description | None = None
    coupon_ids: Annotated[list[c.CouponRef], Field(max_length=DISCOUNTS_MAX)] = Field(
        default_factory=list
    )
    tax_rate_ids: Annotated[list[c.TaxRateRef], Field(max_length=TAX_RATES_MAX)] = Field(
        default_factory=list
    )
    automatic_tax: Annotated[Flag, Field(description="Find the taxes by place.")] = False
    auto_finalize: Annotated[
        Flag, Field(description="Final and collected at once; false: a draft until you say so.")
    ] = True
    series: Series = "default"
    metadata: c.Metadata = Field(default_factory=dict)

    def command(self) -> CreateInvoice:
        given = dict(self) | {"items": [item.new_item() for item in self.items]}
        return CreateInvoice(collection=given.pop("collection_method"), **given)


class InvoiceUpdate(Change):
    """Of a draft: what it says, when it is due and its items; of any invoice its metadata."""

    description: c.Description | None = None
    net_days: NetDays = 0
    add_items: Annotated[list[ItemOfInvoice], Field(max_length=ITEMS_MAX)] = Field(
        default_factory=list
    )
    remove_items: Annotated[list[c.PendingItemRef], Field(max_length=ITEMS_MAX)] = Field(
        default_factory=list
    )
    metadata: c.MetadataChange = Field(default_factory=dict)

    def command(self, invoice_id: UUID, version: int | None) -> UpdateInvoice:
        given = self.model_dump(exclude_unset=True)
        return UpdateInvoice(
            invoice_id,
            {name: given[name] for name in ("description", "net_days") if name in given},
            [item.new_item() for item in self.add_items],
            self.remove_items,
            given.get("metadata"),
            version,
        )


class InvoiceVoid(Input):
    rebill: Annotated[
        Flag, Field(description="Let its lines wait to be billed again; else they are owed no more")
    ] = False


class InvoiceList(ListOf[Invoice]):
    pass


class InvoiceLineList(ListOf[InvoiceLine]):
    pass


class InvoicesQuery(Created):
    customer_id: c.CustomerRef | None = None
    subscription_id: c.SubscriptionRef | None = None
    status: Status | None = None
    number: Annotated[str, Field(max_length=60)] | None = None
    due_gte: c.Instant | None = None
    due_lt: c.Instant | None = None


@router.get("", operation_id="list_invoices", response_model=InvoiceList)
async def list_invoices(ask: Asked, query: Annotated[InvoicesQuery, Query()]) -> Response:
    """List invoices, the newest first."""
    return await ask.page(INVOICE, query)


@router.post("", operation_id="create_invoice", status_code=201, response_model=Invoice)
async def create_invoice(ask: Asked, body: InvoiceCreate) -> Response:
    """Bill a customer by hand. A payment that is declined leaves the invoice open."""
    made = await one_offs.create(ask.rt, ask.caller, body.command())
    return await ask.present(INVOICE, made, 201)


@router.patch("/{invoice_id}", operation_id="update_invoice", response_model=Invoice)
async def update_invoice(ask: Asked, invoice_id: c.InvoiceRef, body: InvoiceUpdate) -> Response:
    """Change a draft, which is reckoned anew; or what any invoice carries for you."""
    cmd = body.command(invoice_id, ask.expected_version())
    return await ask.present(INVOICE, await one_offs.update(ask.rt, ask.caller, cmd))


@router.delete("/{invoice_id}", operation_id="delete_invoice", response_model=Invoice)
async def delete_invoice(ask: Asked, invoice_id: c.InvoiceRef) -> Response:
    """Throw a draft away that was made by hand; what had waited for it waits again."""
    return answer(await one_offs.delete(ask.rt, ask.caller, invoice_id))


@router.post("/{invoice_id}/finalize", operation_id="finalize_invoice", response_model=Invoice)
async def finalize_invoice(ask: Asked, invoice_id: c.InvoiceRef) -> Response:
    """Make a draft final now, and collect it."""
    return await ask.present(INVOICE, await one_offs.finalize(ask.rt, ask.caller, invoice_id))


@router.get("/{invoice_id}", operation_id="get_invoice", response_model=Invoice)
async def get_invoice(ask: Asked, invoice_id: c.InvoiceRef) -> Response:
    """Get an invoice with its lines."""
    return await ask.one(INVOICE, invoice_id)


@router.get(
    "/{invoice_id}/lines", operation_id="list_invoice_lines", response_model=InvoiceLineList
)
async def list_invoice_lines(
    ask: Asked, invoice_id: c.InvoiceRef, query: Annotated[Listing, Query()]
) -> Response:
    """List an invoice's lines with their discounts and taxes, the last first."""
    return await ask.page(INVOICE_LINE, query, {"invoice_id": invoice_id})


@router.post("/{invoice_id}/pay", operation_id="pay_invoice", response_model=Invoice)
async def pay_invoice(ask: Asked, invoice_id: c.InvoiceRef, body: InvoicePay) -> Response:
    """Pay an open invoice now. 402 when the payment is declined; while it is under way, or its
    outcome is not known, the invoice is still `open` and its payment says why.
    """
    if body.paid_outside and body.payment_method_id is not None:
        raise InvalidRequest("What was paid elsewhere needs no method.", param="payment_method_id")
    if body.paid_outside and body.amount is not None:
        raise InvalidRequest("Record a part with POST /v1/payments.", param="amount")
    cmd = PayInvoice(invoice_id, body.payment_method_id, body.paid_outside, body.amount)
    payment = await lookup.one(
        ask.rt, ask.caller, PAYMENT, await invoices.pay(ask.rt, ask.caller, cmd)
    )
    if payment["status"] in REFUSED:
        return ask.declined(payment)
    return await ask.present(INVOICE, invoice_id)


@router.post("/{invoice_id}/void", operation_id="void_invoice", response_model=Invoice)
async def void_invoice(ask: Asked, invoice_id: c.InvoiceRef, body: InvoiceVoid) -> Response:
    """Void an unpaid invoice: its postings are reversed, the credit it used comes back."""
    voided = await invoices.void(ask.rt, ask.caller, invoice_id, rebill=body.rebill)
    return await ask.present(INVOICE, voided)


@router.post(
    "/{invoice_id}/mark_uncollectible",
    operation_id="mark_invoice_uncollectible",
    response_model=Invoice,
)
async def mark_invoice_uncollectible(ask: Asked, invoice_id: c.InvoiceRef) -> Response:
    """Give up on an unpaid invoice: the rest is bad debt, and can still be paid later."""
    await invoices.mark_uncollectible(ask.rt, ask.caller, invoice_id)
    return await ask.present(INVOICE, invoice_id)
