"""Customers, set-ups with tokens of Accept.js, and what becomes of payment methods."""

import asyncio
from dataclasses import replace

import pytest

from app.domain.outcome import (
    DeclineCategory,
    DeclineReason,
    Found,
    Inconclusive,
    NotExecuted,
    NotFound,
    Succeeded,
    Unknown,
)
from app.domain.vault import (
    CustomerSaved,
    Detached,
    MethodSaved,
    SetupFailed,
    SetupFlow,
    SetupPending,
    SetupStarted,
)
from app.gateways.authorizenet.adapter import AuthorizeNetGateway
from app.gateways.base import AccountSettings, InvalidRequestError
from app.gateways.requests import CustomerRequest, MethodReference, SetupRequest
from tests.gateways.authorizenet.terms import ADA, Shop, code, impatient
from tests.gateways.fakes.authorizenet.secrets import CLIENT_KEY, LOGIN


def reference_of(saved: MethodSaved) -> MethodReference:
    return MethodReference(saved.method.reference, saved.method.customer_reference)


async def saved(shop: Shop, behaves: str = "ok", **more: object) -> MethodSaved:
    outcome = await shop.gateway.complete_setup(shop.completion(behaves, **more))
    assert isinstance(outcome, MethodSaved)
    return outcome


async def test_a_customer_is_made_once_and_found_afterwards(shop: Shop) -> None:
    customer = replace(ADA, reference=f"cus_{code()}")
    request = CustomerRequest("key", customer)
    first = await shop.gateway.create_customer(request)
    assert isinstance(first, CustomerSaved)
    assert await shop.gateway.create_customer(request) == first
    moved = CustomerRequest("key", replace(customer, email="countess@example.com"))
    assert await shop.gateway.create_customer(moved) == first


async def test_customers_made_at_once_are_one(shop: Shop) -> None:
    request = CustomerRequest("key", replace(ADA, reference=f"cus_{code()}"))
    shop.fake.set_fault("latency", delay_ms=50, operations=["lookup"])
    made = await asyncio.gather(*(shop.gateway.create_customer(request) for _ in range(8)))
    assert all(isinstance(each, CustomerSaved) for each in made)
    assert len(set(made)) == 1


async def test_a_set_up_begins_with_what_accept_js_needs_and_sends_nothing(shop: Shop) -> None:
    own = code()
    started = await shop.gateway.start_setup(SetupRequest(own, "key", ADA))
    assert started == SetupStarted(
        own,
        SetupFlow.TOKENIZATION,
        parameters={
            "apiLoginID": LOGIN,
            "clientKey": CLIENT_KEY,
            "script": "https://jstest.authorize.net/v1/Accept.js",
        },
    )
    assert shop.asked() == []


async def test_a_token_becomes_a_payment_method_that_can_be_charged(shop: Shop) -> None:
    outcome = await saved(shop)
    method = outcome.method
    assert (method.brand, method.last_four) == ("visa", "1111")
    assert (method.expiry_month, method.expiry_year) == (12, 2031)
    request = replace(
        shop.request(),
        customer_reference=method.customer_reference,
        payment_method_reference=method.reference,
    )
    assert isinstance(await shop.gateway.charge(request), Succeeded)
    assert await shop.gateway.get_payment_method(reference_of(outcome)) == Found(method)


async def test_what_is_sent_is_in_the_profile(shop: Shop) -> None:
    own = code()
    customer = replace(ADA, country="GB")
    await shop.gateway.complete_setup(shop.completion(own=own, customer=customer))
    [body] = [
        each["createCustomerProfileRequest"]
        for each in shop.fake.do("requests")
        if "createCustomerProfileRequest" in each
    ]
    assert body["validationMode"] == "liveMode"
    profile = body["profile"]
    assert profile["merchantCustomerId"] == own
    assert (profile["description"], profile["email"]) == (ADA.reference, ADA.email)
    billed = profile["paymentProfiles"]["billTo"]
    assert billed == {"firstName": "Ada", "lastName": "Lovelace", "country": "GB"}


