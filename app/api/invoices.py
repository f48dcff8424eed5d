"""/v1/invoices: what was billed, and whether it is paid."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.common import Flag, Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.objects import Invoice, InvoiceLine
from app.api.pages import Created, Listing
from app.db.views import INVOICE, INVOICE_LINE, PAYMENT
from app.domain.errors import InvalidRequest
from app.domain.invoice import Status
from app.domain.payment import Status as PaymentStatus
from app.services import invoices, lookup
from app.services.invoices import PayInvoice

router = APIRouter(prefix="/v1/invoices", tags=["invoices"], route_class=Endpoint)

REFUSED = frozenset(
    {PaymentStatus.REQUIRES_PAYMENT_METHOD, PaymentStatus.SCHEDULED, PaymentStatus.FAILED}
)


class InvoicePay(Input):
    payment_method_id: Annotated[
        c.PaymentMethodRef | None, Field(description="Absent: the one in use.")
    ] = None
    paid_outside: Annotated[
        Flag, Field(description="It was paid elsewhere, in cash or by transfer: charge nothing.")
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
    cmd = PayInvoice(invoice_id, body.payment_method_id, body.paid_outside)
    await invoices.pay(ask.rt, ask.caller, cmd)
    page = await lookup.page(ask.rt, ask.caller, PAYMENT, {"invoice_id": invoice_id}, None, 1)
    if page.objects and page.objects[0]["status"] in REFUSED:
        return ask.declined(page.objects[0])
    return await ask.present(INVOICE, invoice_id)


@router.post("/{invoice_id}/void", operation_id="void_invoice", response_model=Invoice)
async def void_invoice(ask: Asked, invoice_id: c.InvoiceRef) -> Response:
    """Void an unpaid invoice: its postings are reversed, the credit it used comes back."""
    return await ask.present(INVOICE, await invoices.void(ask.rt, ask.caller, invoice_id))


@router.post(
    "/{invoice_id}/mark_uncollectible",
    operation_id="mark_invoice_uncollectible",
    response_model=Invoice,
)
async def mark_invoice_uncollectible(ask: Asked, invoice_id: c.InvoiceRef) -> Response:
    """Give up on an unpaid invoice: the rest is bad debt, and can still be paid later."""
    await invoices.mark_uncollectible(ask.rt, ask.caller, invoice_id)
    return await ask.present(INVOICE, invoice_id)
