"""Charges at Razorpay, judged by the fake's own books; every request is judged by the oracle."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from app.domain.outcome import (
    Authorized,
    Declined,
    Found,
    Inconclusive,
    NotExecuted,
    NotFound,
    Outcome,
    Pending,
    RefundDeclined,
    RefundDeclineReason,
    Refunded,
    RefundPending,
    Succeeded,
    Unknown,
    VoidDeclined,
    VoidDeclineReason,
    Voided,
)
from app.gateways.base import (
    AccountMode,
    AccountSettings,
    AuthenticationError,
    ConfigurationError,
    CredentialCheck,
    InvalidRequestError,
)
from app.gateways.razorpay import RazorpayGateway
from app.gateways.razorpay.declines import REASONS
from app.gateways.registry import open_gateway
from app.gateways.requests import (
    CaptureRequest,
    ChargeRequest,
    CustomerDetails,
    MethodReference,
    PaymentQuery,
    RefundQuery,
    VoidRequest,
)
from tests.gateways.razorpay import RazorpayFake, charge_of, refund_of

FAULTS = [
    ("timeout_before_effect", Unknown, 0),
    ("timeout_after_effect", Unknown, 49_900),
    ("error_500_before", Unknown, 0),
    ("error_500_after", Unknown, 49_900),
    ("cut_body", Unknown, 49_900),
    ("error_429", NotExecuted, 0),
]


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
async def indian(razorpay: RazorpayFake, anyio_backend: str) -> AsyncIterator[RazorpayGateway]:
    """An account whose debits are announced."""
    gateway = RazorpayGateway(razorpay.account())
    yield gateway
    await gateway.aclose()


@pytest.fixture
async def hasty(razorpay: RazorpayFake, anyio_backend: str) -> AsyncIterator[RazorpayGateway]:
    """The first account, giving up after a second."""
    account = razorpay.account(total_timeout_seconds=1)
    gateway = RazorpayGateway(
        replace(account, options={**account.options, "pre_debit_notice": "none"})
    )
    yield gateway
    await gateway.aclose()


@pytest.fixture
def customer(razorpay: RazorpayFake) -> str:
    return razorpay.customer()


async def found(gateway: RazorpayGateway, request: ChargeRequest) -> Outcome:
    answer = await gateway.find_payment(PaymentQuery(request.attempt_code))
    assert isinstance(answer, Found), answer
    assert not answer.others
    return answer.outcome


async def eventually(ask: Callable[[], Awaitable[Outcome]], kind: type) -> Outcome:
    deadline = time.monotonic() + 10
    while True:
        outcome = await ask()
        if isinstance(outcome, kind):
            return outcome
        assert time.monotonic() < deadline, f"still {outcome}"
        await asyncio.sleep(0.05)


# ── what a charge does ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("amount", "currency"), [(49_900, "INR"), (1_999, "USD"), (500, "JPY"), (12_340, "KWD")]
)
async def test_a_charge_moves_exactly_its_minor_units(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str, amount: int, currency: str
) -> None:
    request = charge_of(customer, razorpay.token(customer), amount, currency=currency)

    outcome = await gateway.charge(request)

    assert isinstance(outcome, Succeeded)
    assert (outcome.amount_minor, outcome.currency) == (amount, currency)
    assert outcome.fee_minor == amount // 50
    assert outcome.network_transaction_id
    assert razorpay.moved("charge", request.attempt_code) == amount
    assert await found(gateway, request) == outcome
    fetched = await gateway.fetch_payment(outcome.gateway_reference)
    assert fetched == Found(outcome, reference=request.attempt_code)


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        (12_345, "KWD", "amount_not_representable"),
        (99, "INR", "amount_below_minimum"),
        (100, "CLF", "currency_not_supported"),
        (100, "XXX", "currency_not_supported"),
    ],
)
async def test_an_amount_that_razorpay_cannot_move_is_never_sent_nor_rounded(
    gateway: RazorpayGateway,
    razorpay: RazorpayFake,
    customer: str,
    amount: int,
    currency: str,
    code: str,
) -> None:
    request = charge_of(customer, razorpay.token(customer), amount, currency=currency)
    razorpay.tell("forget")
    with pytest.raises(InvalidRequestError) as refused:
        await gateway.charge(request)
    assert refused.value.code == code
    assert razorpay.ask("calls") == []


async def test_an_announced_debit_is_pending_until_it_is_due_and_never_before(
    indian: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    # Begun two days early: the notice goes out at once, the debit not before the promised moment.
    due = datetime.fromtimestamp(razorpay.ask("time"), UTC).replace(microsecond=0)
    due += timedelta(seconds=indian.capabilities.requires_lead_time_seconds)
    request = charge_of(customer, razorpay.token(customer), not_before=due)

    outcome = await indian.charge(request)

    assert outcome == Pending(None, expected_by=due)
    order = next(o for o in razorpay.ask("orders") if o["receipt"] == request.attempt_code)
    assert order["notification"]["token_id"] == request.payment_method_reference
    assert order["notification"]["payment_after"] == int(due.timestamp())
    razorpay.advance(hours=47, minutes=59)
    assert await found(indian, request) == outcome
    assert await indian.charge(request) == outcome
    assert await indian.fetch_payment(order["id"]) == Found(outcome, reference=request.attempt_code)
    assert [p for p in razorpay.ask("payments") if p["order_id"] == order["id"]] == []
    razorpay.advance(minutes=2)
    query = PaymentQuery(request.attempt_code)
    assert await indian.find_payment(query) == NotFound(definitive=True)  # it may be asked for
    assert isinstance(await indian.charge(request), Succeeded)
    assert isinstance(await found(indian, request), Succeeded)
    assert razorpay.moved("charge", request.attempt_code) == 49_900


async def test_a_debit_that_is_due_too_soon_follows_its_notice_as_soon_as_it_may(
    indian: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    soon = datetime.fromtimestamp(razorpay.ask("time"), UTC) + timedelta(hours=2)
    request = charge_of(customer, razorpay.token(customer), not_before=soon)

    assert isinstance(await indian.charge(request), Pending)

    order = next(o for o in razorpay.ask("orders") if o["receipt"] == request.attempt_code)
    assert "payment_after" not in order["notification"]
    razorpay.advance(hours=36, minutes=6)
    assert isinstance(await indian.charge(request), Succeeded)


async def test_a_customer_who_was_not_told_is_not_debited(
    indian: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    razorpay.tell("settings", tells_customers=False)
    request = charge_of(customer, razorpay.token(customer))
    assert isinstance(await indian.charge(request), Pending)
    razorpay.advance(hours=37, minutes=6)
    outcome = await indian.charge(request)
    assert isinstance(outcome, Declined)
    assert outcome.info.gateway_code == "pre_debit_notification_not_sent"
    assert outcome.info.category == "soft"
    assert razorpay.moved("charge", request.attempt_code) == 0


@pytest.mark.parametrize(
    "said",
    [
        {"description": "BAD_REQUEST_MANDATE_PROMISED_DEBIT_DATE_NOT_HONOURED"},
        {
            "description": "Payment failed",
            "more": {"code": "BAD_REQUEST_MANDATE_PROMISED_DEBIT_DATE_NOT_HONOURED"},
        },
        {"description": "Debit can be attempted 36 hours after sending the notification"},
        {"description": "Payment done before 24 hours from notification delivery time"},
    ],
)
async def test_a_debit_that_razorpay_finds_too_early_is_asked_for_again(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str, said: dict[str, Any]
) -> None:
    razorpay.fault("refused", status=400, count=1, **said)
    request = charge_of(customer, razorpay.token(customer))
    assert await gateway.charge(request) == NotExecuted("notice_too_fresh", 3600)
    assert isinstance(await gateway.charge(request), Succeeded)


async def test_a_token_that_the_customer_deleted_is_declined_before_it_is_announced(
    indian: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    token = razorpay.token(customer)
    await indian.detach_payment_method(MethodReference(token, customer), idempotency_key="k")
    request = charge_of(customer, token)

    outcome = await indian.charge(request)

    assert isinstance(outcome, Declined)
    assert outcome.info.category == "hard"
    assert not [o for o in razorpay.ask("orders") if o["receipt"] == request.attempt_code]


async def test_an_order_that_is_refused_for_another_reason_than_its_token_is_no_decline(
    indian: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    said = "Receipt is too long."
    razorpay.fault("refused", status=400, description=said, operations=["order"])
    with pytest.raises(InvalidRequestError, match=said):
        await indian.charge(charge_of(customer, razorpay.token(customer)))


async def test_bank_mandates_and_other_currencies_are_not_announced(
    indian: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    bank = razorpay.token(customer, method="emandate")
    abroad = charge_of(customer, razorpay.token(customer), 1_999, currency="USD")
    assert isinstance(
        await indian.charge(charge_of(customer, bank, method_type="bank_account")), Succeeded
    )
    assert isinstance(await indian.charge(abroad), Succeeded)


@pytest.mark.parametrize("reason", list(REASONS))
async def test_a_failure_is_judged_by_its_reason_and_moves_nothing(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str, reason: str
) -> None:
    request = charge_of(customer, razorpay.token(customer, reason))
    outcome = await gateway.charge(request)
    if isinstance(outcome, Pending):  # nobody knows what the bank did: for five days
        razorpay.advance(days=5, seconds=1)
        outcome = await found(gateway, request)
    assert isinstance(outcome, Declined)
    assert (outcome.info.category, outcome.info.reason, outcome.info.advice) == REASONS[reason]
    assert outcome.info.gateway_code == reason
    assert outcome.gateway_reference
    assert razorpay.moved("charge", request.attempt_code) == 0
    assert await found(gateway, request) == outcome
    assert await gateway.charge(request) == outcome  # a repetition tries nothing again


async def test_a_refusal_with_a_failed_payment_inside_is_that_payments_decline(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    request = charge_of(customer, razorpay.token(customer, "at_once:card_expired"))
    outcome = await gateway.charge(request)
    assert isinstance(outcome, Declined)
    assert outcome.info.gateway_code == "card_expired"
    assert await found(gateway, request) == outcome


async def test_a_time_out_at_the_bank_stays_open_and_a_late_authorisation_is_found(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    request = charge_of(customer, razorpay.token(customer, "late"))
    assert isinstance(await gateway.charge(request), Pending)
    razorpay.advance(days=2, minutes=1)
    assert isinstance(await found(gateway, request), Succeeded)
    assert razorpay.moved("charge", request.attempt_code) == 49_900


async def test_a_late_authorisation_that_nobody_captures_ends_with_the_customer(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    request = charge_of(customer, razorpay.token(customer, "late_held"))
    await gateway.charge(request)
    razorpay.advance(days=2, minutes=1)
    held = await found(gateway, request)
    assert isinstance(held, Authorized)
    assert held.expires_at is not None
    razorpay.advance(days=3, minutes=1)
    assert await found(gateway, request) == Voided(held.gateway_reference)
    assert razorpay.moved("charge", request.attempt_code) == 0


@pytest.mark.parametrize(
    ("behaves", "ends"), [("slow", Succeeded), ("slow:card_declined", Declined)]
)
async def test_a_pending_charge_ends_in_a_look_up(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str, behaves: str, ends: type
) -> None:
    request = charge_of(customer, razorpay.token(customer, behaves))
    assert isinstance(await gateway.charge(request), Pending)
    await eventually(lambda: found(gateway, request), ends)


@pytest.mark.parametrize(
    ("standing", "reason"),
    [("paused", "mandate_paused"), ("cancelled", "mandate_cancelled"), ("rejected", "mandate_not")],
)
async def test_a_mandate_that_is_not_in_force_is_declined_for_good(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str, standing: str, reason: str
) -> None:
    token = razorpay.token(customer)
    razorpay.tell("standing", token_id=token, status=standing)
    outcome = await gateway.charge(charge_of(customer, token))
    assert isinstance(outcome, Declined)
    assert outcome.info.gateway_code.startswith(reason)


async def test_a_token_that_is_none_is_an_invalid_payment_method(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    request = charge_of(customer, "token_NoSuchToken00x"[:20])
    outcome = await gateway.charge(request)
    assert isinstance(outcome, Declined)
    assert outcome.info.reason == "invalid_payment_method"


async def test_an_amount_above_the_mandate_needs_another_method(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    request = charge_of(customer, razorpay.token(customer, max_amount=10_000))
    outcome = await gateway.charge(request)
    assert isinstance(outcome, Declined)
    assert (outcome.info.category, outcome.info.reason) == ("hard", "limit_exceeded")


async def test_the_contact_is_ours_or_the_one_that_razorpay_has(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    token = razorpay.token(customer)
    for details in (None, CustomerDetails("cus_1", email="me@example.com")):
        request = replace(charge_of(customer, token), customer=details)
        assert isinstance(await gateway.charge(request), Succeeded)
    email = (await found_payment(razorpay, request.attempt_code))["email"]
    assert email == "me@example.com"


async def found_payment(razorpay: RazorpayFake, reference: str) -> dict[str, str]:
    order = next(o for o in razorpay.ask("orders") if o["receipt"] == reference)
    return next(p for p in razorpay.ask("payments") if p["order_id"] == order["id"])


# ── lost answers ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("fault", "outcome", "moved"), FAULTS)
async def test_a_fault_never_passes_for_an_answer_and_the_look_up_tells_the_truth(
    hasty: RazorpayGateway,
    razorpay: RazorpayFake,
    customer: str,
    fault: str,
    outcome: type,
    moved: int,
) -> None:
    request = charge_of(customer, razorpay.token(customer))
    razorpay.fault(fault)
    assert isinstance(await hasty.charge(request), outcome)
    answer = await hasty.find_payment(PaymentQuery(request.attempt_code))
    assert razorpay.moved("charge", request.attempt_code) == moved
    if moved:
        assert isinstance(answer, Found)
        assert isinstance(answer.outcome, Succeeded)
    else:
        assert answer == NotFound(definitive=True)


@pytest.mark.parametrize("operation", ["charge", "order", "lookup"])
@pytest.mark.parametrize("fault", [fault for fault, _, _ in FAULTS])
async def test_a_repetition_uses_the_same_order_and_money_moves_once(
    hasty: RazorpayGateway, razorpay: RazorpayFake, customer: str, fault: str, operation: str
) -> None:
    request = charge_of(customer, razorpay.token(customer))
    razorpay.fault(fault, count=1, operations=[operation])

    first = await hasty.charge(request)
    second = await hasty.charge(request)

    if operation == "charge":
        assert isinstance(first, Unknown | NotExecuted)
    else:  # nothing that moves money was sent
        assert isinstance(first, NotExecuted)
    assert isinstance(second, Succeeded)
    assert razorpay.moved("charge", request.attempt_code) == 49_900
    orders = [o for o in razorpay.ask("orders") if o["receipt"] == request.attempt_code]
    assert len(orders) == 1


async def test_a_late_effect_is_found_and_a_repetition_before_it_does_not_double_it(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    # The first debit takes effect after the second was asked for: one order, so one success.
    request = charge_of(customer, razorpay.token(customer))
    razorpay.fault("late_effect", delay_ms=400, count=1)
    assert isinstance(await gateway.charge(request), Unknown)
    assert isinstance(await gateway.charge(request), Succeeded)
    await asyncio.sleep(0.6)
    assert isinstance(await found(gateway, request), Succeeded)
    assert razorpay.moved("charge", request.attempt_code) == 49_900


async def test_two_orders_under_one_code_are_nobodys_to_choose_from(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    # The order's answer is lost and the order made late: after the repetition made its own.
    request = charge_of(customer, razorpay.token(customer))
    razorpay.fault("late_effect", delay_ms=150, count=1, operations=["order"])
    assert isinstance(await gateway.charge(request), NotExecuted)
    razorpay.fault("timeout_before_effect", count=1)
    account = razorpay.account(total_timeout_seconds=1)
    hasty = RazorpayGateway(
        replace(account, options={**account.options, "pre_debit_notice": "none"})
    )
    try:
        assert isinstance(await hasty.charge(request), Unknown)
    finally:
        await hasty.aclose()
    orders = [o for o in razorpay.ask("orders") if o["receipt"] == request.attempt_code]
    assert len(orders) == 2
    assert await gateway.charge(request) == Unknown("orders_out_of_step")
    assert razorpay.moved("charge", request.attempt_code) == 0


async def test_a_gateway_that_charges_twice_is_caught(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    request = charge_of(customer, razorpay.token(customer))
    razorpay.fault("duplicate", count=1)
    await gateway.charge(request)
    answer = await gateway.find_payment(PaymentQuery(request.attempt_code))
    assert isinstance(answer, Found)
    assert len(answer.others) == 1


async def test_the_same_charge_from_many_places_at_once_moves_money_once(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    # Its order is made first, as it is before any repetition; then twenty come at once.
    request = charge_of(customer, razorpay.token(customer))
    razorpay.fault("error_429", count=1)
    assert isinstance(await gateway.charge(request), NotExecuted)
    answers = await asyncio.gather(*(gateway.charge(request) for _ in range(20)))
    assert all(isinstance(answer, Succeeded | Unknown) for answer in answers), answers
    assert razorpay.moved("charge", request.attempt_code) == 49_900


async def test_a_code_used_for_another_amount_is_our_fault_and_moves_nothing(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    request = charge_of(customer, razorpay.token(customer))
    await gateway.charge(request)
    with pytest.raises(InvalidRequestError):
        await gateway.charge(replace(request, amount_minor=50_000))
    assert razorpay.moved("charge", request.attempt_code) == 49_900


async def test_nobody_listening_means_not_executed(
    razorpay: RazorpayFake, customer: str, anyio_backend: str
) -> None:
    gateway = RazorpayGateway(razorpay.account(base_url="http://127.0.0.1:9"))
    request = charge_of(customer, "token_NoSuchToken0000")
    try:
        assert await gateway.charge(request) == NotExecuted("look_up_connect_failed")
        query = PaymentQuery(request.attempt_code)
        assert await gateway.find_payment(query) == Inconclusive("connect_failed")
        assert await gateway.check_credentials() is CredentialCheck.UNREACHABLE
    finally:
        await gateway.aclose()


async def test_too_many_requests_say_when_to_come_back(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    razorpay.fault("error_429")
    outcome = await gateway.charge(charge_of(customer, razorpay.token(customer)))
    assert outcome == NotExecuted("rate_limited", retry_after_seconds=1)


@pytest.mark.parametrize("fault", [fault for fault, _, _ in FAULTS])
async def test_a_look_up_that_fails_proves_nothing(
    hasty: RazorpayGateway, razorpay: RazorpayFake, fault: str
) -> None:
    razorpay.fault(fault, operations=["lookup"])
    assert isinstance(await hasty.find_payment(PaymentQuery("never_sent")), Inconclusive)
    assert isinstance(await hasty.fetch_payment("pay_Fk000000000000"), Inconclusive)
    assert isinstance(await hasty.find_refund(RefundQuery("never_sent")), Inconclusive)


@pytest.mark.parametrize(
    ("status", "description"),
    [
        (400, "You do not have permission to access this feature."),
        (400, "The requested URL was not found on the server."),
        (404, "no Route matched with those values"),
        (403, "Access denied"),
        (409, "Request is being processed, please try again"),
    ],
)
async def test_a_refusal_that_does_not_speak_of_the_object_proves_no_absence(
    razorpay: RazorpayFake, gateway: RazorpayGateway, status: int, description: str
) -> None:
    """Else a payment that exists would be closed as never executed, and charged again."""
    razorpay.fault("refused", status=status, description=description, operations=["lookup"])
    refund = RefundQuery("never_sent", payment_reference="pay_Fk000000000000")
    looks = [
        await gateway.find_payment(PaymentQuery("never_sent")),
        await gateway.fetch_payment("pay_Fk0000000000xx"),
        await gateway.fetch_payment("order_Fk0000000000xx"),
        await gateway.find_refund(RefundQuery("never_sent")),
        await gateway.find_refund(refund),
        await gateway.fetch_refund("rfnd_Fk0000000000xx"),
        await gateway.fetch_dispute("disp_Fk0000000000xx"),
    ]
    assert all(isinstance(look, Inconclusive) for look in looks), looks


async def test_what_was_never_sent_is_not_found(gateway: RazorpayGateway) -> None:
    assert await gateway.find_payment(PaymentQuery("never_sent")) == NotFound(definitive=True)
    assert await gateway.fetch_payment("pay_Fk0000000000xx") == NotFound(definitive=True)
    assert await gateway.fetch_payment("order_Fk0000000000xx") == NotFound(definitive=True)
    assert await gateway.find_refund(RefundQuery("never_sent")) == NotFound(definitive=True)
    assert await gateway.fetch_refund("rfnd_Fk0000000000xx") == NotFound(definitive=True)
    assert await gateway.fetch_dispute("disp_Fk0000000000xx") == NotFound(definitive=True)


# ── holding, capturing, giving up ─────────────────────────────────────────────────────────────────


async def test_what_is_held_is_captured_once_and_whole(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    request = charge_of(customer, razorpay.token(customer), is_captured=False)
    held = await gateway.charge(request)
    assert isinstance(held, Authorized)
    assert razorpay.moved("charge", request.attempt_code) == 0
    take = CaptureRequest("perennial-capture-1", held.gateway_reference, 49_900, "INR")

    with pytest.raises(InvalidRequestError):  # no part of it can be taken
        await gateway.capture(replace(take, amount_minor=10_000))
    first, again = await gateway.capture(take), await gateway.capture(take)

    assert isinstance(first, Succeeded)
    assert again == first
    assert razorpay.moved("charge", request.attempt_code) == 49_900


@pytest.mark.parametrize(("fault", "outcome", "moved"), FAULTS)
async def test_a_lost_capture_is_unknown_and_may_be_asked_again(
    hasty: RazorpayGateway,
    razorpay: RazorpayFake,
    customer: str,
    fault: str,
    outcome: type,
    moved: int,
) -> None:
    request = charge_of(customer, razorpay.token(customer), is_captured=False)
    held = await hasty.charge(request)
    assert isinstance(held, Authorized)
    take = CaptureRequest("perennial-capture-1", held.gateway_reference, 49_900, "INR")
    razorpay.fault(fault, count=1, operations=["capture"])
    assert isinstance(await hasty.capture(take), outcome)
    assert razorpay.moved("charge", request.attempt_code) == moved
    assert isinstance(await hasty.capture(take), Succeeded)
    assert razorpay.moved("charge", request.attempt_code) == 49_900


async def test_void_says_what_has_become_of_it_as_razorpay_has_no_such_call(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    held = await gateway.charge(charge_of(customer, razorpay.token(customer), is_captured=False))
    taken = await gateway.charge(charge_of(customer, razorpay.token(customer)))
    failed = await gateway.charge(charge_of(customer, razorpay.token(customer, "card_declined")))
    assert isinstance(held, Authorized)
    assert isinstance(taken, Succeeded)
    assert isinstance(failed, Declined)

    async def void(reference: str | None) -> object:
        return await gateway.void(VoidRequest("perennial-void-1", reference or ""))

    still = VoidDeclined(VoidDeclineReason.NOT_VOIDABLE, "no_void_at_razorpay")
    assert await void(held.gateway_reference) == still
    captured = VoidDeclined(VoidDeclineReason.ALREADY_CAPTURED, "captured")
    assert await void(taken.gateway_reference) == captured
    assert await void(failed.gateway_reference) == Voided(failed.gateway_reference or "")
    unknown = await void("pay_Fk0000000000xx")
    assert isinstance(unknown, VoidDeclined)
    assert unknown.reason is VoidDeclineReason.NOT_FOUND
    razorpay.advance(days=3, seconds=1)  # nobody captured it, so it has gone back
    assert await void(held.gateway_reference) == Voided(held.gateway_reference)


# ── refunds ───────────────────────────────────────────────────────────────────────────────────────


async def paid(gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str, **how: str) -> str:
    outcome = await gateway.charge(charge_of(customer, razorpay.token(customer, **how), 100_000))
    assert isinstance(outcome, Succeeded)
    return outcome.gateway_reference


async def test_a_refund_moves_back_exactly_its_minor_units_once_per_key(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    request = refund_of(await paid(gateway, razorpay, customer), 40_000)

    outcome = await gateway.refund(request)
    again = await gateway.refund(request)

    assert isinstance(outcome, Refunded)
    assert (outcome.amount_minor, outcome.currency) == (40_000, "INR")
    assert again == outcome
    assert razorpay.moved("refund", request.refund_code) == 40_000
    query = RefundQuery(request.refund_code, payment_reference=request.payment_reference)
    assert await gateway.find_refund(query) == Found(outcome)
    assert await gateway.find_refund(RefundQuery(request.refund_code)) == Found(outcome)
    fetched = await gateway.fetch_refund(outcome.gateway_reference)
    assert fetched == Found(outcome, reference=request.refund_code)
    with pytest.raises(InvalidRequestError):  # the same key, and another body
        await gateway.refund(replace(request, amount_minor=50_000))


async def test_a_fully_refunded_payment_is_still_one_that_succeeded(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    payment = await paid(gateway, razorpay, customer)
    await gateway.refund(refund_of(payment, 100_000))
    fetched = await gateway.fetch_payment(payment)
    assert isinstance(fetched, Found)
    assert isinstance(fetched.outcome, Succeeded)


async def test_refunds_at_once_never_give_back_more_than_was_taken(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    # Twenty refunds of 15,000 race for 100,000: six fit (90,000), and then none.
    payment = await paid(gateway, razorpay, customer)
    requests = [refund_of(payment, 15_000) for _ in range(20)]
    outcomes = await asyncio.gather(*(gateway.refund(request) for request in requests))
    assert sum(isinstance(outcome, Refunded) for outcome in outcomes) == 6
    refused = {o.reason for o in outcomes if isinstance(o, RefundDeclined)}
    assert refused == {RefundDeclineReason.EXCEEDS_CAPTURED}
    assert sum(razorpay.moved("refund", one.refund_code) for one in requests) == 90_000


async def test_the_same_refund_at_once_moves_once(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    request = refund_of(await paid(gateway, razorpay, customer), 15_000)
    outcomes = await asyncio.gather(*(gateway.refund(request) for _ in range(10)))
    [refunded] = {outcome for outcome in outcomes if isinstance(outcome, Refunded)}
    # Who asks while it runs is told so; how many do is the machine's affair.
    assert set(outcomes) <= {refunded, Unknown("still_running")}
    assert razorpay.moved("refund", request.refund_code) == 15_000


@pytest.mark.parametrize(("fault", "outcome", "moved"), FAULTS)
async def test_a_lost_refund_is_unknown_until_looked_up(
    hasty: RazorpayGateway,
    razorpay: RazorpayFake,
    customer: str,
    fault: str,
    outcome: type,
    moved: int,
) -> None:
    request = refund_of(await paid(hasty, razorpay, customer), 49_900)
    razorpay.fault(fault, count=1)
    assert isinstance(await hasty.refund(request), outcome)
    query = RefundQuery(request.refund_code, payment_reference=request.payment_reference)
    answer = await hasty.find_refund(query)
    assert isinstance(answer, Found) == bool(moved)
    assert razorpay.moved("refund", request.refund_code) == moved
    assert isinstance(await hasty.refund(request), Refunded)
    assert razorpay.moved("refund", request.refund_code) == 49_900


async def test_refunds_may_fail_or_take_their_time(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    fails = await paid(gateway, razorpay, customer, behaviour="refund_fails")
    waits = await paid(gateway, razorpay, customer, behaviour="refund_pending")
    refused = await gateway.refund(refund_of(fails, 1_000))
    assert isinstance(refused, RefundDeclined)
    request = refund_of(waits, 1_000)
    assert isinstance(await gateway.refund(request), RefundPending)
    razorpay.advance(seconds=1)
    answer = await gateway.find_refund(RefundQuery(request.refund_code))
    assert isinstance(answer, Found)
    assert isinstance(answer.outcome, Refunded)


async def test_what_moved_no_money_cannot_be_refunded(
    gateway: RazorpayGateway, razorpay: RazorpayFake, customer: str
) -> None:
    held = await gateway.charge(charge_of(customer, razorpay.token(customer), is_captured=False))
    assert isinstance(held, Authorized)
    early = await gateway.refund(refund_of(held.gateway_reference, 1_000))
    never = await gateway.refund(refund_of("pay_Fk0000000000xx", 1_000))
    assert isinstance(early, RefundDeclined)
    assert early.reason is RefundDeclineReason.PAYMENT_NOT_REFUNDABLE
    assert isinstance(never, RefundDeclined)
    assert never.reason is RefundDeclineReason.PAYMENT_NOT_FOUND


# ── opening an account ────────────────────────────────────────────────────────────────────────────


async def test_wrong_credentials_are_an_error_and_move_nothing(
    razorpay: RazorpayFake, customer: str, anyio_backend: str
) -> None:
    wrong = razorpay.account(credentials={"key_secret": SecretStr("wrong")})
    request = charge_of(customer, razorpay.token(customer))
    gateway = open_gateway("razorpay", wrong)
    try:
        assert await gateway.check_credentials() is CredentialCheck.REFUSED
        with pytest.raises(AuthenticationError):
            await gateway.charge(request)
        with pytest.raises(AuthenticationError):
            await gateway.find_payment(PaymentQuery(request.attempt_code))
    finally:
        await gateway.aclose()
    assert razorpay.moved("charge", request.attempt_code) == 0


async def test_right_credentials_are_valid(gateway: RazorpayGateway) -> None:
    assert await gateway.check_credentials() is CredentialCheck.VALID


@pytest.mark.parametrize(
    "account",
    [
        AccountSettings(AccountMode.TEST),
        AccountSettings(AccountMode.TEST, {"key_secret": SecretStr("s")}, {"key_id": "rzp_test_a"}),
        AccountSettings(
            AccountMode.TEST,
            {"key_secret": SecretStr("s")},
            {"key_id": "rzp_live_a", "account_id": "acc_a"},
        ),
        AccountSettings(
            AccountMode.LIVE,
            {"key_secret": SecretStr("s")},
            {"key_id": "rzp_test_a", "account_id": "acc_a"},
        ),
    ],
)
def test_an_account_without_its_keys_or_with_those_of_the_other_mode_is_not_opened(
    account: AccountSettings,
) -> None:
    with pytest.raises(ConfigurationError):
        open_gateway("razorpay", account)


def test_an_account_outside_india_needs_no_lead_time(razorpay: RazorpayFake) -> None:
    account = razorpay.account()
    here = RazorpayGateway(account)
    abroad = replace(account, options={**account.options, "pre_debit_notice": "none"})
    assert here.capabilities.requires_lead_time_seconds == 2 * 86_400
    assert RazorpayGateway(abroad).capabilities.requires_lead_time_seconds == 0