async def test_a_set_up_leads_to_one_payment_method_however_often_it_is_completed(
    shop: Shop,
) -> None:
    request = shop.completion()
    first = await shop.gateway.complete_setup(request)
    assert isinstance(first, MethodSaved)
    again = replace(request, parameters={})
    for repeated in (request, again, shop.completion(own=request.setup_code)):
        assert await shop.gateway.complete_setup(repeated) == first


async def test_a_set_up_completed_from_many_places_at_once_is_one(shop: Shop) -> None:
    request = shop.completion()
    shop.fake.set_fault("latency", delay_ms=30, operations=["setup"])
    outcomes = await asyncio.gather(*(shop.gateway.complete_setup(request) for _ in range(6)))
    kept = {each for each in map(_name, outcomes) if each}
    assert len(kept) == 1
    assert isinstance(await shop.gateway.complete_setup(request), MethodSaved)


def _name(outcome: object) -> str | None:
    return outcome.method.reference if isinstance(outcome, MethodSaved) else None


async def test_a_set_up_waits_for_the_customer(shop: Shop) -> None:
    request = shop.completion(parameters={})
    assert await shop.gateway.complete_setup(request) == SetupPending(request.setup_code)


@pytest.mark.parametrize(
    ("fault", "kind", "made"),
    [
        ("timeout_before_effect", Unknown, False),
        ("timeout_after_effect", Unknown, True),
        ("error_500_before", Unknown, False),
        ("error_500_after", Unknown, True),
        ("cut_body", Unknown, True),
        ("error_429", NotExecuted, False),
    ],
)
async def test_a_set_up_whose_answer_was_lost_is_completed_by_asking_again(
    shop: Shop, settings: AccountSettings, fault: str, kind: type, made: bool
) -> None:
    request = shop.completion()
    shop.fake.set_fault(fault, operations=["setup"], count=1)
    hasty = impatient(settings)
    try:
        assert isinstance(await hasty.complete_setup(request), kind)
    finally:
        await hasty.aclose()

    assert isinstance(await shop.gateway.complete_setup(request), MethodSaved)

    profiles = [each for each in shop.asked() if each == "createCustomerProfileRequest"]
    assert len(profiles) == (1 if made else 2)


async def test_a_set_up_that_could_not_look_first_did_nothing(shop: Shop) -> None:
    request = shop.completion()
    shop.fake.set_fault("error_500_before", operations=["lookup"], count=1)
    assert await shop.gateway.complete_setup(request) == NotExecuted("http_500")
    assert isinstance(await shop.gateway.complete_setup(request), MethodSaved)


async def test_a_set_up_made_but_not_yet_readable_is_pending(shop: Shop) -> None:
    request = shop.completion()
    shop.fake.set_fault("error_500_before", operations=["lookup"], skip=1, count=1)
    assert await shop.gateway.complete_setup(request) == SetupPending(request.setup_code)
    assert isinstance(await shop.gateway.complete_setup(request), MethodSaved)


@pytest.mark.parametrize(
    ("behaves", "category", "reason"),
    [
        ("setup_declined_2", DeclineCategory.SOFT, DeclineReason.DO_NOT_HONOR),
        ("setup_declined_8", DeclineCategory.HARD, DeclineReason.EXPIRED_CARD),
        ("setup_declined_27", DeclineCategory.HARD, DeclineReason.INVALID_PAYMENT_METHOD),
        ("setup_invalid", DeclineCategory.ACTION_REQUIRED, DeclineReason.GENERIC),
    ],
)
async def test_a_card_that_the_bank_refuses_is_not_kept(
    shop: Shop, behaves: str, category: DeclineCategory, reason: DeclineReason
) -> None:
    request = shop.completion(behaves)
    outcome = await shop.gateway.complete_setup(request)
    assert isinstance(outcome, SetupFailed)
    assert (outcome.info.category, outcome.info.reason) == (category, reason)


