"""Payment methods at PayPal: from the setup token that a customer approves to a deleted token."""

from collections.abc import AsyncIterator
from dataclasses import replace

import orjson
import pytest

from app import ids
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
from app.gateways.base import InvalidRequestError
from app.gateways.paypal.gateway import PayPalGateway
from app.gateways.requests import (
    CustomerDetails,
    CustomerRequest,
    MethodReference,
    SetupCompletion,
    SetupRequest,
)
from tests.gateways.fakes.paypal.server import CLIENT_ID
from tests.gateways.paypal import PayPalProcess
from tests.gateways.test_paypal_charges import charge_of

ADA = CustomerDetails("cus_01m85k490geb2bnejhh1tavvsk", "ada@example.com", "Ada Lovelace")


@pytest.fixture
async def gateway(paypal: PayPalProcess, anyio_backend: str) -> AsyncIterator[PayPalGateway]:
    gateway = paypal.open()
    yield gateway
    await gateway.aclose()


def setup_of(**given: object) -> SetupRequest:
    code = ids.show("x", ids.new_id())[-20:]
    request = SetupRequest(
        code,
        code,
        ADA,
        return_url="https://shop.example/return",
        cancel_url="https://shop.example/cancel",
        description="Plan “Pro”, 29 € a month",
    )
    return replace(request, **given)  # type: ignore[arg-type]


def completion_of(request: SetupRequest, started: SetupStarted) -> SetupCompletion:
    return SetupCompletion(
        request.setup_code, request.idempotency_key, started.gateway_reference, request.customer
    )


async def begun(gateway: PayPalGateway, request: SetupRequest) -> SetupStarted:
    started = await gateway.start_setup(request)
    assert isinstance(started, SetupStarted)
    return started


async def saved(gateway: PayPalGateway, paypal: PayPalProcess) -> MethodSaved:
    request = setup_of()
    started = await begun(gateway, request)
    paypal.approve(started.gateway_reference)
    done = await gateway.complete_setup(completion_of(request, started))
    assert isinstance(done, MethodSaved)
    return done


