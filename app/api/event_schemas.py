"""What each event carries, as the OpenAPI document's `webhooks` and their schemas say it.

An event's `data.object` is the noun as it was then: the noun's own schema, without what is fetched
separately. One table says which noun an event is about where its name does not.
"""

from collections.abc import Mapping
from typing import Any, Final

from app.domain.event import Type

NOUNS: Final[Mapping[Type, str]] = {
    Type.COUPON_REDEEMED: "redemption",
    Type.OFFER_REDEEMED: "redemption",
}
"""Events about another noun than their name begins with."""
ABSENT: Final[Mapping[str, frozenset[str]]] = {
    "dunning_run": frozenset({"parked_at", "parked_reason"}),
    "invoice": frozenset({"amount_remaining", "description", "lines", "metadata"}),
    "payment": frozenset({"amount_refund_reserved"}),
    "pending_item": frozenset({"deleted_at"}),
    "refund": frozenset({"metadata"}),
    "subscription": frozenset(
        {
            "billing_settings",
            "discounts",
            "expires_at",
            "next_action_at",
            "parked_at",
            "parked_reason",
            "period_index",
            "tax_rate_ids",
            "trial_end_without_payment_method",
        }
    ),
}
"""Fields that an event's object does not have: fetch the object for them."""
HEADERS: Final = (
    ("webhook-id", "The event's id: the same however often it is sent."),
    ("webhook-timestamp", "When this attempt was made, in Unix seconds."),
    ("webhook-signature", "`v1,` and the Base64 of HMAC-SHA256 over `id.timestamp.body`."),
)
ANY: Final = "AnyEvent"


def noun_of(type_: Type) -> str:
    """What an event is about."""
    return NOUNS.get(type_, type_.partition(".")[0])


def name_of(type_: Type) -> str:
    """What an event's schema is called: `InvoicePaidEvent`."""
    return _title(type_.replace(".", "_")) + "Event"


def add_to(document: dict[str, Any]) -> None:
    """Put the events' schemas and the webhooks into a document that has the nouns' schemas."""
    schemas = document["components"]["schemas"]
    for noun in sorted({noun_of(type_) for type_ in Type}):
        schemas[_title(noun) + "Snapshot"] = _snapshot(noun, schemas[_title(noun)])
    for type_ in Type:
        schemas[name_of(type_)] = _event(type_, schemas["Event"])
    references = {type_.value: f"#/components/schemas/{name_of(type_)}" for type_ in Type}
    schemas[ANY] = {
        "description": "An event of any type; bear with types that you do not know.",
        "oneOf": [{"$ref": reference} for reference in references.values()],
        "discriminator": {"propertyName": "type", "mapping": references},
    }
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    document["webhooks"] = {type_.value: {"post": _operation(type_)} for type_ in Type}


def without_webhooks(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document for generators of clients, which stumble over webhooks; the schemas stay."""
    return {key: value for key, value in document.items() if key != "webhooks"}


def _title(words: str) -> str:
    return "".join(word.title() for word in words.split("_"))


def _snapshot(noun: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    gone = ABSENT.get(noun, frozenset())
    properties = {
        name: field
        for name, field in schema["properties"].items()
        if name not in gone and not field.get("x-expandable")
    }
    words = noun.replace("_", " ")
    return {
        "type": "object",
        "description": f"The {words} as it was then. In events of before a field was added, the "
        "field is not there.",
        "properties": properties,
        "required": [name for name in schema["required"] if name in properties],
    }


def _event(type_: Type, schema: Mapping[str, Any]) -> dict[str, Any]:
    words = noun_of(type_).replace("_", " ")
    data = {
        "type": "object",
        "properties": {
            "object": {"$ref": f"#/components/schemas/{_title(noun_of(type_))}Snapshot"},
            "previous_attributes": {
                "anyOf": [{"type": "object", "additionalProperties": True}, {"type": "null"}],
                "description": "What its changed fields were before.",
            },
        },
        "required": ["object", "previous_attributes"],
    }
    own = {"type": {"type": "string", "const": type_.value}, "data": data}
    return {
        "type": "object",
        "description": f"`{type_.value}`, about the {words}.",
        "properties": schema["properties"] | own,
        "required": schema["required"],
    }


def _operation(type_: Type) -> dict[str, Any]:
    return {
        "operationId": "on_" + type_.replace(".", "_"),
        "summary": type_.value,
        "description": f"Sent to every endpoint that asks for `{type_.value}`.",
        "tags": ["webhook_endpoints"],
        "security": [],
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": what,
                "schema": {"type": "string"},
            }
            for name, what in HEADERS
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": f"#/components/schemas/{name_of(type_)}"}}
            },
        },
        "responses": {
            "2XX": {"description": "Taken."},
            "410": {"description": "Never again: the endpoint is disabled."},
            "default": {"description": "Tried again, for about three days."},
        },
    }
