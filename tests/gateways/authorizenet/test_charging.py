"""Charges, holds, captures and voids, judged by the fake's own books."""

import asyncio
import json
import time
from dataclasses import replace

import pytest

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
    Succeeded,
    Unknown,
    VoidDeclined,
    VoidDeclineReason,
    Voided,
)
from app.gateways.base import AccountSettings, InvalidRequestError
from app.gateways.requests import (
    CaptureRequest,
    ChargeRequest,
    PaymentQuery,
    Sequence,
    VoidRequest,
)
from tests.gateways.authorizenet.terms import Shop, impatient

HARD, SOFT = DeclineCategory.HARD, DeclineCategory.SOFT
STOP, LATER = DeclineAdvice.DO_NOT_RETRY, DeclineAdvice.RETRY_LATER
UPDATE = DeclineAdvice.UPDATE_PAYMENT_METHOD


def query(request: ChargeRequest, **more: object) -> PaymentQuery:
    narrowed = {"customer_reference": request.customer_reference}
    return PaymentQuery(request.attempt_code, **(narrowed | more))


def capture(held: Authorized, amount: int) -> CaptureRequest:
    return CaptureRequest("key", held.gateway_reference, amount, "USD")


async def eventually_found(shop: Shop, request: ChargeRequest) -> object:
    """The outcome, once the look-up shows it; within ten seconds."""
    deadline = time.monotonic() + 10
    while not isinstance(found := await shop.gateway.find_payment(query(request)), Found):
        assert time.monotonic() < deadline, f"still {found}"
        await asyncio.sleep(0.05)
    return found.outcome


async def held(shop: Shop, amount: int = 1000, behaves: str = "ok") -> Authorized:
    outcome = await shop.gateway.charge(shop.request(behaves, amount, is_captured=False))
    assert isinstance(outcome, Authorized)
    return outcome


async def test_a_charge_takes_exactly_its_cents_and_is_found(shop: Shop) -> None:
    request = shop.request(amount=1999)

    outcome = await shop.gateway.charge(request)

    assert isinstance(outcome, Succeeded)
    assert (outcome.amount_minor, outcome.currency) == (1999, "USD")
    assert outcome.network_transaction_id
    assert shop.taken(request) == "19.99"
    assert await shop.gateway.find_payment(query(request)) == Found(outcome)
    assert await shop.gateway.fetch_payment(outcome.gateway_reference) == Found(
        outcome, reference=request.attempt_code
    )


async def test_the_request_carries_all_that_a_stored_card_wants(shop: Shop) -> None:
    request = shop.request(
        amount=1999,
        network_transaction_id="NT4711",
        original_amount_minor=500,
        description="é" * 300,
    )
    await shop.gateway.charge(request)

    [sent] = shop.fake.do("requests")
    body = sent["createTransactionRequest"]
    asked = body["transactionRequest"]
    assert body["refId"] == request.attempt_code
    assert asked["amount"] == "19.99"
    assert asked["order"] == {"invoiceNumber": request.attempt_code, "description": "é" * 255}
    settings = {
        s["settingName"]: s["settingValue"] for s in asked["transactionSettings"]["setting"]
    }
    assert settings == {
        "allowPartialAuth": "false",
        "duplicateWindow": "28800",
        "recurringBilling": "true",
    }
    assert asked["processingOptions"] == {"isSubsequentAuth": True}
    assert asked["subsequentAuthInformation"] == {
        "originalNetworkTransId": "NT4711",
        "originalAuthAmount": "5.00",
    }


async def test_the_first_charge_of_a_series_says_so(shop: Shop) -> None:
    await shop.gateway.charge(shop.request(sequence=Sequence.INITIAL, network_transaction_id="NT1"))
    [sent] = shop.fake.do("requests")
    asked = sent["createTransactionRequest"]["transactionRequest"]
    assert asked["processingOptions"] == {"isFirstRecurringPayment": True}
    assert "subsequentAuthInformation" not in asked


async def test_equal_requests_make_equal_bytes(shop: Shop) -> None:
    request = shop.request()
    await shop.gateway.charge(request)
    await shop.gateway.charge(replace(request))
    first, second = (json.dumps(each) for each in shop.fake.do("requests") if "create" in str(each))
    assert first == second


