"""What every adapter must do, judged by the gateway's own books and never by its answers alone."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from pydantic import SecretStr

from app.domain.outcome import (
    Declined,
    Found,
    Inconclusive,
    NotExecuted,
    NotFound,
    Pending,
    RefundDeclined,
    RefundDeclineReason,
    Refunded,
    RefundPending,
    RequiresAction,
    Succeeded,
    Unknown,
)
from app.gateways.base import (
    AccountSettings,
    AuthenticationError,
    CredentialCheck,
    Gateway,
    InvalidRequestError,
)
from app.gateways.requests import PaymentQuery, RefundQuery
from tests.gateways.harness import (
    SIMULATOR_DECLINES,
    Harness,
    charge_of,
    impatient,
    refund_of,
    unreachable,
)

WAIT_SECONDS = 10


@asynccontextmanager
async def opened(harness: Harness, account: AccountSettings) -> AsyncIterator[Gateway]:
    gateway = harness.open(account)
    try:
        yield gateway
    finally:
        await gateway.aclose()


async def eventually(ask: Callable[[], Awaitable[object]], kind: type) -> object:
    """Ask again until the answer found is of this kind, or the deadline passes."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        answer = await ask()
        if isinstance(answer, Found) and isinstance(answer.outcome, kind):
            return answer.outcome
        assert time.monotonic() < deadline, f"still {answer}"
        await asyncio.sleep(0.05)


async def charged(gateway: Gateway, harness: Harness, amount: int = 1000) -> Succeeded:
    outcome = await gateway.charge(charge_of(harness.tokens["ok"], amount))
    assert isinstance(outcome, Succeeded)
    return outcome


# Charges


@pytest.mark.parametrize(
    ("amount", "currency"), [(1999, "EUR"), (500, "JPY"), (12_345, "KWD"), (99_999_999, "USD")]
)
async def test_a_charge_moves_exactly_its_minor_units(
    gateway: Gateway, harness: Harness, amount: int, currency: str
) -> None:
    request = charge_of(harness.tokens["ok"], amount, currency)

    outcome = await gateway.charge(request)

    assert isinstance(outcome, Succeeded)
    assert (outcome.amount_minor, outcome.currency) == (amount, currency)
    assert harness.charged(request.attempt_code) == amount
    assert harness.charged_currencies(request.attempt_code) == {currency}
    assert await gateway.find_payment(PaymentQuery(request.attempt_code)) == Found(outcome)


@pytest.mark.parametrize("token", SIMULATOR_DECLINES)
async def test_a_decline_is_a_value_in_our_words_and_moves_nothing(
    gateway: Gateway, harness: Harness, token: str
) -> None:
    request = charge_of(token)

    outcome = await gateway.charge(request)

    assert isinstance(outcome, Declined)
    info = outcome.info
    assert (info.category, info.reason, info.advice) == harness.declines[token]
    assert info.gateway_code
    assert harness.charged(request.attempt_code) == 0
    assert await gateway.find_payment(PaymentQuery(request.attempt_code)) == Found(outcome)


async def test_a_charge_that_needs_the_customer_says_so(gateway: Gateway, harness: Harness) -> None:
    request = charge_of(harness.tokens["requires_action"])

    outcome = await gateway.charge(request)

    assert isinstance(outcome, RequiresAction)
    assert harness.charged(request.attempt_code) == 0
    assert await gateway.find_payment(PaymentQuery(request.attempt_code)) == Found(outcome)


@pytest.mark.parametrize(
    ("token", "ending", "moved"),
    [("pending_then_succeeds", Succeeded, 1999), ("pending_then_fails", Declined, 0)],
)
async def test_a_pending_charge_ends_in_a_look_up(
    gateway: Gateway, harness: Harness, token: str, ending: type, moved: int
) -> None:
    request = charge_of(harness.tokens[token])

    assert isinstance(await gateway.charge(request), Pending)

    await eventually(lambda: gateway.find_payment(PaymentQuery(request.attempt_code)), ending)
    assert harness.charged(request.attempt_code) == moved


# Lost answers


@pytest.mark.parametrize(
    ("fault", "outcome", "moved"),
    [
        ("timeout_before_effect", Unknown, False),
        ("timeout_after_effect", Unknown, True),
        ("error_500_before", Unknown, False),
        ("error_500_after", Unknown, True),
        ("cut_body", Unknown, True),
        ("error_429", NotExecuted, False),
    ],
)
async def test_a_fault_never_passes_for_an_answer_and_the_look_up_tells_the_truth(
    harness: Harness, fault: str, outcome: type, moved: bool
) -> None:
    request = charge_of(harness.tokens["ok"])
    harness.set_fault(fault)

    async with opened(harness, impatient(harness)) as gateway:
        assert isinstance(await gateway.charge(request), outcome)
        found = await gateway.find_payment(PaymentQuery(request.attempt_code))

    assert harness.charged(request.attempt_code) == (1999 if moved else 0)
    if moved:
        assert isinstance(found, Found)
        assert isinstance(found.outcome, Succeeded)
        assert found.outcome.amount_minor == 1999
    else:
        assert found == NotFound(definitive=True)


