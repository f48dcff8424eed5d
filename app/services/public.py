"""The public form of a row or of an event's snapshot: prefixed identifiers, and what kind it is.

Which fields there are is the view's affair; here identifiers become `cus_…`, stored documents are
passed on as they are, and instants end in Z. Answers and webhooks both go through here.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

import orjson

from app import ids
from app.db import views
from app.db.views import View
from app.db.views.base import Fields
from app.domain import decimals
from app.domain.reconciling import CAUSES, REPAIRS, Kind
from app.settings import settings

REFERENCES: Final[Mapping[str, str]] = {
    "coupon_id": "cpn",
    "credit_note_id": "cn",
    "customer_id": "cus",
    "delivery_id": "del",
    "default_payment_method_id": "pm",
    "discount_id": "dis",
    "event_id": "evt",
    "feature_id": "ftr",
    "from_plan_id": "plan",
    "from_price_id": "price",
    "gateway_account_id": "gwa",
    "invoice_id": "inv",
    "invoice_line_id": "il",
    "latest_invoice_id": "inv",
    "line_id": "il",
    "meter_id": "mtr",
    "offer_id": "offer",
    "offer_link_id": "link",
    "payment_id": "pay",
    "payment_link_id": "plink",
    "payment_method_id": "pm",
    "plan_id": "plan",
    "policy_id": "dpol",
    "price_id": "price",
    "price_migration_id": "pmg",
    "promotion_code_id": "promo",
    "reconciliation_id": "rec",
    "refund_id": "re",
    "reverses_line_id": "il",
    "segment_plan_id": "plan",
    "subscription_id": "sub",
    "subscription_item_id": "si",
    "tax_rate_id": "txr",
    "test_clock_id": "clock",
    "to_price_id": "price",
    "webhook_endpoint_id": "we",
}
SOURCES: Final[Mapping[str, str]] = {
    "balance": "bt",
    "credit_note": "cn",
    "credit_note_void": "cn",
    "dispute": "dp",
    "invoice": "inv",
    "invoice_void": "inv",
    "invoice_write_off": "inv",
    "payment": "pay",
    "refund": "re",
}
DOCUMENTS: Final = (
    "address",
    "balances",
    "billing_settings",
    "channels",
    "credentials",
    "currency_options",
    "filters",
    "estimate",
    "footer",
    "logo",
    "mandate",
    "metadata",
    "minimum_amounts",
    "payment_instructions",
    "phases",
    "properties",
    "reminders",
    "steps",
    "tiers",
)
UUID_CHARS: Final = 36
UTC_OFFSET: Final = "+00:00"
PERCENT_PLACES: Final = 4
"""Stored percentages count millionths: 125,000 is 12.5 %."""
RENAMED: Final[Mapping[str, str]] = {"zone": "time_zone"}
"""What decisions call otherwise than callers do."""


def dump(value: object) -> bytes:
    """JSON as every answer and webhook has it."""
    return orjson.dumps(value, default=str, option=orjson.OPT_UTC_Z)


def shown(view: View, row: Fields) -> dict[str, Any]:
    """`row`, of `view` or of a snapshot of the same noun, as callers see it."""
    public: dict[str, Any] = {"id": _identifier(view.prefix, row["id"]), "object": view.object}
    for key, value in row.items():
        if key != "id":
            convert = CONVERT.get(key)
            public[key] = value if convert is None or value is None else convert(value)
    for name, public_name in RENAMED.items():
        if name in public:
            public[public_name] = public.pop(name)
    if view.children:
        for key, prefix in view.children.items():
            if key in public:
                public[key] = _children(prefix, public[key])
    complete = COMPLETE.get(view.object)
    return public if complete is None else complete(public)


def account(code: str) -> str:
    """A ledger account's public name: gateway accounts lose their bare UUID."""
    head, _, account_id = code.partition(":")
    return f"{head}:{ids.show('gwa', UUID(account_id))}" if len(account_id) == UUID_CHARS else code


def account_code(name: str) -> str:
    """The stored code behind a ledger account's public name."""
    head, _, account_id = name.partition(":")
    try:
        return f"{head}:{ids.parse('gwa', account_id)}"
    except ids.InvalidId:
        return name


def _identifier(prefix: str, id: UUID | str) -> str:
    return ids.show(prefix, id if isinstance(id, UUID) else UUID(id))


def _reference(prefix: str) -> Callable[[Any], Any]:
    return lambda given: _identifier(prefix, given)


def _references(prefix: str) -> Callable[[Any], Any]:
    return lambda given: [_identifier(prefix, each) for each in given]


def _document(value: object) -> object:
    """Stored JSON goes on as the text it is; that of a snapshot is parsed already."""
    return orjson.Fragment(value) if isinstance(value, str) else value


def _instant(value: object) -> object:
    """PostgreSQL's JSON and stored snapshots write UTC as an offset."""
    if isinstance(value, str) and value.endswith(UTC_OFFSET):
        return value[: -len(UTC_OFFSET)] + "Z"
    return value


