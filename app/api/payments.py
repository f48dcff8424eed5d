"""/v1/payments: the collection of invoices."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.api import common as c
from app.api.common import ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.objects import Payment
from app.api.pages import Created
from app.db.views import PAYMENT
from app.domain.payment import Status

router = APIRouter(prefix="/v1/payments", tags=["payments"], route_class=Endpoint)


class PaymentList(ListOf[Payment]):
    pass


class PaymentsQuery(Created):
    customer_id: c.CustomerRef | None = None
    invoice_id: c.InvoiceRef | None = None
    status: Status | None = None


@router.get("", operation_id="list_payments", response_model=PaymentList)
async def list_payments(ask: Asked, query: Annotated[PaymentsQuery, Query()]) -> Response:
    """List payments, the newest first."""
    return await ask.page(PAYMENT, query)


@router.get("/{payment_id}", operation_id="get_payment", response_model=Payment)
async def get_payment(ask: Asked, payment_id: c.PaymentRef) -> Response:
    """Get a payment."""
    return await ask.one(PAYMENT, payment_id)