@pytest.mark.parametrize(
    "fault",
    [
        "timeout_before_effect",
        "timeout_after_effect",
        "error_500_before",
        "error_500_after",
        "cut_body",
        "error_429",
    ],
)
async def test_a_lost_answer_is_had_again_with_the_same_key_and_money_moves_once(
    harness: Harness, fault: str
) -> None:
    request = charge_of(harness.tokens["ok"])
    harness.set_fault(fault, count=1)

    async with opened(harness, impatient(harness)) as gateway:
        first = await gateway.charge(request)
        second = await gateway.charge(request)

    assert isinstance(first, Unknown | NotExecuted)
    assert isinstance(second, Succeeded)
    assert harness.charged(request.attempt_code) == 1999


async def test_nobody_listening_means_not_executed(harness: Harness) -> None:
    request = charge_of(harness.tokens["ok"])
    async with opened(harness, unreachable(harness)) as gateway:
        assert await gateway.charge(request) == NotExecuted("connect_failed")
        assert await gateway.find_payment(PaymentQuery(request.attempt_code)) == Inconclusive(
            "connect_failed"
        )
        assert await gateway.check_credentials() is CredentialCheck.UNREACHABLE


async def test_too_many_requests_says_when_to_come_back(gateway: Gateway, harness: Harness) -> None:
    harness.set_fault("error_429")
    outcome = await gateway.charge(charge_of(harness.tokens["ok"]))
    assert outcome == NotExecuted("rate_limited", retry_after_seconds=1)


async def test_a_late_effect_is_found_after_it_happened_and_a_replay_does_not_double_it(
    gateway: Gateway, harness: Harness
) -> None:
    request = charge_of(harness.tokens["ok"])
    harness.set_fault("late_effect", delay_ms=400, count=1)

    assert isinstance(await gateway.charge(request), Unknown)
    assert await gateway.find_payment(PaymentQuery(request.attempt_code)) == NotFound(
        definitive=True
    )
    assert await gateway.charge(request) == Unknown("still_running")

    await eventually(lambda: gateway.find_payment(PaymentQuery(request.attempt_code)), Succeeded)
    assert isinstance(await gateway.charge(request), Succeeded)
    assert harness.charged(request.attempt_code) == 1999


async def test_a_gateway_that_charges_twice_is_caught(gateway: Gateway, harness: Harness) -> None:
    request = charge_of(harness.tokens["ok"])
    harness.set_fault("duplicate")

    outcome = await gateway.charge(request)
    found = await gateway.find_payment(PaymentQuery(request.attempt_code))

    assert isinstance(found, Found)
    assert found.outcome == outcome
    assert len(found.others) == 1
    assert harness.charged(request.attempt_code) == 2 * 1999


# Idempotency


async def test_a_replay_gets_the_first_answer_and_moves_nothing_more(
    gateway: Gateway, harness: Harness
) -> None:
    request = charge_of(harness.tokens["ok"])
    answers = [await gateway.charge(request) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert harness.charged(request.attempt_code) == 1999


async def test_the_same_charge_from_many_places_at_once_moves_money_once(
    gateway: Gateway, harness: Harness
) -> None:
    request = charge_of(harness.tokens["ok"])
    harness.set_fault("latency", delay_ms=50)

    answers = await asyncio.gather(*(gateway.charge(request) for _ in range(20)))

    assert any(isinstance(answer, Succeeded) for answer in answers)
    assert all(isinstance(answer, Succeeded | Unknown) for answer in answers)
    assert harness.charged(request.attempt_code) == 1999


async def test_a_key_used_for_another_amount_is_our_bug_and_moves_nothing(
    gateway: Gateway, harness: Harness
) -> None:
    request = charge_of(harness.tokens["ok"])
    await gateway.charge(request)

    with pytest.raises(InvalidRequestError):
        await gateway.charge(replace(request, amount_minor=2000))

    assert harness.charged(request.attempt_code) == 1999


# Refunds


async def test_a_refund_moves_back_exactly_its_minor_units(
    gateway: Gateway, harness: Harness
) -> None:
    payment = await charged(gateway, harness)
    request = refund_of(payment.gateway_reference, 400)

    outcome = await gateway.refund(request)
    again = await gateway.refund(request)

    assert isinstance(outcome, Refunded)
    assert (outcome.amount_minor, outcome.currency) == (400, "EUR")
    assert again == outcome
    assert harness.refunded(request.refund_code) == 400
    assert await gateway.find_refund(RefundQuery(request.refund_code)) == Found(outcome)


async def test_refunds_at_once_never_give_back_more_than_was_taken(
    gateway: Gateway, harness: Harness
) -> None:
    # Twenty refunds of 150 race for 1000: six fit (900), and then none.
    payment = await charged(gateway, harness, 1000)
    requests = [refund_of(payment.gateway_reference, 150) for _ in range(20)]

    outcomes = await asyncio.gather(*(gateway.refund(request) for request in requests))

    done = [outcome for outcome in outcomes if isinstance(outcome, Refunded)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, RefundDeclined)]
    assert len(done) == 6
    assert {outcome.reason for outcome in refused} == {RefundDeclineReason.EXCEEDS_CAPTURED}
    assert len(done) + len(refused) == 20
    assert sum(harness.refunded(request.refund_code) for request in requests) == 900