async def test_a_customer_is_ours_until_the_first_payment_method(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    known = await gateway.create_customer(CustomerRequest("k", ADA))
    assert known == CustomerSaved(ADA.reference)
    assert paypal.calls() == []


async def test_a_wallet_is_approved_on_paypals_page_and_then_charged(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = setup_of(customer_reference=ADA.reference)
    started = await begun(gateway, request)

    assert started.flow is SetupFlow.REDIRECT
    assert started.redirect_url is not None
    assert started.redirect_url.startswith("https://www.sandbox.paypal.com/")
    assert started.parameters == {
        "client_id": CLIENT_ID,
        "setup_token": started.gateway_reference,
    }
    completion = completion_of(request, started)
    assert await gateway.complete_setup(completion) == SetupPending(started.gateway_reference)
    assert "shop.example/return" in paypal.approve(started.gateway_reference).headers["location"]

    done = await gateway.complete_setup(completion)

    assert isinstance(done, MethodSaved)
    assert done.gateway_reference == started.gateway_reference
    method = done.method
    assert (method.type, method.brand) == (MethodType.WALLET, "paypal")
    assert method.customer_reference == started.customer_reference
    assert await gateway.complete_setup(completion) == done
    reference = MethodReference(method.reference)
    assert await gateway.get_payment_method(reference) == Found(method)
    charge = replace(charge_of("wallet-x"), payment_method_reference=method.reference)
    assert isinstance(await gateway.charge(charge), Succeeded)


async def test_what_is_sent_for_a_wallet(gateway: PayPalGateway, paypal: PayPalProcess) -> None:
    await begun(gateway, setup_of())
    [call] = paypal.calls("/v3/")
    assert orjson.loads(call["body"]) == {
        "customer": {"merchant_customer_id": ADA.reference},
        "payment_source": {
            "paypal": {
                "usage_type": "MERCHANT",
                "usage_pattern": "RECURRING_PREPAID",
                "permit_multiple_payment_tokens": True,
                "description": "Plan Pro, 29  a month",
                "experience_context": {
                    "return_url": "https://shop.example/return",
                    "cancel_url": "https://shop.example/cancel",
                    "shipping_preference": "NO_SHIPPING",
                },
            }
        },
    }
    # Of the customer PayPal is told no more than a name of ours.
    assert "ada" not in call["body"].lower()


async def test_paypals_own_customer_is_named_where_there_is_one(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    first = await begun(gateway, setup_of())
    second = await begun(gateway, setup_of(customer_reference=first.customer_reference))
    assert second.customer_reference == first.customer_reference
    sent = orjson.loads(paypal.calls("/v3/")[-1]["body"])
    assert sent["customer"] == {"id": first.customer_reference}


async def test_a_card_is_entered_in_paypals_fields_with_the_setup_token(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = setup_of(parameters={"payment_source": "card"})
    started = await begun(gateway, request)
    assert started.flow is SetupFlow.CHECKOUT
    assert started.redirect_url is None
    assert started.parameters["setup_token"] == started.gateway_reference
    sent = orjson.loads(paypal.calls("/v3/")[-1]["body"])["payment_source"]
    assert sent == {
        "card": {
            "verification_method": "SCA_WHEN_REQUIRED",
            "experience_context": {
                "return_url": "https://shop.example/return",
                "cancel_url": "https://shop.example/cancel",
            },
        }
    }

    paypal.approve(started.gateway_reference)
    done = await gateway.complete_setup(completion_of(request, started))

    assert isinstance(done, MethodSaved)
    method = done.method
    assert (method.type, method.brand, method.last_four) == (MethodType.CARD, "visa", "1111")
    assert (method.expiry_month, method.expiry_year) == (2, 2031)


async def test_a_page_to_come_back_to_is_needed(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        await gateway.start_setup(setup_of(return_url=None))
    assert refused.value.param == "return_url"
    assert paypal.calls() == []


async def test_another_source_is_not_known(gateway: PayPalGateway, paypal: PayPalProcess) -> None:
    with pytest.raises(InvalidRequestError):
        await gateway.start_setup(setup_of(parameters={"payment_source": "venmo"}))
    assert paypal.calls() == []


@pytest.mark.parametrize("fault", ["timeout_after_effect", "error_500_after", "cut_body"])
async def test_a_lost_answer_leads_to_the_same_set_up_and_the_same_method(
    paypal: PayPalProcess, fault: str
) -> None:
    gateway = paypal.open(total_timeout_seconds=1)
    request = setup_of()
    paypal.set_fault(fault, operations=["setup"], count=1)
    assert isinstance(await gateway.start_setup(request), Unknown)
    started = await begun(gateway, request)
    paypal.approve(started.gateway_reference)
    paypal.set_fault(fault, operations=["setup"], count=1)
    completion = completion_of(request, started)
    assert isinstance(await gateway.complete_setup(completion), Unknown)
    assert isinstance(await gateway.complete_setup(completion), MethodSaved)
    await gateway.aclose()


async def test_a_used_request_id_has_not_failed_a_set_up(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = setup_of(customer=replace(ADA, reference=f"cus_{ids.new_id()}"))
    started = await begun(gateway, request)
    paypal.approve(started.gateway_reference)
    paypal.turn(vault_repeats=False)
    paypal.set_fault("error_500_after", operations=["setup"], count=1)
    completion = completion_of(request, started)
    assert isinstance(await gateway.complete_setup(completion), Unknown)
    # The token is there, and the customer's only one.
    assert isinstance(await gateway.complete_setup(completion), MethodSaved)

    # While PayPal does not show the setup token as used, nothing is known.
    paypal.fake("POST", f"setups/{started.gateway_reference}", {"status": "APPROVED"})
    again = await gateway.complete_setup(completion)
    assert again == Unknown("paypal_request_id_previously_used")


async def test_beyond_the_life_of_the_key_a_used_set_up_is_the_customers_only_method(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = setup_of(customer=replace(ADA, reference=f"cus_{ids.new_id()}"))
    started = await begun(gateway, request)
    paypal.approve(started.gateway_reference)
    completion = completion_of(request, started)
    done = await gateway.complete_setup(completion)
    paypal.fake("POST", "clock", {"seconds": 4 * 3600})

    assert await gateway.complete_setup(completion) == done

    # With a second method it cannot be told which one the set-up led to.
    other = replace(request, setup_code="other", idempotency_key=f"other{ids.new_id()}")
    again = await begun(gateway, other)
    paypal.approve(again.gateway_reference)
    await gateway.complete_setup(completion_of(other, again))
    assert await gateway.complete_setup(completion) == Unknown(
        "which_payment_token", started.gateway_reference
    )


async def test_a_set_up_that_paypal_refuses_has_failed(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = setup_of()
    started = await begun(gateway, request)
    paypal.approve(started.gateway_reference, declines="1")
    failed = await gateway.complete_setup(completion_of(request, started))
    assert isinstance(failed, SetupFailed)
    assert failed.info.gateway_code == "INSTRUMENT_DECLINED"
    assert failed.gateway_reference == started.gateway_reference


async def test_a_set_up_of_three_days_ago_has_failed(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = setup_of()
    started = await begun(gateway, request)
    paypal.fake("POST", "clock", {"seconds": 73 * 3600})
    assert isinstance(await gateway.complete_setup(completion_of(request, started)), SetupFailed)


async def test_a_look_that_fails_says_nothing_of_the_set_up(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    request = setup_of()
    started = await begun(gateway, request)
    paypal.set_fault("error_500_before", operations=["lookup"])
    outcome = await gateway.complete_setup(completion_of(request, started))
    assert outcome == Unknown("http_500", started.gateway_reference)


async def test_a_detached_method_is_gone_and_stays_so(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    method = (await saved(gateway, paypal)).method
    reference = MethodReference(method.reference, method.customer_reference)
    for _ in range(2):
        assert await gateway.detach_payment_method(reference, idempotency_key="d") == Detached()
    assert await gateway.get_payment_method(reference) == NotFound(definitive=True)
    charge = replace(charge_of("wallet-x"), payment_method_reference=method.reference)
    declined = await gateway.charge(charge)
    assert isinstance(declined, Declined)
    assert declined.info.category == "hard"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("error_429", NotExecuted), ("error_500_after", Unknown), ("timeout_before_effect", Unknown)],
)
async def test_a_lost_detachment_is_not_known(
    paypal: PayPalProcess, fault: str, kind: type
) -> None:
    gateway = paypal.open(total_timeout_seconds=1)
    method = (await saved(gateway, paypal)).method
    reference = MethodReference(method.reference)
    paypal.set_fault(fault, operations=["detach"], count=1)
    first = await gateway.detach_payment_method(reference, idempotency_key="d")
    assert isinstance(first, kind)
    assert await gateway.detach_payment_method(reference, idempotency_key="d") == Detached()
    await gateway.aclose()


async def test_a_look_at_a_method_that_fails_proves_nothing(
    gateway: PayPalGateway, paypal: PayPalProcess
) -> None:
    paypal.set_fault("error_500_before", operations=["lookup"])
    looked = await gateway.get_payment_method(MethodReference("wallet-ok"))
    assert looked == Inconclusive("http_500")
