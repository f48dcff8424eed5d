"""Payment methods: set up by their customer, charged, and let go of."""

from dataclasses import replace

import pytest

from app.domain.outcome import Declined, Found, NotExecuted, NotFound, Succeeded, Unknown
from app.domain.vault import (
    CustomerSaved,
    Detached,
    MethodSaved,
    SetupFailed,
    SetupFlow,
    SetupPending,
    SetupStarted,
)
from app.gateways.base import InvalidRequestError
from app.gateways.requests import (
    CustomerDetails,
    CustomerRequest,
    MethodReference,
    SetupCompletion,
    SetupRequest,
)
from app.testing.harness import Behaviour, Fault, Kept, Trait, Verb
from app.testing.trial import AMOUNT, Trial, new_code

LOSING = [Fault.TIMEOUT_AFTER, Fault.RESET_BEFORE, Fault.ERROR_BEFORE, Fault.CUT, Fault.UNREADABLE]


def somebody() -> CustomerDetails:
    """A customer whom nobody knows yet."""
    code = new_code()
    return CustomerDetails(
        f"cus_{code}", f"{code}@example.com", "Ada Example", "+919000090000", "IN"
    )


def setup_of(trial: Trial, customer: CustomerDetails) -> SetupRequest:
    """A set-up that nobody has begun before, with all that any gateway may want."""
    code = new_code()
    return SetupRequest(
        setup_code=code,
        idempotency_key=f"setup-{code}",
        customer=customer,
        return_url="https://shop.example/back",
        cancel_url="https://shop.example/cancelled",
        currency=trial.harness.currency,
        amount_max_minor=1_000_000,
        description="Team plan",
    )


async def started(trial: Trial) -> tuple[SetupRequest, SetupStarted]:
    """A set-up that waits for its customer."""
    request = setup_of(trial, somebody())
    outcome = await trial.gateway.start_setup(request)
    assert isinstance(outcome, SetupStarted), outcome
    return request, outcome


def completion(
    request: SetupRequest, begun: SetupStarted, parameters: dict[str, str] | None = None
) -> SetupCompletion:
    """How a set-up is asked after."""
    return SetupCompletion(
        setup_code=request.setup_code,
        idempotency_key=f"done-{request.setup_code}",
        gateway_reference=begun.gateway_reference,
        customer=request.customer,
        customer_reference=begun.customer_reference,
        parameters=parameters or {},
    )


async def is_gone(trial: Trial, method: MethodReference) -> bool:
    """Whether the gateway keeps a method no longer."""
    found = await trial.gateway.get_payment_method(method)
    return isinstance(found, NotFound) or (isinstance(found, Found) and not found.outcome.is_usable)


async def test_a_customer_is_made_known_once(trial: Trial) -> None:
    """Asked again, it is the same one."""
    who = somebody()
    request = CustomerRequest(f"customer-{who.reference}", who)
    first = await trial.gateway.create_customer(request)
    again = await trial.gateway.create_customer(request)
    assert isinstance(first, CustomerSaved), first
    assert first == again


@pytest.mark.parametrize("fault", LOSING)
async def test_a_customer_whose_answer_was_lost_is_had_again(trial: Trial, fault: Fault) -> None:
    """Unknown, then known."""
    trial.needs(Trait.CUSTOMERS)
    who = somebody()
    request = CustomerRequest(f"customer-{who.reference}", who)
    trial.line.strike(fault, Verb.CUSTOMER, 1)
    lost = await trial.facing(fault).create_customer(request)
    assert isinstance(lost, Unknown | NotExecuted), lost
    assert isinstance(await trial.gateway.create_customer(request), CustomerSaved)


async def test_a_set_up_tells_the_storefront_what_its_flow_needs(trial: Trial) -> None:
    """A secret, an address or parameters, as the capabilities say."""
    _, begun = await started(trial)
    assert begun.flow is trial.can.setup_flow
    match begun.flow:
        case SetupFlow.CLIENT_SECRET:
            assert begun.client_secret
        case SetupFlow.REDIRECT:
            assert begun.redirect_url
        case SetupFlow.CHECKOUT | SetupFlow.TOKENIZATION:
            assert begun.parameters


async def test_a_payment_method_is_set_up_and_charged(trial: Trial) -> None:
    """From the storefront to the ledger."""
    request, begun = await started(trial)
    back = await trial.harness.customer_sets_up(begun, confirms=True)
    saved = await trial.gateway.complete_setup(completion(request, begun, dict(back)))
    assert isinstance(saved, MethodSaved), saved
    method = saved.method

    kept = Kept(method.reference, method.customer_reference, request.customer)
    charge = replace(
        await trial.charge_of(kept),
        network_transaction_id=method.network_transaction_id,
        method_type=method.type,
    )
    outcome = await trial.ended(charge, await trial.gateway.charge(charge))

    assert isinstance(outcome, Succeeded), outcome
    assert await trial.charged(charge) == AMOUNT