@pytest.mark.parametrize(
    ("reason", "verdict"),
    [
        ("2", (SOFT, DeclineReason.DO_NOT_HONOR, LATER)),
        ("4", (HARD, DeclineReason.LOST_OR_STOLEN, STOP)),
        ("6", (HARD, DeclineReason.INVALID_PAYMENT_METHOD, UPDATE)),
        ("8", (HARD, DeclineReason.EXPIRED_CARD, UPDATE)),
        ("13", (DeclineCategory.CONFIGURATION, DeclineReason.GENERIC, STOP)),
        ("19", (SOFT, DeclineReason.PROCESSING_ERROR, LATER)),
        ("27", (HARD, DeclineReason.INVALID_PAYMENT_METHOD, UPDATE)),
        ("44", (HARD, DeclineReason.INVALID_PAYMENT_METHOD, UPDATE)),
        ("49", (SOFT, DeclineReason.LIMIT_EXCEEDED, LATER)),
        ("171", (DeclineCategory.CONFIGURATION, DeclineReason.GENERIC, STOP)),
        ("209", (SOFT, DeclineReason.ISSUER_UNAVAILABLE, LATER)),
        ("250", (DeclineCategory.FRAUD, DeclineReason.GENERIC, STOP)),
        ("317", (HARD, DeclineReason.EXPIRED_CARD, UPDATE)),
        ("9999", (SOFT, DeclineReason.GENERIC, LATER)),
    ],
)
async def test_a_decline_is_a_value_and_found_as_the_same(
    shop: Shop, reason: str, verdict: tuple[object, ...]
) -> None:
    request = shop.request(f"declined_{reason}")

    outcome = await shop.gateway.charge(request)

    assert isinstance(outcome, Declined)
    assert (outcome.info.category, outcome.info.reason, outcome.info.advice) == verdict
    assert outcome.info.gateway_code == reason
    assert shop.taken(request) == "0"
    assert await shop.gateway.find_payment(query(request)) == Found(outcome)


async def test_a_payment_method_that_is_gone_is_a_hard_decline(shop: Shop) -> None:
    request = replace(shop.request(), payment_method_reference="999")
    outcome = await shop.gateway.charge(request)
    assert isinstance(outcome, Declined)
    assert outcome.info.reason is DeclineReason.INVALID_PAYMENT_METHOD


@pytest.mark.parametrize(
    "wrong",
    [
        {"currency": "EUR"},
        {"amount": 0},
        {"amount": -1},
        {"customer_reference": None},
        {"payment_method_reference": "pm_1"},
        {"attempt_code": "x" * 21},
        {"attempt_code": ""},
    ],
)
async def test_what_the_gateway_cannot_take_is_not_sent(
    shop: Shop, wrong: dict[str, object]
) -> None:
    request = shop.request(**wrong)
    with pytest.raises(InvalidRequestError):
        await shop.gateway.charge(request)
    assert shop.asked() == []


async def test_an_account_in_test_mode_takes_nothing_and_that_is_no_success(shop: Shop) -> None:
    shop.fake.do("settings", in_test_mode=True)
    request = shop.request()
    outcome = await shop.gateway.charge(request)
    assert isinstance(outcome, Declined)
    assert outcome.info.category is DeclineCategory.CONFIGURATION
    assert shop.taken(request) == "0"


# Held for review


async def test_a_charge_under_review_is_pending_until_the_merchant_decides(shop: Shop) -> None:
    for action, ending, taken in (("approve", Succeeded, "10.00"), ("decline", Declined, "0")):
        request = shop.request("held")
        outcome = await shop.gateway.charge(request)
        assert isinstance(outcome, Pending)
        assert await shop.gateway.find_payment(query(request)) == Found(outcome)

        shop.fake.do("decide", id=outcome.gateway_reference, action=action)

        found = await shop.gateway.find_payment(query(request))
        assert isinstance(found, Found)
        assert isinstance(found.outcome, ending)
        assert shop.taken(request) == taken


async def test_a_review_that_nobody_decides_ends_without_money(shop: Shop) -> None:
    outcome = await shop.gateway.charge(shop.request("held"))
    assert isinstance(outcome, Pending)
    shop.fake.do("expire", id=outcome.gateway_reference)
    found = await shop.gateway.fetch_payment(outcome.gateway_reference or "")
    assert isinstance(found, Found)
    assert found.outcome == Voided(outcome.gateway_reference or "")


# Duplicates and lost answers


async def test_a_second_charge_with_the_same_reference_finds_the_first(shop: Shop) -> None:
    request = shop.request()
    outcomes = [await shop.gateway.charge(request) for _ in range(3)]
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert isinstance(outcomes[0], Succeeded)
    assert shop.taken(request) == "10.00"


