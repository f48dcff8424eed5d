"""/v1/events: everything that happened, for whoever reads instead of being called."""

from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer
from app.api.common import ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.objects import Event
from app.api.pages import Created
from app.db.views import EVENT
from app.domain.errors import InvalidRequest
from app.domain.event import Type
from app.services import events

router = APIRouter(prefix="/v1/events", tags=["events"], route_class=Endpoint)


SEQUENCE_MAX: Final = 2**63 - 1


class EventList(ListOf[Event]):
    pass


class EventsQuery(Created):
    type: Type | None = None
    after: Annotated[
        c.EventRef | None,
        Field(
            description="The last event you have seen: what followed it, in the order of "
            "`sequence`. None can be missed. Goes with `type` and `limit` only."
        ),
    ] = None
    after_sequence: Annotated[
        int | None,
        Field(
            ge=0,
            le=SEQUENCE_MAX,
            description="The same by the last `sequence` you have seen; 0 begins with the first.",
        ),
    ] = None


@router.get("", operation_id="list_events", response_model=EventList)
async def list_events(ask: Asked, query: Annotated[EventsQuery, Query()]) -> Response:
    """List events, the newest first; or with `after`, what followed an event, the oldest first."""
    seen = query.after if query.after_sequence is None else query.after_sequence
    if seen is None:
        return await ask.page(EVENT, query)
    name = "after" if query.after_sequence is None else "after_sequence"
    if query.model_fields_set - {name, "type", "limit"}:
        raise InvalidRequest(f"`{name}` goes with `type` and `limit` only.", param=name)
    kind = None if query.type is None else str(query.type)
    found = await events.after(ask.rt, ask.caller, seen, kind, query.limit + 1)
    data = found[: query.limit]
    more = len(found) > query.limit
    return answer({"object": "list", "data": data, "has_more": more, "next_cursor": None})


@router.get("/{event_id}", operation_id="get_event", response_model=Event)
async def get_event(ask: Asked, event_id: c.EventRef) -> Response:
    """Get an event."""
    return await ask.one(EVENT, event_id)