async def test_a_set_up_that_is_completed_twice_is_one_payment_method(trial: Trial) -> None:
    """By the storefront's call and by a webhook, say."""
    request, begun = await started(trial)
    back = dict(await trial.harness.customer_sets_up(begun, confirms=True))
    first = await trial.gateway.complete_setup(completion(request, begun, back))
    again = await trial.gateway.complete_setup(completion(request, begun, back))
    assert isinstance(first, MethodSaved)
    assert isinstance(again, MethodSaved), again
    assert first.method.reference == again.method.reference


async def test_a_set_up_that_the_customer_left_is_not_over(trial: Trial) -> None:
    """Asked after, it still waits; nothing is kept."""
    request, begun = await started(trial)
    outcome = await trial.gateway.complete_setup(completion(request, begun))
    assert isinstance(outcome, SetupPending | SetupFailed), outcome


async def test_a_set_up_that_the_customer_fails_says_so(trial: Trial) -> None:
    """In our words."""
    trial.needs(Trait.SETUP_FAILS)
    request, begun = await started(trial)
    back = await trial.harness.customer_sets_up(begun, confirms=False)
    outcome = await trial.gateway.complete_setup(completion(request, begun, dict(back)))
    assert isinstance(outcome, SetupFailed), outcome
    assert outcome.info.gateway_code


@pytest.mark.parametrize("fault", LOSING)
async def test_a_set_up_whose_answer_was_lost_can_be_begun_again(
    trial: Trial, fault: Fault
) -> None:
    """The second time it works, and what it leads to is one payment method."""
    if trial.can.setup_flow is SetupFlow.TOKENIZATION:
        trial.leave("nothing is sent to begin a set-up")
    request = setup_of(trial, somebody())
    trial.line.strike(fault, Verb.SETUP, 1)
    lost = await trial.facing(fault).start_setup(request)
    assert isinstance(lost, Unknown | NotExecuted), lost
    begun = await trial.gateway.start_setup(request)
    assert isinstance(begun, SetupStarted), begun
    back = dict(await trial.harness.customer_sets_up(begun, confirms=True))
    saved = await trial.gateway.complete_setup(completion(request, begun, back))
    assert isinstance(saved, MethodSaved), saved


async def test_a_kept_method_can_be_looked_at(trial: Trial) -> None:
    """And one that is not kept is not found."""
    kept = await trial.harness.keep(Behaviour.OK)
    found = await trial.gateway.get_payment_method(
        MethodReference(kept.reference, kept.customer_reference)
    )
    assert isinstance(found, Found), found
    assert found.outcome.reference == kept.reference
    assert found.outcome.is_usable
    name = kept.reference
    stranger = name[:-3] + ("000" if name[-3:] != "000" else "111")
    try:
        absent = await trial.gateway.get_payment_method(
            MethodReference(stranger, kept.customer_reference)
        )
    except InvalidRequestError:
        return
    assert isinstance(absent, NotFound), absent


async def test_what_was_let_go_of_is_charged_no_more(trial: Trial) -> None:
    """A charge on it is a decline, not an error: the customer must give another."""
    kept = await trial.harness.keep(Behaviour.OK)
    method = MethodReference(kept.reference, kept.customer_reference)
    detached = await trial.gateway.detach_payment_method(method, idempotency_key=new_code())
    assert isinstance(detached, Detached), detached

    request = await trial.charge_of(kept)
    outcome = await trial.ended(request, await trial.gateway.charge(request))

    assert isinstance(outcome, Declined), outcome
    assert await trial.charged(request) == 0


async def test_what_is_gone_is_let_go_of(trial: Trial) -> None:
    """The second time is as good as the first."""
    kept = await trial.harness.keep(Behaviour.OK)
    method = MethodReference(kept.reference, kept.customer_reference)
    for _ in range(2):
        outcome = await trial.gateway.detach_payment_method(method, idempotency_key=new_code())
        assert isinstance(outcome, Detached), outcome
    assert await is_gone(trial, method)


@pytest.mark.parametrize("fault", LOSING)
async def test_a_lost_answer_to_letting_go_is_not_taken_for_one(trial: Trial, fault: Fault) -> None:
    """Asked again, it is let go of; and whatever is called done is done."""
    kept = await trial.harness.keep(Behaviour.OK)
    method = MethodReference(kept.reference, kept.customer_reference)
    trial.line.strike(fault, Verb.DETACH, 1)
    key = new_code()
    gateway = trial.facing(fault)
    first = await gateway.detach_payment_method(method, idempotency_key=key)
    # A DELETE may have been sent again by the connection itself: it means the same twice.
    assert isinstance(first, Unknown | NotExecuted | Detached), first
    if isinstance(first, Detached):
        assert await is_gone(trial, method)
    again = await trial.gateway.detach_payment_method(method, idempotency_key=key)
    assert isinstance(again, Detached), again