async def test_a_duplicate_of_a_decline_is_that_decline(shop: Shop) -> None:
    request = shop.request("declined_2")
    first = await shop.gateway.charge(request)
    assert await shop.gateway.charge(request) == first


async def test_a_duplicate_that_cannot_be_found_is_unknown_and_never_a_decline(
    shop: Shop,
) -> None:
    request = shop.request()
    first = await shop.gateway.charge(request)
    assert isinstance(first, Succeeded)
    shop.fake.do("rename", id=first.gateway_reference, invoice="somebody else's")
    assert await shop.gateway.charge(request) == Unknown("duplicate_not_shown")

    shop.fake.set_fault("error_500_before", operations=["lookup"])
    assert await shop.gateway.charge(request) == Unknown("duplicate_not_shown")


async def test_the_same_charge_from_many_places_at_once_takes_money_once(shop: Shop) -> None:
    request = shop.request()
    shop.fake.set_fault("latency", delay_ms=50)
    outcomes = await asyncio.gather(*(shop.gateway.charge(request) for _ in range(20)))
    assert any(isinstance(each, Succeeded) for each in outcomes)
    assert all(isinstance(each, Succeeded | Unknown) for each in outcomes)
    assert shop.taken(request) == "10.00"


async def test_past_the_window_a_repetition_would_charge_twice(shop: Shop) -> None:
    """Why the capability says that it is never a licence to repeat."""
    request = shop.request()
    await shop.gateway.charge(request)
    shop.fake.do("advance", seconds=28_801)
    await shop.gateway.charge(request)
    assert shop.taken(request) == "20.00"
    found = await shop.gateway.find_payment(query(request))
    assert isinstance(found, Found)
    assert len(found.others) == 1


@pytest.mark.parametrize(
    ("fault", "kind", "moved"),
    [
        ({"kind": "timeout_before_effect"}, Unknown, False),
        ({"kind": "timeout_after_effect"}, Unknown, True),
        ({"kind": "error_500_before"}, Unknown, False),
        ({"kind": "error_500_after"}, Unknown, True),
        ({"kind": "cut_body"}, Unknown, True),
        ({"kind": "error_429"}, NotExecuted, False),
        ({"kind": "code_before", "code": "E00053"}, Unknown, False),
        ({"kind": "code_after", "code": "E00104"}, Unknown, True),
        ({"kind": "code_after", "code": "E00001"}, Unknown, True),
    ],
)
async def test_a_lost_answer_is_looked_up(
    shop: Shop, settings: AccountSettings, fault: dict[str, str], kind: type, moved: bool
) -> None:
    request = shop.request()
    shop.fake.do("faults", faults=[fault])
    hasty = impatient(settings)
    try:
        assert isinstance(await hasty.charge(request), kind)
        found = await hasty.find_payment(query(request))
    finally:
        await hasty.aclose()
    assert shop.taken(request) == ("10.00" if moved else "0")
    if moved:
        assert isinstance(found, Found)
        assert isinstance(found.outcome, Succeeded)
    else:
        assert found == NotFound(definitive=True)


async def test_a_late_effect_is_found_when_it_has_happened(shop: Shop) -> None:
    request = shop.request()
    shop.fake.set_fault("late_effect", delay_ms=300, count=1)
    assert isinstance(await shop.gateway.charge(request), Unknown)
    assert await shop.gateway.find_payment(query(request)) == NotFound(definitive=True)
    assert isinstance(await eventually_found(shop, request), Succeeded)
    assert shop.taken(request) == "10.00"


async def test_a_gateway_that_charges_twice_is_caught(shop: Shop) -> None:
    request = shop.request()
    shop.fake.set_fault("duplicate")
    outcome = await shop.gateway.charge(request)
    for narrowed in (query(request), PaymentQuery(request.attempt_code)):
        found = await shop.gateway.find_payment(narrowed)
        assert isinstance(found, Found)
        assert found.outcome == outcome
        assert len(found.others) == 1
    assert shop.taken(request) == "20.00"


# Captures


