"""/v1/deliveries: what became of each event at each endpoint."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.api import common as c
from app.api.common import Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.pages import Created
from app.api.webhook_objects import Delivery, DeliverySummary
from app.db.views import DELIVERY, DELIVERY_SUMMARY
from app.domain.delivery import Status
from app.services import redelivery

router = APIRouter(prefix="/v1/deliveries", tags=["webhook_endpoints"], route_class=Endpoint)
of_events = APIRouter(prefix="/v1/events", tags=["events"], route_class=Endpoint)


class DeliveryList(ListOf[DeliverySummary]):
    pass


class DeliveriesQuery(Created):
    event_id: c.EventRef | None = None
    status: Status | None = None


class EventResend(Input):
    webhook_endpoint_id: c.WebhookEndpointRef


@router.get("", operation_id="list_deliveries", response_model=DeliveryList)
async def list_deliveries(ask: Asked, query: Annotated[DeliveriesQuery, Query()]) -> Response:
    """List deliveries to all endpoints, the newest first. They are kept for 30 days."""
    return await ask.page(DELIVERY_SUMMARY, query)


@router.get("/{delivery_id}", operation_id="get_delivery", response_model=Delivery)
async def get_delivery(ask: Asked, delivery_id: c.DeliveryRef) -> Response:
    """Get a delivery with its attempts."""
    return await ask.one(DELIVERY, delivery_id)


@of_events.post(
    "/{event_id}/resend",
    operation_id="resend_event",
    status_code=201,
    response_model=DeliverySummary,
)
async def resend_event(ask: Asked, event_id: c.EventRef, body: EventResend) -> Response:
    """Tell one endpoint of an event once more, whatever it asks for; the answer is the delivery."""
    row = await redelivery.resend(ask.rt, ask.caller, event_id, body.webhook_endpoint_id)
    return ask.shown(DELIVERY_SUMMARY, row, 201)
