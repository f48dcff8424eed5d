"""Is a delivery Stripe's, and for this account? Then: what is it about?

`Stripe-Signature: t=SECONDS,v1=HEX[,v1=HEX]`: HMAC-SHA256 of `t.body` under the endpoint's signing
secret as it is written, `whsec_` included (https://docs.stripe.com/webhooks/signature). Schemes
other than v1 prove nothing. While a secret is being replaced, either may sign.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from pydantic import SecretStr, ValidationError

from app.gateways.base import AccountMode, WebhookRefused
from app.gateways.reports import EventKind, GatewayEvent, WebhookDelivery
from app.gateways.stripe.reading import ATTEMPT, REFUND, SETUP, moment
from app.gateways.stripe.words import Event, EventObject

HEADER: Final = "stripe-signature"
SCHEME: Final = "v1"
TOLERANCE_SECONDS: Final = 300
"""An older signature is refused: somebody may be playing back what was overheard. So is one from
the future, which Stripe's own verifier lets pass: it would be good for longer.
"""
MOMENT: Final = re.compile("[0-9]{1,12}")
SIGNATURES_MAX: Final = 10
"""Stripe sends one for each secret that counts, and there are two at most."""
KINDS: Final[Mapping[str, tuple[EventKind, str | None]]] = MappingProxyType(
    {
        "charge": (EventKind.PAYMENT, ATTEMPT),
        "dispute": (EventKind.DISPUTE, None),
        "mandate": (EventKind.METHOD, None),
        "payment_intent": (EventKind.PAYMENT, ATTEMPT),
        "payment_method": (EventKind.METHOD, None),
        "refund": (EventKind.REFUND, REFUND),
        "setup_intent": (EventKind.SETUP, SETUP),
    }
)
"""By the object that an event is about: what it is to us, and where our reference stands."""


def verified(
    delivery: WebhookDelivery, secrets: Iterable[SecretStr], mode: AccountMode
) -> GatewayEvent:
    """The delivery's event, once it is proved. Raises WebhookRefused; parses nothing before."""
    signed_at, signatures = _header(delivery.headers.get(HEADER, ""))
    message = b"%d.%b" % (signed_at, delivery.body)
    if not any(_signs(secret, message, signatures) for secret in secrets):
        raise WebhookRefused("The delivery is not signed with a secret of this account.")
    if abs(delivery.received_at.timestamp() - signed_at) > TOLERANCE_SECONDS:
        raise WebhookRefused("The delivery was not signed at this time.")
    try:
        event = Event.model_validate_json(delivery.body, strict=True)
    except ValidationError:
        raise WebhookRefused("The delivery is no event of Stripe's API v1.") from None
    if event.livemode != (mode is AccountMode.LIVE):
        raise WebhookRefused(f"The event is not of {mode} mode.")
    if event.account is not None:
        raise WebhookRefused("The event is of a connected account.")
    return told(event)


def told(event: Event) -> GatewayEvent:
    """What an event is about: where to look."""
    about = event.data.object
    kind, ours = KINDS.get(about.name("object") or "", (EventKind.OTHER, None))
    is_of_payment = kind in {EventKind.REFUND, EventKind.DISPUTE}
    return GatewayEvent(
        event.id,
        event.type,
        kind,
        reference=_reference(about),
        our_reference=about.ours(ours),
        payment_reference=_payment(about) if is_of_payment else None,
        occurred_at=moment(event.created),
    )


def _reference(about: EventObject) -> str | None:
    match about.object:
        case "charge":
            return about.name("payment_intent") or about.name("id")
        case "mandate":
            return about.name("payment_method")
        case _:
            return about.name("id")


def _payment(about: EventObject) -> str | None:
    return about.name("payment_intent") or about.name("charge")


def _header(text: str) -> tuple[int, list[bytes]]:
    """When it was signed, and the signatures of our scheme. Raises WebhookRefused."""
    parts = [part.partition("=") for part in text.split(",")]
    moments = [value for name, _, value in parts if name.strip() == "t"]
    signatures = [
        value.strip().encode(errors="replace") for name, _, value in parts if name.strip() == SCHEME
    ]
    if len(moments) != 1 or not MOMENT.fullmatch(moments[0]):
        raise WebhookRefused("The delivery does not say when it was signed.")
    if not 0 < len(signatures) <= SIGNATURES_MAX:
        raise WebhookRefused("The delivery is not signed as Stripe signs.")
    return int(moments[0]), signatures


def _signs(secret: SecretStr, message: bytes, signatures: list[bytes]) -> bool:
    key = secret.get_secret_value().encode()
    if not key:
        return False  # anybody can sign with nothing
    expected = hmac.new(key, message, hashlib.sha256).hexdigest().encode()
    # Every one is compared, each in constant time.
    return sum(hmac.compare_digest(expected, signature) for signature in signatures) > 0
