"""How things stood at an instant: `as_of`."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer
from app.api.common import At, Documents, Output
from app.api.endpoint import Asked, Endpoint
from app.api.objects import CurrencyAmount, Pause, SubscriptionItem
from app.ids import show
from app.services import history

router = APIRouter(prefix="/v1/customers", tags=["customers"], route_class=Endpoint)


class ScheduledThen(Output):
    id: c.ScheduledChangeId
    due_at: At


class SubscriptionThen(Output):
    """A subscription as its last event by `as_of` has it."""

    id: c.SubscriptionId
    object: Literal["subscription"]
    as_of: At
    event_id: Annotated[c.EventId, Field(description="The event that says so.")]
    customer_id: c.CustomerId
    external_id: str | None
    status: str
    currency: c.Currency
    interval: str
    interval_count: int
    time_zone: str
    anchor: At
    period_start: At | None
    period_end: At | None
    items: list[SubscriptionItem]
    collection_method: str
    net_days: int
    payment_method_id: c.PaymentMethodId | None
    start_at: At
    trial_end: At | None
    pause: Pause | None
    scheduled_changes: list[ScheduledThen]
    cycles_left: int | None
    automatic_tax: bool
    cancel_at: At | None
    cancel_at_period_end: bool
    canceled_at: At | None
    ended_at: At | None
    latest_invoice_id: c.InvoiceId | None
    test_clock_id: c.TestClockId | None
    metadata: Documents
    created_at: At
    version: int


class CustomerBalances(Output):
    object: Literal["customer_balances"]
    customer_id: c.CustomerId
    as_of: At | None
    balances: Annotated[
        list[CurrencyAmount], Field(description="Credit that pays the next invoices.")
    ]


@router.get(
    "/{customer_id}/balances",
    operation_id="get_customer_balances",
    response_model=CustomerBalances,
)
async def get_customer_balances(
    ask: Asked, customer_id: c.CustomerRef, as_of: c.AsOf = None
) -> Response:
    """What stands to a customer's credit, now or as it stood then."""
    found = await history.balances(ask.rt, ask.caller, customer_id, as_of)
    return answer(
        {
            "object": "customer_balances",
            "customer_id": show("cus", customer_id),
            "as_of": as_of,
            "balances": [{"currency": one.currency, "amount": one.amount} for one in found],
        }
    )
