"""Deliveries of webhooks: proved offline where the certificate's chain can be built, else by asking
PayPal; then read as hints of what to fetch.

PayPal signs `transmission id | time | webhook id | crc32 of the body` (SHA256withRSA), with a
certificate that the delivery names by its address. The address is believed only where it is one of
PayPal's own, and nothing else of the delivery before the signature is right. The signature covers
no more of the body than its CRC-32: another reason to act on what is fetched alone.
Source: https://developer.paypal.com/api/rest/webhooks/rest/
"""

import binascii
import re
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Literal
from urllib.parse import urlsplit
from zlib import crc32

import orjson
from cryptography import x509
from pydantic import BaseModel

from app import log
from app.domain.outcome import NotExecuted, Unknown
from app.gateways.base import AccountMode, AuthenticationError, WebhookRefused, WebhookUnverifiable
from app.gateways.paypal.certificates import NotPayPals, TrustBundle, is_trusted, leaf_of, signed
from app.gateways.paypal.events import event_of
from app.gateways.paypal.exchange import ask
from app.gateways.paypal.problems import Refusal
from app.gateways.paypal.session import OK, Call, Session
from app.gateways.reports import GatewayEvent, WebhookDelivery
from app.http import Answer, HttpClient

ALGORITHM: Final = "SHA256withRSA"
HOSTS: Final = {
    AccountMode.LIVE: frozenset({"api.paypal.com", "api-m.paypal.com"}),
    AccountMode.TEST: frozenset({"api.sandbox.paypal.com", "api-m.sandbox.paypal.com"}),
}
CERTIFICATE_PATH: Final = re.compile(r"/v1/notifications/certs/[A-Za-z0-9_-]{1,128}", re.ASCII)
HTTPS_PORT: Final = 443
CERTIFICATES_MAX: Final = 16
"""Kept at once; PayPal uses one or two."""
CERTIFICATE_BYTES_MAX: Final = 65_536
CONNECT_SECONDS: Final = 3
FETCH_SECONDS: Final = 10
"""PayPal delivers again for three days: a certificate that takes longer is had another time."""
MISSES_MAX: Final = 10
MISSES_WITHIN: Final = timedelta(minutes=5)
"""So often in that time a certificate is asked for that PayPal does not give. Anybody who knows the
address of an account may name one, and PayPal counts our calls.
"""
SERVER_FAULT: Final = 500
HEADERS: Final = ("transmission-id", "transmission-time", "transmission-sig", "cert-url")
logger = log.get(__name__)


class Verdict(BaseModel):
    """What PayPal itself says of a delivery."""

    verification_status: Literal["SUCCESS", "FAILURE"]


