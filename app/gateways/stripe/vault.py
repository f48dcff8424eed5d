"""The customer at Stripe, and how a payment method comes to be kept there and to be let go of."""

from collections.abc import Mapping
from typing import Any, Final

from app.domain.outcome import (
    DeclineAdvice,
    DeclineCategory,
    DeclineInfo,
    DeclineReason,
    Found,
    NotExecuted,
    NotFound,
    Unknown,
)
from app.domain.vault import (
    CustomerOutcome,
    CustomerSaved,
    Detached,
    DetachOutcome,
    MethodLookup,
    MethodSaved,
    SetupFailed,
    SetupFlow,
    SetupOutcome,
    SetupPending,
    SetupStarted,
)
from app.gateways.requests import CustomerDetails, MethodReference, SetupCompletion, SetupRequest
from app.gateways.stripe.declines import decline_of
from app.gateways.stripe.reading import CUSTOMER, SETUP, saved_method
from app.gateways.stripe.wire import Field, Refusal, Wire, is_name, unfound
from app.gateways.stripe.words import (
    Customer,
    CustomerPage,
    Mandate,
    PaymentMethod,
    SetupAttempt,
    SetupIntent,
)

CUSTOMER_PAGES_MAX: Final = 5
"""Customers with one e-mail address; beyond 500 of them another one does not matter."""
SETUP_EXPANDED: Final = ("payment_method", "mandate", "latest_attempt")
MISSING: Final = 404


async def create_customer(wire: Wire, customer: CustomerDetails, key: str) -> CustomerOutcome:
    """Make the customer known; one who is known by the same reference and e-mail is found."""
    known = await _known(wire, customer) if customer.email else None
    if isinstance(known, NotExecuted | CustomerSaved):
        return known
    body: dict[str, Field] = {
        "email": customer.email,
        "name": customer.name,
        "phone": customer.phone,
        "address": {"country": customer.country} if customer.country else None,
        "metadata": {CUSTOMER: customer.reference},
    }
    said = await wire.post(Customer, "/v1/customers", key, body)
    match said:
        case Customer():
            if said.metadata.get(CUSTOMER) != customer.reference:
                return Unknown("answer_for_another_customer")
            return CustomerSaved(said.id)
        case Refusal():
            raise said.fault()
        case _:
            return said


async def _known(wire: Wire, customer: CustomerDetails) -> CustomerSaved | NotExecuted | None:
    query: dict[str, Field] = {"email": customer.email}
    async for page in wire.pages(CustomerPage, "/v1/customers", query, CUSTOMER_PAGES_MAX):
        match page:
            case CustomerPage():
                for one in page.data:
                    if one.metadata.get(CUSTOMER) == customer.reference:
                        return CustomerSaved(one.id)
            case Refusal():
                raise page.fault()
            case NotExecuted():
                return page
            case Unknown(cause=cause):
                return NotExecuted(cause)  # nothing but a question was asked
    return None


async def start_setup(
    wire: Wire, request: SetupRequest, publishable_key: str | None, return_url: str | None
) -> SetupOutcome:
    """A set-up intent, whose secret lets Stripe's script in the shop's page do the rest."""
    customer = request.customer_reference
    if customer is None:
        made = await create_customer(wire, request.customer, f"{request.idempotency_key}:customer")
        if not isinstance(made, CustomerSaved):
            return made
        customer = made.reference
    body: dict[str, Field] = {
        "customer": customer,
        "usage": "off_session",
        # What needs a bank's page could not be charged later without one: see RETURN_URL.
        "automatic_payment_methods": {
            "enabled": True,
            "allow_redirects": "always" if return_url else "never",
        },
        "description": request.description,
        "metadata": {SETUP: request.setup_code},
    }
    said = await wire.post(SetupIntent, "/v1/setup_intents", request.idempotency_key, body)
    match said:
        case SetupIntent():
            if _is_other(said, request.setup_code, customer) or said.client_secret is None:
                return Unknown("answer_for_another_setup", said.id)
            return SetupStarted(
                said.id,
                SetupFlow.CLIENT_SECRET,
                customer,
                client_secret=said.client_secret.get_secret_value(),
                parameters=_parameters(publishable_key, request.return_url or return_url),
            )
        case Refusal():
            raise said.fault()
        case _:
            return said


