"""The OpenAPI document: what FastAPI finds, completed with what holds for every operation."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api import event_schemas
from app.api.auth import Access
from app.api.endpoint import Endpoint
from app.api.pages import EXPAND, EXPANSIONS_MAX
from app.api.problems import MEDIA_TYPE, ProblemDocument

TITLE: Final = "Perennial"
VERSION: Final = "v1"
DESCRIPTION: Final = """Headless subscription billing.

**Keys.** Send `Authorization: Bearer sk_…`, or the key as the user name of basic authentication.
Publishable keys (`pk_…`) may read `/v1/catalog`, take up offers by their links, and do nothing
else. A revoked key stops working within five seconds.

**Money** is an integer in minor units of its currency (ISO 4217), never a decimal number.
Amounts below a minor unit, and percentages, are decimal text.

**Idempotency.** Send an `Idempotency-Key` with every call that is not a GET: the same key with
the same request is answered as before, with `Idempotent-Replayed: true`, for 48 hours.

**Versions.** Single objects carry an `ETag`. Send it back as `If-Match` to change only what you
have seen (412 otherwise), or as `If-None-Match` to read only what is new (304 otherwise).

**Lists** are the newest first. Send `next_cursor` as `cursor` for the next page.

**Errors** are `application/problem+json` (RFC 9457). Decide by `code`; it is stable.
"""
TAGS: Final = {
    "customers": "Who is billed.",
    "payment_methods": "Gateways' tokens, never card numbers.",
    "catalog": "What a shop's own page shows: for publishable keys, from any origin.",
    "plans": "What is sold.",
    "prices": "What it costs. A price never changes; a new price is a new version.",
    "features": "What plans entitle to, and what customers are entitled to.",
    "coupons": "Promises of a discount.",
    "promotion_codes": "Words that customers type in to get a coupon.",
    "offers": "Coupons, prices and trials for some customers, for a while.",
    "redemptions": "Who was given what.",
    "tax_rates": "What each jurisdiction takes, of what, from when until when.",
    "tax_registrations": "Where tax is owed. Where there is none, none is charged.",
    "tax": "What would be charged, and why.",
    "tax_engine": "An outside engine, whose rates apply in place of the table's.",
    "meters": "What is measured.",
    "usage": "What was used, event by event, and what it comes to.",
    "subscriptions": "What runs, on which prices, until when.",
    "schedules": "Phases that a subscription goes through.",
    "price_migrations": "Many subscriptions moved from one price to another.",
    "invoices": "What was billed, and whether it is paid.",
    "previews": "What would be billed, to the cent; and why it is what it is.",
    "simulations": "What would come of what is planned, over months; nothing is stored.",
    "documents": "Invoices as PDF, page and e-invoice, and how they look.",
    "payments": "The collection of invoices.",
    "refunds": "Money going back.",
    "dunning": "What follows when an invoice is not paid.",
    "disputes": "Charges that customers' banks take back.",
    "reconciliations": "Our books beside the gateways' own, and what mends what differs.",
    "events": "Everything that happened.",
    "webhook_endpoints": "Who is told what happened, and what became of it.",
    "reports": "Figures in sum.",
    "ledger": "The books: double entry, append-only.",
    "test_clocks": "Time that moves when it is told to. Test mode only.",
    "api_keys": "Made once, shown once, revoked for good.",
    "gateway_accounts": "Where money is collected.",
    "merchants": "Tenants. For whoever runs the service, with the admin key.",
    "operations": "Alive, and ready.",
}
PROBLEMS: Final[Mapping[str, str]] = {
    "400": "The request cannot be read.",
    "401": "The key is missing or not valid.",
    "402": "The payment was declined; `decline_code` says why.",
    "403": "The key may not do this.",
    "404": "There is no such object.",
    "409": "It does not go in the present state, or the Idempotency-Key is being answered.",
    "412": "It has changed since the version in `If-Match`.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "422": "The request makes no sense; `errors` lists what is wrong, each with its `param`.",
    "429": "Asked too often; `Retry-After` says when to ask again.",
    "500": "Something went wrong on our side.",
    "503": "Not reachable at this moment; ask again.",
}
PARAMETERS: Final = {
    "Expand": {
        "name": "expand",
        "in": "query",
        "required": False,
        "description": EXPAND,
        "schema": {
            "type": "array",
            "items": {"type": "string"},
            "maxItems": EXPANSIONS_MAX,
            "examples": [["customer"]],
        },
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "The same key with the same request is answered again, and done once.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "required": False,
        "description": "The ETag that was seen: change only what is still so.",
        "schema": {"type": "string", "examples": ['"1"']},
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "description": "The ETag that was seen: 304 while it is still so.",
        "schema": {"type": "string", "examples": ['"1"']},
    },
}
PAID: Final = "pay_invoice"
VERSIONED: Final = frozenset(
    {
        "cancel_subscription",
        "change_subscription",
        "disable_gateway_account",
        "enable_gateway_account",
        "keep_subscription",
        "mark_gateway_account_default",
        "pause_subscription",
        "preview_invoice",
        "resume_subscription",
        "update_subscription_billing_anchor",
        "rotate_webhook_endpoint_secret",
        "update_subscription_trial",
    }
)
"""What heeds If-Match though it is a POST."""
KEYLESS: Final = frozenset({Access.GATEWAY, Access.LINK})
"""No caller's key, and so no Idempotency-Key of theirs."""
SCHEMAS: Final = "#/components/schemas/"
RENAMED: Final[Mapping[str, str]] = {
    "Collection": "CollectionMethod",
    "Duration": "CouponDuration",
    "Fault": "ProblemFault",
    "Line": "InvoiceLineSummary",
    "Source": "LedgerSource",
    "Timing": "BillingTiming",
    "Type": "EventType",
    "Unit": "IntervalUnit",
    "Usage": "UsageType",
    "app__domain__invoice__Status": "InvoiceStatus",
    "app__domain__payment__Status": "PaymentStatus",
    "app__domain__refund__Status": "RefundStatus",
    "app__domain__subscription__Status": "SubscriptionStatus",
}
"""What our modules name short, because they say the rest themselves."""


