"""Deliveries of the simulator, verified as Standard Webhooks before anything is read of them."""

import base64
import binascii
import hmac
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import BaseModel, SecretStr, ValidationError

from app.gateways.base import WebhookRefused
from app.gateways.reports import EventKind, GatewayEvent, WebhookDelivery

TOLERANCE_SECONDS: Final = 300
"""A delivery that was signed longer ago, or that far ahead, is a recording."""
KINDS: Final = {
    "charge": EventKind.PAYMENT,
    "refund": EventKind.REFUND,
    "dispute": EventKind.DISPUTE,
    "setup": EventKind.SETUP,
    "payment_method": EventKind.METHOD,
}


class Subject(BaseModel):
    """What an event is about, as far as we look at it."""

    object: str
    id: str
    reference: str | None = None
    charge: str | None = None


class EventBody(BaseModel):
    """An event as it is delivered."""

    id: str
    type: str
    account: str
    livemode: Literal[False]
    created_at: int
    data: Subject


def verify(
    delivery: WebhookDelivery, secrets: tuple[SecretStr, ...], account: str
) -> tuple[GatewayEvent, ...]:
    """What the delivery tells, once it is proved to be for this account. Raises WebhookRefused."""
    own_id = delivery.headers.get("webhook-id", "")
    stamp = delivery.headers.get("webhook-timestamp", "")
    if not stamp.isascii() or not stamp.isdigit():
        raise WebhookRefused("The delivery bears no time.")
    if abs(delivery.received_at.timestamp() - int(stamp)) > TOLERANCE_SECONDS:
        raise WebhookRefused("The delivery was signed too long ago, or in the future.")
    signed = f"{own_id}.{stamp}.".encode() + delivery.body
    given = delivery.headers.get("webhook-signature", "").split()
    if not any(_is_signed(secret, signed, given) for secret in secrets):
        raise WebhookRefused("The delivery is not signed with this account's secret.")
    try:
        event = EventBody.model_validate_json(delivery.body, strict=True)
    except ValidationError:
        raise WebhookRefused("The delivery makes no sense, or is not of test mode.") from None
    if event.id != own_id or event.account != account:
        raise WebhookRefused("The delivery is another event's, or another account's.")
    about = event.data
    return (
        GatewayEvent(
            id=event.id,
            type=event.type,
            kind=KINDS.get(about.object, EventKind.OTHER),
            reference=about.id,
            our_reference=about.reference,
            payment_reference=about.charge,
            occurred_at=datetime.fromtimestamp(event.created_at / 1_000, UTC),
        ),
    )


def _is_signed(secret: SecretStr, signed: bytes, given: list[str]) -> bool:
    try:
        key = base64.b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True)
    except binascii.Error:
        return False
    wanted = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    return any(hmac.compare_digest(wanted.encode(), one.encode()) for one in given)
