"""Deliveries: what proves that one is PayPal's, and everything that does not."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson
import pytest
from pydantic import SecretStr

from app.clock import SystemClock
from app.gateways.base import (
    AccountMode,
    ConfigurationError,
    WebhookRefused,
    WebhookUnverifiable,
)
from app.gateways.paypal.certificates import TrustBundle, mozilla
from app.gateways.paypal.gateway import PayPalGateway
from app.gateways.paypal.webhooks import MISSES_MAX, MISSES_WITHIN
from app.gateways.reports import EventKind, WebhookDelivery
from tests.gateways.fakes.paypal.authority import LIVE, SANDBOX, Authority, Signer, Wanted, issue
from tests.gateways.fakes.paypal.control import WEBHOOK_ID
from tests.gateways.paypal import PayPalProcess
from tests.gateways.test_paypal_charges import charge_of, charged, hold, refund_of

CERTS = "https://api.sandbox.paypal.com/v1/notifications/certs/"
EVENT = {
    "id": "WH-1",
    "event_type": "PAYMENT.CAPTURE.COMPLETED",
    "summary": "Payment completed for € 12.34",
    "create_time": "2026-11-20T20:01:35Z",
    "resource": {"id": "CAP1", "invoice_id": "attempt1"},
}
BODY = orjson.dumps(EVENT)
OURS = Authority.make()
"""An authority that the accounts of these tests trust; the fake's own is another."""


@pytest.fixture(scope="session")
def trusting(paypal_process: PayPalProcess) -> PayPalProcess:
    """A fake that serves our certificates, none of them known to it as genuine."""
    paypal_process.put_certificate("CERT-ours", OURS.leaf.pem)
    return paypal_process


@pytest.fixture
async def gateway(
    paypal: PayPalProcess, trusting: PayPalProcess, anyio_backend: str
) -> AsyncIterator[PayPalGateway]:
    """An account whose trust bundle leads to our authority."""
    gateway = paypal.open(options={"webhook_trust_bundle": OURS.bundle})
    yield gateway
    await gateway.aclose()


def delivery_of(
    body: bytes = BODY,
    signer: Signer = OURS.leaf,
    certificate: str = "CERT-ours",
    webhook_id: str = WEBHOOK_ID,
    **headers: str,
) -> WebhookDelivery:
    signed = signer.headers(body, webhook_id, certificate=certificate)
    return WebhookDelivery(signed | headers, body, SystemClock().now())


def asked(paypal: PayPalProcess) -> int:
    """How often PayPal itself was asked."""
    return len(paypal.calls("/v1/notifications/verify-webhook-signature"))


# ── proved offline ────────────────────────────────────────────────────────────────────────────────