def _parameters(publishable_key: str | None, return_url: str | None) -> Mapping[str, str]:
    given = {"publishable_key": publishable_key, "return_url": return_url}
    return {name: value for name, value in given.items() if value is not None}


def _is_other(intent: SetupIntent, setup_code: str, customer: str | None) -> bool:
    ours = intent.metadata.get(SETUP) == setup_code
    return not ours or (customer is not None and intent.customer != customer)


async def complete_setup(wire: Wire, request: SetupCompletion) -> SetupOutcome:
    """How the set-up stands. Nothing that the storefront says is needed or believed."""
    if not is_name(request.gateway_reference):
        return _never(request.gateway_reference, "resource_missing")
    path = f"/v1/setup_intents/{request.gateway_reference}"
    said = await wire.get(SetupIntent, path, {"expand": SETUP_EXPANDED})
    match said:
        case SetupIntent():
            if _is_other(said, request.setup_code, request.customer_reference):
                return Unknown("answer_for_another_setup", said.id)
            return await _setup(wire, said)
        case Refusal(status=404):
            return _never(request.gateway_reference, "resource_missing")
        case Refusal():
            raise said.fault()
        case _:
            return said


async def _setup(wire: Wire, intent: SetupIntent) -> SetupOutcome:
    match intent.status:
        case "succeeded":
            method = await _method(wire, intent)
            if not isinstance(method, PaymentMethod):
                return method
            mandate = intent.mandate if isinstance(intent.mandate, Mandate) else None
            return MethodSaved(saved_method(method, mandate), intent.id)
        case "canceled" if intent.last_setup_error is not None:
            return SetupFailed(decline_of(intent.last_setup_error), intent.id)
        case "canceled":
            return _never(intent.id, intent.cancellation_reason or "canceled")
        case _:
            # A try that failed leaves it open: the customer may try again with the same secret.
            return SetupPending(intent.id)


async def _method(wire: Wire, intent: SetupIntent) -> PaymentMethod | NotExecuted | Unknown:
    """The payment method to charge later: some, used once, leave a mandate to debit instead."""
    if not isinstance(intent.payment_method, PaymentMethod):
        return Unknown("unreadable_answer", intent.id)
    debit = _generated(intent.latest_attempt)
    if debit is None:
        return intent.payment_method
    said = await wire.get(PaymentMethod, f"/v1/payment_methods/{debit}")
    if isinstance(said, Refusal):
        raise said.fault()
    return said


def _generated(attempt: SetupAttempt | str | None) -> str | None:
    details: Mapping[str, Any] = (
        attempt.payment_method_details if isinstance(attempt, SetupAttempt) else {}
    )
    for one in details.values():
        made = one.get("generated_sepa_debit") if isinstance(one, dict) else None
        if isinstance(made, str) and is_name(made):
            return made
    return None


def _never(reference: str, code: str) -> SetupFailed:
    info = DeclineInfo(
        DeclineCategory.SOFT, DeclineReason.GENERIC, code, DeclineAdvice.UPDATE_PAYMENT_METHOD
    )
    return SetupFailed(info, reference)


async def get_payment_method(wire: Wire, method: MethodReference) -> MethodLookup:
    """How Stripe keeps it now."""
    if not is_name(method.reference):
        return NotFound(definitive=True)
    said = await wire.get(PaymentMethod, f"/v1/payment_methods/{method.reference}")
    return Found(saved_method(said)) if isinstance(said, PaymentMethod) else unfound(said)


async def detach(wire: Wire, method: MethodReference, key: str) -> DetachOutcome:
    """Let go of it: Stripe never lets a detached one be used again."""
    if not is_name(method.reference):
        return Detached()
    path = f"/v1/payment_methods/{method.reference}"
    said = await wire.post(PaymentMethod, f"{path}/detach", key, {})
    match said:
        case PaymentMethod():
            return Detached() if said.customer is None else Unknown("still_attached")
        case Refusal(status=404):
            return Detached()
        case Refusal():
            # Stripe has no code for "it is detached already", so the method itself is asked.
            now = await wire.get(PaymentMethod, path)
            if isinstance(now, Refusal) and now.status == MISSING:
                return Detached()
            if isinstance(now, PaymentMethod) and now.customer is None:
                return Detached()
            raise said.fault()
        case _:
            return said
