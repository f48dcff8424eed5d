"""Refusals at Razorpay that prove nothing, and two calls for one charge, judged by its books."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from app.domain.outcome import (
    Authorized,
    Declined,
    Found,
    NotExecuted,
    Pending,
    Refunded,
    Succeeded,
    Unknown,
)
from app.domain.vault import CustomerSaved
from app.gateways.base import InvalidRequestError
from app.gateways.razorpay import RazorpayGateway, charges, outcomes
from app.gateways.razorpay.words import Order, Payment, moment
from app.gateways.requests import (
    CaptureRequest,
    CustomerDetails,
    CustomerRequest,
    PaymentQuery,
)
from tests.gateways.fakes.razorpay.server import KEY_ID, SECRET
from tests.gateways.razorpay import RazorpayFake, charge_of, refund_of

UNDECIDED: list[dict[str, Any]] = [
    {"status": 409},
    {"status": 400, "more": {"code": "GATEWAY_ERROR"}},
    {"status": 400, "more": {"code": "SERVER_ERROR"}},
    {"status": 400, "more": {"reason": "payment_timed_out"}},
    {"status": 400, "more": {"reason": "gateway_technical_error"}},
    {"status": 400, "more": {"reason": "bank_technical_error"}},
]
WAIT = "Please wait: your earlier request has not come to an end."


@pytest.fixture
async def gateway(razorpay: RazorpayFake, anyio_backend: str) -> AsyncIterator[RazorpayGateway]:
    """An account in which nothing is announced: debits happen at once."""
    account = razorpay.account()
    gateway = RazorpayGateway(
        replace(account, options={**account.options, "pre_debit_notice": "none"})
    )
    yield gateway
    await gateway.aclose()


@pytest.fixture
def customer(razorpay: RazorpayFake) -> str:
    return razorpay.customer()


# ── what a refusal does not say ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("refusal", UNDECIDED)
async def test_a_charge_that_is_refused_without_being_decided_is_unknown(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str, refusal: dict[str, Any]
) -> None:
    request = charge_of(customer, razorpay.token(customer))
    razorpay.fault("refused_after", description=WAIT, count=1, **refusal)

    assert isinstance(await gateway.charge(request), Unknown)

    assert razorpay.moved("charge", request.attempt_code) == 49_900
    found = await gateway.find_payment(PaymentQuery(request.attempt_code))
    assert isinstance(found, Found)
    assert isinstance(found.outcome, Succeeded)


@pytest.mark.parametrize("refusal", UNDECIDED)
async def test_a_refund_that_is_refused_without_being_decided_is_unknown(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str, refusal: dict[str, Any]
) -> None:
    request = refund_of(await paid(gateway, razorpay, customer), 49_900)
    razorpay.fault("refused_after", description=WAIT, count=1, **refusal)

    assert isinstance(await gateway.refund(request), Unknown)

    assert razorpay.moved("refund", request.refund_code) == 49_900
    assert isinstance(await gateway.refund(request), Refunded)
    assert razorpay.moved("refund", request.refund_code) == 49_900


@pytest.mark.parametrize("refusal", UNDECIDED)
async def test_a_capture_that_is_refused_without_being_decided_is_unknown(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str, refusal: dict[str, Any]
) -> None:
    held = await gateway.charge(charge_of(customer, razorpay.token(customer), is_captured=False))
    assert isinstance(held, Authorized)
    razorpay.fault("refused", description=WAIT, count=1, operations=["capture"], **refusal)
    request = CaptureRequest("perennial-capture", held.gateway_reference, 49_900, "INR")
    assert isinstance(await gateway.capture(request), Unknown)
    assert isinstance(await gateway.capture(request), Succeeded)


async def test_an_order_that_is_refused_without_being_decided_charges_nobody(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    request = charge_of(customer, razorpay.token(customer))
    more = {"code": "SERVER_ERROR"}
    razorpay.fault(
        "refused", status=400, description=WAIT, more=more, count=1, operations=["order"]
    )
    assert await gateway.charge(request) == NotExecuted("order_undecided_server_error")
    assert isinstance(await gateway.charge(request), Succeeded)
    assert razorpay.moved("charge", request.attempt_code) == 49_900


async def test_a_customer_who_did_not_authenticate_is_no_wrong_key(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    """The words are those of Razorpay's own example of an error."""
    said = {"status": 400, "description": "Authentication failed due to incorrect otp"}
    request = charge_of(customer, razorpay.token(customer))
    razorpay.fault("refused", more={"reason": "invalid_otp"}, count=1, **said)
    with pytest.raises(InvalidRequestError):
        await gateway.charge(request)

    failed = charge_of(customer, razorpay.token(customer, "payment_failed"))
    assert isinstance(await gateway.charge(failed), Declined)
    payment = next(
        p for p in razorpay.ask("payments") if p["token_id"] == failed.payment_method_reference
    )
    more = {"reason": "invalid_otp", "metadata": {"payment_id": payment["id"]}}
    razorpay.fault("refused", more=more, count=1, **said)
    outcome = await gateway.charge(charge_of(customer, razorpay.token(customer)))
    assert isinstance(outcome, Declined)
    assert outcome.gateway_reference == payment["id"]