async def test_a_token_is_good_once_and_for_a_quarter_of_an_hour(shop: Shop) -> None:
    used = shop.completion()
    await shop.gateway.complete_setup(used)
    again = replace(used, setup_code=code())
    late = shop.completion()
    shop.fake.do("advance", seconds=901)
    for request in (again, late):
        outcome = await shop.gateway.complete_setup(request)
        assert isinstance(outcome, SetupFailed)
        assert outcome.info.gateway_code == "E00114"
        assert outcome.info.category is DeclineCategory.ACTION_REQUIRED


@pytest.mark.parametrize(
    "parameters",
    [
        {"dataDescriptor": "COMMON.APPLE.INAPP.PAYMENT", "dataValue": "x"},
        {"dataDescriptor": "COMMON.ACCEPT.INAPP.PAYMENT"},
        {"dataDescriptor": "COMMON.ACCEPT.INAPP.PAYMENT", "dataValue": "x" * 8193},
        {"dataValue": "x"},
        {"cardNumber": "4111111111111111"},
    ],
)
async def test_what_accept_js_never_made_is_not_sent(
    shop: Shop, parameters: dict[str, str]
) -> None:
    request = shop.completion(parameters=parameters)
    with pytest.raises(InvalidRequestError) as refused:
        await shop.gateway.complete_setup(request)
    assert "4111" not in str(refused.value)
    assert shop.asked() == ["getCustomerProfileRequest"]


async def test_how_a_card_is_tried_is_an_option(shop: Shop, settings: AccountSettings) -> None:
    options = {**settings.options, "validation_mode": "testMode"}
    lenient = AuthorizeNetGateway(replace(settings, options=options))
    try:
        outcome = await lenient.complete_setup(shop.completion("setup_declined_2"))
    finally:
        await lenient.aclose()
    assert isinstance(outcome, MethodSaved)


async def test_a_renewed_card_is_learned_of_by_asking(shop: Shop) -> None:
    method = await saved(shop)
    reference = reference_of(method)
    shop.fake.do(
        "renew",
        customer=reference.customer_reference,
        method=reference.reference,
        number="4007000000027",
        expiry="2035-01",
    )
    found = await shop.gateway.get_payment_method(reference)
    assert isinstance(found, Found)
    assert (found.outcome.last_four, found.outcome.expiry_year) == ("0027", 2035)
    assert found.outcome.reference == reference.reference


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("MasterCard", "mastercard"), ("AmericanExpress", "amex"), ("DinersClub", "diners")],
)
async def test_brands_have_their_usual_words(shop: Shop, theirs: str, ours: str) -> None:
    customer, method = shop.fake.do("method", brand=theirs)
    found = await shop.gateway.get_payment_method(MethodReference(method, customer))
    assert isinstance(found, Found)
    assert found.outcome.brand == ours


async def test_what_is_detached_is_gone_and_cannot_be_charged(shop: Shop) -> None:
    method = await saved(shop)
    reference = reference_of(method)
    for _ in range(2):
        detached = await shop.gateway.detach_payment_method(reference, idempotency_key="key")
        assert detached == Detached()
    assert await shop.gateway.get_payment_method(reference) == NotFound(definitive=True)


async def test_a_card_that_the_gateway_itself_bills_is_not_let_go(shop: Shop) -> None:
    reference = reference_of(await saved(shop, "subscribed"))
    with pytest.raises(InvalidRequestError, match="E00105"):
        await shop.gateway.detach_payment_method(reference, idempotency_key="key")


async def test_faults_in_the_vault_are_told_apart(shop: Shop) -> None:
    reference = reference_of(await saved(shop))
    shop.fake.set_fault("error_500_before", operations=["lookup", "detach", "customer"])
    assert await shop.gateway.get_payment_method(reference) == Inconclusive("http_500")
    detached = await shop.gateway.detach_payment_method(reference, idempotency_key="key")
    assert detached == Unknown("http_500")
    made = await shop.gateway.create_customer(CustomerRequest("key", ADA))
    assert made == NotExecuted("http_500")


async def test_a_reference_must_be_the_gateways(shop: Shop) -> None:
    with pytest.raises(InvalidRequestError):
        await shop.gateway.get_payment_method(MethodReference("pm_1", "1"))
    with pytest.raises(InvalidRequestError):
        await shop.gateway.get_payment_method(MethodReference("1"))
