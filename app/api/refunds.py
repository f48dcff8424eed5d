"""/v1/refunds: money going back, never more than came."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.common import Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.objects import Refund
from app.api.pages import Created
from app.db.views import REFUND
from app.domain.refund import Destination, Status
from app.services import refund_verdicts, refunds
from app.services.refund_verdicts import ResolveRefund
from app.services.refunds import CreateRefund
from app.services.verdicts import Verdict

router = APIRouter(prefix="/v1/refunds", tags=["refunds"], route_class=Endpoint)


class RefundCreate(Input):
    payment_id: c.PaymentRef
    amount: Annotated[
        c.PositiveAmount | None, Field(description="Absent: all that is left of the payment.")
    ] = None
    reason: c.Description | None = None
    destination: Annotated[
        Destination | None,
        Field(
            description="Absent: by the gateway that brought it. `outside`: you have paid it out "
            "yourself; `balance`: it becomes the customer's credit."
        ),
    ] = None

    def command(self) -> CreateRefund:
        return CreateRefund(self.payment_id, self.amount, self.reason, self.destination)


class RefundResolve(Input):
    outcome: Annotated[Verdict, Field(description="What you found out at the gateway.")]
    gateway_reference: Annotated[
        str | None,
        Field(
            min_length=1, max_length=255, description="The refund that it made: its own id of it."
        ),
    ] = None


class RefundList(ListOf[Refund]):
    pass


class RefundsQuery(Created):
    payment_id: c.PaymentRef | None = None
    invoice_id: c.InvoiceRef | None = None
    status: Status | None = None


@router.post("", operation_id="create_refund", status_code=201, response_model=Refund)
async def create_refund(ask: Asked, body: RefundCreate) -> Response:
    """Refund a payment, in whole or in part."""
    made = await refunds.create(ask.rt, ask.caller, body.command())
    return await ask.present(REFUND, made, 201)


@router.get("", operation_id="list_refunds", response_model=RefundList)
async def list_refunds(ask: Asked, query: Annotated[RefundsQuery, Query()]) -> Response:
    """List refunds, the newest first."""
    return await ask.page(REFUND, query)


@router.get("/{refund_id}", operation_id="get_refund", response_model=Refund)
async def get_refund(ask: Asked, refund_id: c.RefundRef) -> Response:
    """Get a refund."""
    return await ask.one(REFUND, refund_id)


@router.post("/{refund_id}/resolve", operation_id="resolve_refund", response_model=Refund)
async def resolve_refund(ask: Asked, refund_id: c.RefundRef, body: RefundResolve) -> Response:
    """Say what a refund came to whose outcome no look-up could find. The gateway is asked once
    more: 409 when it disagrees, or when there is still something to be found out. What was not
    executed has failed, and can be refunded again. Where another amount went back, it has failed
    too, and the money is a reconciliation difference.
    """
    cmd = ResolveRefund(refund_id, body.outcome, body.gateway_reference)
    return await ask.present(REFUND, await refund_verdicts.resolve(ask.rt, ask.caller, cmd))
