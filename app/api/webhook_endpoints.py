"""/v1/webhook_endpoints: where merchants are told what happened."""

from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field, WithJsonSchema
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer, secret_answer
from app.api.common import Change, Flag, Input, ListOf
from app.api.deliveries import DeliveriesQuery, DeliveryList
from app.api.endpoint import Asked, Endpoint
from app.api.objects import Event
from app.api.pages import Created
from app.api.webhook_objects import WebhookEndpoint, WebhookReplay
from app.db.base import Row
from app.db.views import DELIVERY_SUMMARY, EVENT, WEBHOOK_ENDPOINT
from app.domain.webhook import PATTERNS
from app.services import lookup, redelivery, webhook_endpoints
from app.services.public import shown
from app.services.redelivery import Replay
from app.services.webhook_endpoints import (
    OVERLAP,
    CreateEndpoint,
    RotateSecret,
    UpdateEndpoint,
)

router = APIRouter(prefix="/v1/webhook_endpoints", tags=["webhook_endpoints"], route_class=Endpoint)

OVERLAP_SECONDS_MAX: Final = 604_800
"""A week: who exchanges a secret should not have two of them for good."""
SEQUENCE_MAX: Final = 2**63 - 1


def _pattern(text: str) -> str:
    if text not in PATTERNS:
        raise ValueError("There is no such event: take a name, a noun's (invoice.*), or *.")
    return text


Url = Annotated[
    str,
    Field(
        min_length=8,
        max_length=500,
        pattern=r"^https?://[\x21-\x7e]+$",
        description="Public, and https.",
        examples=["https://shop.example.com/webhooks"],
    ),
]
Pattern = Annotated[
    str,
    AfterValidator(_pattern),
    WithJsonSchema({"type": "string", "maxLength": 60, "examples": ["invoice.*"]}),
]
Patterns = Annotated[
    list[Pattern],
    Field(
        min_length=1,
        max_length=len(PATTERNS),
        description="Events by name, by noun (`invoice.*`), or all of them, also those to come "
        "(`*`).",
        examples=[["invoice.*", "payment.failed"]],
    ),
]
Description = Annotated[str, Field(max_length=500, examples=["The warehouse"])]


class WebhookEndpointCreate(Input):
    url: Url
    event_types: Patterns
    description: Description | None = None
    metadata: c.Metadata = Field(default_factory=dict)

    def command(self) -> CreateEndpoint:
        return CreateEndpoint(**dict(self) | {"event_types": _each_once(self.event_types)})


class WebhookEndpointUpdate(Change):
    url: Url = ""
    event_types: Patterns = Field(default_factory=list)
    description: Description | None = None
    enabled: Flag = True
    metadata: c.MetadataChange = Field(default_factory=dict)

    def changes(self) -> dict[str, Any]:
        given = self.model_dump(exclude_unset=True)
        if "event_types" in given:
            given["event_types"] = _each_once(self.event_types)
        return given


class SecretRotate(Input):
    overlap_seconds: Annotated[
        int,
        Field(
            strict=True,
            ge=0,
            le=OVERLAP_SECONDS_MAX,
            description="For this long the present secret signs as well. 0 ends it at once.",
        ),
    ] = int(OVERLAP.total_seconds())


class WebhookReplayCreate(Input):
    """The time is the wall clock's, also for what happened on test clocks."""

    start: Annotated[c.Instant, Field(description="Events written down from then on,")]
    end: Annotated[c.Instant | None, Field(description="before then; null: until now.")] = None
    after_sequence: Annotated[
        int,
        Field(strict=True, ge=0, le=SEQUENCE_MAX, description="Only what was numbered above it."),
    ] = 0


class WebhookEndpointList(ListOf[WebhookEndpoint]):
    pass


class WebhookEndpointsQuery(Created):
    enabled: bool | None = None


def _each_once(patterns: list[str]) -> list[str]:
    return list(dict.fromkeys(patterns))


def _with_secret(made: tuple[Row, str], status: int) -> Response:
    row, secret = made
    return secret_answer(shown(WEBHOOK_ENDPOINT, row) | {"secret": secret}, status)


@router.post(
    "", operation_id="create_webhook_endpoint", status_code=201, response_model=WebhookEndpoint
)
async def create_webhook_endpoint(ask: Asked, body: WebhookEndpointCreate) -> Response:
    """Create an endpoint: it is told what happens from now on. The answer has its `secret`."""
    return _with_secret(await webhook_endpoints.create(ask.rt, ask.caller, body.command()), 201)


@router.get("", operation_id="list_webhook_endpoints", response_model=WebhookEndpointList)
async def list_webhook_endpoints(
    ask: Asked, query: Annotated[WebhookEndpointsQuery, Query()]
) -> Response:
    """List endpoints, the newest first, without deleted ones."""
    return await ask.page(WEBHOOK_ENDPOINT, query)