@pytest.mark.parametrize(
    ("fault", "moved"),
    [("timeout_before_effect", 0), ("timeout_after_effect", 400), ("error_500_after", 400)],
)
async def test_a_lost_refund_is_unknown_until_looked_up(
    harness: Harness, fault: str, moved: int
) -> None:
    async with opened(harness, impatient(harness)) as gateway:
        payment = await charged(gateway, harness)
        request = refund_of(payment.gateway_reference, 400)
        harness.set_fault(fault)

        assert isinstance(await gateway.refund(request), Unknown)

        found = await gateway.find_refund(RefundQuery(request.refund_code))
        assert harness.refunded(request.refund_code) == moved
        assert isinstance(found, Found) == bool(moved)

        harness.clear_faults()
        assert isinstance(await gateway.refund(request), Refunded)
        assert harness.refunded(request.refund_code) == 400


async def test_refunds_may_fail_or_take_their_time(gateway: Gateway, harness: Harness) -> None:
    fails = await gateway.charge(charge_of(harness.tokens["refund_fails"]))
    waits = await gateway.charge(charge_of(harness.tokens["refund_pending"]))
    assert isinstance(fails, Succeeded)
    assert isinstance(waits, Succeeded)

    refused = await gateway.refund(refund_of(fails.gateway_reference, 1))
    request = refund_of(waits.gateway_reference, 1)

    assert isinstance(refused, RefundDeclined)
    assert isinstance(await gateway.refund(request), RefundPending)
    await eventually(lambda: gateway.find_refund(RefundQuery(request.refund_code)), Refunded)


async def test_what_moved_no_money_cannot_be_refunded(gateway: Gateway, harness: Harness) -> None:
    waiting = await gateway.charge(charge_of(harness.tokens["requires_action"]))
    assert isinstance(waiting, RequiresAction)

    never = await gateway.refund(refund_of("ch_no_such_charge", 1))
    early = await gateway.refund(refund_of(waiting.gateway_reference or "", 1))

    assert isinstance(never, RefundDeclined)
    assert never.reason is RefundDeclineReason.PAYMENT_NOT_FOUND
    assert isinstance(early, RefundDeclined)
    assert early.reason is RefundDeclineReason.PAYMENT_NOT_REFUNDABLE


# Look-ups and credentials


async def test_what_was_never_sent_is_not_found(gateway: Gateway) -> None:
    assert await gateway.find_payment(PaymentQuery("att_never_sent")) == NotFound(definitive=True)
    assert await gateway.find_refund(RefundQuery("re_never_sent")) == NotFound(definitive=True)


@pytest.mark.parametrize(
    "fault", ["error_500_before", "timeout_before_effect", "cut_body", "error_429"]
)
async def test_a_look_up_that_fails_proves_nothing(harness: Harness, fault: str) -> None:
    async with opened(harness, impatient(harness)) as gateway:
        request = charge_of(harness.tokens["ok"])
        await gateway.charge(request)
        harness.set_fault(fault, operations=["lookup"])
        assert isinstance(
            await gateway.find_payment(PaymentQuery(request.attempt_code)), Inconclusive
        )


async def test_wrong_credentials_are_an_error_and_move_nothing(harness: Harness) -> None:
    wrong = replace(harness.account(), credentials={"secret_key": SecretStr("sk_sim_wrong")})
    request = charge_of(harness.tokens["ok"])
    async with opened(harness, wrong) as gateway:
        assert await gateway.check_credentials() is CredentialCheck.REFUSED
        with pytest.raises(AuthenticationError):
            await gateway.charge(request)
        with pytest.raises(AuthenticationError):
            await gateway.find_payment(PaymentQuery(request.attempt_code))
    assert harness.charged(request.attempt_code) == 0


async def test_right_credentials_are_valid(gateway: Gateway) -> None:
    assert await gateway.check_credentials() is CredentialCheck.VALID
