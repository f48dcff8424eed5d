"""Customers, set-ups and tokens: how a payment method comes to be kept, and is let go of.

A set-up is an order of its own with the terms of a mandate; the customer pays it in Razorpay's
Checkout, and the payment names the token.
"""

import re
from collections.abc import Mapping
from typing import Final

from app.domain.outcome import (
    DeclineInfo,
    Found,
    Inconclusive,
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
    MethodType,
    SavedMethod,
    SetupFailed,
    SetupFlow,
    SetupOutcome,
    SetupPending,
    SetupStarted,
)
from app.gateways.base import InvalidRequestError
from app.gateways.razorpay import orders
from app.gateways.razorpay.account import Keys
from app.gateways.razorpay.declines import decline
from app.gateways.razorpay.orders import OnOrders
from app.gateways.razorpay.signatures import is_signed, payment_message
from app.gateways.razorpay.wire import Wire, refuse, unfound
from app.gateways.razorpay.words import (
    SETUP,
    Customer,
    Order,
    Payment,
    Problem,
    Token,
    moment,
    read,
)
from app.gateways.requests import (
    ChargeRequest,
    CustomerRequest,
    MethodReference,
    SetupCompletion,
    SetupRequest,
)
from app.http import Answer

AUTHORISATION_MINOR: Final = 100
"""What a set-up by card or UPI takes: the least that Razorpay moves. A bank mandate takes 0."""
MAX_MINOR: Final = 1_500_000
"""₹15,000: up to so much the customer need not be asked about each debit."""
NAME: Final = re.compile(r"[A-Za-z0-9 .'/@()]{3,50}")
EMAIL_CHARS_MAX: Final = 64
CONTACT_CHARS_MAX: Final = 15
"""What a customer may be called there (razorpay.com/docs, customers): another name would refuse the
customer, who can do without one."""
METHODS: Final = frozenset({"card", "upi", "emandate"})
BANK_METHODS: Final = frozenset({"emandate", "nach"})
AUTH_TYPES: Final = frozenset({"netbanking", "debitcard", "aadhaar"})
FREQUENCIES: Final = frozenset(
    {
        *("daily", "weekly", "fortnightly", "monthly", "bimonthly", "quarterly"),
        *("half_yearly", "yearly", "as_presented"),
    }
)
TYPES: Final[Mapping[str, MethodType]] = {
    "card": MethodType.CARD,
    "upi": MethodType.MANDATE,
    "emandate": MethodType.BANK_ACCOUNT,
    "nach": MethodType.BANK_ACCOUNT,
    "wallet": MethodType.WALLET,
}
REGISTERED_BY_FAILING: Final = "upi_dummy_payment"
"""How a UPI mandate is registered without taking anything: the payment counts as failed."""
CONFIRMED: Final = "confirmed"
ENDED: Final = {"rejected": "mandate_not_active", "cancelled": "mandate_cancelled"}


async def create_customer(wire: Wire, request: CustomerRequest) -> CustomerOutcome:
    """The customer; one with the same details is found, and not made again."""
    customer = request.customer
    name, email, contact = (customer.name or "").strip(), customer.email, customer.phone
    body: dict[str, object] = {}
    if NAME.fullmatch(name):
        body["name"] = name
    if email and len(email) <= EMAIL_CHARS_MAX:
        body["email"] = email
    if contact and len(contact) <= CONTACT_CHARS_MAX:
        body["contact"] = contact
    body |= {"fail_existing": "0", "notes": {"perennial_customer": customer.reference}}
    reply = await wire.call("POST", "/customers", body)
    match reply:
        case Answer():
            found = read(Customer, reply)
            return Unknown("unreadable_answer") if found is None else CustomerSaved(found.id)
        case Problem():
            raise refuse(reply)
        case _:
            return reply


async def start_setup(wire: Wire, keys: Keys, request: SetupRequest) -> SetupOutcome:
    """The parameters for Checkout; asked again, those of the same order."""
    owner = request.customer_reference
    if owner is None:
        saved = await create_customer(
            wire, CustomerRequest(request.idempotency_key, request.customer)
        )
        if not isinstance(saved, CustomerSaved):
            return saved
        owner = saved.reference
    known = await orders.by_reference(wire, request.setup_code)
    if isinstance(known, Inconclusive):
        return NotExecuted(f"look_up_{known.cause}")
    if known.orders:
        return _started(keys, request, min(known.orders, key=_age), owner)
    made = await orders.create(wire, _setup_body(request, owner))
    return _started(keys, request, made, owner) if isinstance(made, Order) else made


