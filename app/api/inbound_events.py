"""/v1/gateway_accounts/{id}/inbound_events: what a gateway told, and what came of it."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.common import At, Expanded, ListOf, Output, open_enum
from app.api.endpoint import Asked, Endpoint
from app.api.objects import GatewayAccount
from app.api.pages import Listing
from app.db.views import INBOUND_EVENT
from app.domain.inbox import EventKind, Reason, Status
from app.services import inbox

router = APIRouter(prefix="/v1/gateway_accounts", tags=["gateway_accounts"], route_class=Endpoint)

Word = Annotated[str, Field(max_length=255)]


class InboundEvent(Output):
    id: c.InboundEventId
    object: Literal["inbound_event"]
    gateway_account_id: c.GatewayAccountId
    gateway_account: GatewayAccount | None = Expanded
    gateway_event_id: Annotated[str, Field(description="The gateway's id of it.")]
    type: Annotated[str | None, Field(description="In the gateway's own word.")]
    kind: Annotated[str, open_enum(*EventKind)]
    reference: Annotated[str | None, Field(description="The gateway's name of what it is about.")]
    our_reference: Annotated[str | None, Field(description="Our code, where the event bears it.")]
    payment_reference: str | None
    status: Annotated[
        str,
        open_enum(*Status),
        Field(
            description="orphaned: money moved that nothing of ours accounts for. failed: it could "
            "not be settled in a long time, and a person has to look."
        ),
    ]
    reason: Annotated[str, open_enum(*Reason)] | None
    detail: str | None
    attempts: int
    occurred_at: At | None
    received_at: At
    due_at: Annotated[At | None, Field(description="When it is taken up next.")]
    settled_at: At | None


class InboundEventList(ListOf[InboundEvent]):
    pass


class InboundEventsQuery(Listing):
    status: Status | None = None
    kind: EventKind | None = None
    type: Word | None = None
    reference: Word | None = None
    received_gte: c.Instant | None = None
    received_gt: c.Instant | None = None
    received_lte: c.Instant | None = None
    received_lt: c.Instant | None = None


@router.get(
    "/{gateway_account_id}/inbound_events",
    operation_id="list_inbound_events",
    response_model=InboundEventList,
)
async def list_inbound_events(
    ask: Asked,
    gateway_account_id: c.GatewayAccountRef,
    query: Annotated[InboundEventsQuery, Query()],
) -> Response:
    """List what the gateway told, the newest first. What was settled or ignored is forgotten in
    time.
    """
    await inbox.of_account(ask.rt, ask.caller, gateway_account_id)
    return await ask.page(INBOUND_EVENT, query, {"gateway_account_id": gateway_account_id})


@router.post(
    "/{gateway_account_id}/inbound_events/{inbound_event_id}/retry",
    operation_id="retry_inbound_event",
    response_model=InboundEvent,
)
async def retry_inbound_event(
    ask: Asked, gateway_account_id: c.GatewayAccountRef, inbound_event_id: c.InboundEventRef
) -> Response:
    """Ask the gateway once more about what an event is about, and settle that."""
    row = await inbox.retry(ask.rt, ask.caller, gateway_account_id, inbound_event_id)
    return ask.shown(INBOUND_EVENT, row)