class Certificates:
    """PayPal's certificates by their address; what is one is had once."""

    def __init__(self, mode: AccountMode, base_url: str | None) -> None:
        self._mode = mode
        self._base_url = base_url
        self._clients: dict[str, HttpClient] = {}
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._misses: list[datetime] = []

    def address(self, url: str) -> tuple[str, str]:
        """Origin and path of a certificate, if they are PayPal's. Raises WebhookRefused."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise WebhookRefused("The certificate's address cannot be read.") from None
        is_plain = not (parts.query or parts.fragment or parts.username or parts.password)
        if not (
            parts.scheme == "https"
            and parts.hostname in HOSTS[self._mode]
            and port in {None, HTTPS_PORT}
            and is_plain
            and CERTIFICATE_PATH.fullmatch(parts.path)
        ):
            raise WebhookRefused("The certificate's address is none of PayPal's for this account.")
        return self._base_url or f"https://{parts.hostname}", parts.path

    async def get(self, url: str, at: datetime) -> bytes:
        """The certificate at an address. Raises WebhookRefused, WebhookUnverifiable."""
        origin, path = self.address(url)
        kept = self._kept.get(path)
        if kept is not None:
            return kept
        self._misses = [miss for miss in self._misses if at - miss < MISSES_WITHIN]
        if len(self._misses) >= MISSES_MAX:
            raise WebhookUnverifiable("Certificates were asked for too often that are not there.")
        self._misses.append(at)  # until it is kept: those under way count, too
        exchange = await self._client(origin).send("GET", path)
        if not isinstance(exchange, Answer) or exchange.status >= SERVER_FAULT:
            raise WebhookUnverifiable("PayPal's certificate cannot be had just now.")
        # A redirect is refused like everything else: nobody but PayPal is asked.
        if exchange.status != OK or len(exchange.body) > CERTIFICATE_BYTES_MAX:
            raise WebhookRefused("PayPal has no such certificate.")
        return exchange.body

    def keep(self, url: str, pem: bytes, at: datetime) -> None:
        """Do not ask for this one again: it turned out to be a certificate of PayPal's."""
        _, path = self.address(url)
        if at in self._misses:
            self._misses.remove(at)
        self._kept[path] = pem
        while len(self._kept) > CERTIFICATES_MAX:
            self._kept.popitem(last=False)

    def _client(self, origin: str) -> HttpClient:
        known = self._clients.get(origin)
        if known is None:
            known = self._clients[origin] = HttpClient(
                origin,
                headers={},
                connect_timeout_seconds=CONNECT_SECONDS,
                total_timeout_seconds=FETCH_SECONDS,
            )
        return known

    async def aclose(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.aclose()


class Webhooks:
    """The deliveries to one account. `webhook_ids` are the present one, then earlier ones."""

    def __init__(
        self,
        session: Session,
        certificates: Certificates,
        mode: AccountMode,
        bundle: TrustBundle,
        webhook_ids: Sequence[str],
    ) -> None:
        self._session = session
        self._certificates = certificates
        self._mode = mode
        self._bundle = bundle
        self._webhook_ids = webhook_ids

    async def verify(self, delivery: WebhookDelivery) -> tuple[GatewayEvent, ...]:
        """What a proved delivery is about. Raises WebhookRefused, WebhookUnverifiable."""
        headers = _headers(delivery)
        if not self._webhook_ids:
            raise WebhookRefused("The account has no webhook id to verify deliveries by.")
        pem = await self._certificates.get(headers["cert-url"], delivery.received_at)
        try:
            leaf = leaf_of(pem, self._mode, delivery.received_at)
            self._certificates.keep(headers["cert-url"], pem, delivery.received_at)
            webhook_id = self._signed_for(delivery, headers, leaf)
            trusted = is_trusted(leaf, self._bundle, self._mode, delivery.received_at)
        except NotPayPals as error:
            raise WebhookRefused(f"The delivery is not PayPal's: {error}.") from None
        if not trusted:
            await self._ask_paypal(delivery, headers, webhook_id)
        return (event_of(delivery.body),)

    def _signed_for(
        self, delivery: WebhookDelivery, headers: dict[str, str], leaf: x509.Certificate
    ) -> str:
        """The webhook id that the signature is for. Raises NotPayPals."""
        try:
            signature = b64decode(headers["transmission-sig"], validate=True)
        except (binascii.Error, ValueError):
            raise NotPayPals("unreadable_signature") from None
        for webhook_id in self._webhook_ids:
            if signed(leaf, signature, message(headers, webhook_id, delivery.body)):
                return webhook_id
        raise NotPayPals("wrong_signature")

    async def _ask_paypal(
        self, delivery: WebhookDelivery, headers: dict[str, str], webhook_id: str
    ) -> None:
        """PayPal's own word for it, where no chain can be built. The body goes back byte for byte.

        Raises WebhookRefused, WebhookUnverifiable.
        """
        logger.info("paypal.webhook.asked", cert_url=headers["cert-url"])
        call = Call(
            "webhooks.verify",
            "POST",
            "/v1/notifications/verify-webhook-signature",
            content=postback(headers, webhook_id, delivery.body),
        )
        try:
            verdict = await ask(self._session, call, Verdict)
        except AuthenticationError:
            raise WebhookUnverifiable("PayPal does not accept the account's credentials.") from None
        match verdict:
            case Verdict(verification_status="SUCCESS"):
                return
            case Verdict() | Refusal():
                raise WebhookRefused("PayPal says that the delivery is not its own.")
            case NotExecuted() | Unknown():
                raise WebhookUnverifiable("PayPal cannot be asked just now.")


def _headers(delivery: WebhookDelivery) -> dict[str, str]:
    """The headers that a signature needs. Raises WebhookRefused."""
    found = {name: delivery.headers.get(f"paypal-{name}", "") for name in HEADERS}
    if not all(found.values()) or any("|" in found[name] for name in HEADERS[:2]):
        raise WebhookRefused("The delivery bears no signature of PayPal's.")
    if delivery.headers.get("paypal-auth-algo") != ALGORITHM:
        raise WebhookRefused("The delivery is signed in a way that PayPal does not use.")
    return found


def message(headers: dict[str, str], webhook_id: str, body: bytes) -> bytes:
    """What PayPal signs."""
    signed_parts = (
        headers["transmission-id"],
        headers["transmission-time"],
        webhook_id,
        str(crc32(body)),
    )
    return "|".join(signed_parts).encode()


def postback(headers: dict[str, str], webhook_id: str, body: bytes) -> bytes:
    """The question to PayPal, with the event's own bytes in it. Raises WebhookRefused.

    A body that is not one JSON object could say things beside the event: it is not sent.
    """
    try:
        is_object = isinstance(orjson.loads(body), dict)
    except orjson.JSONDecodeError:
        is_object = False
    if not is_object:
        raise WebhookRefused("The delivery is no JSON object.")
    question = {f"{name.replace('-', '_')}": headers[name] for name in HEADERS}
    question |= {"auth_algo": ALGORITHM, "webhook_id": webhook_id}
    return b'{"webhook_event":' + body.strip() + b"," + orjson.dumps(question)[1:]
