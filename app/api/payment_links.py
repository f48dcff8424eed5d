"""/v1/payment_links: addresses by which whoever holds one pays one open invoice."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.answers import secret_answer
from app.api.common import At, Expanded, Input, ListOf, Output, Version
from app.api.endpoint import Asked, Endpoint
from app.api.objects import Invoice
from app.api.pages import Created
from app.api.setup_sessions import Url
from app.db.views import PAYMENT_LINK
from app.services import payment_links
from app.services.payment_links import CreatePaymentLink
from app.services.public import shown

router = APIRouter(prefix="/v1/payment_links", tags=["payments"], route_class=Endpoint)


class PaymentLinkCreate(Input):
    invoice_id: Annotated[c.InvoiceRef, Field(description="Open, or given up and still owed.")]
    expires_at: Annotated[
        c.Instant | None, Field(description="Absent: thirty days from now. A year at the most.")
    ] = None
    return_url: Annotated[
        Url | None, Field(description="Where the customer goes on from the page.")
    ] = None

    def command(self) -> CreatePaymentLink:
        return CreatePaymentLink(self.invoice_id, self.expires_at, self.return_url)


class PaymentLink(Output):
    id: c.PaymentLinkId
    object: Literal["payment_link"]
    invoice_id: c.InvoiceId
    invoice: Invoice | None = Expanded
    last_four: Annotated[str, Field(description="Of the address, to tell links apart.")]
    return_url: str | None
    expires_at: At
    created_at: At
    revoked_at: At | None
    version: Version


class NewPaymentLink(PaymentLink):
    url: Annotated[
        str,
        Field(
            description="Shown this once. Whoever has it sees this invoice, and may pay it.",
            examples=["https://billing.example.com/pay/pl_…"],
        ),
    ]


class PaymentLinkList(ListOf[PaymentLink]):
    pass


class PaymentLinksQuery(Created):
    invoice_id: c.InvoiceRef | None = None


@router.post("", operation_id="create_payment_link", status_code=201, response_model=NewPaymentLink)
async def create_payment_link(ask: Asked, body: PaymentLinkCreate) -> Response:
    """Make a link to an open invoice. A replay has the link without its address."""
    row, url = await payment_links.create(ask.rt, ask.caller, body.command())
    made: dict[str, Any] = shown(PAYMENT_LINK, row)
    return secret_answer(made | {"url": url}, 201)


@router.get("", operation_id="list_payment_links", response_model=PaymentLinkList)
async def list_payment_links(ask: Asked, query: Annotated[PaymentLinksQuery, Query()]) -> Response:
    """List payment links, the newest first."""
    return await ask.page(PAYMENT_LINK, query)


@router.get("/{payment_link_id}", operation_id="get_payment_link", response_model=PaymentLink)
async def get_payment_link(ask: Asked, payment_link_id: c.PaymentLinkRef) -> Response:
    """Get a payment link; its address is not shown again."""
    return await ask.one(PAYMENT_LINK, payment_link_id)


@router.post(
    "/{payment_link_id}/revoke", operation_id="revoke_payment_link", response_model=PaymentLink
)
async def revoke_payment_link(ask: Asked, payment_link_id: c.PaymentLinkRef) -> Response:
    """End a link, for good. A payment that is under way goes on."""
    revoked = await payment_links.revoke(ask.rt, ask.caller, payment_link_id)
    return await ask.present(PAYMENT_LINK, revoked)
