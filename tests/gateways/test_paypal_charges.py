"""Taking money at PayPal and giving it back, judged by the fake's own books."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import orjson
import pytest

from app import ids
from app.clock import SystemClock
from app.domain.outcome import (
    Authorized,
    DeclineAdvice,
    DeclineCategory,
    Declined,
    DeclineReason,
    Found,
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
    VoidDeclined,
    VoidDeclineReason,
    Voided,
)
from app.domain.vault import MethodType
from app.gateways.base import AuthenticationError, CredentialCheck, InvalidRequestError
from app.gateways.paypal.gateway import PayPalGateway
from app.gateways.requests import (
    CaptureRequest,
    ChargeRequest,
    PaymentQuery,
    RefundQuery,
    RefundRequest,
    VoidRequest,
)
from tests.gateways.paypal import PayPalProcess, free_port

HARD, SOFT = DeclineCategory.HARD, DeclineCategory.SOFT
STOP, LATER = DeclineAdvice.DO_NOT_RETRY, DeclineAdvice.RETRY_LATER
UPDATE = DeclineAdvice.UPDATE_PAYMENT_METHOD
DAY = 86_400


@pytest.fixture
async def gateway(paypal: PayPalProcess, anyio_backend: str) -> AsyncIterator[PayPalGateway]:
    gateway = paypal.open()
    yield gateway
    await gateway.aclose()


def charge_of(token: str, amount: int = 1999, currency: str = "EUR") -> ChargeRequest:
    """A charge that nobody has made before."""
    code = ids.show("x", ids.new_id())[-20:]
    return ChargeRequest(
        attempt_code=code,
        idempotency_key=code,
        amount_minor=amount,
        currency=currency,
        payment_method_reference=token,
        invoice_number="INV-000042",
        description="Invoice INV-000042",
        method_type=MethodType.WALLET if token.startswith("wallet") else MethodType.CARD,
    )


def held_of(token: str, amount: int = 1999) -> ChargeRequest:
    return replace(charge_of(token, amount), is_captured=False)


def capture_of(held: str, amount: int = 1999, key: str | None = None) -> CaptureRequest:
    return CaptureRequest(key or f"cap{ids.new_id()}", held, amount, "EUR")


def refund_of(payment: str, amount: int, currency: str = "EUR") -> RefundRequest:
    code = ids.show("x", ids.new_id())[-20:]
    return RefundRequest(code, code, payment, amount, currency)


async def hold(gateway: PayPalGateway, token: str = "wallet-ok", amount: int = 1999) -> Authorized:
    held = await gateway.charge(held_of(token, amount))
    assert isinstance(held, Authorized)
    return held


async def charged(
    gateway: PayPalGateway, token: str = "wallet-ok", amount: int = 1000
) -> Succeeded:
    outcome = await gateway.charge(charge_of(token, amount))
    assert isinstance(outcome, Succeeded)
    return outcome


# ── what is sent ──────────────────────────────────────────────────────────────────────────────────


async def test_a_wallet_is_charged_as_the_merchants_later_use_of_it(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = charge_of("wallet-ok")

    await gateway.charge(request)

    [call] = paypal.calls("/v2/")
    assert orjson.loads(call["body"]) == {
        "intent": "CAPTURE",
        "purchase_units": [
            {
                "invoice_id": request.attempt_code,
                "custom_id": request.attempt_code,
                "description": "Invoice INV-000042",
                "amount": {"currency_code": "EUR", "value": "19.99"},
            }
        ],
        "payment_source": {
            "paypal": {
                "vault_id": "wallet-ok",
                "stored_credential": {
                    "payment_initiator": "MERCHANT",
                    "usage": "SUBSEQUENT",
                    "usage_pattern": "RECURRING_PREPAID",
                },
            }
        },
    }
    assert call["headers"]["paypal-request-id"] == f"{request.idempotency_key}.order-paypal"
    assert call["headers"]["prefer"] == "return=representation"


@pytest.mark.parametrize(
    ("network_id", "sent"),
    [("156GHJ654SFH543", {"id": "156GHJ654SFH543"}), (None, None), ("short", None)],
)
async def test_a_card_is_charged_with_the_schemes_name_of_its_first_use(
    gateway: PayPalGateway, paypal: PayPalProcess, network_id: str | None, sent: object
) -> None:
    await gateway.charge(replace(charge_of("card-ok"), network_transaction_id=network_id))

    [call] = paypal.calls("/v2/")
    credential = orjson.loads(call["body"])["payment_source"]["card"]["stored_credential"]
    assert credential.pop("previous_network_transaction_reference", None) == sent
    assert credential == {
        "payment_initiator": "MERCHANT",
        "usage": "SUBSEQUENT",
        "payment_type": "RECURRING",
    }


@pytest.mark.parametrize("token", ["wallet-ok", "card-ok"])
@pytest.mark.parametrize("fault", [None, "timeout_after_effect", "error_500_after"])
async def test_a_token_of_the_other_kind_is_charged_as_what_it_is_once(
    paypal: PayPalProcess, token: str, fault: str | None
) -> None:
    gateway = paypal.open(total_timeout_seconds=3 if fault == "timeout_after_effect" else 20)
    other = MethodType.CARD if token.startswith("wallet") else MethodType.WALLET
    request = replace(charge_of(token), method_type=other)
    if fault is not None:
        paypal.set_fault(fault, skip=1, count=1)
        assert isinstance(await gateway.charge(request), Unknown)
    # Whoever repeats it may know better meanwhile.
    outcome = await gateway.charge(replace(request, method_type=charge_of(token).method_type))
    assert isinstance(outcome, Succeeded)
    assert await gateway.charge(request) == outcome
    await gateway.aclose()
    assert paypal.charged(request.attempt_code) == 1999


async def test_equal_requests_make_equal_bytes(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = charge_of("wallet-ok")
    await gateway.charge(request)
    await gateway.charge(request)
    first, second = paypal.calls("/v2/checkout/orders")
    assert first["body"] == second["body"]
    assert first["headers"]["paypal-request-id"] == second["headers"]["paypal-request-id"]


async def test_a_key_of_any_length_makes_a_request_id_that_paypal_takes(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    await gateway.charge(replace(charge_of("wallet-ok"), idempotency_key="k" * 255))
    [call] = paypal.calls("/v2/")
    assert len(call["headers"]["paypal-request-id"]) <= 108


# ── amounts ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("amount", "currency", "value"),
    [
        (1999, "EUR", "19.99"),
        (5, "USD", "0.05"),
        (500, "JPY", "500"),
        (149_900, "HUF", "1499"),
        (3_000, "TWD", "30"),
        (99_999_999, "GBP", "999999.99"),
    ],
)
async def test_amounts_travel_in_paypals_decimals(
    gateway: PayPalGateway, paypal: PayPalProcess, amount: int, currency: str, value: str
) -> None:
    request = charge_of("wallet-ok", amount, currency)

    outcome = await gateway.charge(request)

    assert isinstance(outcome, Succeeded)
    assert (outcome.amount_minor, outcome.currency) == (amount, currency)
    [call] = paypal.calls("/v2/")
    sent = orjson.loads(call["body"])["purchase_units"][0]["amount"]
    assert sent == {"currency_code": currency, "value": value}
    assert paypal.moved(request.attempt_code, "capture") == {currency: amount}


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        (149_950, "HUF", "amount_not_representable"),
        (3_001, "TWD", "amount_not_representable"),
        (12_345, "KWD", "currency_not_supported"),
        (1000, "INR", "currency_not_supported"),
        (0, "EUR", "amount_not_positive"),
    ],
)
async def test_what_cannot_be_written_exactly_is_never_sent(
    gateway: PayPalGateway, paypal: PayPalProcess, amount: int, currency: str, code: str
) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        await gateway.charge(charge_of("wallet-ok", amount, currency))
    with pytest.raises(InvalidRequestError):
        await gateway.refund(refund_of("1ABC", amount, currency))
    assert refused.value.code == code
    assert paypal.calls() == []


# ── inside the order ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("token", "category", "reason", "advice", "code"),
    [
        ("card-5120", SOFT, DeclineReason.INSUFFICIENT_FUNDS, LATER, "5120"),
        ("card-0500", SOFT, DeclineReason.DO_NOT_HONOR, LATER, "0500"),
        ("card-5400", HARD, DeclineReason.EXPIRED_CARD, UPDATE, "5400"),
        ("card-9520", HARD, DeclineReason.LOST_OR_STOLEN, STOP, "9520"),
        ("card-5180", HARD, DeclineReason.INVALID_PAYMENT_METHOD, UPDATE, "5180"),
        ("card-5910", HARD, DeclineReason.GENERIC, STOP, "5910"),
        ("card-PPRN", HARD, DeclineReason.GENERIC, STOP, "PPRN"),
        ("card-5920", SOFT, DeclineReason.ISSUER_UNAVAILABLE, LATER, "5920"),
        ("card-9500", DeclineCategory.FRAUD, DeclineReason.GENERIC, STOP, "9500"),
        (
            "card-5650",
            DeclineCategory.ACTION_REQUIRED,
            DeclineReason.AUTHENTICATION_REQUIRED,
            UPDATE,
            "5650",
        ),
        ("card-0500-03", HARD, DeclineReason.GENERIC, STOP, "0500"),
        ("card-5120-21", HARD, DeclineReason.MANDATE_REVOKED, STOP, "5120"),
        ("card-5100-01", HARD, DeclineReason.EXPIRED_CARD, UPDATE, "5100"),
        ("wallet-declined", SOFT, DeclineReason.GENERIC, LATER, "DECLINED"),
        (
            "wallet-fraud",
            DeclineCategory.FRAUD,
            DeclineReason.GENERIC,
            STOP,
            "DECLINED_BY_RISK_FRAUD_FILTERS",
        ),
        ("wallet-issue-INSTRUMENT_DECLINED", SOFT, DeclineReason.GENERIC, LATER, None),
        ("card-issue-CARD_EXPIRED", HARD, DeclineReason.EXPIRED_CARD, UPDATE, None),
        (
            "wallet-issue-AGREEMENT_ALREADY_CANCELLED",
            HARD,
            DeclineReason.MANDATE_REVOKED,
            UPDATE,
            None,
        ),
        (
            "wallet-issue-PAYEE_ACCOUNT_RESTRICTED",
            DeclineCategory.CONFIGURATION,
            DeclineReason.GENERIC,
            STOP,
            None,
        ),
        (
            "wallet-issue-TRANSACTION_LIMIT_EXCEEDED",
            SOFT,
            DeclineReason.LIMIT_EXCEEDED,
            LATER,
            None,
        ),
        (
            "wallet-nobodys",
            HARD,
            DeclineReason.INVALID_PAYMENT_METHOD,
            UPDATE,
            "INVALID_RESOURCE_ID",
        ),
    ],
)
async def test_a_decline_is_a_value_in_our_words_and_moves_nothing(
    gateway: PayPalGateway,
    paypal: PayPalProcess,
    token: str,
    category: DeclineCategory,
    reason: DeclineReason,
    advice: DeclineAdvice,
    code: str | None,
) -> None:
    request = charge_of(token)

    outcome = await gateway.charge(request)

    assert isinstance(outcome, Declined)
    info = outcome.info
    assert (info.category, info.reason, info.advice) == (category, reason, advice)
    assert info.gateway_code == (code or token.partition("-issue-")[2])
    assert paypal.charged(request.attempt_code) == 0


async def test_a_completed_order_with_a_declined_capture_is_a_decline(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    outcome = await gateway.charge(charge_of("card-5120"))
    assert isinstance(outcome, Declined)
    assert outcome.gateway_reference is not None
    assert await gateway.fetch_payment(outcome.gateway_reference) == Found(
        outcome, reference=paypal.fake("GET", "ledger")[-1]["invoice_id"]
    )


@pytest.mark.parametrize(("advice", "seconds"), [("02", 3 * DAY), ("03", None)])
async def test_advice_says_when_to_try_again(
    gateway: PayPalGateway, advice: str, seconds: int | None
) -> None:
    outcome = await gateway.charge(charge_of(f"card-5120-{advice}"))
    assert isinstance(outcome, Declined)
    assert outcome.info.retry_after_seconds == seconds


@pytest.mark.parametrize(
    ("token", "ending", "moved"),
    [("pending-then-succeeds", Succeeded, 1999), ("pending-then-fails", Declined, 0)],
)
async def test_a_pending_capture_is_pending_until_it_is_not(
    gateway: PayPalGateway, paypal: PayPalProcess, token: str, ending: type, moved: int
) -> None:
    request = charge_of(f"wallet-{token}")

    outcome = await gateway.charge(request)

    assert isinstance(outcome, Pending)
    if token == "pending-then-succeeds":  # an eCheck
        assert outcome.expected_by is not None
        assert timedelta(days=9) < outcome.expected_by - SystemClock().now() < timedelta(days=11)
    paypal.fake("POST", "clock", {"seconds": 5})
    assert outcome.gateway_reference is not None
    found = await gateway.fetch_payment(outcome.gateway_reference)
    assert isinstance(found, Found)
    assert isinstance(found.outcome, ending)
    assert found.reference == request.attempt_code
    assert paypal.charged(request.attempt_code) == moved


async def test_a_charge_that_needs_the_customer_is_taken_once_they_agreed(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = charge_of("card-requires-action")
    waiting = await gateway.charge(request)
    assert isinstance(waiting, RequiresAction)
    assert waiting.action_url is not None
    order = waiting.gateway_reference
    assert order is not None
    query = PaymentQuery(request.attempt_code, gateway_reference=order)
    assert await gateway.find_payment(query) == Found(waiting)

    paypal.fake("POST", f"orders/{order.partition(':')[2]}/approve")
    agreed = await gateway.find_payment(query)
    assert isinstance(agreed, Found)
    assert isinstance(agreed.outcome, Authorized)
    assert agreed.outcome.gateway_reference == order
    assert paypal.charged(request.attempt_code) == 0

    taken = await gateway.capture(capture_of(order))
    again = await gateway.capture(capture_of(order))

    assert isinstance(taken, Succeeded)
    assert again == taken
    assert await gateway.find_payment(query) == Found(taken)
    assert paypal.charged(request.attempt_code) == 1999


async def test_a_repetition_takes_what_the_customer_agreed_to_meanwhile(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = charge_of("card-requires-action")
    waiting = await gateway.charge(request)
    assert isinstance(waiting, RequiresAction)
    paypal.fake("POST", f"orders/{str(waiting.gateway_reference).partition(':')[2]}/approve")

    taken = await gateway.charge(request)

    assert isinstance(taken, Succeeded)
    assert await gateway.charge(request) == taken
    assert paypal.charged(request.attempt_code) == 1999


async def test_an_approved_order_is_taken_whole_or_not_at_all(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = charge_of("card-requires-action")
    waiting = await gateway.charge(request)
    assert isinstance(waiting, RequiresAction)
    paypal.fake("POST", f"orders/{str(waiting.gateway_reference).partition(':')[2]}/approve")
    with pytest.raises(InvalidRequestError):
        await gateway.capture(capture_of(str(waiting.gateway_reference), 500))
    assert paypal.charged(request.attempt_code) == 0


async def test_what_waits_for_the_customer_can_be_given_up(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = charge_of("card-requires-action")
    waiting = await gateway.charge(request)
    assert isinstance(waiting, RequiresAction)
    order = str(waiting.gateway_reference)

    for _ in range(2):
        assert await gateway.void(VoidRequest("v1", order)) == Voided(order)

    # Whatever the customer agrees to afterwards is not taken, by whatever way.
    paypal.fake("POST", f"orders/{order.partition(':')[2]}/approve")
    found = await gateway.fetch_payment(order)
    assert found == Found(Voided(order), reference=request.attempt_code)
    assert await gateway.charge(request) == Voided(order)
    assert await gateway.capture(capture_of(order)) == Voided(order)
    assert paypal.charged(request.attempt_code) == 0


async def test_an_order_that_paypal_keeps_no_more_has_lapsed_once_the_report_would_show_it(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = charge_of("card-requires-action")
    waiting = await gateway.charge(request)
    assert isinstance(waiting, RequiresAction)
    order = str(waiting.gateway_reference)
    paypal.fake("POST", f"orders/{order.partition(':')[2]}/lapse")
    early = PaymentQuery(request.attempt_code, SystemClock().now(), order)
    late = replace(early, created_at=SystemClock().now() - timedelta(hours=25))
    assert await gateway.find_payment(early) == NotFound(definitive=True)
    assert await gateway.find_payment(late) == Found(Voided(order))


async def test_a_minimal_answer_is_completed_by_a_look(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    paypal.turn(answers_are_minimal=True)

    taken = await gateway.charge(charge_of("wallet-ok"))
    held = await gateway.charge(held_of("wallet-ok"))
    assert isinstance(held, Authorized)
    captured = await gateway.capture(capture_of(held.gateway_reference, 500))
    assert isinstance(taken, Succeeded)
    assert isinstance(captured, Succeeded)
    refund = await gateway.refund(refund_of(taken.gateway_reference, 100))

    assert isinstance(refund, Refunded)
    assert (taken.amount_minor, captured.amount_minor, refund.amount_minor) == (1999, 500, 100)


# ── lost answers ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "fault",
    [
        "timeout_before_effect",
        "timeout_after_effect",
        "error_500_before",
        "error_500_after",
        "error_503",
        "cut_body",
        "garbage",
        "error_429",
    ],
)
async def test_a_lost_answer_is_had_again_with_the_same_request_and_money_moves_once(
    paypal: PayPalProcess, fault: str
) -> None:
    gateway = paypal.open(total_timeout_seconds=1)
    request = charge_of("wallet-ok")
    paypal.set_fault(fault, count=1)

    first = await gateway.charge(request)
    second = await gateway.charge(request)
    await gateway.aclose()

    assert isinstance(first, NotExecuted if fault == "error_429" else Unknown)
    assert isinstance(second, Succeeded)
    assert paypal.charged(request.attempt_code) == 1999


async def test_a_late_effect_is_still_running_and_then_found_by_repeating(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = charge_of("wallet-ok")
    paypal.set_fault("late_effect", delay_ms=300, count=1)

    assert await gateway.charge(request) == Unknown("http_500")
    assert await gateway.charge(request) == Unknown("still_running")

    deadline = asyncio.get_running_loop().time() + 10
    while not paypal.charged(request.attempt_code):
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.05)
    assert isinstance(await gateway.charge(request), Succeeded)
    assert paypal.charged(request.attempt_code) == 1999


async def test_a_repetition_without_permission_says_nothing_of_what_was_taken_before(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    """Refused at the door: a decline would free the invoice for another charge."""
    payment = await charged(gateway)
    request, refund = charge_of("wallet-ok"), refund_of(payment.gateway_reference, 400)
    paypal.set_fault("error_500_after", count=2)
    assert await gateway.charge(request) == Unknown("http_500")
    assert await gateway.refund(refund) == Unknown("http_500")

    paypal.turn(payments_permitted=False)
    with pytest.raises(InvalidRequestError):
        await gateway.charge(request)
    with pytest.raises(InvalidRequestError):
        await gateway.refund(refund)

    paypal.turn(payments_permitted=True)
    assert isinstance(await gateway.charge(request), Succeeded)
    assert isinstance(await gateway.refund(refund), Refunded)
    assert paypal.charged(request.attempt_code) == 1999
    assert paypal.refunded(refund.refund_code) == 400


async def test_the_same_charge_from_many_places_at_once_moves_money_once(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = charge_of("wallet-ok")
    paypal.set_fault("latency", delay_ms=50)

    answers = await asyncio.gather(*(gateway.charge(request) for _ in range(20)))

    assert any(isinstance(answer, Succeeded) for answer in answers)
    assert all(isinstance(answer, Succeeded | Unknown) for answer in answers)
    assert paypal.charged(request.attempt_code) == 1999


async def test_beyond_the_life_of_a_request_id_the_invoice_id_still_stops_a_second_charge(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = charge_of("wallet-ok")
    await gateway.charge(request)
    paypal.fake("POST", "clock", {"seconds": 7 * 3600})

    again = await gateway.charge(request)

    assert again == Unknown("duplicate_invoice_id")
    assert paypal.charged(request.attempt_code) == 1999


async def test_that_life_is_what_the_capabilities_say(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    key = gateway.capabilities.charge_repeatability
    assert key.covers(5 * 3600 - 1)  # type: ignore[union-attr]
    assert not key.covers(5 * 3600)  # type: ignore[union-attr]
    paypal.turn(invoice_ids_unique=False)
    request = charge_of("wallet-ok")
    first = await gateway.charge(request)
    paypal.fake("POST", "clock", {"seconds": 5 * 3600})
    assert await gateway.charge(request) == first


async def test_a_key_used_for_another_amount_is_no_success(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = charge_of("wallet-ok")
    await gateway.charge(request)

    other = await gateway.charge(replace(request, amount_minor=2000))

    assert isinstance(other, Unknown)
    assert other.cause == "answer_for_another_charge"
    assert paypal.charged(request.attempt_code) == 1999


async def test_paypal_charging_twice_is_caught(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = charge_of("wallet-ok")
    paypal.set_fault("duplicate")
    outcome = await gateway.charge(request)
    found = await gateway.find_payment(PaymentQuery(request.attempt_code))
    assert isinstance(found, Found)
    assert isinstance(found.outcome, Succeeded)
    assert isinstance(outcome, Succeeded)
    assert {found.outcome.gateway_reference, *found.others} >= {outcome.gateway_reference}
    assert len(found.others) == 1
    assert paypal.charged(request.attempt_code) == 2 * 1999


# ── the access token ──────────────────────────────────────────────────────────────────────────────


async def test_one_token_serves_everybody(gateway: PayPalGateway, paypal: PayPalProcess) -> None:
    paypal.set_fault("latency", operations=["token"], delay_ms=100)
    await asyncio.gather(*(gateway.charge(charge_of("wallet-ok")) for _ in range(15)))
    await gateway.charge(charge_of("wallet-ok"))
    assert len(paypal.calls("/v1/oauth2/token")) == 1


async def test_a_token_that_counts_no_more_is_had_anew_once_and_nothing_is_executed_twice(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    await gateway.charge(charge_of("wallet-ok"))
    paypal.fake("DELETE", "access_tokens")
    paypal.fake("DELETE", "calls")
    requests = [charge_of("wallet-ok") for _ in range(10)]

    answers = await asyncio.gather(*map(gateway.charge, requests))

    assert all(isinstance(answer, Succeeded) for answer in answers)
    assert len(paypal.calls("/v1/oauth2/token")) == 1
    assert [paypal.charged(r.attempt_code) for r in requests] == [1999] * 10


async def test_a_fresh_token_that_is_refused_is_an_error_and_moves_nothing(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = charge_of("wallet-ok")
    paypal.set_fault("error_401")
    with pytest.raises(AuthenticationError):
        await gateway.charge(request)
    # The judge of "not executed" is the books: the fault strikes after the effect, a wrong claim
    # of PayPal's own, and the very same request still leads to the one payment there is.
    paypal.clear_faults()
    assert isinstance(await gateway.charge(request), Succeeded)
    assert paypal.charged(request.attempt_code) == 1999


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("timeout_after_effect", "timeout"),
        ("error_500_after", "no_access_token"),
        ("cut_body", "unreadable_answer"),
        ("garbage", "no_access_token"),
        ("error_429", "rate_limited"),
    ],
)
async def test_without_a_token_nothing_was_executed(
    paypal: PayPalProcess, fault: str, cause: str
) -> None:
    gateway = paypal.open(total_timeout_seconds=1)
    paypal.set_fault(fault, operations=["token"])
    request = charge_of("wallet-ok")
    outcome = await gateway.charge(request)
    await gateway.aclose()
    assert isinstance(outcome, NotExecuted)
    assert outcome.cause == cause
    assert paypal.calls("/v2/") == []


async def test_wrong_credentials_are_an_error(paypal: PayPalProcess) -> None:
    gateway = paypal.open(secret="wrong")
    with pytest.raises(AuthenticationError) as refused:
        await gateway.charge(charge_of("wallet-ok"))
    assert "wrong" not in str(refused.value)
    assert await gateway.check_credentials() is CredentialCheck.REFUSED
    await gateway.aclose()
    assert paypal.calls("/v2/") == []


async def test_credentials_are_checked_with_a_token_of_its_own(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    assert await gateway.check_credentials() is CredentialCheck.VALID
    assert await gateway.check_credentials() is CredentialCheck.VALID
    assert len(paypal.calls("/v1/oauth2/token")) == 2


async def test_nobody_listening_means_not_executed(paypal: PayPalProcess) -> None:
    gateway = paypal.open(base_url=f"http://127.0.0.1:{free_port()}")
    assert await gateway.charge(charge_of("wallet-ok")) == NotExecuted("connect_failed")
    assert await gateway.check_credentials() is CredentialCheck.UNREACHABLE
    await gateway.aclose()


# ── holds ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_hold_moves_nothing_until_it_is_captured_in_part(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = held_of("wallet-ok")
    held = await gateway.charge(request)
    assert isinstance(held, Authorized)
    assert held.amount_minor == 1999
    assert held.expires_at is not None
    assert paypal.charged(request.attempt_code) == 0
    found = await gateway.fetch_payment(held.gateway_reference)
    assert found == Found(held, reference=request.attempt_code)

    capture = capture_of(held.gateway_reference, 1500)
    taken = await gateway.capture(capture)
    again = await gateway.capture(capture)

    assert isinstance(taken, Succeeded)
    assert again == taken
    assert paypal.charged(request.attempt_code) == 1500
    [call, _] = paypal.calls("/v2/payments/authorizations")[-2:]
    assert orjson.loads(call["body"])["final_capture"] is True
    # What was held is found by what it became, under either name.
    for reference in (held.gateway_reference, taken.gateway_reference):
        assert await gateway.fetch_payment(reference) == Found(
            taken, reference=request.attempt_code
        )


async def test_a_second_capture_with_another_key_finds_the_first(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    held = await hold(gateway)
    taken = await gateway.capture(capture_of(held.gateway_reference))
    assert await gateway.capture(capture_of(held.gateway_reference)) == taken
    other = await gateway.capture(capture_of(held.gateway_reference, 500))
    assert isinstance(other, Unknown)


@pytest.mark.parametrize("fault", ["timeout_after_effect", "error_500_after", "cut_body"])
async def test_a_lost_capture_is_had_again_with_the_same_key(
    paypal: PayPalProcess, fault: str
) -> None:
    gateway = paypal.open(total_timeout_seconds=1)
    request = held_of("wallet-ok")
    held = await gateway.charge(request)
    assert isinstance(held, Authorized)
    capture = capture_of(held.gateway_reference)
    paypal.set_fault(fault, count=1)
    assert isinstance(await gateway.capture(capture), Unknown)
    assert isinstance(await gateway.capture(capture), Succeeded)
    await gateway.aclose()
    assert paypal.charged(request.attempt_code) == 1999


async def test_more_than_was_held_is_our_fault(gateway: PayPalGateway) -> None:
    held = await hold(gateway)
    with pytest.raises(InvalidRequestError):
        await gateway.capture(capture_of(held.gateway_reference, 2000))


async def test_a_hold_can_be_given_up_and_then_not_be_captured(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    held = await hold(gateway)
    voided = Voided(held.gateway_reference)
    assert await gateway.void(VoidRequest("v1", held.gateway_reference)) == voided
    assert await gateway.void(VoidRequest("v2", held.gateway_reference)) == voided
    assert await gateway.capture(capture_of(held.gateway_reference)) == voided
    found = await gateway.fetch_payment(held.gateway_reference)
    assert isinstance(found, Found)
    assert found.outcome == voided


async def test_what_was_captured_is_not_given_up(gateway: PayPalGateway) -> None:
    held = await hold(gateway)
    taken = await gateway.capture(capture_of(held.gateway_reference))
    assert isinstance(taken, Succeeded)
    for reference in (held.gateway_reference, taken.gateway_reference):
        refused = await gateway.void(VoidRequest("v", reference))
        assert isinstance(refused, VoidDeclined)
        assert refused.reason is VoidDeclineReason.ALREADY_CAPTURED


@pytest.mark.parametrize("reference", ["authorization:NONE", "order:NONE", "NONE", "../../x"])
async def test_what_is_not_there_is_not_given_up(gateway: PayPalGateway, reference: str) -> None:
    refused = await gateway.void(VoidRequest("v", reference))
    assert isinstance(refused, VoidDeclined)
    assert refused.reason is VoidDeclineReason.NOT_FOUND


async def test_a_hold_past_its_honor_period_is_renewed_once_it_is_refused(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = held_of("wallet-capture-lapses")
    held = await gateway.charge(request)
    assert isinstance(held, Authorized)
    paypal.fake("POST", "clock", {"seconds": 4 * DAY})
    capture = capture_of(held.gateway_reference)

    taken = await gateway.capture(capture)

    assert isinstance(taken, Succeeded)
    assert paypal.charged(request.attempt_code) == 1999
    steps = [call["path"].rpartition("/")[2] for call in paypal.calls("/v2/payments/auth")]
    assert steps == ["capture", "reauthorize", "capture"]


async def test_a_lost_renewal_is_repeated_with_the_capture(
    paypal: PayPalProcess, gateway: PayPalGateway
) -> None:
    request = held_of("wallet-capture-lapses")
    held = await gateway.charge(request)
    assert isinstance(held, Authorized)
    paypal.fake("POST", "clock", {"seconds": 4 * DAY})
    paypal.set_fault("error_500_after", operations=["reauthorize"], count=1)
    capture = capture_of(held.gateway_reference)
    assert await gateway.capture(capture) == NotExecuted("reauthorize_http_500")
    # The old hold is given up for the new one by now: it cannot be captured, and says so.
    outcome = await gateway.capture(capture)
    assert outcome == Voided(held.gateway_reference)
    assert paypal.charged(request.attempt_code) == 0


async def test_a_hold_that_cannot_be_renewed_leaves_the_refusal(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    held = await hold(gateway, "wallet-hold-lapses")
    paypal.fake("POST", "clock", {"seconds": 4 * DAY})
    outcome = await gateway.capture(capture_of(held.gateway_reference))
    assert isinstance(outcome, Declined)
    assert outcome.info.gateway_code == "TRANSACTION_REFUSED"


async def test_a_hold_lapses_after_29_days(gateway: PayPalGateway, paypal: PayPalProcess) -> None:
    held = await hold(gateway)
    paypal.fake("POST", "clock", {"seconds": 30 * DAY})
    outcome = await gateway.capture(capture_of(held.gateway_reference))
    assert isinstance(outcome, Declined)
    assert outcome.info.gateway_code == "AUTHORIZATION_EXPIRED"


@pytest.mark.parametrize(
    ("token", "kind"), [("wallet-hold-pending", Pending), ("card-hold-denied", Declined)]
)
async def test_a_hold_may_wait_or_be_denied(gateway: PayPalGateway, token: str, kind: type) -> None:
    assert isinstance(await gateway.charge(held_of(token)), kind)


# ── refunds ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_refund_moves_back_exactly_its_minor_units_once(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    payment = await charged(gateway)
    request = refund_of(payment.gateway_reference, 400)

    outcome = await gateway.refund(request)

    assert isinstance(outcome, Refunded)
    assert (outcome.amount_minor, outcome.currency) == (400, "EUR")
    assert await gateway.refund(request) == outcome
    assert paypal.refunded(request.refund_code) == 400
    found = await gateway.fetch_refund(outcome.gateway_reference)
    assert found == Found(outcome, reference=request.refund_code)
    query = RefundQuery(request.refund_code, payment_reference=payment.gateway_reference)
    assert await gateway.find_refund(query) == Found(outcome)


async def test_refunds_at_once_never_give_back_more_than_was_taken(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    # Twenty refunds of 150 race for 1000: six fit (900), and then none.
    payment = await charged(gateway)
    requests = [refund_of(payment.gateway_reference, 150) for _ in range(20)]
    outcomes = await asyncio.gather(*map(gateway.refund, requests))
    refused = [one for one in outcomes if isinstance(one, RefundDeclined)]
    assert len(refused) == 14
    assert {one.reason for one in refused} == {RefundDeclineReason.EXCEEDS_CAPTURED}
    assert sum(paypal.refunded(one.refund_code) for one in requests) == 900


async def test_a_refunded_payment_still_succeeded(gateway: PayPalGateway) -> None:
    payment = await charged(gateway)
    for amount in (400, 600):
        await gateway.refund(refund_of(payment.gateway_reference, amount))
        found = await gateway.fetch_payment(payment.gateway_reference)
        assert isinstance(found, Found)
        assert found.outcome == payment
    last = await gateway.refund(refund_of(payment.gateway_reference, 1))
    assert last == RefundDeclined(RefundDeclineReason.EXCEEDS_CAPTURED, "CAPTURE_FULLY_REFUNDED")


@pytest.mark.parametrize("fault", ["timeout_before_effect", "timeout_after_effect", "cut_body"])
async def test_a_lost_refund_is_had_again_within_45_days(paypal: PayPalProcess, fault: str) -> None:
    gateway = paypal.open(total_timeout_seconds=1)
    payment = await charged(gateway)
    request = refund_of(payment.gateway_reference, 400)
    paypal.set_fault(fault, count=1)
    assert isinstance(await gateway.refund(request), Unknown)
    paypal.fake("POST", "clock", {"seconds": 44 * DAY})
    assert isinstance(await gateway.refund(request), Refunded)
    await gateway.aclose()
    assert paypal.refunded(request.refund_code) == 400


async def test_a_refund_may_wait_or_fail(gateway: PayPalGateway, paypal: PayPalProcess) -> None:
    waits = await charged(gateway, "wallet-refund-pending")
    fails = await charged(gateway, "wallet-refund-fails")
    poor = await charged(gateway, "wallet-refund-no-funds")

    request = refund_of(waits.gateway_reference, 400)
    waiting = await gateway.refund(request)
    failed = await gateway.refund(refund_of(fails.gateway_reference, 400))
    refused = await gateway.refund(refund_of(poor.gateway_reference, 400))

    assert isinstance(waiting, RefundPending)
    assert isinstance(failed, RefundDeclined)
    assert isinstance(refused, RefundDeclined)
    assert refused.reason is RefundDeclineReason.INSUFFICIENT_BALANCE
    paypal.fake("POST", "clock", {"seconds": 5})
    found = await gateway.fetch_refund(str(waiting.gateway_reference))
    assert isinstance(found, Found)
    assert isinstance(found.outcome, Refunded)


async def test_what_moved_no_money_cannot_be_refunded(gateway: PayPalGateway) -> None:
    held = await hold(gateway)
    pending = await gateway.charge(charge_of("wallet-pending"))
    assert isinstance(pending, Pending)

    missing = await gateway.refund(refund_of("NOSUCHCAPTURE", 1))
    early = await gateway.refund(refund_of(held.gateway_reference, 1))
    waiting = await gateway.refund(refund_of(str(pending.gateway_reference), 1))

    assert isinstance(missing, RefundDeclined)
    assert missing.reason is RefundDeclineReason.PAYMENT_NOT_FOUND
    for refused in (early, waiting):
        assert isinstance(refused, RefundDeclined)
        assert refused.reason is RefundDeclineReason.PAYMENT_NOT_REFUNDABLE


async def test_a_hold_that_was_captured_is_refunded_by_its_old_name_too(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    held = await hold(gateway)
    await gateway.capture(capture_of(held.gateway_reference))
    request = refund_of(held.gateway_reference, 100)
    assert isinstance(await gateway.refund(request), Refunded)
    assert paypal.refunded(request.refund_code) == 100


async def test_a_refund_in_another_currency_is_our_fault(gateway: PayPalGateway) -> None:
    payment = await charged(gateway)
    with pytest.raises(InvalidRequestError):
        await gateway.refund(refund_of(payment.gateway_reference, 100, "USD"))
