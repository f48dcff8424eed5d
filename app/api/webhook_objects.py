"""Webhook endpoints and deliveries, as callers get them."""

from typing import Annotated, Literal

from pydantic import Field

from app.api import common as c
from app.api.common import At, Documents, Expanded, Output, Version, open_enum
from app.api.objects import Event
from app.domain.delivery import Cause, Disabled, Status


class WebhookEndpoint(Output):
    id: c.WebhookEndpointId
    object: Literal["webhook_endpoint"]
    url: str
    description: str | None
    event_types: Annotated[list[str], Field(examples=[["invoice.*", "payment.failed"]])]
    enabled: bool
    disabled_reason: Annotated[str | None, open_enum(*Disabled)]
    disabled_at: At | None
    failing_since: Annotated[
        At | None,
        Field(description="It has taken nothing since then; after five days it is disabled."),
    ]
    previous_secret_expires_at: Annotated[
        At | None, Field(description="Until then the secret before this one signs, too.")
    ]
    secret: Annotated[
        str | None,
        Field(
            description="What calls are signed by: in the answers to its creation, to a reveal and "
            "to a rotation, and nowhere else.",
            examples=["whsec_…"],
        ),
    ]
    metadata: Documents
    created_at: At
    deleted_at: At | None
    version: Version


class DeliverySummary(Output):
    id: c.DeliveryId
    object: Literal["delivery"]
    webhook_endpoint_id: c.WebhookEndpointId
    event_id: c.EventId
    event_type: Annotated[str, Field(examples=["invoice.paid"])]
    cause: Annotated[str, open_enum(*Cause)]
    status: Annotated[str, open_enum(*Status)]
    attempt_count: int
    response_status: Annotated[int | None, Field(description="Of the latest attempt.")]
    failure: Annotated[
        str | None,
        Field(
            description="Why the latest attempt got no answer: timeout, connect_failed, "
            "connection_lost, tls_failed, unreadable_answer, address_not_allowed.",
            examples=["timeout"],
        ),
    ]
    created_at: At
    due_at: Annotated[
        At | None,
        Field(
            description="When it is tried next. Null while it waits for an earlier event of the "
            "same object, and once it is settled."
        ),
    ]
    settled_at: At | None


class DeliveryAttempt(Output):
    ordinal: int
    started_at: At
    duration_ms: int
    response_status: int | None
    failure: str | None
    excerpt: Annotated[
        str | None, Field(description="How the answer began, unless it was a success.")
    ]


class Delivery(DeliverySummary):
    event: Event | None = Expanded
    webhook_endpoint: WebhookEndpoint | None = Expanded
    attempts: list[DeliveryAttempt]


class WebhookReplay(Output):
    object: Literal["webhook_replay"]
    deliveries: Annotated[int, Field(description="How many were made.")]
    has_more: bool
    next_after_sequence: Annotated[
        int | None, Field(description="Send it as `after_sequence` to go on.", examples=[4711])
    ]