def document(app: FastAPI) -> dict[str, Any]:
    """The document of `app`, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=TITLE,
            version=VERSION,
            description=DESCRIPTION,
            routes=app.routes,
            tags=[{"name": name, "description": text} for name, text in TAGS.items()],
            separate_input_output_schemas=False,
            license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        )
        _complete(app, made)
        app.openapi_schema = tidy(made)
    return app.openapi_schema


def tidy(node: Any) -> Any:
    """The same description in the words a generated client should have.

    Names without our module paths, whole numbers as such, no titles that only repeat a name, and
    no null where an address cannot say it.
    """
    match node:
        case dict():
            if node.get("in") in {"query", "path"} and "anyOf" in node.get("schema", {}):
                node["schema"] |= node["schema"].pop("anyOf")[0]
            properties = node.get("properties", {})
            for field in (node.get("schema"), *(properties.values() if properties else ())):
                if isinstance(field, dict):
                    field.pop("title", None)
            return {RENAMED.get(key, key): tidy(value) for key, value in node.items()}
        case list():
            return [tidy(item) for item in node]
        case float() if node.is_integer():
            return int(node)
        case str() if node.startswith(SCHEMAS):
            name = node.removeprefix(SCHEMAS)
            return SCHEMAS + RENAMED.get(name, name)
        case _:
            return node


def _complete(app: FastAPI, made: dict[str, Any]) -> None:
    components = made["components"]
    schemas = components["schemas"]
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs")
    schemas["Problem"] = problem
    components["schemas"] = dict(sorted(schemas.items()))
    components["parameters"] = PARAMETERS
    components["responses"] = {
        f"Problem{status}": {
            "description": text,
            "headers": {"Request-Id": {"schema": {"type": "string"}}},
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, text in PROBLEMS.items()
    }
    components["securitySchemes"] = {
        "SecretKey": {"type": "http", "scheme": "bearer", "description": "sk_test_… or sk_live_…"},
        "SecretKeyBasic": {
            "type": "http",
            "scheme": "basic",
            "description": "The secret key as user name, no password.",
        },
        "PublishableKey": {"type": "http", "scheme": "bearer", "description": "pk_test_… …"},
        "AdminKey": {"type": "http", "scheme": "bearer", "description": "PERENNIAL_ADMIN_KEY"},
    }
    for route in app.routes:
        if isinstance(route, Endpoint):
            for method in route.methods or ():
                _complete_operation(route, made["paths"][route.path_format][method.lower()])
    event_schemas.add_to(made)
    for path in ("/livez", "/readyz"):
        made["paths"][path]["get"]["security"] = []
    made["paths"]["/readyz"]["get"]["responses"]["503"] = _problem_ref("503")


def _complete_operation(route: Endpoint, operation: dict[str, Any]) -> None:
    operation["security"] = _security(route.need.access)
    if route.need.access is Access.GATEWAY:
        operation["responses"].pop("422")  # a gateway's body is judged by its signature alone
    for status in _statuses(route):
        operation["responses"][status] = _problem_ref(status)
    operation["responses"] = dict(sorted(operation["responses"].items()))
    names = []
    if route.need.verb == "write" and route.need.access not in KEYLESS:
        names.append("IdempotencyKey")
    if _heeds_version(route):
        names.append("IfMatch")
    if route.reads_one:
        names += ["Expand", "IfNoneMatch"]
        operation["responses"]["304"] = {"description": "Unchanged since the ETag that was sent."}
    if names:
        refs = [{"$ref": f"#/components/parameters/{name}"} for name in names]
        operation["parameters"] = operation.get("parameters", []) + refs


def _heeds_version(route: Endpoint) -> bool:
    return (
        bool((route.methods or set()) & {"PATCH", "PUT", "DELETE"})
        or route.operation_id in VERSIONED
    )


def _statuses(route: Endpoint) -> Iterator[str]:
    if route.need.access is Access.GATEWAY:
        yield from ("400", "404", "413", "503")
        return
    yield from ("422", "429", "500", "503")
    if route.need.access is not Access.LINK:
        yield from ("401", "403")
    if "{" in route.path:
        yield "404"
    if route.need.verb == "write":
        yield from ("400", "409", "413", "415")
    if _heeds_version(route):
        yield "412"
    if route.operation_id == PAID:
        yield "402"


def _problem_ref(status: str) -> dict[str, str]:
    return {"$ref": f"#/components/responses/Problem{status}"}


def _security(access: Access) -> list[dict[str, list[str]]]:
    match access:
        case Access.ADMIN:
            return [{"AdminKey": []}]
        case Access.GATEWAY | Access.LINK:
            return []
        case Access.PUBLISHABLE:
            return [{"SecretKey": []}, {"SecretKeyBasic": []}, {"PublishableKey": []}]
        case Access.SECRET:
            return [{"SecretKey": []}, {"SecretKeyBasic": []}]