def _age(order: Order) -> tuple[int, str]:
    return order.created_at, order.id


def _setup_body(request: SetupRequest, owner: str) -> Mapping[str, object]:
    method = _chosen(request, "method", METHODS, "card")
    terms: dict[str, object] = {"max_amount": request.amount_max_minor or MAX_MINOR}
    if request.expires_at is not None:
        terms["expire_at"] = int(request.expires_at.timestamp())
    if method in BANK_METHODS:
        terms["auth_type"] = _chosen(request, "auth_type", AUTH_TYPES, "netbanking")
    else:
        terms["frequency"] = _chosen(request, "frequency", FREQUENCIES, "as_presented")
    return {
        "amount": 0 if method in BANK_METHODS else AUTHORISATION_MINOR,
        "currency": request.currency or "INR",
        "customer_id": owner,
        "method": method,
        "payment_capture": True,
        "receipt": request.setup_code,
        "notes": {SETUP: request.setup_code},
        "token": terms,
    }


def _chosen(request: SetupRequest, name: str, known: frozenset[str], usual: str) -> str:
    value = request.parameters.get(name, usual)
    if value not in known:
        raise InvalidRequestError(f"Razorpay knows no {name} of that name.", param=name)
    return value


def _started(keys: Keys, request: SetupRequest, order: Order, owner: str) -> SetupStarted:
    customer = request.customer
    said = {
        "key": keys.key_id,
        "order_id": order.id,
        "customer_id": owner,
        "recurring": "1",
        "description": request.description,
        "callback_url": request.return_url,
        "prefill[name]": customer.name,
        "prefill[email]": customer.email,
        "prefill[contact]": customer.phone,
    }
    parameters = {name: value for name, value in said.items() if value}
    return SetupStarted(order.id, SetupFlow.CHECKOUT, owner, parameters=parameters)


async def complete_setup(wire: Wire, keys: Keys, request: SetupCompletion) -> SetupOutcome:
    """What became of a set-up. What Checkout gave the storefront is believed only as far as its
    signature goes; without it the order's payments are looked at.

    Raises InvalidRequestError for parameters that Razorpay did not sign.
    """
    order_id = request.gateway_reference
    named = _named(keys, request)
    known = await orders.by_id(wire, order_id)
    if isinstance(known, NotFound):
        raise InvalidRequestError("Razorpay knows no such set-up.", code="setup_not_found")
    if isinstance(known, Inconclusive):
        return NotExecuted(f"look_up_{known.cause}")
    payments = [payment for _, payment in known.payments if named in (None, payment.id)]
    if named is not None and not payments:
        return SetupPending(order_id)
    with_token = [payment for payment in payments if _has_token(payment)]
    if with_token:
        return await _kept(wire, known, max(with_token, key=_newest))
    failed = [payment for payment in payments if payment.status == "failed"]
    if named is not None and failed:
        return SetupFailed(decline(failed[0].error_reason, failed[0].error_code), order_id)
    return SetupPending(order_id)  # after a failure the customer may try again, in the same form


def _named(keys: Keys, request: SetupCompletion) -> str | None:
    """The payment that Checkout named, once its signature holds."""
    given = request.parameters
    payment_id = given.get("razorpay_payment_id")
    if payment_id is None:
        return None
    message = payment_message(request.gateway_reference, payment_id)
    secret = keys.key_secret.get_secret_value()
    is_same = given.get("razorpay_order_id", request.gateway_reference) == request.gateway_reference
    if not is_same or not is_signed(message, given.get("razorpay_signature", ""), secret):
        raise InvalidRequestError(
            "Razorpay did not sign these parameters for this set-up.",
            code="signature_invalid",
            param="razorpay_signature",
        )
    return payment_id


def _has_token(payment: Payment) -> bool:
    if payment.token_id is None:
        return False
    return payment.status != "failed" or payment.error_reason == REGISTERED_BY_FAILING


