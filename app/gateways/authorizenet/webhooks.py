"""Webhooks: the proof that a delivery is Authorize.net's, and what it is about.

The signature is an HMAC-SHA512 of the raw body, its key the Signature Key as the text that the
Merchant Interface shows: the key is hexadecimal, but it is not decoded.
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import SecretStr

from app.gateways.authorizenet import answers
from app.gateways.authorizenet.account import REFERENCE_CHARS
from app.gateways.base import WebhookRefused
from app.gateways.reports import EventKind, GatewayEvent, WebhookDelivery

HEADER: Final = "x-anet-signature"
SCHEME: Final = "sha512="
PREFIX: Final = "net.authorize."
KINDS: Final = (
    ("net.authorize.payment.refund.", EventKind.REFUND),
    ("net.authorize.payment.", EventKind.PAYMENT),
    ("net.authorize.customer.paymentProfile.", EventKind.METHOD),
)


def verified(keys: Sequence[SecretStr], delivery: WebhookDelivery) -> tuple[GatewayEvent, ...]:
    """What a delivery is about, once it is proved. Raises WebhookRefused."""
    if not is_signed(keys, delivery):
        raise WebhookRefused("The delivery is not signed with this account's Signature Key.")
    try:
        said = answers.parse(delivery.body)
    except answers.Unreadable:
        raise WebhookRefused("The delivery is no JSON object.") from None
    notification, name = _word(said.get("notificationId")), _word(said.get("eventType"))
    if notification is None or name is None or not name.startswith(PREFIX):
        raise WebhookRefused("The delivery is no notification of Authorize.net's.")
    payload = said.get("payload")
    told = payload if isinstance(payload, dict) else {}
    return (event(notification, name, told, said.get("eventDate")),)


def is_signed(keys: Sequence[SecretStr], delivery: WebhookDelivery) -> bool:
    """Whether one of the keys signed exactly these bytes; without keys, none did."""
    scheme, given = delivery.headers.get(HEADER, "").strip().lower().partition("=")[::2]
    if f"{scheme}=" != SCHEME or not given.isascii():
        return False
    matches = [
        hmac.compare_digest(
            hmac.new(
                key.get_secret_value().strip().encode(), delivery.body, hashlib.sha512
            ).hexdigest(),
            given,
        )
        for key in keys
        if key.get_secret_value().strip()
    ]
    return any(matches)


def event(id: str, name: str, payload: dict[str, Any], date: object) -> GatewayEvent:
    """The event, its names only as hints where to look."""
    kind = next((kind for prefix, kind in KINDS if name.startswith(prefix)), EventKind.OTHER)
    ours = payload.get("merchantReferenceId")
    return GatewayEvent(
        id=id,
        type=name,
        kind=kind,
        reference=_word(payload.get("id")),
        our_reference=ours if isinstance(ours, str) and len(ours) == REFERENCE_CHARS else None,
        occurred_at=_moment(date),
    )


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _moment(value: object) -> datetime | None:
    """A date with whatever precision it came; None rather than a guess."""
    try:
        return answers.utc(datetime.fromisoformat(str(value)))
    except ValueError:
        return None
