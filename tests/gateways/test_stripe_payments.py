"""Stripe's adapter and money: judged by the books of a Stripe of ours, never by answers alone."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from app.clock import SystemClock
from app.domain.outcome import (
    Authorized,
    DeclineAdvice,
    DeclineCategory,
    Declined,
    DeclineReason,
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
    RequiresAction,
    Succeeded,
    Unknown,
    VoidDeclined,
    VoidDeclineReason,
    Voided,
)
from app.gateways.base import AuthenticationError, CredentialCheck, Gateway, InvalidRequestError
from app.gateways.requests import (
    CaptureRequest,
    ChargeRequest,
    PaymentQuery,
    RefundQuery,
    VoidRequest,
)
from tests.gateways.stripe import StripeFake, charge_of, new_code, refund_of

WAIT_SECONDS = 10


@pytest.fixture
async def gateway(stripe: StripeFake, anyio_backend: str) -> AsyncIterator[Gateway]:
    gateway = stripe.open()
    yield gateway
    await gateway.aclose()


def query(request: ChargeRequest) -> PaymentQuery:
    return PaymentQuery(
        request.attempt_code,
        created_at=SystemClock().now(),
        customer_reference=request.customer_reference,
    )


async def eventually(ask: Callable[[], Awaitable[Any]], kind: type) -> Any:
    """Ask again until what is found is of this kind, or the deadline passes."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        answer = await ask()
        if isinstance(answer, Found) and isinstance(answer.outcome, kind):
            return answer.outcome
        assert time.monotonic() < deadline, f"still {answer}"
        await asyncio.sleep(0.05)


def hold_of(stripe: StripeFake, amount_minor: int = 1999) -> ChargeRequest:
    return charge_of(stripe, amount_minor=amount_minor, is_captured=False)


def capture_of(held: Outcome, amount_minor: int, key: str = "") -> CaptureRequest:
    assert isinstance(held, Authorized)
    return CaptureRequest(key or new_code(), held.gateway_reference, amount_minor, held.currency)


# Charges


@pytest.mark.parametrize(
    ("amount", "currency", "at_stripe"),
    [
        (1999, "EUR", 1999),
        (500, "JPY", 500),
        (12_340, "KWD", 12_340),  # 12.340: the third decimal is 0
        (5, "ISK", 500),
        (5_000, "UGX", 500_000),
        (1_200, "MGA", 12),
        (17_500, "HUF", 17_500),
        (1_000, "TWD", 1_000),
        (99_999_999, "USD", 99_999_999),
    ],
)
async def test_a_charge_moves_exactly_its_minor_units(
    stripe: StripeFake, gateway: Gateway, amount: int, currency: str, at_stripe: int
) -> None:
    request = charge_of(stripe, amount_minor=amount, currency=currency)

    outcome = await gateway.charge(request)

    assert isinstance(outcome, Succeeded)
    assert (outcome.amount_minor, outcome.currency) == (amount, currency)
    [entry] = stripe.entries("charge", request.attempt_code)
    assert (entry["amount"], entry["currency"]) == (at_stripe, currency.lower())
    assert stripe.moved("charge", request.attempt_code) == amount
    assert await gateway.find_payment(query(request)) == Found(outcome)


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        (12_345, "KWD"),
        (150, "MGA"),
        (0, "EUR"),
        (-5, "EUR"),
        (100, "CLF"),
        (100, "IQD"),
        (1, "XXX"),
    ],
)
async def test_an_amount_that_stripe_cannot_take_exactly_is_never_sent(
    stripe: StripeFake, gateway: Gateway, amount: int, currency: str
) -> None:
    request = charge_of(stripe, amount_minor=amount, currency=currency)
    before = len(stripe.ask("requests"))

    with pytest.raises(InvalidRequestError) as refused:
        await gateway.charge(request)

    assert refused.value.code == "amount_not_representable"
    assert len(stripe.ask("requests")) == before


