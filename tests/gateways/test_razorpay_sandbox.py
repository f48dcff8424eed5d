"""Razorpay's own test mode, with keys from the environment: `pytest -m sandbox`.

RAZORPAY_TEST_KEY_ID, RAZORPAY_TEST_KEY_SECRET and RAZORPAY_TEST_ACCOUNT_ID open the account. With
RAZORPAY_TEST_CUSTOMER and RAZORPAY_TEST_TOKEN, of a mandate that somebody registered there, a
charge is tried too.
"""

import os
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from pydantic import SecretStr

from app.clock import SystemClock
from app.domain.outcome import Declined, Found, NotFound, Pending, Succeeded
from app.domain.vault import SetupPending, SetupStarted
from app.gateways.base import AccountMode, AccountSettings, CredentialCheck, Gateway
from app.gateways.registry import open_gateway
from app.gateways.requests import (
    CustomerDetails,
    PaymentQuery,
    RefundQuery,
    SetupCompletion,
    SetupRequest,
    TimeWindow,
)
from app.ids import new_id, show
from tests.gateways.razorpay import charge_of

pytestmark = pytest.mark.sandbox


def wanted(name: str) -> str:
    value = os.environ.get(f"RAZORPAY_TEST_{name}")
    if not value:
        pytest.skip(f"NOT RUN: RAZORPAY_TEST_{name} is not set")
    return value


@pytest.fixture
async def gateway(anyio_backend: str) -> AsyncIterator[Gateway]:
    settings = AccountSettings(
        AccountMode.TEST,
        credentials={"key_secret": SecretStr(wanted("KEY_SECRET"))},
        options={"key_id": wanted("KEY_ID"), "account_id": wanted("ACCOUNT_ID")},
    )
    gateway = open_gateway("razorpay", settings)
    yield gateway
    await gateway.aclose()


async def test_the_key_is_accepted(gateway: Gateway) -> None:
    assert await gateway.check_credentials() is CredentialCheck.VALID


async def test_what_was_never_sent_is_not_found(gateway: Gateway) -> None:
    code = show("x", new_id())[-20:]
    assert await gateway.find_payment(PaymentQuery(code)) == NotFound(definitive=True)
    query = RefundQuery(code, created_at=SystemClock().now())
    assert await gateway.find_refund(query) == NotFound(definitive=True)


async def test_a_set_up_begins_and_waits_for_the_customer(gateway: Gateway) -> None:
    code = show("x", new_id())[-20:]
    details = CustomerDetails(code, f"{code}@example.com", "Test Customer", "+919876543210")
    request = SetupRequest(
        code, f"perennial-{code}", details, expires_at=SystemClock().now() + timedelta(days=3_000)
    )
    begun = await gateway.start_setup(request)
    assert isinstance(begun, SetupStarted)
    assert begun == await gateway.start_setup(request)
    done = SetupCompletion(code, request.idempotency_key, begun.gateway_reference, details)
    assert await gateway.complete_setup(done) == SetupPending(begun.gateway_reference)


async def test_the_last_week_can_be_listed(gateway: Gateway) -> None:
    now = SystemClock().now()
    window = TimeWindow(now - timedelta(days=7), now)
    references = [one.reference async for one in gateway.list_transactions(window)]
    assert len(references) == len(set(references))


async def test_a_mandate_is_charged_once(gateway: Gateway) -> None:
    request = charge_of(wanted("CUSTOMER"), wanted("TOKEN"), 100)
    first, again = await gateway.charge(request), await gateway.charge(request)
    assert isinstance(first, Pending | Succeeded | Declined)
    assert again.gateway_reference == first.gateway_reference  # type: ignore[union-attr]
    found = await gateway.find_payment(PaymentQuery(request.attempt_code))
    assert isinstance(found, Found)
    assert not found.others