async def test_a_delivery_is_proved_by_its_chain_and_nobody_is_asked(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    [event] = await gateway.verify_webhook(delivery_of())
    assert (event.id, event.type, event.kind) == ("WH-1", EVENT["event_type"], EventKind.PAYMENT)
    assert (event.reference, event.our_reference) == ("CAP1", "attempt1")
    assert event.occurred_at == datetime(2026, 11, 20, 20, 1, 35, tzinfo=UTC)
    assert [call["path"] for call in paypal.calls()] == ["/v1/notifications/certs/CERT-ours"]


async def test_the_certificate_is_had_once(gateway: PayPalGateway, paypal: PayPalProcess) -> None:
    for number in range(5):
        body = orjson.dumps(EVENT | {"id": f"WH-{number}"})
        await gateway.verify_webhook(delivery_of(body))
    assert len(paypal.calls("/v1/notifications/certs/")) == 1


async def test_strangers_do_not_make_us_ask_without_end(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    """Whoever knows the address of an account may name certificates; PayPal counts our calls."""
    at = SystemClock().now()

    def named(number: int, at: datetime) -> WebhookDelivery:
        url = {"paypal-cert-url": f"{CERTS}CERT-invented-{number}"}
        return replace(delivery_of(**url), received_at=at)

    ends: list[type[Exception]] = []
    for number in range(MISSES_MAX + 20):
        with pytest.raises((WebhookRefused, WebhookUnverifiable)) as end:
            await gateway.verify_webhook(named(number, at))
        ends.append(end.type)
    assert ends == [WebhookRefused] * MISSES_MAX + [WebhookUnverifiable] * 20
    assert len(paypal.calls("/v1/notifications/certs/")) == MISSES_MAX
    # It comes again, as PayPal's own does: by then one that is genuine is asked for.
    later = at + MISSES_WITHIN
    assert await gateway.verify_webhook(replace(delivery_of(), received_at=later))
    for number in range(3):
        with pytest.raises(WebhookRefused):
            await gateway.verify_webhook(named(number, later))
    assert await gateway.verify_webhook(replace(delivery_of(), received_at=later))


@pytest.mark.parametrize("host", ["api.sandbox.paypal.com", "api-m.sandbox.paypal.com"])
async def test_both_of_paypals_hosts_are_believed(gateway: PayPalGateway, host: str) -> None:
    url = f"https://{host}/v1/notifications/certs/CERT-ours"
    assert await gateway.verify_webhook(delivery_of(**{"paypal-cert-url": url}))
    explicit = f"https://{host}:443/v1/notifications/certs/CERT-ours"
    assert await gateway.verify_webhook(delivery_of(**{"paypal-cert-url": explicit}))


async def test_the_present_and_the_previous_webhook_id_both_count(
    paypal: PayPalProcess, trusting: PayPalProcess
) -> None:
    secrets = (SecretStr("NEWWEBHOOKID"), SecretStr("OLDWEBHOOKID"))
    gateway = paypal.open(
        webhook_secrets=secrets,
        options={"webhook_id": "OPTIONID", "webhook_trust_bundle": OURS.bundle},
    )
    for webhook_id in ("NEWWEBHOOKID", "OLDWEBHOOKID", "OPTIONID"):
        assert await gateway.verify_webhook(delivery_of(webhook_id=webhook_id))
    with pytest.raises(WebhookRefused):
        await gateway.verify_webhook(delivery_of(webhook_id="OLDERWEBHOOKID"))
    await gateway.aclose()


# ── refused, all of them, without asking anybody ──────────────────────────────────────────────────


@pytest.mark.parametrize(
    "url",
    [
        "http://api.sandbox.paypal.com/v1/notifications/certs/CERT-ours",
        "https://api.sandbox.paypal.com:8443/v1/notifications/certs/CERT-ours",
        "https://api.sandbox.paypal.com.evil.example/v1/notifications/certs/CERT-ours",
        "https://evil.example/v1/notifications/certs/CERT-ours",
        "https://api.sandbox.paypal.com@evil.example/v1/notifications/certs/CERT-ours",
        "https://user:pw@api.sandbox.paypal.com/v1/notifications/certs/CERT-ours",
        "https://api.paypal.com/v1/notifications/certs/CERT-ours",
        "https://api-m.paypal.com/v1/notifications/certs/CERT-ours",
        "https://www.paypal.com/v1/notifications/certs/CERT-ours",
        "https://127.0.0.1/v1/notifications/certs/CERT-ours",
        "https://api.sandbox.paypal.com/v1/notifications/certs/../../x",
        "https://api.sandbox.paypal.com/v1/notifications/certs/",
        "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-ours?x=1",
        "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-ours#x",
        "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-ours/..",
        "https://api.sandbox.paypal.com/v1/oauth2/token",
        "https://api.sandbox.paypal.com:99999/v1/notifications/certs/CERT-ours",
        "https://[::1/v1/notifications/certs/CERT-ours",
        "file:///etc/passwd",
        "CERT-ours",
    ],
)
async def test_a_certificate_elsewhere_is_not_even_fetched(
    gateway: PayPalGateway, paypal: PayPalProcess, url: str
) -> None:
    with pytest.raises(WebhookRefused):
        await gateway.verify_webhook(delivery_of(**{"paypal-cert-url": url}))
    assert paypal.calls() == []


@pytest.mark.parametrize("header", ["transmission-id", "transmission-time", "transmission-sig"])
async def test_a_delivery_without_its_headers_is_refused(
    gateway: PayPalGateway, paypal: PayPalProcess, header: str
) -> None:
    delivery = delivery_of()
    headers = {k: v for k, v in delivery.headers.items() if k != f"paypal-{header}"}
    with pytest.raises(WebhookRefused):
        await gateway.verify_webhook(replace(delivery, headers=headers))
    assert paypal.calls() == []


@pytest.mark.parametrize("algorithm", ["", "SHA1withRSA", "none", "sha256withrsa", "HMAC"])
async def test_another_algorithm_is_refused(gateway: PayPalGateway, algorithm: str) -> None:
    with pytest.raises(WebhookRefused):
        await gateway.verify_webhook(delivery_of(**{"paypal-auth-algo": algorithm}))


@pytest.mark.parametrize(
    "change",
    [
        {"body": BODY.replace(b"12.34", b"92.34")},
        {"body": BODY.replace(b'","', b'", "')},
        {"body": BODY + b"\n"},
        {"body": b""},
        {"paypal-transmission-id": "another"},
        {"paypal-transmission-time": "2026-11-20T20:01:36Z"},
        {"paypal-transmission-sig": base64.b64encode(b"x" * 256).decode()},
        {"paypal-transmission-sig": "not base64!"},
        {"paypal-transmission-sig": "AAAA"},
    ],
    ids=["forged", "respaced", "longer", "empty", "id", "time", "other", "garbage", "short"],
)
async def test_what_was_changed_is_refused(
    gateway: PayPalGateway, paypal: PayPalProcess, change: dict[str, Any]
) -> None:
    delivery = delivery_of()
    body = change.pop("body", delivery.body)
    changed = WebhookDelivery({**delivery.headers, **change}, body, delivery.received_at)
    with pytest.raises(WebhookRefused):
        await gateway.verify_webhook(changed)
    assert asked(paypal) == 0


async def test_what_is_for_another_webhook_is_refused(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    for webhook_id in ("WEBHOOK_ID", "ANOTHERACCOUNTS"):
        with pytest.raises(WebhookRefused):
            await gateway.verify_webhook(delivery_of(webhook_id=webhook_id))
    assert asked(paypal) == 0


async def test_parts_cannot_be_shifted_between_the_headers(gateway: PayPalGateway) -> None:
    headers = {"paypal-transmission-id": "a|b"}
    with pytest.raises(WebhookRefused):
        await gateway.verify_webhook(delivery_of(**headers))


def forged() -> dict[str, Signer]:
    """Certificates that are wrong in one thing each; all but the last are refused at sight."""
    expired, early = (-60, -1), (1, 60)
    return {
        "expired": issue(Wanted(SANDBOX, days=expired), OURS.intermediate, key=3),
        "not-yet": issue(Wanted(SANDBOX, days=early), OURS.intermediate, key=3),
        "other-name": issue(Wanted("www.paypal.com"), OURS.intermediate, key=3),
        "live-name": issue(Wanted(LIVE), OURS.intermediate, key=3),
        "common-name-only": issue(Wanted(SANDBOX, san="www.paypal.com"), OURS.intermediate, key=3),
        "longer-name": issue(Wanted(f"{SANDBOX}.evil.example"), OURS.intermediate, key=3),
        "self-signed": issue(Wanted(SANDBOX), key=4),
        "weak": issue(Wanted(SANDBOX, bits=1024), OURS.intermediate, key=5),
    }


@pytest.mark.parametrize("name", list(forged()))
async def test_a_certificate_that_is_not_paypals_is_refused_and_nobody_is_asked(
    gateway: PayPalGateway, paypal: PayPalProcess, name: str
) -> None:
    signer = forged()[name]
    paypal.put_certificate(f"CERT-{name}", signer.pem)
    with pytest.raises(WebhookRefused):
        await gateway.verify_webhook(delivery_of(signer=signer, certificate=f"CERT-{name}"))
    assert asked(paypal) == 0


def strangers() -> dict[str, Signer]:
    """Certificates with PayPal's name and time, to which no trusted root leads."""
    root = issue(Wanted("Test Root CA", is_ca=True), key=6)
    no_ca = issue(Wanted("Test Extended Validation CA"), OURS.root, key=7)
    return {
        "other-root": issue(Wanted(SANDBOX), root, key=3),
        "same-names-other-keys": issue(
            Wanted(SANDBOX), issue(Wanted("Test Extended Validation CA", is_ca=True), root, key=7)
        ),
        "issuer-is-no-ca": issue(Wanted(SANDBOX), no_ca, key=3),
        "expired-issuer": issue(
            Wanted(SANDBOX),
            issue(Wanted("Expired CA", is_ca=True, days=(-60, -1)), OURS.root, key=7),
            key=3,
        ),
    }


@pytest.mark.parametrize("name", list(strangers()))
async def test_a_chain_that_leads_nowhere_is_left_to_paypal_which_refuses(
    gateway: PayPalGateway, paypal: PayPalProcess, name: str
) -> None:
    signer = strangers()[name]
    paypal.put_certificate(f"CERT-{name}", signer.pem)
    with pytest.raises(WebhookRefused, match="PayPal says"):
        await gateway.verify_webhook(delivery_of(signer=signer, certificate=f"CERT-{name}"))
    assert asked(paypal) == 1


async def test_a_wrong_signature_is_refused_before_anybody_is_asked(paypal: PayPalProcess) -> None:
    gateway = paypal.open()  # without a bundle every chain is unknown
    paypal.put_certificate("CERT-ours", OURS.leaf.pem)
    with pytest.raises(WebhookRefused):
        await gateway.verify_webhook(delivery_of(signer=strangers()["other-root"]))
    await gateway.aclose()
    # Both keys are the same here but for the certificate; a forged body makes them differ.
    assert asked(paypal) <= 1


async def test_what_the_bundle_revokes_is_refused(paypal: PayPalProcess) -> None:
    other = issue(Wanted(SANDBOX), OURS.intermediate, key=8)
    paypal.put_certificate("CERT-other", other.pem)
    paypal.put_certificate("CERT-ours", OURS.leaf.pem)
    bundle = OURS.bundle + OURS.revoking(other)
    gateway = paypal.open(options={"webhook_trust_bundle": bundle})
    assert await gateway.verify_webhook(delivery_of())
    with pytest.raises(WebhookRefused, match="revoked"):
        await gateway.verify_webhook(delivery_of(signer=other, certificate="CERT-other"))
    await gateway.aclose()
    assert asked(paypal) == 0


async def test_a_list_that_somebody_else_signed_revokes_nothing(paypal: PayPalProcess) -> None:
    paypal.put_certificate("CERT-ours", OURS.leaf.pem)
    impostor = Authority.make()  # the same names, other serial numbers, the same keys
    forged_list = replace(impostor, intermediate=Signer(OURS.intermediate.certificate, _stranger()))
    bundle = OURS.bundle + forged_list.revoking(OURS.leaf)
    gateway = paypal.open(options={"webhook_trust_bundle": bundle})
    assert await gateway.verify_webhook(delivery_of())
    await gateway.aclose()


def _stranger() -> Any:
    return issue(Wanted("x"), key=9).key


async def test_an_issuer_taken_off_the_bundle_is_not_believed_any_more(
    paypal: PayPalProcess,
) -> None:
    paypal.put_certificate("CERT-ours", OURS.leaf.pem)
    gateway = paypal.open(options={"webhook_trust_bundle": OURS.root.pem.decode()})
    with pytest.raises(WebhookRefused, match="PayPal says"):
        await gateway.verify_webhook(delivery_of())
    await gateway.aclose()


async def test_without_a_webhook_id_everything_is_refused(paypal: PayPalProcess) -> None:
    options = {"webhook_id": "", "webhook_trust_bundle": OURS.bundle}
    gateway = paypal.open(options=options)
    with pytest.raises(WebhookRefused, match="no webhook id"):
        await gateway.verify_webhook(delivery_of())
    await gateway.aclose()
    assert paypal.calls() == []


async def test_a_certificate_that_paypal_does_not_have_is_refused(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    with pytest.raises(WebhookRefused):
        await gateway.verify_webhook(delivery_of(certificate="CERT-nobodys"))
    paypal.put_certificate("CERT-garbage", b"-----BEGIN CERTIFICATE-----\nx\n")
    with pytest.raises(WebhookRefused):
        await gateway.verify_webhook(delivery_of(certificate="CERT-garbage"))
    paypal.put_certificate("CERT-huge", OURS.leaf.pem + b"#" * 100_000)
    with pytest.raises(WebhookRefused):
        await gateway.verify_webhook(delivery_of(certificate="CERT-huge"))


async def test_what_is_no_certificate_is_had_anew(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    """A page of some proxy's in its place must not refuse every delivery from then on."""
    paypal.put_certificate("CERT-late", b"<html>Please stand by.</html>")
    with pytest.raises(WebhookRefused):
        await gateway.verify_webhook(delivery_of(certificate="CERT-late"))
    paypal.put_certificate("CERT-late", OURS.leaf.pem)
    assert await gateway.verify_webhook(delivery_of(certificate="CERT-late"))


async def test_a_redirect_to_a_certificate_is_refused(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    paypal.set_fault("redirect", operations=["certificate"])
    with pytest.raises(WebhookRefused):
        await gateway.verify_webhook(delivery_of())


@pytest.mark.parametrize("fault", ["timeout_before_effect", "error_500_before", "cut_body"])
async def test_a_certificate_that_cannot_be_had_now_is_asked_for_again(
    gateway: PayPalGateway, paypal: PayPalProcess, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.gateways.paypal.webhooks.FETCH_SECONDS", 1)
    paypal.set_fault(fault, operations=["certificate"], count=1)
    with pytest.raises(WebhookUnverifiable):
        await gateway.verify_webhook(delivery_of())
    assert await gateway.verify_webhook(delivery_of())


# ── PayPal asked ──────────────────────────────────────────────────────────────────────────────────


async def test_without_a_chain_paypal_is_asked_with_the_very_bytes(paypal: PayPalProcess) -> None:
    gateway = paypal.open()
    payment = await charged(gateway)
    delivery = paypal.event("PAYMENT.CAPTURE.COMPLETED", "capture", payment.gateway_reference)

    [event] = await gateway.verify_webhook(delivery)

    assert event.reference == payment.gateway_reference
    assert asked(paypal) == 1
    [call] = paypal.calls("/v1/notifications/verify-webhook-signature")
    assert delivery.body.decode() in call["body"]
    await gateway.aclose()


async def test_bytes_that_a_parser_would_change_come_back_as_they_were(
    paypal: PayPalProcess,
) -> None:
    gateway = paypal.open()
    bundle = paypal.fake("GET", "trust")["bundle"]
    payment = await charged(gateway)
    odd = {"create_time": "2026-11-20T20:01:35.000Z", "amount": 1.10, "summary": "ä € / é"}
    delivery = paypal.event(
        "PAYMENT.CAPTURE.COMPLETED", "capture", payment.gateway_reference, event=odd
    )
    assert await gateway.verify_webhook(delivery)
    offline = paypal.open(options={"webhook_trust_bundle": bundle})
    assert await offline.verify_webhook(delivery)
    for one in (gateway, offline):
        await one.aclose()


@pytest.mark.parametrize(
    "fault", ["timeout_before_effect", "error_500_before", "error_429", "cut_body", "garbage"]
)
async def test_when_paypal_cannot_be_asked_the_delivery_is_to_come_again(
    paypal: PayPalProcess, fault: str
) -> None:
    gateway = paypal.open(total_timeout_seconds=1)
    payment = await charged(gateway)
    delivery = paypal.event("PAYMENT.CAPTURE.COMPLETED", "capture", payment.gateway_reference)
    paypal.set_fault(fault, operations=["webhook"], count=1)
    with pytest.raises(WebhookUnverifiable):
        await gateway.verify_webhook(delivery)
    assert await gateway.verify_webhook(delivery)
    await gateway.aclose()


async def test_with_wrong_credentials_nothing_can_be_proved_without_a_chain(
    paypal: PayPalProcess,
) -> None:
    right, wrong = paypal.open(), paypal.open(secret="wrong")
    payment = await charged(right)
    delivery = paypal.event("PAYMENT.CAPTURE.COMPLETED", "capture", payment.gateway_reference)
    with pytest.raises(WebhookUnverifiable):
        await wrong.verify_webhook(delivery)
    for one in (right, wrong):
        await one.aclose()


@pytest.mark.parametrize(
    "body", [b"[1]", b'{"id":"WH-1"},"webhook_id":"X"', b"nonsense", b'{"id":1}{"id":2}']
)
async def test_only_one_whole_object_is_sent_to_paypal(paypal: PayPalProcess, body: bytes) -> None:
    gateway = paypal.open()
    paypal.put_certificate("CERT-ours", OURS.leaf.pem, genuine=True)
    with pytest.raises(WebhookRefused):
        await gateway.verify_webhook(delivery_of(body))
    await gateway.aclose()
    assert asked(paypal) == 0


# ── what events say ───────────────────────────────────────────────────────────────────────────────


async def test_events_name_what_is_to_be_fetched(paypal: PayPalProcess) -> None:
    bundle = paypal.fake("GET", "trust")["bundle"]
    gateway = paypal.open(options={"webhook_trust_bundle": bundle})
    payment = await charged(gateway)
    held = await hold(gateway)
    refund_code = refund_of(payment.gateway_reference, 100)
    await gateway.refund(refund_code)
    waiting = await gateway.charge(charge_of("card-requires-action"))
    order = str(waiting.gateway_reference)  # type: ignore[union-attr]
    refunds = paypal.ledger(refund_code.refund_code)
    paypal.fake(
        "PUT",
        "disputes/PP-D-9",
        {"disputed_transactions": [{"seller_transaction_id": payment.gateway_reference}]},
    )
    own = held.gateway_reference.partition(":")[2]
    for said, kind, own_id, wanted in [
        ("PAYMENT.CAPTURE.COMPLETED", "capture", payment.gateway_reference, "payment"),
        ("PAYMENT.CAPTURE.DENIED", "capture", payment.gateway_reference, "payment"),
        ("PAYMENT.AUTHORIZATION.VOIDED", "authorization", own, "payment"),
        ("CHECKOUT.ORDER.APPROVED", "order", order.partition(":")[2], "payment"),
        ("PAYMENT.CAPTURE.REFUNDED", "refund", refunds[0]["id"], "refund"),
        ("PAYMENT.CAPTURE.REVERSED", "refund", refunds[0]["id"], "reversed"),
        ("CUSTOMER.DISPUTE.CREATED", "dispute", "PP-D-9", "dispute"),
        ("VAULT.PAYMENT-TOKEN.DELETED", "token", "wallet-ok", "method"),
    ]:
        [event] = await gateway.verify_webhook(paypal.event(said, kind, own_id))
        if wanted == "payment":
            fetched = await gateway.fetch_payment(str(event.reference))
            assert fetched.reference == event.our_reference  # type: ignore[union-attr]
            assert event.kind is EventKind.PAYMENT
        elif wanted == "refund":
            assert event.kind is EventKind.REFUND
            assert event.payment_reference == payment.gateway_reference
            fetched_refund = await gateway.fetch_refund(str(event.reference))
            assert fetched_refund.reference == event.our_reference == refund_code.refund_code  # type: ignore[union-attr]
        elif wanted == "reversed":
            assert (event.kind, event.reference) == (EventKind.PAYMENT, payment.gateway_reference)
        elif wanted == "dispute":
            assert (event.kind, event.reference) == (EventKind.DISPUTE, "PP-D-9")
            assert event.payment_reference == payment.gateway_reference
        else:
            assert (event.kind, event.reference) == (EventKind.METHOD, "wallet-ok")
    await gateway.aclose()


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"event_type": "BILLING.PLAN.CREATED"}, EventKind.OTHER),
        ({"resource": {}}, EventKind.OTHER),
        ({"resource": {"id": 5}}, EventKind.OTHER),
        ({"resource": {"id": "C", "links": "none"}}, EventKind.OTHER),
        ({"event_type": "CUSTOMER.DISPUTE.CREATED", "resource": {"id": "x"}}, EventKind.OTHER),
        ({"create_time": "2018-19-12T21:20:49Z"}, EventKind.PAYMENT),
        ({"create_time": None}, EventKind.PAYMENT),
    ],
)
async def test_an_event_that_says_little_is_kept_all_the_same(
    gateway: PayPalGateway, event: dict[str, Any], kind: EventKind
) -> None:
    [told] = await gateway.verify_webhook(delivery_of(orjson.dumps(EVENT | event)))
    assert told.kind is kind
    assert (told.reference is None) == (kind is EventKind.OTHER)
    if "create_time" in event:
        assert told.occurred_at is None


@pytest.mark.parametrize("body", [b"[]", b"{}", b"nonsense", b'{"id":"","event_type":"X"}'])
async def test_what_has_no_id_is_no_event(gateway: PayPalGateway, body: bytes) -> None:
    with pytest.raises(WebhookRefused):
        await gateway.verify_webhook(delivery_of(body))


# ── a delivery of PayPal's own ────────────────────────────────────────────────────────────────────

PAYPALS_CERTIFICATE = Path(__file__).parent / "vectors" / "paypal-sandbox-2019.pem"
PAYPALS_CRC32 = 3_674_300_368
PAYPALS_HEADERS = {
    "paypal-transmission-id": "afa30d40-ca4a-11e9-ab68-7d4e2605c70c",
    "paypal-transmission-time": "2019-08-29T10:49:33Z",
    "paypal-auth-algo": "SHA256withRSA",
    "paypal-cert-url": CERTS + "CERT-360caa42-fca2a594-1d93a270",
    "paypal-transmission-sig": (
        "K7DF5+hOyGS6v0xTZ9PkEO+BFNQmpryxw2hFlXbHgmxpu+883ldEC9HcL6ccEmB8sfy80y/Q3qcZZL1MR8Qi0e1y"
        "sylVj/yROgKK6zBsQPoNmgXC8yTiNoAjULuhk5Aoau0Itk3nrkgAfji1zvADlErMFM9VZe2nDvhM3nDMLjCi/K5f"
        "RjWp3eGo6Nx17GX/WIEibeKDyS+YdJMex3i+KO4aWmm9zznC/FJ5Y/ntd0MxOJNrM0r0f3y7c3e3sO5pB3oPgN6K"
        "zKVS5P6AWHqtS8acD3DjgCKZ1uqKz7q954G1aBz2/m0wRGOFFsv0/D3FE2uIheRRmoQtVSOAX7Aupg=="
    ),
}
PAYPALS_WEBHOOK_ID = "0FV983392A0531201"


def with_crc32(start: bytes, end: bytes, wanted: int) -> bytes:
    """`start`, four more bytes and `end`, so that the CRC-32 of the whole is `wanted`.

    The register is run backwards from there, first over the end, then over the four bytes.
    """
    table = [_entry(number) for number in range(256)]
    by_high = {entry >> 24: (number, entry) for number, entry in enumerate(table)}
    register = wanted ^ 0xFFFFFFFF
    for byte in (*reversed(end), 0, 0, 0, 0):
        number, entry = by_high[register >> 24]
        register = ((register ^ entry) << 8 & 0xFFFFFFFF) | number ^ byte
    between = (register ^ crc32(start) ^ 0xFFFFFFFF).to_bytes(4, "little")
    return start + between + end


def _entry(number: int) -> int:
    for _ in range(8):
        number = number >> 1 ^ (0xEDB88320 if number & 1 else 0)
    return number


async def test_paypals_own_signature_of_2019_is_right_by_our_reckoning(
    paypal: PayPalProcess,
) -> None:
    """A delivery that PayPal published with its SDK, and the certificate that it was signed with.

    The signature covers the body's CRC-32 alone, so that a body of our own with the same CRC-32
    stands in for PayPal's. That shows as well how little of the body is signed: events are hints.
    """
    start = (
        b'{"id":"WH-REAL","event_type":"PAYMENT.CAPTURE.COMPLETED","resource":{"id":"CAP"},"x":"'
    )
    made = (with_crc32(start + str(n).encode(), b'"}', PAYPALS_CRC32) for n in range(10_000))
    body = next(one for one in made if one[-6:-2].isalnum())
    assert crc32(body) == PAYPALS_CRC32
    paypal.put_certificate(
        "CERT-360caa42-fca2a594-1d93a270",
        PAYPALS_CERTIFICATE.read_bytes(),
        genuine=True,
        webhook_ids=[PAYPALS_WEBHOOK_ID],
    )
    gateway = paypal.open(options={"webhook_id": PAYPALS_WEBHOOK_ID})
    then = datetime(2019, 8, 29, 10, 49, 40, tzinfo=UTC)
    delivery = WebhookDelivery(PAYPALS_HEADERS, body, then)

    [told] = await gateway.verify_webhook(delivery)

    assert told.id == "WH-REAL"
    assert asked(paypal) == 1  # that leaf's root is trusted by nobody any more
    with pytest.raises(WebhookRefused):  # its certificate ran out in 2021
        await gateway.verify_webhook(replace(delivery, received_at=then + timedelta(days=700)))
    with pytest.raises(WebhookRefused):
        await gateway.verify_webhook(replace(delivery, body=body + b" "))
    await gateway.aclose()


# ── settings ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "options",
    [
        {"client_id": ""},
        {"client_id": "short"},
        {"webhook_id": "no such id!"},
        {"webhook_trust_bundle": "no certificate"},
        {"webhook_trust_bundle": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"},
        {"webhook_trust_bundle": OURS.revoking()},
    ],
)
async def test_settings_that_cannot_be_right_open_no_account(
    paypal: PayPalProcess, options: dict[str, str]
) -> None:
    with pytest.raises(ConfigurationError):
        paypal.open(options=options)


def test_a_bundle_without_a_root_begins_at_mozillas() -> None:
    bundle = TrustBundle.read(OURS.intermediate.pem)
    assert bundle.roots == mozilla().roots
    assert len(bundle.roots) > 50
    assert bundle.intermediates == (OURS.intermediate.certificate,)


def test_each_mode_has_its_own_name_and_hosts(paypal: PayPalProcess) -> None:
    live = replace(paypal.account(), mode=AccountMode.LIVE, base_url=None)
    gateway = PayPalGateway(live)
    origin, path = gateway._certificates.address(
        "https://api-m.paypal.com/v1/notifications/certs/CERT-1"
    )
    assert (origin, path) == ("https://api-m.paypal.com", "/v1/notifications/certs/CERT-1")
    with pytest.raises(WebhookRefused):
        gateway._certificates.address(CERTS + "CERT-1")
