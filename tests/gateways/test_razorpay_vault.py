"""Set-ups, tokens, lists and disputes at Razorpay, against the fake that the oracle guards."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from app.domain.dispute import DisputeStatus
from app.domain.outcome import (
    Declined,
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
    MethodType,
    SetupFailed,
    SetupFlow,
    SetupPending,
    SetupStarted,
)
from app.gateways.base import AuthenticationError, InvalidRequestError, ListingFailed
from app.gateways.razorpay import RazorpayGateway
from app.gateways.reports import TransactionKind, TransactionStatus
from app.gateways.requests import (
    CustomerDetails,
    CustomerRequest,
    MethodReference,
    SetupCompletion,
    SetupRequest,
    TimeWindow,
)
from app.ids import new_id, show
from tests.gateways.fakes.razorpay.server import KEY_ID
from tests.gateways.razorpay import RazorpayFake, charge_of, refund_of

FOREVER = TimeWindow(datetime(2020, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC))


@pytest.fixture
async def gateway(razorpay: RazorpayFake, anyio_backend: str) -> AsyncIterator[RazorpayGateway]:
    account = razorpay.account(total_timeout_seconds=2)
    gateway = RazorpayGateway(
        replace(account, options={**account.options, "pre_debit_notice": "none"})
    )
    yield gateway
    await gateway.aclose()


def setup_of(**changes: object) -> SetupRequest:
    code = show("x", new_id())[-20:]
    details = CustomerDetails("cus_1", f"{code}@example.com", "Gaurav Kumar", "+919876543210")
    return replace(SetupRequest(code, f"perennial-{code}", details), **changes)


def completion(request: SetupRequest, started: SetupStarted, **given: str) -> SetupCompletion:
    return SetupCompletion(
        request.setup_code,
        request.idempotency_key,
        started.gateway_reference,
        request.customer,
        started.customer_reference,
        given,
    )


async def started(gateway: RazorpayGateway, request: SetupRequest) -> SetupStarted:
    outcome = await gateway.start_setup(request)
    assert isinstance(outcome, SetupStarted)
    return outcome


# ── customers and set-ups ─────────────────────────────────────────────────────────────────────────


async def test_a_customer_who_is_known_is_found(gateway: RazorpayGateway) -> None:
    request = CustomerRequest("perennial-customer-1", setup_of().customer)
    first, again = await gateway.create_customer(request), await gateway.create_customer(request)
    assert isinstance(first, CustomerSaved)
    assert again == first


@pytest.mark.parametrize(
    ("method", "type_", "amount", "terms"),
    [
        ("card", MethodType.CARD, 100, {"frequency": "as_presented"}),
        ("upi", MethodType.MANDATE, 100, {"frequency": "as_presented"}),
        ("emandate", MethodType.BANK_ACCOUNT, 0, {"auth_type": "netbanking"}),
    ],
)
async def test_a_set_up_leads_through_checkout_to_a_token_that_can_be_charged(
    gateway: RazorpayGateway,
    razorpay: RazorpayFake,
    method: str,
    type_: MethodType,
    amount: int,
    terms: dict[str, str],
) -> None:
    until = datetime(2036, 1, 1, tzinfo=UTC)
    request = setup_of(
        amount_max_minor=90_000,
        expires_at=until,
        return_url="https://shop.example/back",
        parameters={"method": method},
    )

    begun = await started(gateway, request)

    assert begun.flow is SetupFlow.CHECKOUT
    assert begun.parameters == {
        "key": KEY_ID,
        "order_id": begun.gateway_reference,
        "customer_id": begun.customer_reference,
        "recurring": "1",
        "callback_url": "https://shop.example/back",
        "prefill[name]": "Gaurav Kumar",
        "prefill[email]": request.customer.email,
        "prefill[contact]": "+919876543210",
    }
    order = next(o for o in razorpay.ask("orders") if o["id"] == begun.gateway_reference)
    assert order["amount"] == amount
    expected = {"max_amount": 90_000, "expire_at": int(until.timestamp()), **terms}
    assert order["token"] == expected
    assert await gateway.start_setup(request) == begun  # once more is the same
    assert await gateway.complete_setup(completion(request, begun)) == SetupPending(
        begun.gateway_reference
    )

    given = razorpay.tell("checkout", order_id=begun.gateway_reference)
    saved = await gateway.complete_setup(completion(request, begun, **given))

    assert isinstance(saved, MethodSaved)
    assert saved.method.type is type_
    assert saved.method.is_usable
    assert saved.method.customer_reference == begun.customer_reference
    assert saved.method.mandate["amount_max_minor"] == "90000"
    assert await gateway.complete_setup(completion(request, begun)) == saved
    charge = charge_of(begun.customer_reference or "", saved.method.reference)
    assert isinstance(await gateway.charge(charge), Succeeded)


async def test_a_card_shows_its_brand_last_digits_and_expiry(
    gateway: RazorpayGateway, razorpay: RazorpayFake
) -> None:
    customer = razorpay.customer()
    found = await gateway.get_payment_method(MethodReference(razorpay.token(customer), customer))
    assert isinstance(found, Found)
    card = found.outcome
    assert (card.brand, card.last_four) == ("visa", "4366")
    assert (card.expiry_month, card.expiry_year) == (12, 2031)


@pytest.mark.parametrize(
    "wrong",
    [
        {"razorpay_signature": "0" * 64},
        {"razorpay_signature": ""},
        {"razorpay_order_id": "order_Fk0000000000xx"},
        {"razorpay_payment_id": "pay_Fk0000000000xx"},
    ],
)
async def test_what_razorpay_did_not_sign_completes_nothing(
    gateway: RazorpayGateway, razorpay: RazorpayFake, wrong: dict[str, str]
) -> None:
    request = setup_of()
    begun = await started(gateway, request)
    given = razorpay.tell("checkout", order_id=begun.gateway_reference)
    with pytest.raises(InvalidRequestError) as refused:
        await gateway.complete_setup(completion(request, begun, **(given | wrong)))
    assert refused.value.code == "signature_invalid"


async def test_a_signature_of_one_set_up_does_not_serve_another(
    gateway: RazorpayGateway, razorpay: RazorpayFake
) -> None:
    mine, theirs = setup_of(), setup_of()
    my, their = await started(gateway, mine), await started(gateway, theirs)
    given = razorpay.tell("checkout", order_id=their.gateway_reference)
    with pytest.raises(InvalidRequestError):
        await gateway.complete_setup(completion(mine, my, **given))


async def test_a_mandate_registered_by_a_payment_that_counts_as_failed_is_kept(
    gateway: RazorpayGateway, razorpay: RazorpayFake
) -> None:
    request = setup_of(parameters={"method": "upi"})
    begun = await started(gateway, request)
    razorpay.tell("checkout", order_id=begun.gateway_reference, by_failing=True)
    assert isinstance(await gateway.complete_setup(completion(request, begun)), MethodSaved)


async def test_a_bank_takes_its_time_to_confirm_a_mandate_or_rejects_it(
    gateway: RazorpayGateway, razorpay: RazorpayFake
) -> None:
    request = setup_of(parameters={"method": "emandate"})
    begun = await started(gateway, request)
    razorpay.tell("checkout", order_id=begun.gateway_reference, ends="initiated")
    pending = SetupPending(begun.gateway_reference)
    assert await gateway.complete_setup(completion(request, begun)) == pending
    payment = next(p for p in razorpay.ask("payments") if p["order_id"] == begun.gateway_reference)
    why = "bank_account_invalid"
    razorpay.tell("standing", token_id=payment["token_id"], status="rejected", why=why)
    refused = await gateway.complete_setup(completion(request, begun))
    assert isinstance(refused, SetupFailed)
    assert refused.info.gateway_code == why


async def test_after_a_failure_the_customer_may_try_again_in_the_same_form(
    gateway: RazorpayGateway, razorpay: RazorpayFake
) -> None:
    request = setup_of()
    begun = await started(gateway, request)
    razorpay.tell("checkout", order_id=begun.gateway_reference, ends="failed")
    pending = SetupPending(begun.gateway_reference)
    assert await gateway.complete_setup(completion(request, begun)) == pending
    razorpay.tell("checkout", order_id=begun.gateway_reference)
    assert isinstance(await gateway.complete_setup(completion(request, begun)), MethodSaved)


@pytest.mark.parametrize(
    "parameters",
    [{"method": "cash"}, {"frequency": "sometimes"}, {"method": "emandate", "auth_type": "fax"}],
)
async def test_terms_that_razorpay_does_not_know_are_refused_before_an_order_is_made(
    gateway: RazorpayGateway, parameters: dict[str, str]
) -> None:
    with pytest.raises(InvalidRequestError):
        await gateway.start_setup(setup_of(parameters=parameters))


@pytest.mark.parametrize(
    ("fault", "operation"),
    [
        ("error_500_after", "order"),
        ("error_500_before", "order"),
        ("cut_body", "order"),
        ("error_429", "order"),
        ("error_500_before", "lookup"),
        ("error_500_after", "customer"),
        ("timeout_after_effect", "order"),
    ],
)
async def test_a_set_up_whose_answer_is_lost_is_begun_again_without_a_second_order(
    gateway: RazorpayGateway, razorpay: RazorpayFake, fault: str, operation: str
) -> None:
    request = setup_of()
    razorpay.fault(fault, count=1, operations=[operation])
    assert isinstance(await gateway.start_setup(request), Unknown | NotExecuted)
    assert isinstance(await gateway.start_setup(request), SetupStarted)
    orders = [o for o in razorpay.ask("orders") if o["receipt"] == request.setup_code]
    assert len(orders) == 1


async def test_completing_while_razorpay_is_away_says_nothing(
    gateway: RazorpayGateway, razorpay: RazorpayFake
) -> None:
    request = setup_of()
    begun = await started(gateway, request)
    razorpay.fault("error_500_before", operations=["lookup"])
    assert isinstance(await gateway.complete_setup(completion(request, begun)), NotExecuted)
    reference = MethodReference("token_Fk0000000000xx", "cust_Fk0000000000xx")
    assert isinstance(await gateway.get_payment_method(reference), Inconclusive)
    detached = await gateway.detach_payment_method(reference, idempotency_key="perennial-d-1")
    assert isinstance(detached, NotExecuted)


# ── letting go ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "verb"), [("card", "DELETE"), ("emandate", "DELETE"), ("upi", "PUT")]
)
async def test_a_detached_token_can_be_charged_no_more(
    gateway: RazorpayGateway, razorpay: RazorpayFake, method: str, verb: str
) -> None:
    customer = razorpay.customer()
    token = razorpay.token(customer, method=method)
    reference = MethodReference(token, customer)
    razorpay.tell("forget")

    for _ in range(2):
        detached = await gateway.detach_payment_method(reference, idempotency_key="perennial-d-1")
        assert detached == Detached()

    assert [call for call in razorpay.ask("calls") if call.startswith(verb)]
    outcome = await gateway.charge(charge_of(customer, token))
    assert isinstance(outcome, Declined)
    assert outcome.info.category == "hard"
    found = await gateway.get_payment_method(reference)
    if method == "upi":  # it stands there, cancelled
        assert isinstance(found, Found)
        assert not found.outcome.is_usable
    else:
        assert found == NotFound(definitive=True)


@pytest.mark.parametrize("standing", ["initiated", "rejected", "cancelled", "paused"])
async def test_a_mandate_that_is_not_in_force_is_not_usable(
    gateway: RazorpayGateway, razorpay: RazorpayFake, standing: str
) -> None:
    customer = razorpay.customer()
    token = razorpay.token(customer, method="upi")
    razorpay.tell("standing", token_id=token, status=standing)
    found = await gateway.get_payment_method(MethodReference(token, customer))
    assert isinstance(found, Found)
    assert not found.outcome.is_usable
    assert found.outcome.mandate["status"] == standing


# ── its books ─────────────────────────────────────────────────────────────────────────────────────


async def test_every_payment_and_refund_of_a_window_is_listed_once(
    gateway: RazorpayGateway, razorpay: RazorpayFake
) -> None:
    # 130 charges are more than a page; some fail, and one is given back in part.
    customer = razorpay.customer()
    good, bad = razorpay.token(customer), razorpay.token(customer, "card_declined")
    start = datetime.fromtimestamp(razorpay.ask("time"), UTC).replace(microsecond=0)
    codes = {}
    for number in range(130):
        request = charge_of(customer, bad if number % 10 == 0 else good, 10_000 + number)
        codes[request.attempt_code] = await gateway.charge(request)
    paid = next(o for o in codes.values() if isinstance(o, Succeeded))
    refund = refund_of(paid.gateway_reference, 4_000)
    await gateway.refund(refund)
    razorpay.advance(hours=1)
    outside = charge_of(customer, good)
    await gateway.charge(outside)

    window = TimeWindow(start, start + timedelta(minutes=59))
    listed = [one async for one in gateway.list_transactions(window)]

    charges = [one for one in listed if one.kind is TransactionKind.CHARGE]
    assert {one.our_reference for one in charges} == set(codes)
    assert len(charges) == 130
    moved = [one for one in charges if one.status is TransactionStatus.SUCCEEDED]
    assert sum(one.amount_minor for one in moved) == sum(
        entry["amount"] for entry in razorpay.entries("charge") if entry["reference"] in codes
    )
    assert {one.status for one in charges} == {
        TransactionStatus.SUCCEEDED,
        TransactionStatus.FAILED,
    }
    [back] = [one for one in listed if one.kind is TransactionKind.REFUND]
    assert (back.our_reference, back.amount_minor) == (refund.refund_code, 4_000)
    assert back.payment_reference == paid.gateway_reference
    [part] = [one for one in charges if one.reference == paid.gateway_reference]
    assert part.refunded_minor == 4_000


@pytest.mark.parametrize("fault", ["error_500_before", "cut_body", "error_429"])
async def test_a_list_that_breaks_off_proves_nothing(
    gateway: RazorpayGateway, razorpay: RazorpayFake, fault: str
) -> None:
    razorpay.fault(fault, operations=["lookup"])
    with pytest.raises(ListingFailed):
        [one async for one in gateway.list_transactions(FOREVER)]
    with pytest.raises(ListingFailed):
        [one async for one in gateway.list_disputes(FOREVER)]


async def test_a_list_needs_the_right_key(razorpay: RazorpayFake, anyio_backend: str) -> None:
    wrong = RazorpayGateway(razorpay.account(credentials={"key_secret": SecretStr("wrong")}))
    with pytest.raises(AuthenticationError):
        [one async for one in wrong.list_transactions(FOREVER)]
    await wrong.aclose()


async def test_a_dispute_is_followed_to_its_end(
    gateway: RazorpayGateway, razorpay: RazorpayFake
) -> None:
    customer = razorpay.customer()
    paid = await gateway.charge(charge_of(customer, razorpay.token(customer)))
    assert isinstance(paid, Succeeded)
    dispute = razorpay.tell("dispute", payment_id=paid.gateway_reference)["id"]

    async def now() -> tuple[DisputeStatus, int]:
        found = await gateway.fetch_dispute(dispute)
        assert isinstance(found, Found)
        assert found.outcome.payment_reference == paid.gateway_reference
        assert found.outcome.amount_minor == 49_900
        return found.outcome.status, found.outcome.withdrawn_minor

    assert await now() == (DisputeStatus.NEEDS_RESPONSE, 0)
    razorpay.tell("dispute", id=dispute, status="under_review")
    assert await now() == (DisputeStatus.UNDER_REVIEW, 0)
    razorpay.tell("dispute", id=dispute, status="lost")
    assert await now() == (DisputeStatus.LOST, 49_900)
    listed = [one async for one in gateway.list_disputes(FOREVER)]
    assert [one.status for one in listed if one.gateway_reference == dispute] == [
        DisputeStatus.LOST
    ]
