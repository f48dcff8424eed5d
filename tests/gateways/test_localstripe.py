"""Stripe's whole flow against an imitation that nobody here wrote."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from pydantic import SecretStr

from app.clock import SystemClock
from app.domain.outcome import (
    Authorized,
    Declined,
    Found,
    NotFound,
    Refunded,
    RequiresAction,
    Succeeded,
    Voided,
)
from app.domain.vault import Detached, MethodSaved, SetupPending, SetupStarted
from app.gateways.base import AccountMode, AccountSettings, CredentialCheck, WebhookRefused
from app.gateways.reports import EventKind, GatewayEvent, WebhookDelivery
from app.gateways.requests import (
    CaptureRequest,
    ChargeRequest,
    MethodReference,
    PaymentQuery,
    RefundQuery,
    SetupCompletion,
    SetupRequest,
    VoidRequest,
)
from app.gateways.stripe import StripeGateway
from app.testing.line import read_request
from tests.gateways.localstripe import LocalStripe, proxied, start_localstripe
from tests.gateways.sockets import server
from tests.gateways.stripe import CUSTOMER, new_code, refund_of

WAIT_SECONDS = 15
SECRET = "whsec_of_localstripe"
NEEDS_CUSTOMER = "4000002500003155"
IS_DECLINED = "4000000000000341"


@pytest.fixture(scope="module")
def localstripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStripe]:
    with start_localstripe(tmp_path_factory.mktemp("localstripe") / "log") as running:
        yield running


@pytest.fixture
async def gateway(localstripe: LocalStripe, anyio_backend: str) -> AsyncIterator[StripeGateway]:
    async with proxied(localstripe) as url:
        gateway = StripeGateway(
            AccountSettings(
                AccountMode.TEST,
                credentials={"secret_key": SecretStr("sk_test_localstripe")},
                webhook_secrets=(SecretStr(SECRET),),
                base_url=url,
            )
        )
        yield gateway
        await gateway.aclose()


async def set_up(
    localstripe: LocalStripe, gateway: StripeGateway, number: str = "4242424242424242"
) -> MethodSaved:
    """From the customer to a payment method that is kept."""
    code = new_code()
    request = SetupRequest(code, new_code(), replace(CUSTOMER, reference=code))
    begun = await gateway.start_setup(request)
    assert isinstance(begun, SetupStarted)
    completion = SetupCompletion(
        code, new_code(), begun.gateway_reference, request.customer, begun.customer_reference
    )
    assert isinstance(await gateway.complete_setup(completion), SetupPending)
    card = {"number": number, "exp_month": 8, "exp_year": 2030, "cvc": "123"}
    path = f"/v1/setup_intents/{begun.gateway_reference}"
    said = {"client_secret": begun.client_secret}
    localstripe.ask(
        "POST", f"{path}/confirm", **said, payment_method_data={"type": "card", "card": card}
    )
    saved = await gateway.complete_setup(completion)
    assert isinstance(saved, MethodSaved)
    return saved


def charge_on(saved: MethodSaved, **more: object) -> ChargeRequest:
    code = new_code()
    request = ChargeRequest(
        attempt_code=code,
        idempotency_key=new_code(),
        amount_minor=1999,
        currency="EUR",
        payment_method_reference=saved.method.reference,
        invoice_number="INV-1",
        description="Invoice INV-1",
        customer_reference=saved.method.customer_reference,
    )
    return replace(request, **more)  # type: ignore[arg-type]


def query(request: ChargeRequest) -> PaymentQuery:
    return PaymentQuery(request.attempt_code, customer_reference=request.customer_reference)


async def test_the_key_is_accepted(gateway: StripeGateway) -> None:
    assert await gateway.check_credentials() is CredentialCheck.VALID


async def test_a_card_is_kept_charged_refunded_and_let_go_of(
    localstripe: LocalStripe, gateway: StripeGateway
) -> None:
    saved = await set_up(localstripe, gateway)
    assert (saved.method.brand, saved.method.last_four) == ("visa", "4242")
    request = charge_on(saved)

    paid = await gateway.charge(request)

    assert isinstance(paid, Succeeded)
    assert (paid.amount_minor, paid.currency) == (1999, "EUR")
    assert await gateway.find_payment(query(request)) == Found(paid)
    assert await gateway.fetch_payment(paid.gateway_reference) == Found(
        paid, reference=request.attempt_code
    )
    never = PaymentQuery(new_code(), customer_reference=request.customer_reference)
    assert await gateway.find_payment(never) == NotFound(definitive=True)

    refund = refund_of(paid.gateway_reference, 400)
    back = await gateway.refund(refund)
    assert isinstance(back, Refunded)
    assert (back.amount_minor, back.currency) == (400, "EUR")
    asked = RefundQuery(refund.refund_code, payment_reference=paid.gateway_reference)
    assert await gateway.find_refund(asked) == Found(back)

    method = MethodReference(saved.method.reference)
    assert await gateway.detach_payment_method(method, idempotency_key=new_code()) == Detached()
    known = await gateway.get_payment_method(method)
    assert isinstance(known, Found)
    assert not known.outcome.is_usable


async def test_money_is_held_taken_or_given_up(
    localstripe: LocalStripe, gateway: StripeGateway
) -> None:
    saved = await set_up(localstripe, gateway)
    held = await gateway.charge(charge_on(saved, is_captured=False))
    assert isinstance(held, Authorized)
    assert held.amount_minor == 1999
    taken = await gateway.capture(CaptureRequest(new_code(), held.gateway_reference, 1500, "EUR"))
    assert isinstance(taken, Succeeded)
    assert taken.amount_minor == 1500

    other = await gateway.charge(charge_on(saved, is_captured=False))
    assert isinstance(other, Authorized)
    void = VoidRequest(new_code(), other.gateway_reference)
    assert await gateway.void(void) == Voided(other.gateway_reference)
    lookup = await gateway.fetch_payment(other.gateway_reference)
    assert isinstance(lookup, Found)
    assert lookup.outcome == Voided(other.gateway_reference)


async def test_a_card_that_attaches_and_does_not_pay_is_declined(
    localstripe: LocalStripe, gateway: StripeGateway
) -> None:
    request = charge_on(await set_up(localstripe, gateway, IS_DECLINED))
    declined = await gateway.charge(request)
    assert isinstance(declined, Declined)
    assert declined.info.gateway_code == "card_declined"
    lookup = await gateway.find_payment(query(request))
    assert isinstance(lookup, Found)
    assert isinstance(lookup.outcome, Declined)


async def test_a_card_that_wants_its_customer_waits_for_them(
    localstripe: LocalStripe, gateway: StripeGateway
) -> None:
    request = charge_on(await set_up(localstripe, gateway))
    card = {"number": NEEDS_CUSTOMER, "exp_month": 8, "exp_year": 2030, "cvc": "123"}
    method = localstripe.ask("POST", "/v1/payment_methods", type="card", card=card)
    request = replace(request, payment_method_reference=method["id"])

    waiting = await gateway.charge(request)

    assert isinstance(waiting, RequiresAction)
    assert waiting.client_secret
    localstripe.ask(
        "POST",
        f"/v1/payment_intents/{waiting.gateway_reference}/_authenticate",
        client_secret=waiting.client_secret,
        success=True,
    )
    lookup = await gateway.find_payment(query(request))
    assert isinstance(lookup, Found)
    assert isinstance(lookup.outcome, Succeeded)


async def test_its_deliveries_are_verified_and_understood(
    localstripe: LocalStripe, gateway: StripeGateway
) -> None:
    events: list[GatewayEvent] = []
    refused: list[str] = []

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = await read_request(reader)
        assert sent is not None
        delivery = WebhookDelivery(sent.headers, sent.body, SystemClock().now())
        events.extend(await gateway.verify_webhook(delivery))
        try:
            await gateway.verify_webhook(replace(delivery, body=sent.body + b" "))
        except WebhookRefused:
            refused.append("changed")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()

    async with server(receive) as url:
        localstripe.ask("POST", "/_config/webhooks/ours", url=url, secret=SECRET)
        request = charge_on(await set_up(localstripe, gateway))
        paid = await gateway.charge(request)
        assert isinstance(paid, Succeeded)
        deadline = time.monotonic() + WAIT_SECONDS
        while not of_payment(events, paid.gateway_reference):
            assert time.monotonic() < deadline, events
            await asyncio.sleep(0.05)

    told = of_payment(events, paid.gateway_reference)
    assert {event.kind for event in told} == {EventKind.PAYMENT}
    assert {event.our_reference for event in told} == {request.attempt_code}
    assert len(refused) == len(events)


def of_payment(events: list[GatewayEvent], reference: str) -> list[GatewayEvent]:
    return [
        one
        for one in events
        if one.type == "payment_intent.succeeded" and one.reference == reference
    ]