def _newest(payment: Payment) -> tuple[int, str]:
    return payment.created_at, payment.id


async def _kept(wire: Wire, known: OnOrders, payment: Payment) -> SetupOutcome:
    order = known.orders[0]
    owner = payment.customer_id or order.customer_id
    if owner is None or payment.token_id is None:
        return Unknown("setup_without_customer", order.id)
    token = await _token(wire, owner, payment.token_id)
    match token:
        case Inconclusive(cause):
            return NotExecuted(f"look_up_{cause}")
        case NotFound():
            return SetupPending(order.id)
        case Token(standing=standing) if standing in ENDED:
            details = token.recurring_details
            said = details.failure_reason if details is not None else None
            return SetupFailed(decline(said or ENDED[standing]), order.id)
        case Token(standing="initiated"):
            return SetupPending(order.id)
        case Token():
            return MethodSaved(_method(token, owner), order.id)


async def _token(wire: Wire, owner: str, token_id: str) -> Token | NotFound | Inconclusive:
    reply = await wire.look(f"/customers/{owner}/tokens/{token_id}")
    match reply:
        case Answer():
            token = read(Token, reply)
            if token is None or token.id != token_id:
                return Inconclusive("unreadable_answer")
            return token
        case Problem():
            return unfound(reply)
        case Inconclusive():
            return reply


async def get_payment_method(wire: Wire, method: MethodReference) -> MethodLookup:
    """How a token stands now."""
    token = await _token(wire, _owner(method.customer_reference), method.reference)
    if not isinstance(token, Token):
        return token
    return Found(_method(token, _owner(method.customer_reference)))


def _owner(customer_reference: str | None) -> str:
    if customer_reference is None:
        raise InvalidRequestError("A token is its customer's.", param="customer")
    return customer_reference


def _method(token: Token, owner: str) -> SavedMethod:
    card = token.card
    mandate: dict[str, str] = {"status": token.standing, "method": token.method}
    if token.mrn:
        mandate["reference"] = token.mrn
    if token.max_amount is not None:
        mandate["amount_max_minor"] = str(token.max_amount)
    if token.expired_at is not None:
        mandate["expires_at"] = moment(token.expired_at).isoformat()
    return SavedMethod(
        reference=token.id,
        customer_reference=owner,
        type=TYPES.get(token.method, MethodType.MANDATE),
        brand=card.network.lower() if card and card.network else token.bank or token.wallet,
        last_four=card.last4 if card else None,
        expiry_month=_number(card.expiry_month) if card else None,
        expiry_year=_number(card.expiry_year) if card else None,
        mandate=mandate,
        is_usable=token.standing == CONFIRMED,
    )


def _number(value: int | str | None) -> int | None:
    text = str(value)
    return int(text) if text.isdecimal() else None


async def why_unusable(wire: Wire, request: ChargeRequest) -> DeclineInfo | None:
    """Why a token cannot be charged; None if it can, or if that cannot be told now."""
    owner = _owner(request.customer_reference)
    token = await _token(wire, owner, request.payment_method_reference)
    match token:
        case NotFound():
            return decline("card_number_invalid")
        case Token(standing="paused"):
            return decline("mandate_paused")
        case Token(standing=standing) if standing in ENDED:
            return decline(ENDED[standing])
        case _:
            return None


async def detach(wire: Wire, method: MethodReference) -> DetachOutcome:
    """Let go of a token. A UPI mandate is cancelled at the bank, as its deletion here would leave
    it standing there; any other token is deleted, which cancels it.
    """
    owner = _owner(method.customer_reference)
    token = await _token(wire, owner, method.reference)
    path = f"/customers/{owner}/tokens/{method.reference}"
    if isinstance(token, Inconclusive):
        return NotExecuted(f"look_up_{token.cause}")
    if isinstance(token, NotFound) or token.standing == "cancelled":
        return Detached()
    if token.method == "upi":
        reply = await wire.call("PUT", f"{path}/cancel", {})
    else:
        reply = await wire.call("DELETE", path, {})
    match reply:
        case Answer():
            return Detached()
        case Problem():
            again = await _token(wire, owner, method.reference)
            if isinstance(again, NotFound):
                return Detached()
            raise refuse(reply)
        case _:
            return reply
