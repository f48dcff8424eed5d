"""/v1/usage_events: what customers use, told as it happens; and what it comes to."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field, model_validator
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer
from app.api.common import At, Expanded, Input, ListOf, MinorUnits, Output
from app.api.endpoint import Asked, Endpoint
from app.api.objects import Customer
from app.api.pages import Listing
from app.api.usage_objects import EventName, Meter, PropertyName, PropertyValue, Quantity
from app.db.views import USAGE_EVENT
from app.domain.metering import Reported
from app.ids import show
from app.services import usage_events
from app.services.usage_events import BATCH_MAX, PresentUsage, Receipt

router = APIRouter(prefix="/v1/usage_events", tags=["usage"], route_class=Endpoint)
of_subscriptions = APIRouter(prefix="/v1/subscriptions", tags=["usage"], route_class=Endpoint)

PROPERTIES_MAX = 50
OF_USAGE = (
    "event_name",
    "customer_id",
    "customer_external_id",
    "subscription_id",
    "timestamp",
    "properties",
)
UsageEventId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="Yours. Told again under the same id, an event is taken once.",
        examples=["req-8f2e"],
    ),
]
Properties = Annotated[
    dict[PropertyName, PropertyValue],
    Field(
        max_length=PROPERTIES_MAX,
        description="What the meter measures, and what its filters look at. A value is a whole "
        "number of at most 10^15; where the meter sums it may be negative, to correct.",
        examples=[{"value": 1200, "region": "eu"}],
    ),
]


class UsageEventCreate(Input):
    """Usage has an `event_name` and a customer, named in one of two ways. A counter-event has only
    an `id` and `reverses`: it takes another event back, whole, wherever that counted.
    """

    id: UsageEventId
    event_name: EventName | None = None
    customer_id: c.CustomerRef | None = None
    customer_external_id: c.ExternalId | None = None
    subscription_id: Annotated[
        c.SubscriptionRef | None,
        Field(
            description="Absent: it counts for each subscription of the customer that meters it."
        ),
    ] = None
    timestamp: Annotated[
        c.Instant | None,
        Field(
            description="When it happened: it counts in the period that contains it. Absent: now. "
            "At most 5 minutes ahead, and not before the days for which late usage is taken."
        ),
    ] = None
    properties: Properties = Field(default_factory=dict)
    reverses: Annotated[
        UsageEventId | None, Field(description="The id of the event to take back.")
    ] = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> "UsageEventCreate":
        if self.reverses is not None and self.model_fields_set & set(OF_USAGE):
            raise ValueError("A counter-event has an id and `reverses`, and nothing else.")
        return self

    def reported(self) -> Reported:
        return Reported(**dict(self))


class UsageEventsCreate(Input):
    events: Annotated[list[UsageEventCreate], Field(min_length=1, max_length=BATCH_MAX)]


class UsageEvent(Output):
    id: UsageEventId
    object: Literal["usage_event"]
    meter_id: c.MeterId
    meter: Meter | None = Expanded
    event_name: EventName
    customer_id: c.CustomerId
    customer: Customer | None = Expanded
    subscription_id: c.SubscriptionId | None
    timestamp: At
    properties: Properties
    value: Annotated[
        int | None,
        Field(
            description="What it counts as; null where the meter's filters leave it out, and for "
            "counter-events.",
            examples=[1200],
        ),
    ]
    reverses: UsageEventId | None
    reversed_by: UsageEventId | None
    received_at: At


class RefusedEvent(Output):
    id: UsageEventId
    code: Annotated[str, Field(description="Stable: decide by this.", examples=["value_missing"])]
    message: Annotated[str, Field(description="A sentence for people.")]
    param: Annotated[str | None, Field(examples=["properties.value"])]


class UsageReceipt(Output):
    """What became of each event of a batch, in the order they were told."""

    object: Literal["usage_receipt"]
    accepted: Annotated[list[str], Field(description="Ids of events that are on record now.")]
    duplicates: Annotated[list[str], Field(description="Ids of events that were already.")]
    refused: list[RefusedEvent]


class UsageEventList(ListOf[UsageEvent]):
    pass


class UsageEventsQuery(Listing):
    id: UsageEventId | None = None
    meter_id: c.MeterRef | None = None
    customer_id: c.CustomerRef | None = None
    subscription_id: c.SubscriptionRef | None = None
    timestamp_gte: c.Instant | None = None
    timestamp_gt: c.Instant | None = None
    timestamp_lte: c.Instant | None = None
    timestamp_lt: c.Instant | None = None


class ItemUsage(Output):
    subscription_item_id: c.SubscriptionItemId
    price_id: c.PriceId
    meter_id: c.MeterId
    quantity: Quantity
    events: Annotated[int, Field(description="How many events count.", examples=[3])]
    currency: c.Currency
    amount: Annotated[
        MinorUnits,
        Field(description="What it would cost if the period ended now, before discounts and tax."),
    ]


class SubscriptionUsage(Output):
    object: Literal["subscription_usage"]
    subscription_id: c.SubscriptionId
    period_start: At | None
    period_end: At | None
    items: Annotated[list[ItemUsage], Field(description="Those that are metered.")]


@router.post("", operation_id="create_usage_event", status_code=201, response_model=UsageEvent)
async def create_usage_event(ask: Asked, body: UsageEventCreate) -> Response:
    """Tell one event. The same id with the same content is answered again, and taken once."""
    row = await usage_events.record_one(ask.rt, ask.caller, body.reported())
    return ask.shown(USAGE_EVENT, row, 201)


@router.post("/batch", operation_id="create_usage_events", response_model=UsageReceipt)
async def create_usage_events(ask: Asked, body: UsageEventsCreate) -> Response:
    """Tell up to 1,000 events. Each is taken, known already, or refused by itself with a reason.

    Send the batch again whenever its answer was lost: what is on record is not taken twice.
    """
    told = [event.reported() for event in body.events]
    return answer(_receipt(await usage_events.record(ask.rt, ask.caller, told)))


@router.get("", operation_id="list_usage_events", response_model=UsageEventList)
async def list_usage_events(ask: Asked, query: Annotated[UsageEventsQuery, Query()]) -> Response:
    """List usage events, the last received first."""
    return await ask.page(USAGE_EVENT, query)


@of_subscriptions.get(
    "/{subscription_id}/usage",
    operation_id="get_subscription_usage",
    response_model=SubscriptionUsage,
)
async def get_subscription_usage(ask: Asked, subscription_id: c.SubscriptionRef) -> Response:
    """Get what a subscription has used in its present period, and what that costs by now."""
    found = await usage_events.of_subscription(ask.rt, ask.caller, subscription_id)
    return answer({"subscription_id": show("sub", subscription_id)} | _present(found))


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return {
        "object": "usage_receipt",
        "accepted": receipt.accepted,
        "duplicates": receipt.duplicates,
        "refused": [
            {"id": event, "code": why.code, "message": why.message, "param": why.param}
            for event, why in receipt.refused
        ],
    }


def _present(found: PresentUsage) -> dict[str, Any]:
    period = found.period
    return {
        "object": "subscription_usage",
        "period_start": None if period is None else period.start,
        "period_end": None if period is None else period.end,
        "items": [
            {
                "subscription_item_id": show("si", item.item_id),
                "price_id": show("price", item.price.id),
                "meter_id": show("mtr", item.meter_id),
                "quantity": item.metered.quantity,
                "events": item.metered.events,
                "currency": item.amount.currency,
                "amount": item.amount.minor,
            }
            for item in found.items
        ],
    }
