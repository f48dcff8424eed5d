"""Razorpay's deliveries: signed over the raw body, with an id of the event in a header.

Nothing in a delivery says when it was sent in a way that is signed, so a repetition is recognised
by the event's id alone. The old secret signs what happened before it was changed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from pydantic import BaseModel, SecretStr, ValidationError

from app.gateways.base import WebhookRefused
from app.gateways.razorpay.signatures import is_signed
from app.gateways.razorpay.words import ATTEMPT, REFUND, SETUP, Notes, moment
from app.gateways.reports import EventKind, GatewayEvent, WebhookDelivery

SIGNATURE_HEADER: Final = "x-razorpay-signature"
EVENT_ID_HEADER: Final = "x-razorpay-event-id"
EVENT_ID_CHARS_MAX: Final = 100


class Entity(BaseModel):
    """What an event is about, as far as it says where to look."""

    id: str | None = None
    order_id: str | None = None
    payment_id: str | None = None
    receipt: str | None = None
    notes: Notes = {}


class Wrapped(BaseModel):
    """An entity, wrapped as it travels."""

    entity: Entity


class Payload(BaseModel):
    """What an event carries; pre-debit notices have their time inside."""

    payment: Wrapped | None = None
    refund: Wrapped | None = None
    dispute: Wrapped | None = None
    token: Wrapped | None = None
    notification: Wrapped | None = None
    created_at: int | None = None


class Delivered(BaseModel):
    """The body of a delivery."""

    event: str
    account_id: str
    payload: Payload
    created_at: int | None = None


def verify(
    delivery: WebhookDelivery, secrets: Sequence[SecretStr], account_id: str
) -> tuple[GatewayEvent, ...]:
    """What a delivery is about, once it is proved. Raises WebhookRefused."""
    given = delivery.headers.get(SIGNATURE_HEADER, "")
    # Each secret is tried whatever the others say: the time taken tells nothing.
    proofs = [
        is_signed(delivery.body, given, secret.get_secret_value())
        for secret in secrets
        if secret.get_secret_value()
    ]
    if not any(proofs):
        raise WebhookRefused("The signature is not Razorpay's for this account.")
    event_id = delivery.headers.get(EVENT_ID_HEADER, "")
    if not event_id or len(event_id) > EVENT_ID_CHARS_MAX or not event_id.isascii():
        raise WebhookRefused("The delivery has no event id.")
    try:
        delivered = Delivered.model_validate_json(delivery.body, strict=True)
    except ValidationError:
        raise WebhookRefused("The body is no event.") from None
    if delivered.account_id != account_id:
        raise WebhookRefused("The event is of another Razorpay account.")
    return (_event(event_id, delivered),)


def _event(event_id: str, delivered: Delivered) -> GatewayEvent:
    payload, type_ = delivered.payload, delivered.event
    seconds = delivered.created_at or payload.created_at
    at = None if seconds is None else moment(seconds)
    if type_.startswith("payment.dispute.") and payload.dispute:
        return _about(event_id, type_, EventKind.DISPUTE, payload.dispute.entity, at)
    if type_.startswith("refund.") and payload.refund:
        return _about(event_id, type_, EventKind.REFUND, payload.refund.entity, at)
    if type_.startswith("token.") and payload.token:
        return _of_token(event_id, type_, payload.token.entity, at)
    if type_.startswith("order.notification.") and payload.notification:
        # The notice is about a charge, and its order leads to that.
        order_id = payload.notification.entity.order_id
        return GatewayEvent(event_id, type_, EventKind.PAYMENT, order_id, occurred_at=at)
    if type_.startswith(("payment.", "order.")) and payload.payment:
        return _of_payment(event_id, type_, payload.payment.entity, at)
    return GatewayEvent(event_id, type_, EventKind.OTHER, occurred_at=at)


def _of_payment(id: str, type_: str, entity: Entity, at: datetime | None) -> GatewayEvent:
    """A payment of ours is a charge, or what a customer did for a set-up."""
    setup = _noted(entity.notes, SETUP)
    if setup is not None:
        return GatewayEvent(id, type_, EventKind.SETUP, entity.order_id, setup, occurred_at=at)
    return _about(id, type_, EventKind.PAYMENT, entity, at)


def _of_token(id: str, type_: str, entity: Entity, at: datetime | None) -> GatewayEvent:
    return GatewayEvent(id, type_, EventKind.METHOD, entity.id, occurred_at=at)


def _about(
    id: str, type_: str, kind: EventKind, entity: Entity, at: datetime | None
) -> GatewayEvent:
    ours = _noted(entity.notes, ATTEMPT) or _noted(entity.notes, REFUND)
    if kind is EventKind.REFUND:
        ours = ours or entity.receipt
    return GatewayEvent(id, type_, kind, entity.id, ours, entity.payment_id, at)


def _noted(notes: Mapping[str, object], name: str) -> str | None:
    value = notes.get(name)
    return value if isinstance(value, str) else None
