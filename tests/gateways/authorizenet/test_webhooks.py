"""Deliveries: a real one is accepted, everything else refused; what they are about is a hint."""

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from app.domain.outcome import Succeeded
from app.gateways.authorizenet.adapter import AuthorizeNetGateway
from app.gateways.base import AccountSettings, WebhookRefused
from app.gateways.reports import EventKind, WebhookDelivery
from tests.gateways import specs
from tests.gateways.authorizenet.terms import Shop
from tests.gateways.fakes.authorizenet.secrets import SIGNATURE_KEY

NOW = datetime(2026, 5, 1, tzinfo=UTC)
NOTIFICATION = {
    "notificationId": "d0e8e7fe-c3e7-4add-a480-27bc5ce28a18",
    "eventType": "net.authorize.payment.authcapture.created",
    "eventDate": "2026-05-01T09:00:00.1234567Z",
    "webhookId": "63d6fea2-aa13-4b1d-a204-f5fbc15942b7",
    "payload": {"entityName": "transaction", "id": "60020981676", "responseCode": 1},
}


def signed(body: bytes, key: str = SIGNATURE_KEY) -> WebhookDelivery:
    digest = hmac.new(key.encode(), body, hashlib.sha512).hexdigest().upper()
    return WebhookDelivery({"x-anet-signature": f"sha512={digest}"}, body, NOW)


def notification(**changes: Any) -> bytes:
    return json.dumps(NOTIFICATION | changes).encode()


async def test_a_delivery_says_what_it_is_about(gateway: AuthorizeNetGateway) -> None:
    [event] = await gateway.verify_webhook(signed(notification()))
    assert event.id == NOTIFICATION["notificationId"]
    assert event.type == "net.authorize.payment.authcapture.created"
    assert (event.kind, event.reference) == (EventKind.PAYMENT, "60020981676")
    assert event.our_reference is None
    assert event.occurred_at == datetime(2026, 5, 1, 9, 0, 0, 123456, tzinfo=UTC)


async def test_a_real_delivery_is_verified(settings: AccountSettings) -> None:
    for vector in specs.load("webhooks", "authorizenet-vectors.json"):
        body = vector["body"].encode()
        delivery = WebhookDelivery({"x-anet-signature": vector["header"]}, body, NOW)
        keys = (SecretStr(vector["signature_key"]),)
        gateway = AuthorizeNetGateway(replace(settings, webhook_secrets=keys))
        [event] = await gateway.verify_webhook(delivery)
        assert (event.kind, event.reference) == (EventKind.PAYMENT, "40005915599")
        with pytest.raises(WebhookRefused):
            await gateway.verify_webhook(replace(delivery, body=body + b" "))
        await gateway.aclose()
        # The key is hexadecimal, and not decoded: whoever decodes it refuses this delivery.
        decoded = hmac.new(bytes.fromhex(vector["signature_key"]), body, hashlib.sha512)
        assert decoded.hexdigest().upper() not in vector["header"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("payment.authcapture.created", EventKind.PAYMENT),
        ("payment.authorization.created", EventKind.PAYMENT),
        ("payment.capture.created", EventKind.PAYMENT),
        ("payment.priorAuthCapture.created", EventKind.PAYMENT),
        ("payment.void.created", EventKind.PAYMENT),
        ("payment.fraud.held", EventKind.PAYMENT),
        ("payment.fraud.approved", EventKind.PAYMENT),
        ("payment.fraud.declined", EventKind.PAYMENT),
        ("payment.refund.created", EventKind.REFUND),
        ("customer.paymentProfile.updated", EventKind.METHOD),
        ("customer.paymentProfile.deleted", EventKind.METHOD),
        ("customer.created", EventKind.OTHER),
        ("customer.subscription.created", EventKind.OTHER),
        ("something.new", EventKind.OTHER),
    ],
)
async def test_every_type_has_a_kind(
    gateway: AuthorizeNetGateway, name: str, kind: EventKind
) -> None:
    body = notification(eventType=f"net.authorize.{name}")
    [event] = await gateway.verify_webhook(signed(body))
    assert event.kind is kind


