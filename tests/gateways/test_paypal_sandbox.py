"""PayPal's own sandbox, with keys from the environment: `pytest -m sandbox`.

PAYPAL_TEST_CLIENT_ID and PAYPAL_TEST_CLIENT_SECRET open the account. With PAYPAL_TEST_TOKEN, a
payment token of a wallet that somebody approved there (PAYPAL_TEST_CARD_TOKEN of a card), charges,
holds and refunds are tried too.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr

from app.clock import SystemClock
from app.domain.outcome import Authorized, Found, NotFound, Refunded, Succeeded, Voided
from app.domain.vault import MethodType, SetupPending, SetupStarted
from app.gateways.base import AccountMode, AccountSettings, CredentialCheck, Gateway
from app.gateways.registry import open_gateway
from app.gateways.requests import (
    CaptureRequest,
    ChargeRequest,
    CustomerDetails,
    MethodReference,
    PaymentQuery,
    RefundQuery,
    RefundRequest,
    SetupCompletion,
    SetupRequest,
    TimeWindow,
    VoidRequest,
)
from app.ids import new_id, show

pytestmark = pytest.mark.sandbox


def wanted(name: str) -> str:
    value = os.environ.get(f"PAYPAL_TEST_{name}")
    if not value:
        pytest.skip(f"NOT RUN: PAYPAL_TEST_{name} is not set")
    return value


@pytest.fixture
async def gateway(anyio_backend: str) -> AsyncIterator[Gateway]:
    settings = AccountSettings(
        AccountMode.TEST,
        credentials={"client_secret": SecretStr(wanted("CLIENT_SECRET"))},
        options={"client_id": wanted("CLIENT_ID")},
    )
    gateway = open_gateway("paypal", settings)
    yield gateway
    await gateway.aclose()


def code() -> str:
    return show("x", new_id())[-20:]


def charge_of(kind: str = "TOKEN") -> ChargeRequest:
    own = code()
    return ChargeRequest(
        own,
        f"perennial-{own}",
        100,
        "EUR",
        wanted(kind),
        f"INV-{own[-8:]}",
        "A test of Perennial",
        method_type=MethodType.WALLET if kind == "TOKEN" else MethodType.CARD,
    )


async def test_the_credentials_are_accepted(gateway: Gateway) -> None:
    assert await gateway.check_credentials() is CredentialCheck.VALID


async def test_what_was_never_sent_is_not_found(gateway: Gateway) -> None:
    assert isinstance(await gateway.find_payment(PaymentQuery(code())), NotFound)
    assert await gateway.fetch_payment("5O190127TN364715T") == NotFound(definitive=True)
    assert await gateway.fetch_refund("1JU08902781691411") == NotFound(definitive=True)
    assert await gateway.fetch_dispute("PP-D-1") == NotFound(definitive=True)


@pytest.mark.parametrize("source", ["paypal", "card"])
async def test_a_set_up_begins_once_and_waits_for_the_customer(
    gateway: Gateway, source: str
) -> None:
    own = code()
    request = SetupRequest(
        own,
        f"perennial-{own}",
        CustomerDetails(own),
        return_url="https://example.com/return",
        cancel_url="https://example.com/cancel",
        parameters={"payment_source": source},
    )
    begun = await gateway.start_setup(request)
    assert isinstance(begun, SetupStarted)
    assert begun == await gateway.start_setup(request)
    done = SetupCompletion(own, request.idempotency_key, begun.gateway_reference, request.customer)
    assert await gateway.complete_setup(done) == SetupPending(begun.gateway_reference)


async def test_the_last_two_months_can_be_listed(gateway: Gateway) -> None:
    now = SystemClock().now()
    window = TimeWindow(now - timedelta(days=60), now)
    references = [one.reference async for one in gateway.list_transactions(window)]
    assert len(references) == len(set(references))
    disputes = [one.gateway_reference async for one in gateway.list_disputes(window)]
    assert len(disputes) == len(set(disputes))


@pytest.mark.parametrize("kind", ["TOKEN", "CARD_TOKEN"])
async def test_a_token_is_charged_once_and_refunded_once(gateway: Gateway, kind: str) -> None:
    request = charge_of(kind)
    kept = await gateway.get_payment_method(MethodReference(request.payment_method_reference))
    assert isinstance(kept, Found)
    paid = await gateway.charge(request)
    assert isinstance(paid, Succeeded)
    assert await gateway.charge(request) == paid
    found = await gateway.fetch_payment(paid.gateway_reference)
    assert found == Found(paid, reference=request.attempt_code)

    own = code()
    refund = RefundRequest(own, f"perennial-{own}", paid.gateway_reference, 40, "EUR")
    back = await gateway.refund(refund)
    assert isinstance(back, Refunded)
    assert await gateway.refund(refund) == back
    query = RefundQuery(own, payment_reference=paid.gateway_reference)
    assert await gateway.find_refund(query) == Found(back)


async def test_a_hold_is_captured_in_part_and_another_given_up(gateway: Gateway) -> None:
    held = await gateway.charge(replace(charge_of(), is_captured=False))
    assert isinstance(held, Authorized)
    capture = CaptureRequest(f"perennial-{code()}", held.gateway_reference, 60, "EUR")
    taken = await gateway.capture(capture)
    assert isinstance(taken, Succeeded)
    assert await gateway.capture(capture) == taken
    found = await gateway.fetch_payment(held.gateway_reference)
    assert isinstance(found, Found)
    assert found.outcome == taken

    other = await gateway.charge(replace(charge_of(), is_captured=False))
    assert isinstance(other, Authorized)
    void = VoidRequest(f"perennial-{code()}", other.gateway_reference)
    assert await gateway.void(void) == Voided(other.gateway_reference)
