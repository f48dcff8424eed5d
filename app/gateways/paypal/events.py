"""Events as hints: which object of PayPal's something happened to, and what we call it.

Nothing in an event is believed beyond that: the object is fetched, and tells how it stands now.
"""

from typing import Any, Final

import orjson
from pydantic import BaseModel, ValidationError

from app.gateways.base import WebhookRefused
from app.gateways.paypal import moments
from app.gateways.paypal.references import Kind, Reference
from app.gateways.paypal.words import Link, RelatedIds, Supplementary, Unit, link
from app.gateways.reports import EventKind, GatewayEvent

CAPTURES: Final = "PAYMENT.CAPTURE."
REFUNDED: Final = frozenset({"PAYMENT.CAPTURE.REFUNDED", "PAYMENT.CAPTURE.REVERSED"})
REFUNDS: Final = "PAYMENT.REFUND."
AUTHORIZATIONS: Final = "PAYMENT.AUTHORIZATION."
ORDERS: Final = ("CHECKOUT.ORDER.", "CHECKOUT.PAYMENT-APPROVAL.")
DISPUTES: Final = "CUSTOMER.DISPUTE."
METHODS: Final = "VAULT.PAYMENT-TOKEN."
ID_CHARS_MAX: Final = 255


class Event(BaseModel):
    """A delivery's body, as far as it is read."""

    id: str
    event_type: str
    create_time: str | None = None
    resource: dict[str, Any] = {}


class DisputedTransaction(BaseModel):
    """A payment that is disputed."""

    seller_transaction_id: str | None = None


class Resource(BaseModel):
    """What an event is about, whatever it is."""

    id: str | None = None
    order_id: str | None = None
    dispute_id: str | None = None
    invoice_id: str | None = None
    custom_id: str | None = None
    links: list[Link] = []
    supplementary_data: Supplementary = Supplementary()
    disputed_transactions: list[DisputedTransaction] = []
    purchase_units: list[Unit] = []

    @property
    def our_reference(self) -> str | None:
        """Our code, where the object carries it."""
        unit = self.purchase_units[0].our_reference if self.purchase_units else None
        return self.invoice_id or self.custom_id or unit


def event_of(body: bytes) -> GatewayEvent:
    """A proved delivery as a hint. Raises WebhookRefused for what cannot be kept apart by an id."""
    try:
        event = Event.model_validate(orjson.loads(body))
    except (orjson.JSONDecodeError, ValidationError):
        raise WebhookRefused("The delivery is no event of PayPal's.") from None
    if not 0 < len(event.id) <= ID_CHARS_MAX:
        raise WebhookRefused("The delivery is no event of PayPal's.")
    try:
        resource = Resource.model_validate(event.resource)
    except ValidationError:
        resource = Resource()
    kind, reference, payment = _about(event.event_type, resource)
    return GatewayEvent(
        id=event.id,
        type=event.event_type,
        kind=kind if reference is not None else EventKind.OTHER,
        reference=reference,
        our_reference=resource.our_reference if reference is not None else None,
        payment_reference=payment,
        occurred_at=moments.read(event.create_time),
    )


def _about(kind: str, resource: Resource) -> tuple[EventKind, str | None, str | None]:
    """Kind, reference, and of refunds and disputes the payment they are of."""
    if kind in REFUNDED or kind.startswith(REFUNDS):
        return _refund(kind, resource)
    if kind.startswith(CAPTURES):
        return EventKind.PAYMENT, resource.id, None
    if kind.startswith(AUTHORIZATIONS):
        return EventKind.PAYMENT, _named(Kind.AUTHORIZATION, resource.id), None
    if kind.startswith(ORDERS):
        order = resource.order_id or resource.id
        return EventKind.PAYMENT, _named(Kind.ORDER, order), None
    if kind.startswith(DISPUTES):
        payments = (one.seller_transaction_id for one in resource.disputed_transactions)
        return EventKind.DISPUTE, resource.dispute_id, next(payments, None)
    if kind.startswith(METHODS):
        return EventKind.METHOD, resource.id, None
    return EventKind.OTHER, None, None


def _refund(kind: str, resource: Resource) -> tuple[EventKind, str | None, str | None]:
    """The resource is the refund; what PayPal itself took back is told of the payment."""
    capture = _capture(resource)
    if kind.endswith(".REVERSED"):
        return EventKind.PAYMENT, capture or resource.id, None
    return EventKind.REFUND, resource.id, capture


def _capture(resource: Resource) -> str | None:
    related: RelatedIds = resource.supplementary_data.related_ids
    if related.capture_id is not None:
        return related.capture_id
    up = link(resource.links, "up")
    _, slash, own_id = (up or "").rpartition("/captures/")
    return own_id or None if slash else None


def _named(kind: Kind, id: str | None) -> str | None:
    return str(Reference(kind, id)) if id is not None else None