async def test_the_fee_and_the_networks_name_are_told(stripe: StripeFake, gateway: Gateway) -> None:
    # 2.5 % and 25 cents, as our Stripe takes it: 1999 // 40 + 25 = 74.
    outcome = await gateway.charge(charge_of(stripe))
    assert isinstance(outcome, Succeeded)
    assert outcome.fee_minor == 74
    assert (outcome.network_transaction_id or "").startswith("nti")


async def test_a_fee_in_another_currency_is_not_told_as_if_it_were_in_ours(
    stripe: StripeFake, gateway: Gateway
) -> None:
    outcome = await gateway.charge(charge_of(stripe, currency="CHF"))
    assert isinstance(outcome, Succeeded)
    assert outcome.fee_minor is None


HARD, SOFT = DeclineCategory.HARD, DeclineCategory.SOFT
STOP, LATER = DeclineAdvice.DO_NOT_RETRY, DeclineAdvice.RETRY_LATER
UPDATE = DeclineAdvice.UPDATE_PAYMENT_METHOD
DAY = 86_400
DECLINES = [
    ("pm_card_visa_chargeDeclined", SOFT, DeclineReason.GENERIC, LATER, None),
    (
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        SOFT,
        DeclineReason.INSUFFICIENT_FUNDS,
        LATER,
        None,
    ),
    ("pm_card_visa_chargeDeclinedLostCard", HARD, DeclineReason.LOST_OR_STOLEN, STOP, None),
    ("pm_card_visa_chargeDeclinedStolenCard", HARD, DeclineReason.LOST_OR_STOLEN, STOP, None),
    (
        "pm_card_visa_chargeDeclinedVelocityLimitExceeded",
        SOFT,
        DeclineReason.LIMIT_EXCEEDED,
        LATER,
        None,
    ),
    (
        "pm_card_chargeDeclinedFraudulent",
        DeclineCategory.FRAUD,
        DeclineReason.GENERIC,
        STOP,
        None,
    ),
    ("pm_card_chargeDeclinedExpiredCard", HARD, DeclineReason.EXPIRED_CARD, UPDATE, None),
    (
        "pm_card_chargeDeclinedIncorrectCvc",
        HARD,
        DeclineReason.INVALID_PAYMENT_METHOD,
        UPDATE,
        None,
    ),
    ("pm_card_chargeDeclinedProcessingError", SOFT, DeclineReason.PROCESSING_ERROR, LATER, None),
    ("pm_fake_declined_do_not_honor", SOFT, DeclineReason.DO_NOT_HONOR, LATER, None),
    ("pm_fake_declined_issuer_not_available", SOFT, DeclineReason.ISSUER_UNAVAILABLE, LATER, None),
    ("pm_fake_declined_stop_payment_order", HARD, DeclineReason.MANDATE_REVOKED, STOP, None),
    ("pm_fake_declined_moon_phase", SOFT, DeclineReason.GENERIC, LATER, None),
    ("pm_fake_advised_do_not_try_again", HARD, DeclineReason.GENERIC, STOP, None),
    (
        "pm_fake_advised_try_again_later",
        SOFT,
        DeclineReason.INVALID_PAYMENT_METHOD,
        LATER,
        None,
    ),
    ("pm_fake_visa_category_1", HARD, DeclineReason.DO_NOT_HONOR, STOP, None),
    ("pm_fake_mastercard_never", HARD, DeclineReason.DO_NOT_HONOR, STOP, None),
    ("pm_fake_mastercard_in_a_day", SOFT, DeclineReason.INSUFFICIENT_FUNDS, LATER, DAY),
]


@pytest.mark.parametrize(("card", "category", "reason", "advice", "wait"), DECLINES)
async def test_a_decline_is_a_value_in_our_words_and_moves_nothing(
    stripe: StripeFake,
    gateway: Gateway,
    card: str,
    category: DeclineCategory,
    reason: DeclineReason,
    advice: DeclineAdvice,
    wait: int | None,
) -> None:
    request = charge_of(stripe, card)

    outcome = await gateway.charge(request)

    assert isinstance(outcome, Declined)
    info = outcome.info
    assert (info.category, info.reason, info.advice) == (category, reason, advice)
    assert info.retry_after_seconds == wait
    assert await gateway.charge(request) == outcome
    assert await gateway.find_payment(query(request)) == Found(outcome)
    assert stripe.moved("charge", request.attempt_code) == 0


