"""The vault: customers, and the payment methods that Accept.js makes tokens of.

Each set-up has a customer profile of its own, named by our set-up code. A token is good for one
call, so a set-up whose answer was lost could otherwise not be completed again, nor its card be told
from the customer's others. So it is looked up by its code before anything is made, and however
often it is completed, it leads to one payment method.
"""

import re
from typing import Any, Final

from app.domain.outcome import (
    DeclineAdvice,
    DeclineCategory,
    DeclineInfo,
    DeclineReason,
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
from app.gateways.authorizenet import words
from app.gateways.authorizenet.account import REFERENCE_CHARS, Account, checked_code, checked_id
from app.gateways.authorizenet.answers import Customer, Method, Unreadable, read
from app.gateways.authorizenet.api import Reply
from app.gateways.authorizenet.books import BooksUnread
from app.gateways.base import InvalidRequestError
from app.gateways.requests import (
    CustomerDetails,
    CustomerRequest,
    MethodReference,
    SetupCompletion,
    SetupRequest,
)

ACCEPT_JS: Final = "COMMON.ACCEPT.INAPP.PAYMENT"
"""What Accept.js calls its tokens."""
TOKEN_CHARS_MAX: Final = 8_192
NAME_CHARS: Final = 50
EMAIL_CHARS: Final = 255
DUPLICATE_ID: Final = re.compile(r"\bID (\d{1,20})\b")
NOT_TAKEN: Final = frozenset({"E00013", "E00014", "E00015"})
"""A field is wrong: when a token is exchanged, one that the customer entered."""
BRANDS: Final = {"AmericanExpress": "amex", "DinersClub": "diners"}
"""Where a brand's usual word is not the gateway's in small letters."""
EXPIRY: Final = re.compile(r"(\d{4})-(\d{2})")
REASON_FIELD: Final = 2
"""In the comma-separated answer to a validation."""
ENTER_AGAIN: Final = (
    DeclineCategory.ACTION_REQUIRED,
    DeclineReason.GENERIC,
    DeclineAdvice.UPDATE_PAYMENT_METHOD,
)


async def create_customer(account: Account, request: CustomerRequest) -> CustomerOutcome:
    """Make the customer known, by the last characters of our own name."""
    code = request.customer.reference[-REFERENCE_CHARS:]
    try:
        known = await _customer(account, code)
    except BooksUnread as error:
        return NotExecuted(error.cause)
    if known is not None:
        return CustomerSaved(known.id)
    fields = {"profile": _profile(code, request.customer)}
    heard = await account.api.call("createCustomerProfileRequest", fields)
    if not isinstance(heard, Reply):
        return heard
    made = heard.whole.get("customerProfileId") if heard.is_ok else _existing(heard)
    if not isinstance(made, str) or not made.isdecimal():
        return Unknown(heard.code or "unreadable_answer")
    return CustomerSaved(made)


def _profile(code: str, customer: CustomerDetails) -> dict[str, Any]:
    profile = {"merchantCustomerId": code, "description": customer.reference[:EMAIL_CHARS]}
    if customer.email and len(customer.email) <= EMAIL_CHARS:
        profile["email"] = customer.email
    return profile


def _existing(reply: Reply) -> str | None:
    """Which record a new one would have doubled."""
    said = DUPLICATE_ID.search(reply.text) if reply.code == words.DUPLICATE_RECORD else None
    return said[1] if said else None


def start_setup(account: Account, request: SetupRequest) -> SetupOutcome:
    """What Accept.js needs to turn the customer's card into a token; nothing is sent yet."""
    return SetupStarted(
        gateway_reference=checked_code(request.setup_code),
        flow=SetupFlow.TOKENIZATION,
        parameters={
            "apiLoginID": account.login,
            "clientKey": account.client_key,
            "script": account.script,
        },
    )


async def complete_setup(account: Account, request: SetupCompletion) -> SetupOutcome:
    """Exchange the customer's token for a payment method, unless that was done before."""
    code = checked_code(request.setup_code)
    try:
        saved = await _saved(account, code)
    except BooksUnread as error:
        return NotExecuted(error.cause)
    if saved is not None:
        return saved
    if not request.parameters:
        return SetupPending(code)
    token = _token(request)
    profile = _profile(code, request.customer)
    profile["paymentProfiles"] = {**_bill_to(request.customer), "payment": {"opaqueData": token}}
    fields = {"profile": profile, "validationMode": account.validation_mode}
    try:
        heard = await account.api.call("createCustomerProfileRequest", fields)
    except InvalidRequestError as error:
        if error.code not in NOT_TAKEN:
            raise
        return SetupFailed(_enter_again(error.code or ""), code)
    if not isinstance(heard, Reply):
        return heard
    try:
        saved = await _saved(account, code)
    except BooksUnread:
        return SetupPending(code)
    if saved is not None:
        return saved
    if heard.is_ok or heard.code == words.DUPLICATE_RECORD:
        return SetupPending(code)
    return SetupFailed(_why(heard), code)


def _token(request: SetupCompletion) -> dict[str, str]:
    """What Accept.js gave the storefront. Raises InvalidRequestError if that is nothing of it."""
    descriptor = request.parameters.get("dataDescriptor", "")
    value = request.parameters.get("dataValue", "")
    if descriptor != ACCEPT_JS:
        raise InvalidRequestError(f"It must be {ACCEPT_JS}.", param="dataDescriptor")
    if not 0 < len(value) <= TOKEN_CHARS_MAX or not value.isascii():
        raise InvalidRequestError("It must be the token that Accept.js made.", param="dataValue")
    return {"dataDescriptor": descriptor, "dataValue": value}


def _bill_to(customer: CustomerDetails) -> dict[str, Any]:
    first, _, last = (customer.name or "").strip().rpartition(" ")
    known = {
        "firstName": first[:NAME_CHARS],
        "lastName": last[:NAME_CHARS],
        "country": customer.country or "",
    }
    given = {name: value for name, value in known.items() if value}
    return {"billTo": given} if given else {}


def _why(reply: Reply) -> DeclineInfo:
    """Why no payment method came of it: the bank's reason, where a validation was tried."""
    validations = reply.whole.get("validationDirectResponseList")
    if isinstance(validations, list) and validations:
        fields = str(validations[0]).split(",")
        if len(fields) > REASON_FIELD and fields[REASON_FIELD].isdecimal():
            return words.decline_of(fields[REASON_FIELD])
    return _enter_again(reply.code)


def _enter_again(code: str) -> DeclineInfo:
    """The token is used up, too old, or of something the gateway does not take."""
    category, reason, advice = ENTER_AGAIN
    return DeclineInfo(category, reason, code or "refused", advice)


async def _saved(account: Account, code: str) -> MethodSaved | None:
    """The payment method that a set-up led to. Raises BooksUnread."""
    customer = await _customer(account, code)
    if customer is None or not customer.methods:
        return None
    return MethodSaved(_method(customer.methods[0], customer.id), code)


async def _customer(account: Account, code: str) -> Customer | None:
    """The customer profile that has this name of ours. Raises BooksUnread."""
    fields = {"merchantCustomerId": code, "unmaskExpirationDate": True}
    whole = await _asked(account, "getCustomerProfileRequest", fields)
    if whole is None:
        return None
    try:
        customer = read(Customer, whole.whole.get("profile"))
    except Unreadable:
        raise BooksUnread("unreadable_answer") from None
    if customer.code != code:
        raise BooksUnread("answer_for_another_customer")
    return customer


async def get_payment_method(account: Account, method: MethodReference) -> MethodLookup:
    """How the gateway keeps it now; this is how a renewed card is learned of."""
    fields = {**_ids(method), "unmaskExpirationDate": True}
    try:
        reply = await _asked(account, "getCustomerPaymentProfileRequest", fields)
        if reply is None:
            return NotFound(definitive=True)
        kept = read(Method, reply.whole.get("paymentProfile"))
    except BooksUnread as error:
        return Inconclusive(error.cause)
    except Unreadable:
        return Inconclusive("unreadable_answer")
    if kept.id != method.reference:
        return Inconclusive("answer_for_another_method")
    return Found(_method(kept, method.customer_reference))


async def detach_payment_method(account: Account, method: MethodReference) -> DetachOutcome:
    """Delete it; what is gone is detached. Its customer profile stays: charges are found by it."""
    heard = await account.api.call("deleteCustomerPaymentProfileRequest", _ids(method))
    if not isinstance(heard, Reply):
        return heard
    if heard.is_ok or heard.code == words.RECORD_NOT_FOUND:
        return Detached()
    raise InvalidRequestError(
        f"Authorize.net does not delete the payment method ({heard.code}).", code=heard.code
    )


def _ids(method: MethodReference) -> dict[str, str]:
    return {
        "customerProfileId": checked_id(method.customer_reference, "customer_reference"),
        "customerPaymentProfileId": checked_id(method.reference, "reference"),
    }


async def _asked(account: Account, name: str, fields: dict[str, Any]) -> Reply | None:
    """A question to the vault; None when there is no such record. Raises BooksUnread."""
    match await account.api.call(name, fields):
        case NotExecuted(cause) | Unknown(cause):
            raise BooksUnread(cause)
        case Reply() as reply:
            if reply.is_ok:
                return reply
            if reply.code == words.RECORD_NOT_FOUND:
                return None
            raise BooksUnread(reply.code or "unreadable_answer")


def _method(method: Method, customer: str | None) -> SavedMethod:
    card, bank = method.payment.card, method.payment.bank_account
    if card is None:
        return SavedMethod(
            reference=method.id,
            customer_reference=customer,
            type=MethodType.BANK_ACCOUNT if bank is not None else MethodType.CARD,
            brand=bank.bank if bank is not None else None,
            last_four=_last_four(bank.number if bank is not None else ""),
        )
    expiry = EXPIRY.fullmatch(card.expiry)
    return SavedMethod(
        reference=method.id,
        customer_reference=customer,
        brand=BRANDS.get(card.brand, card.brand.lower()) if card.brand else None,
        last_four=_last_four(card.number),
        expiry_month=int(expiry[2]) if expiry else None,
        expiry_year=int(expiry[1]) if expiry else None,
        network_transaction_id=method.network_id,
    )


def _last_four(masked: str) -> str | None:
    digits = masked[-4:]
    return digits if digits.isdecimal() else None
