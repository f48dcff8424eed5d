"""Stripe's own test mode, with keys from the environment: `pytest -m sandbox`.

STRIPE_TEST_SECRET_KEY (`sk_test_…`; a restricted key needs the permissions that
docs/gateways-stripe.md names) opens the account. Customers are invented, and what is set up is
confirmed here with Stripe's test cards, as its script would in the shop's page.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import stripe as sdk
from pydantic import SecretStr

from app.clock import SystemClock
from app.domain.outcome import (
    Authorized,
    DeclineCategory,
    Declined,
    Found,
    NotFound,
    Refunded,
    RefundPending,
    RequiresAction,
    Succeeded,
    Voided,
)
from app.domain.vault import Detached, MethodSaved, SetupPending, SetupStarted
from app.gateways.base import AccountMode, AccountSettings, CredentialCheck, Gateway
from app.gateways.registry import open_gateway
from app.gateways.requests import (
    CaptureRequest,
    ChargeRequest,
    CustomerDetails,
    MethodReference,
    PaymentQuery,
    RefundQuery,
    SetupCompletion,
    SetupRequest,
    TimeWindow,
    VoidRequest,
)
from tests.gateways.stripe import new_code, refund_of

pytestmark = pytest.mark.sandbox
WAIT_SECONDS = 60


def secret_key() -> str:
    value = os.environ.get("STRIPE_TEST_SECRET_KEY")
    if not value:
        pytest.skip("NOT RUN: STRIPE_TEST_SECRET_KEY is not set")
    return value


@pytest.fixture
async def gateway(anyio_backend: str) -> AsyncIterator[Gateway]:
    credentials = {"secret_key": SecretStr(secret_key())}
    gateway = open_gateway("stripe", AccountSettings(AccountMode.TEST, credentials=credentials))
    yield gateway
    await gateway.aclose()


async def eventually(ask: Callable[[], Awaitable[Any]], kind: type) -> Any:
    """Ask again until what is found is of this kind, or the deadline passes."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        answer = await ask()
        if isinstance(answer, Found) and isinstance(answer.outcome, kind):
            return answer.outcome
        assert time.monotonic() < deadline, f"still {answer}"
        await asyncio.sleep(1)


async def set_up(gateway: Gateway, card: str) -> tuple[CustomerDetails, MethodSaved]:
    """A payment method from a set-up, the customer's part of it done with a test card."""
    code = new_code()
    who = CustomerDetails(f"cus_{code}", f"{code}@example.com", "Jenny Rosen", country="DE")
    request = SetupRequest(code, f"setup_{code}", who, description="perennial's sandbox tests")
    begun = await gateway.start_setup(request)
    assert isinstance(begun, SetupStarted)
    completion = SetupCompletion(
        code, f"done_{code}", begun.gateway_reference, who, begun.customer_reference
    )
    assert isinstance(await gateway.complete_setup(completion), SetupPending)
    client = sdk.StripeClient(secret_key())
    client.v1.setup_intents.confirm(begun.gateway_reference, {"payment_method": card})
    saved = await gateway.complete_setup(completion)
    assert isinstance(saved, MethodSaved)
    return who, saved


def charge_on(saved: MethodSaved, amount_minor: int = 1999, **more: Any) -> ChargeRequest:
    code = new_code()
    request = ChargeRequest(
        attempt_code=code,
        idempotency_key=f"att_{code}",
        amount_minor=amount_minor,
        currency="EUR",
        payment_method_reference=saved.method.reference,
        invoice_number="INV-SANDBOX",
        description="perennial's sandbox tests",
        customer_reference=saved.method.customer_reference,
    )
    return replace(request, **more)


def query(request: ChargeRequest) -> PaymentQuery:
    return PaymentQuery(
        request.attempt_code,
        created_at=SystemClock().now(),
        customer_reference=request.customer_reference,
    )


async def test_the_key_is_accepted(gateway: Gateway) -> None:
    assert await gateway.check_credentials() is CredentialCheck.VALID


async def test_a_life_from_the_set_up_to_the_refund(gateway: Gateway) -> None:
    _, saved = await set_up(gateway, "pm_card_visa")
    assert (saved.method.brand, saved.method.last_four) == ("visa", "4242")
    request = charge_on(saved)

    paid = await gateway.charge(request)
    assert isinstance(paid, Succeeded)
    assert (paid.amount_minor, paid.currency) == (1999, "EUR")
    assert await gateway.charge(request) == paid
    await eventually(lambda: gateway.find_payment(query(request)), Succeeded)
    assert await gateway.find_payment(replace(query(request), reference=new_code())) == NotFound(
        definitive=True
    )

    refund = refund_of(paid.gateway_reference, 400)
    back = await gateway.refund(refund)
    assert isinstance(back, Refunded | RefundPending)
    asked = RefundQuery(refund.refund_code, payment_reference=paid.gateway_reference)
    await eventually(lambda: gateway.find_refund(asked), Refunded)

    now = SystemClock().now()
    window = TimeWindow(now - timedelta(minutes=10), now + timedelta(minutes=10))
    listed = {one.our_reference async for one in gateway.list_transactions(window)}
    assert {request.attempt_code, refund.refund_code} <= listed

    method = MethodReference(saved.method.reference, saved.method.customer_reference)
    for key in (new_code(), new_code()):
        assert await gateway.detach_payment_method(method, idempotency_key=key) == Detached()
    gone = await gateway.charge(charge_on(saved))
    assert isinstance(gone, Declined)
    assert gone.info.category is DeclineCategory.HARD


async def test_a_hold_is_taken_in_part_or_given_up(gateway: Gateway) -> None:
    _, saved = await set_up(gateway, "pm_card_visa")
    held = await gateway.charge(charge_on(saved, is_captured=False))
    assert isinstance(held, Authorized)
    part = await gateway.capture(CaptureRequest(new_code(), held.gateway_reference, 1500, "EUR"))
    assert isinstance(part, Succeeded)
    assert part.amount_minor == 1500

    other = await gateway.charge(charge_on(saved, is_captured=False))
    assert isinstance(other, Authorized)
    void = VoidRequest(new_code(), other.gateway_reference)
    assert await gateway.void(void) == Voided(other.gateway_reference)
    assert await gateway.void(replace(void, idempotency_key=new_code())) == Voided(
        other.gateway_reference
    )


async def test_a_card_that_is_declined_after_it_was_saved(gateway: Gateway) -> None:
    _, saved = await set_up(gateway, "pm_card_chargeCustomerFail")
    request = charge_on(saved)
    declined = await gateway.charge(request)
    assert isinstance(declined, Declined)
    assert await gateway.charge(request) == declined
    found = await eventually(lambda: gateway.find_payment(query(request)), Declined)
    assert found == declined


async def test_a_card_that_wants_its_customer_and_is_given_up(gateway: Gateway) -> None:
    _, saved = await set_up(gateway, "pm_card_authenticationRequired")
    request = charge_on(saved)
    waiting = await gateway.charge(request)
    assert isinstance(waiting, RequiresAction)
    assert waiting.client_secret
    assert await gateway.charge(request) == waiting
    await eventually(lambda: gateway.find_payment(query(request)), RequiresAction)
    void = VoidRequest(new_code(), waiting.gateway_reference or "")
    assert await gateway.void(void) == Voided(void.payment_reference)
