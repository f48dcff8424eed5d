"""Stripe's adapter, the vault, and Stripe's own books: set-ups, methods, lists, disputes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr

from app.clock import SystemClock
from app.domain.dispute import DisputeReport, DisputeStatus
from app.domain.outcome import (
    Authorized,
    Found,
    Inconclusive,
    NotExecuted,
    NotFound,
    Refunded,
    RefundPending,
    RequiresAction,
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
from app.gateways.base import (
    AccountMode,
    AccountSettings,
    ConfigurationError,
    Gateway,
    InvalidRequestError,
    ListingFailed,
)
from app.gateways.registry import open_gateway
from app.gateways.reports import GatewayTransaction, TransactionKind, TransactionStatus
from app.gateways.requests import (
    CustomerRequest,
    MethodReference,
    SetupCompletion,
    SetupRequest,
    TimeWindow,
    VoidRequest,
)
from app.gateways.stripe import StripeGateway
from tests.gateways.stripe import CUSTOMER, StripeFake, charge_of, new_code, refund_of


@pytest.fixture
async def gateway(stripe: StripeFake, anyio_backend: str) -> AsyncIterator[Gateway]:
    gateway = stripe.open()
    yield gateway
    await gateway.aclose()


def customers_called(stripe: StripeFake, reference: str) -> list[str]:
    return [
        one["id"]
        for one in stripe.ask("objects", kind="customer")
        if one["metadata"].get("perennial_customer") == reference
    ]


# Customers and set-ups


async def test_a_customer_is_made_once_and_then_found(stripe: StripeFake, gateway: Gateway) -> None:
    who = replace(CUSTOMER, reference=new_code(), phone="+15555550123")

    first = await gateway.create_customer(CustomerRequest(new_code(), who))
    again = await gateway.create_customer(CustomerRequest(new_code(), who))

    assert isinstance(first, CustomerSaved)
    assert again == first
    [made] = [o for o in stripe.ask("objects", kind="customer") if o["id"] == first.reference]
    assert (made["email"], made["name"]) == (who.email, who.name)
    assert (made["phone"], made["address"]["country"]) == (who.phone, "US")


async def test_a_customer_without_an_address_is_made_once_by_its_key(
    stripe: StripeFake, gateway: Gateway
) -> None:
    request = CustomerRequest(new_code(), replace(CUSTOMER, reference=new_code(), email=None))
    made = await asyncio.gather(*(gateway.create_customer(request) for _ in range(3)))
    assert len(customers_called(stripe, request.customer.reference)) == 1
    assert CustomerSaved(customers_called(stripe, request.customer.reference)[0]) in made


async def test_an_address_that_stripe_does_not_take_is_a_fault_of_ours(gateway: Gateway) -> None:
    who = replace(CUSTOMER, reference=new_code(), email="no address")
    with pytest.raises(InvalidRequestError) as refused:
        await gateway.create_customer(CustomerRequest(new_code(), who))
    assert (refused.value.code, refused.value.param) == ("email_invalid", "email")


async def test_a_question_that_fails_before_a_customer_is_made_did_nothing(
    stripe: StripeFake, gateway: Gateway
) -> None:
    who = replace(CUSTOMER, reference=new_code())
    stripe.script(operation="lookup", status=500)
    assert await gateway.create_customer(CustomerRequest(new_code(), who)) == NotExecuted(
        "http_500"
    )
    assert customers_called(stripe, who.reference) == []


async def started(gateway: Gateway, request: SetupRequest) -> SetupStarted:
    outcome = await gateway.start_setup(request)
    assert isinstance(outcome, SetupStarted)
    return outcome


def setup_of(**more: str) -> SetupRequest:
    who = replace(CUSTOMER, reference=new_code())
    return SetupRequest(new_code(), new_code(), who, **more)


def completion_of(request: SetupRequest, begun: SetupStarted) -> SetupCompletion:
    return SetupCompletion(
        request.setup_code,
        new_code(),
        begun.gateway_reference,
        request.customer,
        begun.customer_reference,
        {"setup_intent": "seti_of_somebody_else", "redirect_status": "succeeded"},
    )


async def test_a_set_up_gives_the_shops_page_what_stripes_script_needs(
    stripe: StripeFake, gateway: Gateway
) -> None:
    request = setup_of(return_url="https://shop.example/back")

    begun = await started(gateway, request)

    assert begun.flow is SetupFlow.CLIENT_SECRET
    assert (begun.client_secret or "").startswith(f"{begun.gateway_reference}_secret_")
    assert begun.client_secret not in repr(begun)
    assert begun.parameters == {
        "publishable_key": "pk_test_fake",
        "return_url": "https://shop.example/back",
    }
    assert await gateway.start_setup(request) == begun
    assert customers_called(stripe, request.customer.reference) == [begun.customer_reference]
    assert await gateway.complete_setup(completion_of(request, begun)) == SetupPending(
        begun.gateway_reference
    )


async def test_a_set_up_ends_in_a_method_that_can_be_charged_without_the_customer(
    stripe: StripeFake, gateway: Gateway
) -> None:
    request = setup_of()
    begun = await started(gateway, request)
    by_customer = {"id": begun.gateway_reference, "client_secret": begun.client_secret}
    stripe.tell("confirm_setup", **by_customer, behaves_like="pm_card_chargeDeclinedExpiredCard")
    # A card that is refused leaves the set-up open: the customer tries another.
    assert isinstance(await gateway.complete_setup(completion_of(request, begun)), SetupPending)
    stripe.tell("confirm_setup", **by_customer, behaves_like="pm_card_visa")

    saved = await gateway.complete_setup(completion_of(request, begun))

    assert isinstance(saved, MethodSaved)
    method = saved.method
    assert (method.type, method.brand, method.last_four) == (MethodType.CARD, "visa", "4242")
    assert (method.expiry_month, method.expiry_year) == (8, 2030)
    assert (method.fingerprint, method.customer_reference, method.is_usable) == (
        "fpvisa4242",
        begun.customer_reference,
        True,
    )
    known = await gateway.get_payment_method(MethodReference(method.reference))
    assert known == Found(method)
    charge = charge_of(
        stripe,
        payment_method_reference=method.reference,
        customer_reference=method.customer_reference,
    )
    assert isinstance(await gateway.charge(charge), Succeeded)


async def test_a_bank_account_comes_with_its_mandate(stripe: StripeFake, gateway: Gateway) -> None:
    request = setup_of()
    begun = await started(gateway, request)
    stripe.tell(
        "confirm_setup",
        id=begun.gateway_reference,
        client_secret=begun.client_secret,
        behaves_like="pm_usBankAccount_success",
    )
    saved = await gateway.complete_setup(completion_of(request, begun))
    assert isinstance(saved, MethodSaved)
    method = saved.method
    assert (method.type, method.last_four) == (MethodType.BANK_ACCOUNT, "6789")
    assert method.mandate["status"] == "active"
    assert method.is_usable

    stripe.tell("change", id=method.mandate["reference"], to={"status": "inactive"})
    again = await gateway.complete_setup(completion_of(request, begun))
    assert isinstance(again, MethodSaved)
    assert not again.method.is_usable


async def test_a_set_up_that_is_cancelled_or_unknown_leads_to_nothing(
    stripe: StripeFake, gateway: Gateway
) -> None:
    request = setup_of()
    begun = await started(gateway, request)
    stripe.tell("cancel_setup", id=begun.gateway_reference)
    completion = completion_of(request, begun)
    ended = await gateway.complete_setup(completion)
    assert isinstance(ended, SetupFailed)
    assert ended.info.gateway_code == "abandoned"
    for name in ("seti_no_such_setup", "no name"):
        never = await gateway.complete_setup(replace(completion, gateway_reference=name))
        assert isinstance(never, SetupFailed)


async def test_a_set_up_of_another_customer_or_of_another_code_is_not_believed(
    gateway: Gateway,
) -> None:
    ours, theirs = setup_of(), setup_of()
    begun, other = await started(gateway, ours), await started(gateway, theirs)
    completion = completion_of(ours, begun)
    for foreign in (
        replace(completion, gateway_reference=other.gateway_reference),
        replace(completion, customer_reference=other.customer_reference),
    ):
        outcome = await gateway.complete_setup(foreign)
        assert isinstance(outcome, Unknown)
        assert outcome.cause == "answer_for_another_setup"


async def test_methods_that_need_a_page_are_offered_only_where_there_is_one_to_come_back_to(
    stripe: StripeFake,
) -> None:
    options = {"return_url": "https://shop.example/back"}
    for account_options, word in (({}, "never"), (options, "always")):
        gateway = stripe.open(options=account_options)
        begun = await started(gateway, setup_of())
        outcome = await gateway.charge(charge_of(stripe))
        await gateway.aclose()
        assert isinstance(outcome, Succeeded)
        for kind, name in (
            ("setup_intent", begun.gateway_reference),
            ("payment_intent", outcome.gateway_reference),
        ):
            [made] = [one for one in stripe.ask("objects", kind=kind) if one["id"] == name]
            assert made["automatic_payment_methods"]["allow_redirects"] == word


async def test_what_is_let_go_of_cannot_be_charged_and_can_be_let_go_of_again(
    stripe: StripeFake, gateway: Gateway
) -> None:
    request = charge_of(stripe)
    method = MethodReference(request.payment_method_reference, request.customer_reference)

    for key in ("a", "a", "b"):
        done = await gateway.detach_payment_method(method, idempotency_key=method.reference + key)
        assert done == Detached()

    known = await gateway.get_payment_method(method)
    assert isinstance(known, Found)
    assert not known.outcome.is_usable
    assert not isinstance(await gateway.charge(request), Succeeded)
    for name in ("pm_no_such_method", "no name"):
        never = MethodReference(name)
        assert await gateway.detach_payment_method(never, idempotency_key=name) == Detached()
        assert await gateway.get_payment_method(never) == NotFound(definitive=True)


# Stripe's own books


def window() -> TimeWindow:
    now = SystemClock().now()
    return TimeWindow(now - timedelta(hours=1), now + timedelta(hours=1))


async def listed(gateway: Gateway) -> dict[str, GatewayTransaction]:
    found: dict[str, GatewayTransaction] = {}
    async for one in gateway.list_transactions(window()):
        assert one.reference not in found, "each once"
        found[one.reference] = one
    return found


async def test_the_books_list_every_charge_and_refund_once(
    stripe: StripeFake, gateway: Gateway
) -> None:
    paid, held, gone, failed, waiting = (
        charge_of(stripe),
        charge_of(stripe, is_captured=False),
        charge_of(stripe, is_captured=False),
        charge_of(stripe, "pm_card_visa_chargeDeclined"),
        charge_of(stripe, "pm_card_pendingRefund"),
    )
    outcomes = [await gateway.charge(one) for one in (paid, held, gone, failed, waiting)]
    names = [outcome.gateway_reference for outcome in outcomes]
    assert isinstance(outcomes[2], Authorized)
    await gateway.void(VoidRequest(new_code(), outcomes[2].gateway_reference))
    refund = refund_of(names[0], 400)
    done = await gateway.refund(refund)
    later = await gateway.refund(refund_of(names[4], 1999))
    assert isinstance(done, Refunded)
    assert isinstance(later, RefundPending)

    found = await listed(gateway)

    status = {name: found[name].status for name in names}
    assert list(status.values()) == [
        TransactionStatus.SUCCEEDED,
        TransactionStatus.AUTHORIZED,
        TransactionStatus.VOIDED,
        TransactionStatus.FAILED,
        TransactionStatus.SUCCEEDED,
    ]
    charge = found[names[0]]
    assert (charge.kind, charge.amount_minor, charge.currency) == (
        TransactionKind.CHARGE,
        1999,
        "EUR",
    )
    assert (charge.our_reference, charge.fee_minor, charge.refunded_minor) == (
        paid.attempt_code,
        74,
        400,
    )
    back = found[done.gateway_reference]
    assert (back.kind, back.amount_minor, back.status) == (
        TransactionKind.REFUND,
        400,
        TransactionStatus.SUCCEEDED,
    )
    assert (back.our_reference, back.payment_reference) == (refund.refund_code, names[0])
    assert found[later.gateway_reference or ""].status is TransactionStatus.PENDING


async def test_a_payment_that_was_tried_twice_is_one_charge(
    stripe: StripeFake, gateway: Gateway
) -> None:
    request = charge_of(stripe, "pm_card_authenticationRequired")
    outcome = await gateway.charge(request)
    assert isinstance(outcome, RequiresAction)
    stripe.tell(
        "act",
        id=outcome.gateway_reference,
        client_secret=outcome.client_secret,
        verdict="accept",
    )
    found = await listed(gateway)
    assert found[outcome.gateway_reference or ""].status is TransactionStatus.SUCCEEDED


async def test_a_list_that_breaks_off_is_no_list(stripe: StripeFake, gateway: Gateway) -> None:
    await gateway.charge(charge_of(stripe))
    for status in (500, 429, 400):
        error = {"error": {"type": "invalid_request_error", "code": "odd"}}
        stripe.script(operation="lookup", status=status, body=error)
        with pytest.raises(ListingFailed):
            await listed(gateway)


async def test_what_was_made_outside_of_the_window_is_not_listed(
    stripe: StripeFake, gateway: Gateway
) -> None:
    outcome = await gateway.charge(charge_of(stripe))
    assert isinstance(outcome, Succeeded)
    now = SystemClock().now()
    for start, end in ((now + timedelta(hours=1), now + timedelta(hours=2)),):
        found = [one async for one in gateway.list_transactions(TimeWindow(start, end))]
        assert found == []


async def disputed(stripe: StripeFake, gateway: Gateway, card: str) -> tuple[str, DisputeReport]:
    outcome = await gateway.charge(charge_of(stripe, card))
    assert isinstance(outcome, Succeeded)
    reports = [one async for one in gateway.list_disputes(window())]
    [report] = [one for one in reports if one.payment_reference == outcome.gateway_reference]
    return outcome.gateway_reference, report


async def test_a_dispute_takes_the_money_and_gives_it_back_when_it_is_won(
    stripe: StripeFake, gateway: Gateway
) -> None:
    payment, report = await disputed(stripe, gateway, "pm_card_createDispute")

    assert (report.status, report.payment_reference) == (DisputeStatus.NEEDS_RESPONSE, payment)
    assert (report.amount_minor, report.currency, report.withdrawn_minor) == (1999, "EUR", 1999)
    assert (report.fee_minor, report.reason) == (1500, "fraudulent")
    assert report.evidence_due_by is not None
    assert await gateway.fetch_dispute(report.gateway_reference) == Found(report)

    stripe.tell("change_dispute", id=report.gateway_reference, status="under_review")
    stripe.tell("change_dispute", id=report.gateway_reference, status="won")
    won = await gateway.fetch_dispute(report.gateway_reference)
    assert isinstance(won, Found)
    assert (won.outcome.status, won.outcome.withdrawn_minor) == (DisputeStatus.WON, 0)


async def test_a_dispute_that_is_lost_keeps_the_money_and_an_inquiry_takes_none(
    stripe: StripeFake, gateway: Gateway
) -> None:
    _, report = await disputed(stripe, gateway, "pm_card_createDispute")
    stripe.tell("change_dispute", id=report.gateway_reference, status="lost")
    lost = await gateway.fetch_dispute(report.gateway_reference)
    assert isinstance(lost, Found)
    assert (lost.outcome.status, lost.outcome.withdrawn_minor) == (DisputeStatus.LOST, 1999)

    _, inquiry = await disputed(stripe, gateway, "pm_card_createDisputeInquiry")
    assert (inquiry.status, inquiry.withdrawn_minor) == (DisputeStatus.NEEDS_RESPONSE, 0)
    stripe.tell("change_dispute", id=inquiry.gateway_reference, status="warning_closed")
    closed = await gateway.fetch_dispute(inquiry.gateway_reference)
    assert isinstance(closed, Found)
    assert closed.outcome.status is DisputeStatus.CLOSED


async def test_disputes_opened_before_the_window_and_changed_in_it_are_listed(
    stripe: StripeFake, gateway: Gateway
) -> None:
    _, report = await disputed(stripe, gateway, "pm_card_createDispute")
    stripe.tell("change", id=report.gateway_reference, to={"created": 1_600_000_000})
    stripe.tell("change_dispute", id=report.gateway_reference, status="lost")
    found = [one async for one in gateway.list_disputes(window())]
    [same] = [one for one in found if one.gateway_reference == report.gateway_reference]
    assert same.status is DisputeStatus.LOST


async def test_a_dispute_that_is_not_there_or_cannot_be_asked_for(
    stripe: StripeFake, gateway: Gateway
) -> None:
    assert await gateway.fetch_dispute("du_no_such_dispute") == NotFound(definitive=True)
    stripe.script(operation="lookup", status=500)
    assert await gateway.fetch_dispute("du_no_such_dispute") == Inconclusive("http_500")


# Accounts


@pytest.mark.parametrize(
    ("mode", "key"),
    [
        (AccountMode.TEST, "sk_live_51abc"),
        (AccountMode.TEST, "rk_live_51abc"),
        (AccountMode.LIVE, "sk_test_51abc"),
        (AccountMode.LIVE, "rk_test_51abc"),
        (AccountMode.TEST, "pk_test_51abc"),
        (AccountMode.TEST, "sk_test_51abc\r\nX: y"),
        (AccountMode.TEST, ""),
    ],
)
def test_a_key_of_the_other_mode_or_none_opens_nothing(mode: AccountMode, key: str) -> None:
    account = AccountSettings(mode, credentials={"secret_key": SecretStr(key)})
    for opens in (StripeGateway, lambda given: open_gateway("stripe", given)):
        with pytest.raises(ConfigurationError) as refused:
            opens(account)
        assert not key or key not in str(refused.value)


@pytest.mark.parametrize("key", ["sk_live_51abc", "rk_live_51abc"])
async def test_a_live_account_speaks_to_stripe_alone(key: str) -> None:
    account = AccountSettings(AccountMode.LIVE, credentials={"secret_key": SecretStr(key)})
    await open_gateway("stripe", account).aclose()
    elsewhere = replace(account, base_url="http://127.0.0.1:1")
    for opens in (StripeGateway, lambda given: open_gateway("stripe", given)):
        with pytest.raises(ConfigurationError):
            opens(elsewhere)


def test_a_publishable_key_of_the_other_mode_is_refused() -> None:
    account = AccountSettings(
        AccountMode.TEST,
        credentials={"secret_key": SecretStr("sk_test_51abc")},
        options={"publishable_key": "pk_live_51abc"},
    )
    with pytest.raises(ConfigurationError):
        StripeGateway(account)