async def test_a_method_that_is_gone_is_a_hard_decline(
    stripe: StripeFake, gateway: Gateway
) -> None:
    never = charge_of(stripe, payment_method_reference="pm_no_such_method")
    detached = charge_of(stripe)
    stripe.tell("change", id=detached.payment_method_reference, to={"customer": None})
    nobodys = charge_of(stripe, customer_reference="cus_no_such_customer")

    for request in (never, detached, nobodys):
        outcome = await gateway.charge(request)
        assert isinstance(outcome, Declined)
        assert outcome.info.reason is DeclineReason.INVALID_PAYMENT_METHOD
        assert (outcome.info.category, outcome.info.advice) == (HARD, UPDATE)
        assert stripe.moved("charge", request.attempt_code) == 0


async def test_a_method_of_another_customer_is_our_fault_and_no_decline(
    stripe: StripeFake, gateway: Gateway
) -> None:
    request = charge_of(stripe, customer_reference=stripe.customer())
    with pytest.raises(InvalidRequestError) as refused:
        await gateway.charge(request)
    assert refused.value.param == "payment_method"
    assert stripe.moved("charge", request.attempt_code) == 0


# The customer's part, and what takes its time


async def test_a_charge_that_needs_the_customer_hands_out_the_secret_to_authenticate_it(
    stripe: StripeFake, gateway: Gateway
) -> None:
    request = charge_of(stripe, "pm_card_authenticationRequired")

    outcome = await gateway.charge(request)

    assert isinstance(outcome, RequiresAction)
    assert (outcome.client_secret or "").startswith(f"{outcome.gateway_reference}_secret_")
    assert outcome.client_secret not in repr(outcome)
    assert await gateway.find_payment(query(request)) == Found(outcome)

    by_customer = {"id": outcome.gateway_reference, "client_secret": outcome.client_secret}
    stripe.tell("act", **by_customer, verdict="begin")
    begun = await eventually(lambda: gateway.find_payment(query(request)), RequiresAction)
    assert begun.action_url.startswith("https://hooks.stripe.com/")
    stripe.tell("act", **by_customer, verdict="refuse")
    refused = await eventually(lambda: gateway.find_payment(query(request)), RequiresAction)
    assert refused == outcome  # the same secret lets the customer try again
    assert stripe.moved("charge", request.attempt_code) == 0
    stripe.tell("act", **by_customer, verdict="accept")
    await eventually(lambda: gateway.find_payment(query(request)), Succeeded)
    assert stripe.moved("charge", request.attempt_code) == 1999


@pytest.mark.parametrize("is_marked", [False, True])
async def test_a_secret_leaves_only_once_its_payment_is_marked(
    stripe: StripeFake, gateway: Gateway, is_marked: bool
) -> None:
    """An unmarked one is declined for good: nobody has what it takes to pay it."""
    request = charge_of(stripe, "pm_card_authenticationRequired")
    stripe.script(operation="order", status=500, effect=is_marked)

    outcome = await gateway.charge(request)

    assert isinstance(outcome, Unknown)
    assert outcome.gateway_reference is not None
    found = await gateway.find_payment(query(request))
    assert isinstance(found, Found)
    if is_marked:
        assert isinstance(found.outcome, RequiresAction)
    else:
        assert isinstance(found.outcome, Declined)
        assert found.outcome.info.category is DeclineCategory.ACTION_REQUIRED
        assert found.outcome.info.reason is DeclineReason.AUTHENTICATION_REQUIRED
    again = await gateway.charge(request)
    assert isinstance(again, RequiresAction)
    assert await gateway.find_payment(query(request)) == Found(again)


