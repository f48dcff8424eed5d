"""PayPal's own SDK as a judge of bodies: what it does not know, it loses on the way through.

Its models are newer than the OpenAPI files and know every property; a name that is misspelt, or in
the wrong place, does not survive from JSON to a model and back. Words are compared with its enums.
"""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

from paypalserversdk.api_helper import APIHelper
from paypalserversdk.models.capture_request import CaptureRequest
from paypalserversdk.models.captured_payment import CapturedPayment
from paypalserversdk.models.checkout_payment_intent import CheckoutPaymentIntent
from paypalserversdk.models.customer_vault_payment_tokens_response import (
    CustomerVaultPaymentTokensResponse,
)
from paypalserversdk.models.order import Order
from paypalserversdk.models.order_authorize_request import OrderAuthorizeRequest
from paypalserversdk.models.order_authorize_response import OrderAuthorizeResponse
from paypalserversdk.models.order_capture_request import OrderCaptureRequest
from paypalserversdk.models.order_request import OrderRequest
from paypalserversdk.models.payment_authorization import PaymentAuthorization
from paypalserversdk.models.payment_initiator import PaymentInitiator
from paypalserversdk.models.payment_token_request import PaymentTokenRequest
from paypalserversdk.models.payment_token_response import PaymentTokenResponse
from paypalserversdk.models.paypal_payment_token_usage_type import PaypalPaymentTokenUsageType
from paypalserversdk.models.reauthorize_request import ReauthorizeRequest
from paypalserversdk.models.refund import Refund
from paypalserversdk.models.refund_request import RefundRequest
from paypalserversdk.models.search_response import SearchResponse
from paypalserversdk.models.setup_token_request import SetupTokenRequest
from paypalserversdk.models.setup_token_response import SetupTokenResponse
from paypalserversdk.models.stored_payment_source_payment_type import (
    StoredPaymentSourcePaymentType,
)
from paypalserversdk.models.stored_payment_source_usage_type import StoredPaymentSourceUsageType
from paypalserversdk.models.usage_pattern import UsagePattern
from paypalserversdk.models.vault_card_verification_method import VaultCardVerificationMethod
from paypalserversdk.models.vault_token_request_type import VaultTokenRequestType

ORDERS, PAYMENTS, VAULT = "/v2/checkout/orders", "/v2/payments", "/v3/vault"
REQUESTS = [
    (rf"POST {ORDERS}", OrderRequest),
    (rf"POST {ORDERS}/[^/]+/capture", OrderCaptureRequest),
    (rf"POST {ORDERS}/[^/]+/authorize", OrderAuthorizeRequest),
    (rf"POST {PAYMENTS}/authorizations/[^/]+/capture", CaptureRequest),
    (rf"POST {PAYMENTS}/authorizations/[^/]+/reauthorize", ReauthorizeRequest),
    (rf"POST {PAYMENTS}/captures/[^/]+/refund", RefundRequest),
    (rf"POST {VAULT}/setup-tokens", SetupTokenRequest),
    (rf"POST {VAULT}/payment-tokens", PaymentTokenRequest),
]
ANSWERS = [
    (rf"POST {ORDERS}/[^/]+/authorize", OrderAuthorizeResponse),
    (rf"(POST|GET) {ORDERS}(/[^/]+(/capture)?)?", Order),
    (rf"POST {PAYMENTS}/authorizations/[^/]+/capture", CapturedPayment),
    (rf"GET {PAYMENTS}/captures/[^/]+", CapturedPayment),
    (rf"(POST|GET) {PAYMENTS}/authorizations/[^/]+(/reauthorize|/void)?", PaymentAuthorization),
    (rf"POST {PAYMENTS}/captures/[^/]+/refund", Refund),
    (rf"GET {PAYMENTS}/refunds/[^/]+", Refund),
    (rf"(POST|GET) {VAULT}/setup-tokens(/[^/]+)?", SetupTokenResponse),
    (rf"POST {VAULT}/payment-tokens", PaymentTokenResponse),
    (rf"GET {VAULT}/payment-tokens/[^/]+", PaymentTokenResponse),
    (rf"GET {VAULT}/payment-tokens", CustomerVaultPaymentTokensResponse),
    (r"GET /v1/reporting/transactions", SearchResponse),
]
WORDS = {
    "intent": CheckoutPaymentIntent,
    "payment_initiator": PaymentInitiator,
    "usage": StoredPaymentSourceUsageType,
    "payment_type": StoredPaymentSourcePaymentType,
    "usage_pattern": UsagePattern,
    "usage_type": PaypalPaymentTokenUsageType,
    "verification_method": VaultCardVerificationMethod,
    "type": VaultTokenRequestType,
}


def request_faults(method: str, path: str, body: bytes) -> list[str]:
    """Properties of a request that the SDK does not know, and words that are not in its enums."""
    model = _model(REQUESTS, method, path)
    if model is None or not body:
        return []
    said = json.loads(body)
    return [*_lost(model, said), *_unknown_words(said)]


def answer_faults(method: str, path: str, body: bytes) -> list[str]:
    """Properties of an answer that the SDK does not know."""
    model = _model(ANSWERS, method, path)
    return _lost(model, json.loads(body)) if model is not None and body else []


def _model(table: list[tuple[str, Any]], method: str, path: str) -> Any:
    asked = f"{method} {path}"
    return next((model for pattern, model in table if re.fullmatch(pattern, asked)), None)


def _lost(model: Any, said: dict[str, Any]) -> list[str]:
    try:
        read = model.from_dictionary(copy.deepcopy(said))
        back = json.loads(APIHelper.json_serialize(read))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        return [f"the SDK cannot read it: {error!r}"]
    return list(_missing(said, back, ""))


def _missing(said: Any, back: Any, where: str) -> Iterator[str]:
    if isinstance(said, dict):
        for key, value in said.items():
            if not isinstance(back, dict) or key not in back:
                if value in (0, ""):  # the SDK passes over what is nothing, known or not
                    continue
                yield f"the SDK knows no {where}/{key}"
            else:
                yield from _missing(value, back[key], f"{where}/{key}")
    elif isinstance(said, list):
        for place, value in enumerate(said):
            other = back[place] if isinstance(back, list) and place < len(back) else None
            yield from _missing(value, other, f"{where}/{place}")
    elif said != back:
        yield f"the SDK makes {back!r} of {where} {said!r}"


def _unknown_words(said: Any) -> Iterator[str]:
    if isinstance(said, list):
        for one in said:
            yield from _unknown_words(one)
    elif isinstance(said, dict):
        for key, value in said.items():
            enum = WORDS.get(key)
            if enum is not None and isinstance(value, str) and value not in _values(enum):
                yield f"{key} {value!r} is not in {enum.__name__}"
            yield from _unknown_words(value)


def _values(enum: Any) -> set[str]:
    return {value for name, value in vars(enum).items() if name.isupper()}
