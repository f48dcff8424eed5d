"""/v1/disputes: charges that customers' banks take back, as the gateway tells of them."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.common import At, Expanded, ListOf, MinorUnits, Output, Version, open_enum
from app.api.endpoint import Asked, Endpoint
from app.api.objects import Customer, GatewayAccount, Invoice, Payment
from app.api.pages import Created
from app.db.views import DISPUTE
from app.domain.dispute import DisputeStatus

router = APIRouter(prefix="/v1/disputes", tags=["disputes"], route_class=Endpoint)


class Dispute(Output):
    id: c.DisputeId
    object: Literal["dispute"]
    gateway_account_id: c.GatewayAccountId
    gateway_account: GatewayAccount | None = Expanded
    gateway_reference: Annotated[str, Field(description="The gateway's name of it.")]
    payment_id: c.PaymentId
    payment: Payment | None = Expanded
    invoice_id: c.InvoiceId
    invoice: Invoice | None = Expanded
    customer_id: c.CustomerId
    customer: Customer | None = Expanded
    status: Annotated[
        str,
        open_enum(*DisputeStatus),
        Field(description="closed: ended without money moving. As the gateway has it now."),
    ]
    currency: c.Currency
    amount: Annotated[MinorUnits, Field(description="What the customer wants back, minor units.")]
    withdrawn: Annotated[
        MinorUnits, Field(description="What the gateway has taken for it until now, minor units.")
    ]
    fee: Annotated[MinorUnits | None, Field(description="The gateway's own, where it says so.")]
    reason: Annotated[str | None, Field(description="In the gateway's word.")]
    opened_at: At | None
    evidence_due_by: At | None
    closed_at: At | None
    created_at: At
    version: Version


class DisputeList(ListOf[Dispute]):
    pass


class DisputesQuery(Created):
    status: DisputeStatus | None = None
    payment_id: c.PaymentRef | None = None
    customer_id: c.CustomerRef | None = None
    gateway_account_id: c.GatewayAccountRef | None = None


@router.get("", operation_id="list_disputes", response_model=DisputeList)
async def list_disputes(ask: Asked, query: Annotated[DisputesQuery, Query()]) -> Response:
    """List disputes, the newest first."""
    return await ask.page(DISPUTE, query)


@router.get("/{dispute_id}", operation_id="get_dispute", response_model=Dispute)
async def get_dispute(ask: Asked, dispute_id: c.DisputeRef) -> Response:
    """Get a dispute."""
    return await ask.one(DISPUTE, dispute_id)