async def test_a_payment_whose_secret_is_out_waits_whatever_its_last_try_came_to(
    stripe: StripeFake, gateway: Gateway
) -> None:
    request = charge_of(stripe, "pm_card_authenticationRequired")
    waiting = await gateway.charge(request)
    assert isinstance(waiting, RequiresAction)
    broke = {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds"}
    stripe.tell("change", id=waiting.gateway_reference, to={"last_payment_error": broke})
    assert await gateway.find_payment(query(request)) == Found(waiting)


async def test_a_charge_that_waits_for_its_customer_can_be_given_up(
    stripe: StripeFake, gateway: Gateway
) -> None:
    request = charge_of(stripe, "pm_card_authenticationRequired")
    outcome = await gateway.charge(request)
    assert isinstance(outcome, RequiresAction)
    void = VoidRequest(new_code(), outcome.gateway_reference or "")

    assert await gateway.void(void) == Voided(void.payment_reference)
    assert await gateway.void(void) == Voided(void.payment_reference)
    assert await gateway.void(replace(void, idempotency_key=new_code())) == Voided(
        void.payment_reference
    )
    assert await gateway.find_payment(query(request)) == Found(Voided(void.payment_reference))


@pytest.mark.parametrize(
    ("method", "ending", "moved"),
    [
        ("pm_usBankAccount_success", Succeeded, 1999),
        ("pm_usBankAccount_insufficientFunds", Declined, 0),
    ],
)
async def test_a_bank_debit_is_pending_and_ends_in_a_look_up(
    stripe: StripeFake, gateway: Gateway, method: str, ending: type, moved: int
) -> None:
    request = charge_of(stripe, method, currency="USD")

    outcome = await gateway.charge(request)

    assert isinstance(outcome, Pending)
    ended = await eventually(lambda: gateway.fetch_payment(outcome.gateway_reference or ""), ending)
    assert await gateway.find_payment(query(request)) == Found(ended)
    assert stripe.moved("charge", request.attempt_code) == moved


# Holds


async def test_a_hold_moves_nothing_until_it_is_captured(
    stripe: StripeFake, gateway: Gateway
) -> None:
    request = hold_of(stripe)

    held = await gateway.charge(request)

    assert isinstance(held, Authorized)
    assert (held.amount_minor, held.currency) == (1999, "EUR")
    assert held.expires_at is not None
    assert held.expires_at > SystemClock().now() + timedelta(days=6)
    assert await gateway.find_payment(query(request)) == Found(held)
    assert stripe.moved("charge", request.attempt_code) == 0

    capture = capture_of(held, 1500)
    taken = await gateway.capture(capture)
    assert isinstance(taken, Succeeded)
    assert (taken.gateway_reference, taken.amount_minor) == (held.gateway_reference, 1500)
    assert await gateway.capture(capture) == taken
    # Another capture, by another key: it is done already, and says so by what was taken.
    assert await gateway.capture(capture_of(held, 400)) == taken
    assert stripe.moved("charge", request.attempt_code) == 1500


async def test_more_than_is_held_cannot_be_captured(stripe: StripeFake, gateway: Gateway) -> None:
    request = hold_of(stripe)
    held = await gateway.charge(request)
    with pytest.raises(InvalidRequestError):
        await gateway.capture(capture_of(held, 2000))
    assert stripe.moved("charge", request.attempt_code) == 0


async def test_a_hold_is_given_up_or_taken_never_both(stripe: StripeFake, gateway: Gateway) -> None:
    given_up = await gateway.charge(hold_of(stripe))
    taken = await gateway.charge(hold_of(stripe))
    assert isinstance(given_up, Authorized)
    assert isinstance(taken, Authorized)

    void = VoidRequest(new_code(), given_up.gateway_reference)
    assert await gateway.void(void) == Voided(given_up.gateway_reference)
    assert await gateway.capture(capture_of(given_up, 1999)) == Voided(given_up.gateway_reference)

    assert isinstance(await gateway.capture(capture_of(taken, 1999)), Succeeded)
    late = await gateway.void(VoidRequest(new_code(), taken.gateway_reference))
    assert late == VoidDeclined(
        VoidDeclineReason.ALREADY_CAPTURED, "payment_intent_unexpected_state"
    )


async def test_what_does_not_exist_or_is_under_way_is_not_voided(
    stripe: StripeFake, gateway: Gateway
) -> None:
    for reference in ("pi_no_such_payment", "no name of Stripe's/../x", ""):
        never = await gateway.void(VoidRequest(new_code(), reference))
        assert isinstance(never, VoidDeclined)
        assert never.reason is VoidDeclineReason.NOT_FOUND
    waiting = await gateway.charge(charge_of(stripe, "pm_usBankAccount_success", currency="USD"))
    assert isinstance(waiting, Pending)
    early = await gateway.void(VoidRequest(new_code(), waiting.gateway_reference or ""))
    assert isinstance(early, VoidDeclined)
    assert early.reason is VoidDeclineReason.NOT_VOIDABLE


# Refunds


async def taken_from(stripe: StripeFake, gateway: Gateway, card: str, amount: int = 1000) -> str:
    outcome = await gateway.charge(charge_of(stripe, card, amount))
    assert isinstance(outcome, Succeeded)
    return outcome.gateway_reference


async def test_a_refund_moves_back_exactly_its_minor_units(
    stripe: StripeFake, gateway: Gateway
) -> None:
    request = refund_of(await taken_from(stripe, gateway, "pm_card_visa"), 400)

    outcome = await gateway.refund(request)

    assert isinstance(outcome, Refunded)
    assert (outcome.amount_minor, outcome.currency) == (400, "EUR")
    assert await gateway.refund(request) == outcome
    assert stripe.moved("refund", request.refund_code) == 400
    asked = RefundQuery(request.refund_code, payment_reference=request.payment_reference)
    assert await gateway.find_refund(asked) == Found(outcome)
    assert await gateway.fetch_refund(outcome.gateway_reference) == Found(
        outcome, reference=request.refund_code
    )


async def test_refunds_at_once_never_give_back_more_than_was_taken(
    stripe: StripeFake, gateway: Gateway
) -> None:
    # Twenty refunds of 150 race for 1000: six fit (900), and then none.
    payment = await taken_from(stripe, gateway, "pm_card_visa", 1000)
    requests = [refund_of(payment, 150) for _ in range(20)]

    outcomes = await asyncio.gather(*(gateway.refund(request) for request in requests))

    refused = [outcome for outcome in outcomes if isinstance(outcome, RefundDeclined)]
    assert len(refused) == 14
    assert {outcome.reason for outcome in refused} == {RefundDeclineReason.EXCEEDS_CAPTURED}
    assert sum(stripe.moved("refund", request.refund_code) for request in requests) == 900


async def test_refunds_fail_wait_or_come_back_after_they_succeeded(
    stripe: StripeFake, gateway: Gateway
) -> None:
    fails = refund_of(await taken_from(stripe, gateway, "pm_card_refundFail"), 100)
    refused = await gateway.refund(fails)
    assert isinstance(refused, RefundDeclined)
    assert refused.gateway_code == "expired_or_canceled_card"

    waits = refund_of(await taken_from(stripe, gateway, "pm_card_pendingRefund"), 100)
    pending = await gateway.refund(waits)
    assert isinstance(pending, RefundPending)
    asked = RefundQuery(waits.refund_code, payment_reference=waits.payment_reference)
    done = await eventually(lambda: gateway.find_refund(asked), Refunded)

    stripe.tell("fail_refund", id=done.gateway_reference)
    back = await gateway.fetch_refund(done.gateway_reference)
    assert isinstance(back, Found)
    assert isinstance(back.outcome, RefundDeclined)
    assert stripe.moved("refund", waits.refund_code) == 0


async def test_what_cannot_be_refunded_says_why(stripe: StripeFake, gateway: Gateway) -> None:
    held = await gateway.charge(hold_of(stripe))
    assert isinstance(held, Authorized)
    all_of_it = await taken_from(stripe, gateway, "pm_card_visa", 100)
    await gateway.refund(refund_of(all_of_it, 100))
    disputed = await taken_from(stripe, gateway, "pm_card_createDispute")
    expected = {
        "pi_no_such_payment": RefundDeclineReason.PAYMENT_NOT_FOUND,
        "": RefundDeclineReason.PAYMENT_NOT_FOUND,
        held.gateway_reference: RefundDeclineReason.PAYMENT_NOT_REFUNDABLE,
        all_of_it: RefundDeclineReason.EXCEEDS_CAPTURED,
        disputed: RefundDeclineReason.PAYMENT_NOT_REFUNDABLE,
    }
    for payment, reason in expected.items():
        outcome = await gateway.refund(refund_of(payment, 1))
        assert isinstance(outcome, RefundDeclined)
        assert outcome.reason is reason


# What Stripe's errors prove


ERRORS: list[tuple[int, dict[str, Any], dict[str, str], Outcome | type[Exception]]] = [
    (
        409,
        {"type": "idempotency_error", "code": "idempotency_key_in_use"},
        {},
        Unknown("still_running"),
    ),
    (429, {"type": "invalid_request_error", "code": "rate_limit"}, {}, NotExecuted("rate_limited")),
    (
        429,
        {"type": "invalid_request_error", "code": "lock_timeout"},
        {"Retry_After": "3"},
        NotExecuted("rate_limited", 3),
    ),
    # As Stripe's own SDK reads it (`_api_requestor.py`): turned away, whatever the status.
    (400, {"type": "invalid_request_error", "code": "rate_limit"}, {}, NotExecuted("rate_limited")),
    (400, {"type": "idempotency_error"}, {}, InvalidRequestError),
    (400, {"type": "invalid_request_error", "code": "parameter_unknown"}, {}, InvalidRequestError),
    (
        400,
        {"type": "invalid_request_error", "code": "parameter_unknown"},
        {"Stripe_Should_Retry": "true"},
        Unknown("http_400"),
    ),
    (400, {"type": "api_error"}, {}, Unknown("http_400")),
    (404, {"type": "invalid_request_error"}, {}, InvalidRequestError),
    (401, {"type": "invalid_request_error"}, {}, AuthenticationError),
    (403, {"type": "invalid_request_error"}, {}, AuthenticationError),
    (500, {"type": "api_error"}, {}, Unknown("http_500")),
    (502, {"type": "api_error"}, {}, Unknown("http_502")),
    (503, {"type": "api_error"}, {}, Unknown("http_503")),
    (302, {"type": "api_error"}, {}, Unknown("http_302")),
]


@pytest.mark.parametrize(("status", "error", "headers", "meaning"), ERRORS)
async def test_an_error_proves_what_it_proves_and_no_more(
    stripe: StripeFake,
    gateway: Gateway,
    status: int,
    error: dict[str, Any],
    headers: dict[str, str],
    meaning: Outcome | type[Exception],
) -> None:
    request = charge_of(stripe)
    stripe.script(status=status, body={"error": error}, headers=headers)

    if isinstance(meaning, type):
        with pytest.raises(meaning):
            await gateway.charge(request)
    else:
        assert await gateway.charge(request) == meaning

    assert stripe.moved("charge", request.attempt_code) == 0


async def test_a_500_that_stripe_remembers_is_repeated_and_only_the_look_up_tells_the_truth(
    stripe: StripeFake, gateway: Gateway
) -> None:
    request = charge_of(stripe)
    stripe.script(operation="charge", effect=True, stored=True, status=500)

    assert await gateway.charge(request) == Unknown("http_500")
    assert await gateway.charge(request) == Unknown("http_500")

    found = await gateway.find_payment(query(request))
    assert isinstance(found, Found)
    assert isinstance(found.outcome, Succeeded)
    assert stripe.moved("charge", request.attempt_code) == 1999


async def test_a_key_used_for_another_amount_is_our_bug_and_moves_nothing(
    stripe: StripeFake, gateway: Gateway
) -> None:
    request = charge_of(stripe)
    await gateway.charge(request)
    with pytest.raises(InvalidRequestError) as refused:
        await gateway.charge(replace(request, amount_minor=2000))
    assert refused.value.code == "idempotency_error"
    assert stripe.moved("charge", request.attempt_code) == 1999


async def test_a_wrong_key_and_one_without_permissions_are_refused(stripe: StripeFake) -> None:
    request = charge_of(stripe)
    for key, check in (
        ("sk_test_wrong", CredentialCheck.REFUSED),
        ("rk_test_readonly", CredentialCheck.VALID),
    ):
        gateway = stripe.open(credentials={"secret_key": SecretStr(key)})
        assert await gateway.check_credentials() is check
        with pytest.raises(AuthenticationError) as refused:
            await gateway.charge(request)
        assert key not in str(refused.value)
        await gateway.aclose()
    assert stripe.moved("charge", request.attempt_code) == 0


# Look-ups


async def test_a_payment_is_found_among_very_many(stripe: StripeFake, gateway: Gateway) -> None:
    # 250 newer ones of the same customer: three pages.
    request = charge_of(stripe)
    outcome = await gateway.charge(request)
    others = [
        replace(request, attempt_code=new_code(), idempotency_key=new_code()) for _ in range(250)
    ]
    await asyncio.gather(*(gateway.charge(other) for other in others))

    assert await gateway.find_payment(query(request)) == Found(outcome)
    never = replace(query(request), reference=new_code())
    assert await gateway.find_payment(never) == NotFound(definitive=True)


async def test_a_payment_is_found_by_stripes_name_by_time_alone_and_after_its_customer_is_gone(
    stripe: StripeFake, gateway: Gateway
) -> None:
    request = charge_of(stripe)
    outcome = await gateway.charge(request)
    assert isinstance(outcome, Succeeded)
    by_name = PaymentQuery(request.attempt_code, gateway_reference=outcome.gateway_reference)
    by_time = PaymentQuery(request.attempt_code, created_at=SystemClock().now())
    by_lost_customer = replace(query(request), customer_reference="cus_gone")

    for asked in (by_name, by_time, by_lost_customer):
        assert await gateway.find_payment(asked) == Found(outcome)
    assert await gateway.fetch_payment(outcome.gateway_reference) == Found(
        outcome, reference=request.attempt_code
    )


async def test_stripes_name_of_another_payment_does_not_pass_for_ours(
    stripe: StripeFake, gateway: Gateway
) -> None:
    other = await gateway.charge(charge_of(stripe))
    assert isinstance(other, Succeeded)
    request = charge_of(stripe)
    asked = replace(query(request), gateway_reference=other.gateway_reference)
    assert await gateway.find_payment(asked) == NotFound(definitive=True)


async def test_a_gateway_that_charged_twice_is_caught(stripe: StripeFake, gateway: Gateway) -> None:
    request = charge_of(stripe)
    stripe.set_fault("duplicate")
    await gateway.charge(request)
    found = await gateway.find_payment(query(request))
    assert isinstance(found, Found)
    assert len(found.others) == 1
    assert stripe.moved("charge", request.attempt_code) == 2 * 1999


@pytest.mark.parametrize("status", [500, 429, 400, 302])
async def test_a_look_up_that_fails_on_any_page_proves_nothing(
    stripe: StripeFake, gateway: Gateway, status: int
) -> None:
    request = charge_of(stripe)
    error = {"error": {"type": "invalid_request_error", "code": "odd"}}
    stripe.script(operation="lookup", status=status, body=error)
    assert isinstance(await gateway.find_payment(query(request)), Inconclusive)


async def test_what_is_no_name_of_stripes_is_not_asked_for(gateway: Gateway) -> None:
    for odd in ("", "../customers", "pi_1?x=1", "pi 1"):
        assert await gateway.fetch_payment(odd) == NotFound(definitive=True)
        assert await gateway.fetch_refund(odd) == NotFound(definitive=True)
        assert await gateway.fetch_dispute(odd) == NotFound(definitive=True)
