"""Stripe's own SDK as the judge of what is sent: its types of parameters, made strict.

The types are of the API version that our adapter pins. Unknown parameters are refused however deep
they lie, which the OpenAPI file does not do. (The SDK's TypedDicts name types that exist only for
type checkers; those are given to the modules first.)
"""

import re
import sys
import typing
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import stripe
import stripe._request_options
import stripe.params
from pydantic import ConfigDict, TypeAdapter, ValidationError

from tests.gateways.oracles.stripe_spec import nested

API_VERSION = stripe.api_version
TYPES = {
    "GET /v1/charges": "ChargeListParams",
    "GET /v1/charges/{}": "ChargeRetrieveParams",
    "GET /v1/customers": "CustomerListParams",
    "POST /v1/customers": "CustomerCreateParams",
    "GET /v1/disputes": "DisputeListParams",
    "GET /v1/disputes/{}": "DisputeRetrieveParams",
    "GET /v1/events": "EventListParams",
    "GET /v1/payment_intents": "PaymentIntentListParams",
    "POST /v1/payment_intents": "PaymentIntentCreateParams",
    "GET /v1/payment_intents/{}": "PaymentIntentRetrieveParams",
    "POST /v1/payment_intents/{}": "PaymentIntentModifyParams",
    "POST /v1/payment_intents/{}/cancel": "PaymentIntentCancelParams",
    "POST /v1/payment_intents/{}/capture": "PaymentIntentCaptureParams",
    "GET /v1/payment_methods/{}": "PaymentMethodRetrieveParams",
    "POST /v1/payment_methods/{}/detach": "PaymentMethodDetachParams",
    "GET /v1/refunds": "RefundListParams",
    "POST /v1/refunds": "RefundCreateParams",
    "GET /v1/refunds/{}": "RefundRetrieveParams",
    "POST /v1/setup_intents": "SetupIntentCreateParams",
    "GET /v1/setup_intents/{}": "SetupIntentRetrieveParams",
}
RESOURCE = re.compile(r"(/v1/[a-z_]+)/[A-Za-z0-9_]+")


class Metadata:
    """What the SDK calls an untyped object: names and texts."""

    def __class_getitem__(cls, inner: Any) -> Any:
        return dict[str, Any]


def _strict(name: str) -> TypeAdapter[Any]:
    kind = getattr(stripe.params, name)
    module = sys.modules[kind.__module__]
    given = {"UntypedStripeObject": Metadata, "StripeContext": str}
    given |= {one: getattr(typing, one) for one in ("Any", "Dict", "List", "Mapping", "Optional")}
    for key, value in (given | {"Union": typing.Union}).items():
        setattr(module, key, value)
    for one in list(vars(module).values()):
        if isinstance(one, type) and hasattr(one, "__total__"):
            one.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    adapter.rebuild(force=True)
    return adapter


@cache
def adapter(name: str) -> TypeAdapter[Any]:
    stripe._request_options.StripeContext = str  # type: ignore[attr-defined]
    return _strict(name)


def request_faults(method: str, path: str, query: str, body: bytes) -> list[str]:
    """What Stripe's types do not know of a request; nothing if all is well."""
    operation = method + " " + RESOURCE.sub(r"\1/{}", path)
    name = TYPES.get(operation)
    if name is None:
        return [f"{operation} is not among what our adapter may ask"]
    text = query if method == "GET" else body.decode()
    said = nested(parse_qsl(text, keep_blank_values=True))
    try:
        adapter(name).validate_python(said)
    except ValidationError as error:
        return [f"{name}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
    return []