def _percent(ppm: int) -> str:
    return decimals.show(ppm, PERCENT_PLACES)


def _children(prefix: str, value: Any) -> list[dict[str, Any]]:
    items = orjson.loads(value) if isinstance(value, str) else value
    return [_child(prefix, item) for item in items]


def _inside(value: Any) -> dict[str, Any]:
    """A part without an identifier of its own."""
    return _child("", orjson.loads(value) if isinstance(value, str) else value)


def _child(prefix: str, item: Mapping[str, Any]) -> dict[str, Any]:
    child: dict[str, Any] = {}
    for key, value in item.items():
        if key == "id":
            child[key] = _identifier(prefix, value)
        else:
            convert = CONVERT.get(key)
            child[key] = value if convert is None or value is None else convert(value)
    return child


def _event(public: dict[str, Any]) -> dict[str, Any]:
    """An event's `data.object` is the noun as it was then; `previous` what its fields were."""
    view = views.BY_OBJECT[public.pop("object_type")]
    data, previous = public.pop("data"), public.pop("previous")
    snapshot = orjson.loads(data) if isinstance(data, str) else data
    public["object_id"] = _identifier(view.prefix, public["object_id"])
    public["data"] = {
        "object": shown(view, snapshot),
        "previous_attributes": None if previous is None else _changed(view, previous),
    }
    return public


def _changed(view: View, previous: Any) -> dict[str, Any]:
    fields = orjson.loads(previous) if isinstance(previous, str) else previous
    changed = _child("", {key: value for key, value in fields.items() if key != "id"})
    for key in view.children.keys() & changed.keys():
        changed[key] = _children(view.children[key], changed[key])
    return changed


def _usage_event(public: dict[str, Any]) -> dict[str, Any]:
    """Callers know an event by the id they gave it."""
    public["id"] = public.pop("own_id")
    return public


def _gateway_account(public: dict[str, Any]) -> dict[str, Any]:
    """Where the gateway's webhooks go is said with it."""
    path = f"/v1/gateways/{public['gateway']}/{public['id']}/webhooks"
    return public | {"webhook_url": settings().public_url.rstrip("/") + path}


def _difference(public: dict[str, Any]) -> dict[str, Any]:
    """What is usually behind a difference, and what mends it, is said with it."""
    kind = Kind(public["kind"])
    return public | {"cause": CAUSES[kind], "repairs": list(REPAIRS[kind])}


def _ledger_entry(public: dict[str, Any]) -> dict[str, Any]:
    public["source_id"] = _identifier(SOURCES[public["source"]], public["source_id"])
    public["debit"] = account(public["debit"])
    public["credit"] = account(public["credit"])
    return public


CONVERT: Final[Mapping[str, Callable[[Any], Any]]] = {
    **{field: _reference(prefix) for field, prefix in REFERENCES.items()},
    **dict.fromkeys(DOCUMENTS, _document),
    **dict.fromkeys(
        (
            "anchor",
            "archived_at",
            "cancel_at",
            "canceled_at",
            "checked_at",
            "completed_at",
            "closed_at",
            "created_at",
            "deleted_at",
            "detached_at",
            "disabled_at",
            "done_at",
            "due_at",
            "effective_at",
            "end_at",
            "ended_at",
            "ends_at",
            "evidence_due_by",
            "expires_at",
            "failed_at",
            "failing_since",
            "finalize_at",
            "finalized_at",
            "finished_at",
            "frozen_at",
            "happened_at",
            "last_used_at",
            "mandate_expires_at",
            "moves_at",
            "next_action_at",
            "next_attempt_at",
            "occurred_at",
            "opened_at",
            "paid_at",
            "parked_at",
            "paused_at",
            "period_end",
            "period_start",
            "previous_secret_expires_at",
            "received_at",
            "redeem_by",
            "released_at",
            "resolved_at",
            "resumes_at",
            "revoked_at",
            "seen_at",
            "settled_at",
            "start_at",
            "started_at",
            "succeeded_at",
            "target_at",
            "trial_end",
            "valid_from",
            "valid_until",
            "voided_at",
            "window_end",
            "window_start",
        ),
        _instant,
    ),
    "addon_for": lambda plans: [_identifier("plan", plan) for plan in plans],
    "customer_ids": _references("cus"),
    "pause": _inside,
    "percent_off": _percent,
    "percentage": _percent,
    "plan_ids": _references("plan"),
    "price_ids": _references("price"),
    "subscription_ids": _references("sub"),
    "tax_rate_ids": lambda rates: [_identifier("txr", rate) for rate in rates],
}
COMPLETE: Final[Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "api_key": lambda key: key | {"secret": None},
    "gateway_account": _gateway_account,
    "event": _event,
    "ledger_entry": _ledger_entry,
    "reconciliation_difference": _difference,
    "usage_event": _usage_event,
    "webhook_endpoint": lambda endpoint: endpoint | {"secret": None},
}