async def test_a_hold_moves_nothing_until_it_is_captured(shop: Shop) -> None:
    request = shop.request(amount=1000, is_captured=False)
    outcome = await shop.gateway.charge(request)
    assert isinstance(outcome, Authorized)
    assert shop.taken(request) == "0"
    assert await shop.gateway.find_payment(query(request)) == Found(outcome)

    taken = await shop.gateway.capture(capture(outcome, 600))

    assert isinstance(taken, Succeeded)
    assert (taken.gateway_reference, taken.amount_minor) == (outcome.gateway_reference, 600)
    assert shop.taken(request) == "6.00"
    assert await shop.gateway.find_payment(query(request)) == Found(taken)


async def test_a_second_capture_is_the_first_one(shop: Shop) -> None:
    hold = await held(shop)
    first = await shop.gateway.capture(capture(hold, 600))
    again = await shop.gateway.capture(capture(hold, 600))
    other = await shop.gateway.capture(capture(hold, 400))
    assert first == again == other


async def test_more_than_is_held_cannot_be_captured(shop: Shop) -> None:
    hold = await held(shop)
    with pytest.raises(InvalidRequestError, match="more than is held"):
        await shop.gateway.capture(capture(hold, 1001))


async def test_what_was_given_up_is_not_captured(shop: Shop) -> None:
    hold = await held(shop)
    assert await shop.gateway.void(VoidRequest("key", hold.gateway_reference)) == Voided(
        hold.gateway_reference
    )
    assert await shop.gateway.capture(capture(hold, 600)) == Voided(hold.gateway_reference)
    with pytest.raises(InvalidRequestError):
        await shop.gateway.capture(CaptureRequest("key", "123", 600, "USD"))


@pytest.mark.parametrize(
    ("fault", "ending"),
    [("timeout_before_effect", Authorized), ("timeout_after_effect", Succeeded)],
)
async def test_a_lost_capture_is_looked_up(
    shop: Shop, settings: AccountSettings, fault: str, ending: type
) -> None:
    hold = await held(shop)
    shop.fake.set_fault(fault)
    hasty = impatient(settings)
    try:
        outcome = await hasty.capture(capture(hold, 1000))
    finally:
        await hasty.aclose()
    assert isinstance(outcome, Unknown)
    found = await shop.gateway.fetch_payment(hold.gateway_reference)
    assert isinstance(found, Found)
    assert isinstance(found.outcome, ending)


# Voids


async def test_voiding_twice_is_voiding_once(shop: Shop) -> None:
    hold = await held(shop)
    request = VoidRequest("key", hold.gateway_reference)
    assert await shop.gateway.void(request) == await shop.gateway.void(request)
    found = await shop.gateway.fetch_payment(hold.gateway_reference)
    assert isinstance(found, Found)
    assert found.outcome == Voided(hold.gateway_reference)


async def test_a_review_is_decided_against(shop: Shop) -> None:
    request = shop.request("held")
    outcome = await shop.gateway.charge(request)
    assert isinstance(outcome, Pending)
    voided = await shop.gateway.void(VoidRequest("key", outcome.gateway_reference or ""))
    assert isinstance(voided, Voided)
    assert shop.taken(request) == "0"


async def test_captured_money_is_not_touched_by_a_void(shop: Shop) -> None:
    request, payment = await shop.charged()
    for _ in range(2):
        outcome = await shop.gateway.void(VoidRequest("key", payment.gateway_reference))
        assert isinstance(outcome, VoidDeclined)
        assert outcome.reason is VoidDeclineReason.ALREADY_CAPTURED
        shop.fake.do("settle")
    assert shop.fake.do("transactions", invoice=request.attempt_code)[0]["status"] == (
        "settledSuccessfully"
    )


async def test_there_is_nothing_to_void_in_a_decline_or_in_nothing(shop: Shop) -> None:
    declined = await shop.gateway.charge(shop.request("declined_2"))
    assert isinstance(declined, Declined)
    for reference, reason in (
        (declined.gateway_reference or "", VoidDeclineReason.NOT_VOIDABLE),
        ("123", VoidDeclineReason.NOT_FOUND),
        ("never heard of", VoidDeclineReason.NOT_FOUND),
    ):
        outcome = await shop.gateway.void(VoidRequest("key", reference))
        assert isinstance(outcome, VoidDeclined)
        assert outcome.reason is reason


async def test_a_void_that_could_not_look_first_did_nothing(shop: Shop) -> None:
    hold = await held(shop)
    shop.fake.set_fault("error_500_before", operations=["lookup"])
    outcome = await shop.gateway.void(VoidRequest("key", hold.gateway_reference))
    assert outcome == NotExecuted("http_500")
