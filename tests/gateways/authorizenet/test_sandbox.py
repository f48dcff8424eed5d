"""Authorize.net's own sandbox, with keys from the environment: `pytest -m sandbox`.

AUTHORIZENET_TEST_LOGIN, AUTHORIZENET_TEST_KEY and AUTHORIZENET_TEST_CLIENT_KEY open the account, in
AUTHORIZENET_TEST_CURRENCY (USD). With AUTHORIZENET_TEST_CUSTOMER and AUTHORIZENET_TEST_METHOD, of a
payment profile there, a charge and a hold are tried too; with AUTHORIZENET_TEST_NONCE, a fresh
token of Accept.js, a set-up.
"""

import os
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from pydantic import SecretStr

from app.clock import SystemClock
from app.domain.outcome import (
    Authorized,
    Found,
    NotExecuted,
    NotFound,
    Refunded,
    Succeeded,
    Voided,
)
from app.domain.vault import Detached, MethodSaved
from app.gateways.base import AccountMode, AccountSettings, CredentialCheck, Gateway
from app.gateways.registry import open_gateway
from app.gateways.requests import (
    ChargeRequest,
    MethodReference,
    PaymentQuery,
    RefundQuery,
    RefundRequest,
    SetupCompletion,
    TimeWindow,
    VoidRequest,
)
from tests.gateways.authorizenet.terms import ACCEPT_JS, ADA, code

pytestmark = pytest.mark.sandbox


def wanted(name: str) -> str:
    value = os.environ.get(f"AUTHORIZENET_TEST_{name}")
    if not value:
        pytest.skip(f"NOT RUN: AUTHORIZENET_TEST_{name} is not set")
    return value


def currency() -> str:
    return os.environ.get("AUTHORIZENET_TEST_CURRENCY", "USD")


@pytest.fixture
async def sandbox(anyio_backend: str) -> AsyncIterator[Gateway]:
    settings = AccountSettings(
        AccountMode.TEST,
        credentials={"transaction_key": SecretStr(wanted("KEY"))},
        options={
            "api_login_id": wanted("LOGIN"),
            "client_key": wanted("CLIENT_KEY"),
            "currency": currency(),
        },
    )
    gateway = open_gateway("authorizenet", settings)
    yield gateway
    await gateway.aclose()


def charge_of(amount: int, *, is_captured: bool = True) -> ChargeRequest:
    own = code()
    return ChargeRequest(
        attempt_code=own,
        idempotency_key=own,
        amount_minor=amount,
        currency=currency(),
        payment_method_reference=wanted("METHOD"),
        customer_reference=wanted("CUSTOMER"),
        invoice_number="INV-1",
        description="A test of the adapter",
        is_captured=is_captured,
    )


async def test_the_keys_are_accepted_and_the_books_may_be_read(sandbox: Gateway) -> None:
    assert await sandbox.check_credentials() is CredentialCheck.VALID


async def test_what_was_never_sent_is_not_found(sandbox: Gateway) -> None:
    now = SystemClock().now()
    assert await sandbox.find_payment(PaymentQuery(code(), now)) == NotFound(definitive=True)
    assert await sandbox.find_refund(RefundQuery(code(), now)) == NotFound(definitive=True)
    assert await sandbox.fetch_payment("1") == NotFound(definitive=True)


async def test_the_last_week_can_be_listed(sandbox: Gateway) -> None:
    now = SystemClock().now()
    window = TimeWindow(now - timedelta(days=7), now)
    listed = [(each.reference, each.kind) async for each in sandbox.list_transactions(window)]
    assert len(listed) == len(set(listed))
    [_ async for _ in sandbox.list_disputes(window)]


async def test_a_charge_is_taken_once_found_and_given_back(sandbox: Gateway) -> None:
    # The odd amount keeps a part refund distinct from the whole.
    request = charge_of(111)
    outcome = await sandbox.charge(request)
    assert isinstance(outcome, Succeeded)
    assert await sandbox.charge(request) == outcome  # by the duplicate window and a look-up
    query = PaymentQuery(
        request.attempt_code,
        SystemClock().now(),
        customer_reference=request.customer_reference,
    )
    assert await sandbox.find_payment(query) == Found(outcome)

    own = code()
    part = RefundRequest(own, own, outcome.gateway_reference, 11, currency())
    assert isinstance(await sandbox.refund(part), NotExecuted)
    own = code()
    whole = RefundRequest(own, own, outcome.gateway_reference, 111, currency())
    back = await sandbox.refund(whole)
    assert isinstance(back, Refunded)
    asked = RefundQuery(own, payment_reference=outcome.gateway_reference, amount_minor=111)
    assert await sandbox.find_refund(asked) == Found(back)


async def test_a_hold_is_given_up(sandbox: Gateway) -> None:
    held = await sandbox.charge(charge_of(222, is_captured=False))
    assert isinstance(held, Authorized)
    voided = await sandbox.void(VoidRequest("key", held.gateway_reference))
    assert voided == Voided(held.gateway_reference)


async def test_a_token_becomes_a_payment_method_and_is_let_go_of(sandbox: Gateway) -> None:
    own = code()
    parameters = {"dataDescriptor": ACCEPT_JS, "dataValue": wanted("NONCE")}
    request = SetupCompletion(own, own, own, ADA, parameters=parameters)
    saved = await sandbox.complete_setup(request)
    assert isinstance(saved, MethodSaved)
    assert await sandbox.complete_setup(request) == saved
    method = MethodReference(saved.method.reference, saved.method.customer_reference)
    assert await sandbox.get_payment_method(method) == Found(saved.method)
    assert await sandbox.detach_payment_method(method, idempotency_key=own) == Detached()