async def test_a_repeated_refund_is_the_first_one_though_its_key_is_forgotten(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    """How long Razorpay remembers a key is written nowhere; then nothing is left to refund."""
    request = refund_of(await paid(gateway, razorpay, customer), 49_900)
    first = await gateway.refund(request)
    assert isinstance(first, Refunded)
    razorpay.tell("forget_keys")
    assert await gateway.refund(request) == first
    assert razorpay.moved("refund", request.refund_code) == 49_900


async def test_a_repeated_refund_is_the_first_one_though_the_account_has_another_speed(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    request = refund_of(await paid(gateway, razorpay, customer), 49_900)
    first = await gateway.refund(request)
    account = razorpay.account()
    faster = RazorpayGateway(
        replace(account, options={**account.options, "refund_speed": "optimum"})
    )
    try:
        assert await faster.refund(request) == first
    finally:
        await faster.aclose()
    assert razorpay.moved("refund", request.refund_code) == 49_900


async def test_a_refused_refund_that_cannot_be_looked_up_is_unknown(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    request = refund_of(await paid(gateway, razorpay, customer), 49_900)
    assert isinstance(await gateway.refund(request), Refunded)
    razorpay.tell("forget_keys")
    razorpay.fault("error_500_before", operations=["lookup"])
    assert await gateway.refund(request) == Unknown("look_up_http_502")


def test_of_two_failures_the_one_that_may_still_be_authorised_counts() -> None:
    order = Order(id="order_1", created_at=0, amount=49_900, currency="INR", status="attempted")
    failed = {"amount": 49_900, "currency": "INR", "status": "failed", "order_id": "order_1"}
    early = Payment(id="pay_1", created_at=1, error_reason="card_declined", **failed)
    late = Payment(id="pay_2", created_at=2, error_reason="payment_timed_out", **failed)
    found = outcomes.of_payments([(order, early), (order, late)], moment(60))
    assert found is not None
    assert isinstance(found.outcome, Pending)
    assert found.outcome.gateway_reference == "pay_2"


# ── two calls for one charge ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("first", "second", "ends"),
    [
        ("card_declined", "slow", Pending),
        ("card_declined", "ok", Succeeded),
        ("card_declined", "payment_timed_out", Pending),
        ("card_declined", "card_expired", Declined),
    ],
)
async def test_a_failed_payment_is_not_the_end_of_a_charge_that_has_another(
    gateway: RazorpayGateway,
    razorpay: RazorpayFake,
    customer: str,
    first: str,
    second: str,
    ends: type,
) -> None:
    """A delivery tells of one payment. The other one of its order may take the money yet: else the
    invoice would be charged anew.
    """
    request = charge_of(customer, razorpay.token(customer, first))
    failed = await gateway.charge(request)
    assert isinstance(failed, Declined)
    assert failed.gateway_reference is not None
    order = next(o for o in razorpay.ask("orders") if o["receipt"] == request.attempt_code)
    body = {
        "email": "gaurav.kumar@example.com",
        "contact": "+919876543210",
        "amount": 49_900,
        "currency": "INR",
        "order_id": order["id"],
        "customer_id": customer,
        "token": razorpay.token(customer, second),
        "recurring": True,
        "notes": {"perennial_attempt": request.attempt_code},
    }
    answer = razorpay.client.post("/v1/payments/create/recurring", auth=(KEY_ID, SECRET), json=body)
    assert answer.is_success, answer.text

    found = await gateway.fetch_payment(failed.gateway_reference)

    assert isinstance(found, Found)
    assert isinstance(found.outcome, ends)
    assert found.reference == request.attempt_code
    if ends is not Declined:
        assert found.outcome.gateway_reference == answer.json()["razorpay_payment_id"]


async def test_a_call_whose_order_took_too_long_leaves_the_debit_to_the_next_one(
    gateway: RazorpayGateway,
    razorpay: RazorpayFake,
    customer: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its lease is over, so somebody else has looked, found no order, and made one: two orders, and
    a debit on each.
    """
    monkeypatch.setattr(charges, "DEBIT_WITHIN_SECONDS", 0.5)
    request = charge_of(customer, razorpay.token(customer))
    asked = razorpay.ask("calls").count("POST /v1/orders")
    razorpay.fault("latency", delay_ms=800, count=1, operations=["order"])
    slow = asyncio.create_task(gateway.charge(request))
    deadline = time.monotonic() + 10
    while razorpay.ask("calls").count("POST /v1/orders") == asked:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)

    assert isinstance(await gateway.charge(request), Succeeded)
    assert await slow == NotExecuted("order_took_too_long")

    assert razorpay.moved("charge", request.attempt_code) == 49_900


# ── customers ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["Al", "Zoë", "A & B Ltd", "N" * 51, "  ", None])
async def test_a_customer_whose_name_razorpay_does_not_take_is_known_without_one(
    gateway: RazorpayGateway, name: str | None
) -> None:
    details = CustomerDetails("cus_1", "a@example.com", name, "+919876543210")
    saved = await gateway.create_customer(CustomerRequest("perennial-customer", details))
    assert isinstance(saved, CustomerSaved)


async def test_an_address_that_is_too_long_there_is_left_out(gateway: RazorpayGateway) -> None:
    details = CustomerDetails("cus_1", f"{'a' * 60}@example.com", "Gaurav Kumar", "9" * 16)
    saved = await gateway.create_customer(CustomerRequest("perennial-customer", details))
    assert isinstance(saved, CustomerSaved)


async def paid(gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str) -> str:
    outcome = await gateway.charge(charge_of(customer, razorpay.token(customer)))
    assert isinstance(outcome, Succeeded)
    return outcome.gateway_reference