@router.get(
    "/{webhook_endpoint_id}", operation_id="get_webhook_endpoint", response_model=WebhookEndpoint
)
async def get_webhook_endpoint(ask: Asked, webhook_endpoint_id: c.WebhookEndpointRef) -> Response:
    """Get an endpoint, without its secret."""
    return await ask.one(WEBHOOK_ENDPOINT, webhook_endpoint_id)


@router.patch(
    "/{webhook_endpoint_id}",
    operation_id="update_webhook_endpoint",
    response_model=WebhookEndpoint,
)
async def update_webhook_endpoint(
    ask: Asked, webhook_endpoint_id: c.WebhookEndpointRef, body: WebhookEndpointUpdate
) -> Response:
    """Change an endpoint, disable it or enable it again: then it is told what was pending, and what
    happens from now on. What happened while it was disabled can be replayed.
    """
    cmd = UpdateEndpoint(webhook_endpoint_id, body.changes(), ask.expected_version())
    return ask.shown(WEBHOOK_ENDPOINT, await webhook_endpoints.update(ask.rt, ask.caller, cmd))


@router.delete(
    "/{webhook_endpoint_id}",
    operation_id="delete_webhook_endpoint",
    response_model=WebhookEndpoint,
)
async def delete_webhook_endpoint(
    ask: Asked, webhook_endpoint_id: c.WebhookEndpointRef
) -> Response:
    """Delete an endpoint: it is called no more, and its secrets are gone."""
    row = await webhook_endpoints.delete(
        ask.rt, ask.caller, webhook_endpoint_id, ask.expected_version()
    )
    return ask.shown(WEBHOOK_ENDPOINT, row)


@router.post(
    "/{webhook_endpoint_id}/reveal_secret",
    operation_id="reveal_webhook_endpoint_secret",
    response_model=WebhookEndpoint,
)
async def reveal_webhook_endpoint_secret(
    ask: Asked, webhook_endpoint_id: c.WebhookEndpointRef
) -> Response:
    """Show an endpoint with its present secret. That somebody looked is written down."""
    found = await webhook_endpoints.reveal_secret(ask.rt, ask.caller, webhook_endpoint_id)
    return _with_secret(found, 200)


@router.post(
    "/{webhook_endpoint_id}/rotate_secret",
    operation_id="rotate_webhook_endpoint_secret",
    response_model=WebhookEndpoint,
)
async def rotate_webhook_endpoint_secret(
    ask: Asked, webhook_endpoint_id: c.WebhookEndpointRef, body: SecretRotate
) -> Response:
    """Give an endpoint another secret. For a while calls carry a signature by each of the two; one
    that was still expiring from a rotation before ends now.
    """
    overlap = timedelta(seconds=body.overlap_seconds)
    cmd = RotateSecret(webhook_endpoint_id, overlap, ask.expected_version())
    return _with_secret(await webhook_endpoints.rotate_secret(ask.rt, ask.caller, cmd), 200)


@router.post(
    "/{webhook_endpoint_id}/ping",
    operation_id="ping_webhook_endpoint",
    status_code=201,
    response_model=Event,
)
async def ping_webhook_endpoint(ask: Asked, webhook_endpoint_id: c.WebhookEndpointRef) -> Response:
    """Send an endpoint a `webhook_endpoint.ping`, whatever it asks for; the answer is the event."""
    row = await redelivery.ping(ask.rt, ask.caller, webhook_endpoint_id)
    return ask.shown(EVENT, row, 201)


@router.post(
    "/{webhook_endpoint_id}/replay",
    operation_id="replay_webhook_endpoint",
    response_model=WebhookReplay,
)
async def replay_webhook_endpoint(
    ask: Asked, webhook_endpoint_id: c.WebhookEndpointRef, body: WebhookReplayCreate
) -> Response:
    """Tell an endpoint again what it asks for of a time, in order; what is still to be delivered is
    left out. At most 10,000 events at once: `has_more` says that there are more.
    """
    cmd = Replay(webhook_endpoint_id, body.start, body.end, body.after_sequence)
    made = await redelivery.replay(ask.rt, ask.caller, cmd)
    return answer(
        {
            "object": "webhook_replay",
            "deliveries": made.deliveries,
            "has_more": made.next_after is not None,
            "next_after_sequence": made.next_after,
        }
    )


@router.get(
    "/{webhook_endpoint_id}/deliveries",
    operation_id="list_webhook_endpoint_deliveries",
    response_model=DeliveryList,
)
async def list_webhook_endpoint_deliveries(
    ask: Asked,
    webhook_endpoint_id: c.WebhookEndpointRef,
    query: Annotated[DeliveriesQuery, Query()],
) -> Response:
    """List an endpoint's deliveries, the newest first."""
    await lookup.one(ask.rt, ask.caller, WEBHOOK_ENDPOINT, webhook_endpoint_id)
    fixed = {"webhook_endpoint_id": webhook_endpoint_id}
    return await ask.page(DELIVERY_SUMMARY, query, fixed)