async def test_the_header_may_be_written_in_small_letters(gateway: AuthorizeNetGateway) -> None:
    delivery = signed(notification())
    small = {name: value.lower() for name, value in delivery.headers.items()}
    assert await gateway.verify_webhook(replace(delivery, headers=small))


async def test_the_previous_key_counts_while_it_is_kept(settings: AccountSettings) -> None:
    old, new = SIGNATURE_KEY, "A1B2C3D4" * 16
    both = AuthorizeNetGateway(
        replace(settings, webhook_secrets=(SecretStr(new), SecretStr(f"{old}\n")))
    )
    only_new = AuthorizeNetGateway(replace(settings, webhook_secrets=(SecretStr(new),)))
    body = notification()
    assert await both.verify_webhook(signed(body, old))
    assert await both.verify_webhook(signed(body, new))
    assert await only_new.verify_webhook(signed(body, new))
    with pytest.raises(WebhookRefused):
        await only_new.verify_webhook(signed(body, old))
    await both.aclose()
    await only_new.aclose()


def _forgeries() -> dict[str, WebhookDelivery]:
    right = signed(notification())
    header = right.headers["x-anet-signature"]
    without = {"": "", "scheme": header.removeprefix("sha512="), "other": f"sha256={header[7:]}"}
    return {
        "another key": signed(notification(), "A1B2C3D4" * 16),
        "another body": replace(right, body=right.body.replace(b"60020981676", b"60020981677")),
        "a space more": replace(right, body=right.body + b" "),
        "cut off": replace(right, body=right.body[:-1]),
        "no body": replace(right, body=b""),
        "no header": replace(right, headers={}),
        "half a signature": replace(right, headers={"x-anet-signature": header[:71]}),
        "an empty signature": replace(right, headers={"x-anet-signature": "sha512="}),
        "no ascii": replace(right, headers={"x-anet-signature": "sha512=ÄÖÜ"}),
        **{
            f"no scheme {name}": replace(right, headers={"x-anet-signature": value})
            for name, value in without.items()
        },
    }


@pytest.mark.parametrize("name", _forgeries())
async def test_a_forgery_is_refused(gateway: AuthorizeNetGateway, name: str) -> None:
    with pytest.raises(WebhookRefused, match="not signed"):
        await gateway.verify_webhook(_forgeries()[name])


async def test_without_a_key_everything_is_refused(settings: AccountSettings) -> None:
    for keys in ((), (SecretStr(""),), (SecretStr("  "),)):
        gateway = AuthorizeNetGateway(replace(settings, webhook_secrets=keys))
        for delivery in (signed(notification()), signed(notification(), "")):
            with pytest.raises(WebhookRefused):
                await gateway.verify_webhook(delivery)
        await gateway.aclose()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"{}",
        notification(notificationId=""),
        notification(notificationId=7),
        notification(eventType="com.example.payment"),
        notification(eventType=None),
    ],
)
async def test_what_is_signed_but_no_notification_is_refused(
    gateway: AuthorizeNetGateway, body: bytes
) -> None:
    with pytest.raises(WebhookRefused):
        await gateway.verify_webhook(signed(body))


@pytest.mark.parametrize(
    "changes", [{"payload": None}, {"payload": []}, {"payload": {"id": 7}}, {"eventDate": "soon"}]
)
async def test_oddities_do_not_lose_the_event(
    gateway: AuthorizeNetGateway, changes: dict[str, Any]
) -> None:
    [event] = await gateway.verify_webhook(signed(notification(**changes)))
    assert event.id == NOTIFICATION["notificationId"]


async def test_the_fakes_own_deliveries_lead_to_what_happened(shop: Shop) -> None:
    request, payment = await shop.charged()
    await shop.gateway.refund(shop.refund(payment, 1000))
    created, voided = shop.fake.do("deliveries")
    for told in (created, voided):
        delivery = WebhookDelivery(told["headers"], told["body"].encode(), NOW)
        [event] = await shop.gateway.verify_webhook(delivery)
        assert event.kind is EventKind.PAYMENT
        assert event.our_reference == request.attempt_code
        found = await shop.gateway.fetch_payment(event.reference or "")
        assert found.reference == request.attempt_code
    assert isinstance(payment, Succeeded)
