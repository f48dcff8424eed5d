"""Razorpay's deliveries: each kind is understood, and whatever is not theirs is refused."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from app.clock import SystemClock
from app.domain.outcome import Found, Pending, Succeeded
from app.gateways.base import AccountSettings, WebhookRefused
from app.gateways.razorpay import RazorpayGateway
from app.gateways.razorpay.signatures import signature
from app.gateways.reports import EventKind, GatewayEvent, WebhookDelivery
from app.gateways.requests import CustomerDetails, SetupRequest
from tests.gateways.fakes.razorpay.books import ACCOUNT
from tests.gateways.razorpay import WEBHOOK_SECRET, RazorpayFake, charge_of, refund_of


@pytest.fixture
async def gateway(razorpay: RazorpayFake, anyio_backend: str) -> AsyncIterator[RazorpayGateway]:
    account = razorpay.account()
    gateway = RazorpayGateway(
        replace(account, options={**account.options, "pre_debit_notice": "none"})
    )
    razorpay.tell("forget")
    yield gateway
    await gateway.aclose()


async def told(gateway: RazorpayGateway, razorpay: RazorpayFake) -> dict[str, GatewayEvent]:
    """What was delivered since, by type; every delivery must verify."""
    events = {}
    for delivery in razorpay.deliveries():
        [event] = await gateway.verify_webhook(delivery)
        events[event.type] = event
    razorpay.tell("forget")
    return events


async def test_a_charge_and_its_refund_are_told_with_both_names(
    gateway: RazorpayGateway, razorpay: RazorpayFake
) -> None:
    customer = razorpay.customer()
    request = charge_of(customer, razorpay.token(customer))
    paid = await gateway.charge(request)
    assert isinstance(paid, Succeeded)
    refund = refund_of(paid.gateway_reference, 1_000)
    await gateway.refund(refund)

    events = await told(gateway, razorpay)

    assert set(events) == {
        *("payment.authorized", "payment.captured", "order.paid"),
        *("refund.created", "refund.processed"),
    }
    for name in ("payment.authorized", "payment.captured", "order.paid"):
        event = events[name]
        assert event.kind is EventKind.PAYMENT
        assert (event.reference, event.our_reference) == (
            paid.gateway_reference,
            request.attempt_code,
        )
        assert event.occurred_at is not None
    back = events["refund.processed"]
    assert back.kind is EventKind.REFUND
    assert back.our_reference == refund.refund_code
    assert back.payment_reference == paid.gateway_reference
    found = await gateway.fetch_payment(events["order.paid"].reference or "")
    assert found == Found(paid, reference=request.attempt_code)


async def test_failures_disputes_and_mandates_are_told(
    gateway: RazorpayGateway, razorpay: RazorpayFake
) -> None:
    customer = razorpay.customer()
    token = razorpay.token(customer, method="upi")
    await gateway.charge(charge_of(customer, razorpay.token(customer, "card_declined")))
    paid = await gateway.charge(charge_of(customer, token, method_type="mandate"))
    assert isinstance(paid, Succeeded)
    dispute = razorpay.tell("dispute", payment_id=paid.gateway_reference)["id"]
    razorpay.tell("dispute", id=dispute, status="won")
    for standing in ("paused", "confirmed", "cancelled"):
        razorpay.tell("standing", token_id=token, status=standing)

    events = await told(gateway, razorpay)

    assert events["payment.failed"].kind is EventKind.PAYMENT
    for name in ("payment.dispute.created", "payment.dispute.won"):
        assert events[name].kind is EventKind.DISPUTE
        assert events[name].reference == dispute
        assert events[name].payment_reference == paid.gateway_reference
    for name in ("token.paused", "token.confirmed", "token.cancelled"):
        assert (events[name].kind, events[name].reference) == (EventKind.METHOD, token)


async def test_what_a_customer_did_for_a_set_up_leads_to_the_set_up(
    gateway: RazorpayGateway, razorpay: RazorpayFake
) -> None:
    details = CustomerDetails("cus_1", "a@example.com", "Gaurav Kumar", "+919876543210")
    started = await gateway.start_setup(SetupRequest("setup_code_1", "perennial-1", details))
    order_id = started.gateway_reference or ""
    razorpay.tell("checkout", order_id=order_id)
    events = await told(gateway, razorpay)
    done = events["payment.captured"]
    assert (done.kind, done.reference, done.our_reference) == (
        EventKind.SETUP,
        order_id,
        "setup_code_1",
    )


async def test_a_notice_leads_to_the_charge_that_it_announces(
    razorpay: RazorpayFake, anyio_backend: str
) -> None:
    gateway = RazorpayGateway(razorpay.account())
    customer = razorpay.customer()
    request = charge_of(customer, razorpay.token(customer))
    razorpay.tell("forget")
    await gateway.charge(request)
    notice = (await told(gateway, razorpay))["order.notification.delivered"]
    assert notice.kind is EventKind.PAYMENT
    found = await gateway.fetch_payment(notice.reference or "")
    assert isinstance(found, Found)
    assert isinstance(found.outcome, Pending)
    assert found.reference == request.attempt_code
    await gateway.aclose()


# ── what is refused ───────────────────────────────────────────────────────────────────────────────

EVENT: dict[str, Any] = {
    "entity": "event",
    "account_id": ACCOUNT,
    "event": "payment.captured",
    "contains": ["payment"],
    "payload": {"payment": {"entity": {"id": "pay_Fk0000000000xx", "notes": []}}},
    "created_at": 1_700_000_000,
}
ID = "evt_Fake0000000001"


def delivery(
    body: bytes | None = None, secret: str = WEBHOOK_SECRET, **headers: str | None
) -> WebhookDelivery:
    content = json.dumps(EVENT).encode() + b"\n" if body is None else body
    said = {
        "x-razorpay-signature": signature(content, secret),
        "x-razorpay-event-id": ID,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    kept = {name: value for name, value in said.items() if value is not None}
    return WebhookDelivery(kept, content, SystemClock().now())


def account(*secrets: str) -> AccountSettings:
    return replace(
        RazorpayFake("http://127.0.0.1:9", None, None).account(),  # type: ignore[arg-type]
        webhook_secrets=tuple(map(SecretStr, secrets)),
    )


async def test_the_present_and_the_previous_secret_count(anyio_backend: str) -> None:
    gateway = RazorpayGateway(account("new", "old"))
    for secret in ("new", "old"):
        [event] = await gateway.verify_webhook(delivery(secret=secret))
        assert event.id == ID
    with pytest.raises(WebhookRefused):
        await gateway.verify_webhook(delivery(secret="older"))


OTHER = json.dumps(EVENT | {"account_id": "acc_SomebodyElse01"}).encode()
NOBODY = json.dumps({k: v for k, v in EVENT.items() if k != "account_id"}).encode()


@pytest.mark.parametrize(
    "wrong",
    [
        delivery(secret="wrong"),
        delivery(secret="key_secret"),
        replace(delivery(), body=delivery().body + b" "),
        replace(delivery(), body=delivery().body.rstrip(b"\n")),
        replace(delivery(), body=delivery().body[:-20]),
        replace(delivery(), body=b""),
        delivery(x_razorpay_signature=None),
        delivery(x_razorpay_signature=""),
        delivery(x_razorpay_signature=signature(delivery().body, WEBHOOK_SECRET).upper()),
        delivery(x_razorpay_signature=signature(delivery().body, WEBHOOK_SECRET)[:32]),
        delivery(x_razorpay_signature="é" * 64),
        delivery(x_razorpay_event_id=None),
        delivery(x_razorpay_event_id=""),
        delivery(x_razorpay_event_id="x" * 101),
        delivery(OTHER),
        delivery(NOBODY),
        delivery(b"not json"),
        delivery(b"[]"),
        delivery(b"{}"),
    ],
)
async def test_what_is_not_razorpays_for_this_account_is_refused(
    wrong: WebhookDelivery, anyio_backend: str
) -> None:
    gateway = RazorpayGateway(account(WEBHOOK_SECRET))
    with pytest.raises(WebhookRefused):
        await gateway.verify_webhook(wrong)


@pytest.mark.parametrize("secrets", [(), ("",)])
async def test_without_a_secret_nothing_is_believed(
    secrets: tuple[str, ...], anyio_backend: str
) -> None:
    gateway = RazorpayGateway(account(*secrets))
    for secret in ("", WEBHOOK_SECRET):
        if secret:
            with pytest.raises(WebhookRefused):
                await gateway.verify_webhook(delivery(secret=secret))
        with pytest.raises(WebhookRefused):
            await gateway.verify_webhook(delivery(x_razorpay_signature=""))


@pytest.mark.parametrize("type_", ["settlement.processed", "payment.downtime.started", "new.thing"])
async def test_what_we_do_not_act_on_is_kept_all_the_same(type_: str, anyio_backend: str) -> None:
    gateway = RazorpayGateway(account(WEBHOOK_SECRET))
    body = json.dumps(EVENT | {"event": type_, "payload": {}}).encode()
    [event] = await gateway.verify_webhook(delivery(body))
    assert (event.kind, event.type) == (EventKind.OTHER, type_)
