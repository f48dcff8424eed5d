"""Tenancy: every route, walked with another merchant's key and with our identifiers.

A route that is added without a line here fails the walk.
"""

import re

import pytest

from app.api.auth import Access
from app.api.endpoint import Endpoint
from app.ids import new_id, show
from tests.api.conftest import Shop, stock

pytestmark = pytest.mark.anyio

# Bodies that name our objects, by operation. None: there is nothing of ours to name.
BODIES = {
    "create_customer": [{"test_clock_id": "test_clock"}],
    "update_customer": [{"default_payment_method_id": "payment_method"}, {"name": "Mine"}],
    "create_balance_transaction": [{"amount": 5, "currency": "EUR"}],
    "attach_payment_method": [
        {"customer_id": "customer", "gateway_reference": "pm_sim_ok"},
        {
            "customer_id": "own:customer",
            "gateway_reference": "pm_sim_ok_2",
            "gateway_account_id": "gateway_account",
        },
    ],
    "update_payment_method": [{"expiry_year": 2040}],
    "create_feature": None,
    "update_feature": [{"name": "Mine"}],
    "create_plan": [
        {"code": "mine", "name": "Mine", "kind": "addon", "addon_for": ["plan"]},
        {"code": "mine", "name": "Mine", "features": [{"feature_id": "feature", "value": 1}]},
    ],
    "update_plan": [{"name": "Mine"}],
    "create_price": [{"plan_id": "plan", "currency": "EUR", "interval": "month", "unit_amount": 1}],
    "update_price": [{"active": False}],
    "create_price_version": [{"unit_amount": 1}],
    "create_price_migration": [
        {"from_price_id": "price", "to_price_id": "own:price"},
        {"from_price_id": "own:price", "to_price_id": "price"},
        {"from_plan_id": "plan", "to_price_id": "own:price"},
    ],
    "execute_price_migration": [{}],
    "cancel_price_migration": [{}],
    "create_coupon": [
        {"code": "MY", "name": "Mine", "percent_off": "10", "plan_ids": ["plan"]},
        {"code": "MY", "name": "Mine", "percent_off": "10", "price_ids": ["price"]},
    ],
    "update_coupon": [{"active": False}],
    "create_dunning_policy": [{"code": "mine", "name": "Mine", "plan_ids": ["plan"]}],
    "update_dunning_policy": [{"name": "Mine"}],
    "pause_dunning_run": [{}],
    "resume_dunning_run": [{}],
    "stop_dunning_run": [{}],
    "retry_dunning_run": [{}],
    "create_promotion_code": [
        {"coupon_id": "coupon"},
        {"coupon_id": "own:coupon", "customer_id": "customer"},
    ],
    "update_promotion_code": [{"active": False}],
    "create_customer_discount": [{"coupon_id": "own:coupon"}],
    "delete_customer_discount": [{}],
    "create_offer": [
        {"name": "Mine", "coupon_id": "coupon"},
        {"name": "Mine", "price_id": "price"},
        {"name": "Mine", "trial_days": 7, "customer_ids": ["customer"]},
        {"name": "Mine", "trial_days": 7, "segment": "on_plan", "segment_plan_id": "plan"},
    ],
    "update_offer": [{"name": "Mine"}],
    "create_offer_link": [{}],
    "revoke_offer_link": [{}],
    "create_offer_claim": [{}],
    "create_tax_rate": None,
    "update_tax_rate": [{"active": False}],
    "create_tax_registration": None,
    "update_tax_registration": [{"number": "mine"}],
    "delete_tax_registration": [{}],
    "create_tax_id": [{"type": "eu_vat", "value": "FR40303265045"}],
    "delete_tax_id": [{}],
    "calculate_tax": [{"customer_id": "customer", "currency": "EUR", "lines": [{"amount": 1}]}],
    "seed_tax_rates": None,
    "update_tax_engine": None,
    "delete_tax_engine": None,
    "create_tax_engine_test": None,
    "create_gateway_account": None,
    "update_gateway_account": [{"name": "Mine"}, {"credentials": {"secret_key": "sk_sim_mine"}}],
    "mark_gateway_account_default": [{}],
    "disable_gateway_account": [{}],
    "enable_gateway_account": [{}],
    "check_gateway_account": [{}],
    "update_gateway_account_webhook_secret": [{"secret": "whsec_mine"}],
    "retry_inbound_event": [{}],
    "create_setup_session": [
        {"customer_id": "customer"},
        {"customer_id": "own:customer", "gateway_account_id": "gateway_account"},
    ],
    "open_setup_session": [{}],
    "complete_setup_session": [{}],
    "create_meter": None,
    "update_meter": [{"archived": True}],
    "create_usage_event": [
        {"id": "x", "event_name": "call", "customer_id": "customer"},
        {
            "id": "x",
            "event_name": "call",
            "customer_id": "own:customer",
            "subscription_id": "subscription",
        },
    ],
    "create_usage_events": [
        {"events": [{"id": "x", "event_name": "call", "customer_id": "customer"}]}
    ],
    "create_subscription": [
        {"customer_id": "customer", "items": [{"price_id": "own:price"}]},
        {"customer_id": "own:customer", "items": [{"price_id": "price"}]},
        {
            "customer_id": "own:customer",
            "items": [{"price_id": "own:price"}],
            "payment_method_id": "payment_method",
        },
        {
            "customer_id": "own:customer",
            "items": [{"price_id": "own:price"}],
            "coupon_ids": ["coupon"],
        },
        {
            "customer_id": "own:customer",
            "items": [{"price_id": "own:price"}],
            "tax_rate_ids": ["tax_rate"],
        },
    ],
    "update_subscription": [
        {"metadata": {"a": "b"}},
        {"payment_method_id": "payment_method"},
    ],
    "cancel_subscription": [{"when": "now"}],
    "put_subscription_schedule": [{"phases": [{"items": [{"price_id": "own:price"}]}]}],
    "release_subscription_schedule": [{}],
    "keep_subscription": [{}],
    "change_subscription": [
        {"items": [{"price_id": "price"}]},
        {"items": [{"id": "subscription_item", "quantity": 2}]},
    ],
    "pause_subscription": [{}],
    "resume_subscription": [{}],
    "update_subscription_billing_anchor": [{"billing_anchor": "2026-12-24T00:00:00Z"}],
    "update_subscription_trial": [{}],
    "cancel_scheduled_change": [{}],
    "unpark_subscription": [{}],
    "preview_invoice": [
        {"subscription_id": "subscription"},
        {"subscription_id": "subscription", "cancel": {"when": "now"}},
        {"create": {"customer_id": "customer", "items": [{"price_id": "own:price"}]}},
        {"create": {"customer_id": "own:customer", "items": [{"price_id": "price"}]}},
        {"subscription_id": "own:subscription", "change": {"items": [{"price_id": "price"}]}},
        {
            "subscription_id": "own:subscription",
            "change": {"items": [{"id": "subscription_item", "quantity": 2}]},
        },
    ],
    "create_simulation": [
        {"subscription_id": "subscription"},
        {"customer_id": "customer"},
        {
            "customer_id": "own:customer",
            "script": [
                {"do": "resume", "at": "2030-02-01T00:00:00Z", "subscription_id": "subscription"}
            ],
        },
        {
            "customer_id": "own:customer",
            "script": [
                {
                    "do": "new_price",
                    "at": "2030-02-01T00:00:00Z",
                    "price_id": "price",
                    "unit_amount": "1",
                }
            ],
        },
    ],
    "pay_invoice": [{}, {"paid_outside": True}, {"amount": 1}],
    "void_invoice": [{}],
    "create_invoice": [
        {"customer_id": "customer", "currency": "EUR", "items": [{"amount": 5}]},
        {"customer_id": "own:customer", "items": [{"price_id": "price"}]},
        {
            "customer_id": "own:customer",
            "currency": "EUR",
            "items": [{"amount": 5}],
            "tax_rate_ids": ["tax_rate"],
        },
        {
            "customer_id": "own:customer",
            "currency": "EUR",
            "items": [{"amount": 5}],
            "payment_method_id": "payment_method",
        },
    ],
    "update_invoice": [{"description": "Mine"}],
    "delete_invoice": [{}],
    "finalize_invoice": [{}],
    "create_credit_note": [{"invoice_id": "invoice", "amount": 1}],
    "preview_credit_note": [{"invoice_id": "invoice", "amount": 1}],
    "void_credit_note": [{}],
    "create_pending_item": [
        {"customer_id": "customer", "currency": "EUR", "amount": 5, "description": "Mine"},
        {"customer_id": "own:customer", "price_id": "price"},
        {"customer_id": "own:customer", "subscription_id": "subscription", "amount": 5},
        {"customer_id": "own:customer", "invoice_id": "invoice", "amount": 5},
    ],
    "update_pending_item": [{"amount": 6}],
    "delete_pending_item": [{}],
    "update_invoice_series": None,
    "create_subscription_discount": [{"coupon_id": "own:coupon"}],
    "delete_subscription_discount": [{}],
    "mark_invoice_uncollectible": [{}],
    "update_document_settings": None,
    "create_refund": [
        {"payment_id": "payment"},
        {"payment_id": "payment", "destination": "balance"},
    ],
    "create_reconciliation": [{"gateway_account_id": "gateway_account"}],
    "repair_reconciliation_difference": [{}],
    "dismiss_reconciliation_difference": [{"note": "no"}],
    "create_payment_link": [{"invoice_id": "invoice"}],
    "revoke_payment_link": [{}],
    "create_payment": [{"invoice_id": "invoice", "method": "cash", "amount": 1}],
    "reverse_payment": [{}],
    "cancel_payment": [{}],
    "resolve_payment": [{"outcome": "not_executed"}],
    "resolve_refund": [{"outcome": "not_executed"}],
    "update_billing_settings": None,
    "create_test_clock": None,
    "advance_test_clock": [{"frozen_at": "2032-01-01T00:00:00Z"}],
    "create_api_key": None,
    "revoke_api_key": [{}],
    "detach_payment_method": [{}],
    "delete_customer": [{}],
    "resend_event": [{"webhook_endpoint_id": "own:webhook_endpoint"}],
    "create_webhook_endpoint": None,
    "update_webhook_endpoint": [{"enabled": False}],
    "delete_webhook_endpoint": [{}],
    "reveal_webhook_endpoint_secret": [{}],
    "rotate_webhook_endpoint_secret": [{}],
    "ping_webhook_endpoint": [{}],
    "replay_webhook_endpoint": [{"start": "2020-01-01T00:00:00Z"}],
}
REFUSES_EACH = {"create_usage_events"}
"""Answered with what became of each: here nothing is taken, as the books say afterwards."""
OWN_BODIES = {  # our object in a body on an object of their own
    "update_customer": ("customer", {"default_payment_method_id": "payment_method"}),
    "update_subscription": ("subscription", {"payment_method_id": "payment_method"}),
}
QUERIES = {
    "get_promotion_code_check": {"code": "SHOP10"},
    "get_recovery_report": {"start": "2020-01-01T00:00:00Z", "end": "2040-01-01T00:00:00Z"},
}
"""What some reads cannot do without: here a word of ours, which means nothing to them."""
LISTS = ("/balance_transactions", "/discounts", "/links", "/tax_ids")
"""What is listed by our identifiers: nothing is there."""
FILTERS = {
    "coupon_id": "coupon",
    "offer_id": "offer",
    "promotion_code_id": "promotion_code",
    "customer_id": "customer",
    "test_clock_id": "test_clock",
    "plan_id": "plan",
    "price_id": "price",
    "meter_id": "meter",
    "subscription_id": "subscription",
    "invoice_id": "invoice",
    "payment_id": "payment",
    "event_id": "event",
}


def endpoints(app) -> list[Endpoint]:
    found = [route for route in app.routes if isinstance(route, Endpoint)]
    keyed = {Access.SECRET, Access.PUBLISHABLE}
    return [route for route in found if route.need.access in keyed]


def named(shop: Shop, other: Shop, value):
    """`value` with our identifiers where it names nouns, and theirs after `own:`."""
    match value:
        case dict():
            return {key: named(shop, other, item) for key, item in value.items()}
        case list():
            return [named(shop, other, item) for item in value]
        case str() if value.startswith("own:"):
            return other[value.removeprefix("own:")]
        case str() if value in shop.ids:
            return shop[value]
        case _:
            return value


async def books(administrator, merchant: str) -> dict[str, list]:
    """Every row of a merchant, but for when its keys were used."""
    tables = await administrator.fetch(
        "SELECT table_name AS name FROM information_schema.columns"
        " WHERE column_name = 'merchant_id' AND table_schema = 'public'"
        " AND table_name <> 'api_keys'"
    )
    return {
        table["name"]: await administrator.fetch(
            f"SELECT t::text FROM {table['name']} t WHERE merchant_id = $1::text::uuid ORDER BY 1",
            merchant,
        )
        for table in tables
    }


@pytest.fixture
async def theirs(other, administrator, simulator) -> Shop:
    return await stock(other, administrator, simulator)


def address(route: Endpoint, shop: Shop) -> str:
    return re.sub(r"\{(\w+?)(_id)?\}", lambda match: shop[match[1]], route.path)


async def test_no_route_reads_or_writes_another_merchants_rows(
    app, shop, theirs, administrator
) -> None:
    before = await books(administrator, shop.api.merchant)
    for route in endpoints(app):
        (method,) = route.methods
        on_ours = "{" in route.path and not route.path.endswith(LISTS)
        bodies = [None] if method == "GET" else BODIES[route.operation_id] or []
        for body in bodies:
            answer = await theirs.api.client.request(
                method,
                address(route, shop),
                params=QUERIES.get(route.operation_id),
                json=None if body is None else named(shop, theirs, body),
                headers={"Authorization": f"Bearer {theirs.api.key}"},
            )
            where = f"{route.operation_id} {body}: {answer.status_code} {answer.text[:300]}"
            if route.operation_id in REFUSES_EACH:
                assert answer.json()["accepted"] == [], where
            elif method != "GET":
                assert answer.status_code in {404, 422}, where
            elif on_ours and not route.path.endswith("/lines"):
                assert answer.status_code == 404, where
            else:
                assert answer.status_code == 200, where
            leaked = [noun for noun, ours in shop.ids.items() if ours in answer.text]
            assert not leaked, where
    assert await books(administrator, shop.api.merchant) == before


async def test_our_objects_cannot_be_put_into_theirs(app, shop, theirs, administrator) -> None:
    by_operation = {route.operation_id: route for route in endpoints(app)}
    for operation, (noun, body) in OWN_BODIES.items():
        assert noun
        path = address(by_operation[operation], theirs)
        answer = await theirs.api.patch(path, named(shop, theirs, body), status=422)
        assert answer.json()["param"] == next(iter(body))


async def test_filters_by_our_identifiers_find_nothing_of_theirs_or_ours(app, shop, theirs) -> None:
    for route in endpoints(app):
        names = [n for f in route.dependant.query_params for n in _names(f)]
        for name in set(names) & set(FILTERS):
            if "{" in route.path or route.operation_id in QUERIES:
                continue
            found = await theirs.api.get(route.path, params={name: shop[FILTERS[name]]})
            assert found.json()["data"] == [], (route.operation_id, name)
    await theirs.api.get("/v1/events", params={"after": shop["event"]}, status=422)


def _names(field) -> list[str]:
    kind = field.field_info.annotation
    return list(getattr(kind, "model_fields", {field.alias: None}))


async def test_an_unknown_identifier_and_another_merchants_get_the_same_answer(
    app, shop, theirs
) -> None:
    for noun, prefix in {"customer": "cus", "subscription": "sub", "invoice": "inv"}.items():
        foreign = await theirs.api.get(f"/v1/{noun}s/{shop[noun]}", 404)
        unknown = await theirs.api.get(f"/v1/{noun}s/{show(prefix, new_id())}", 404)
        a, b = foreign.json(), unknown.json()
        assert a | {"request_id": ""} == b | {"request_id": ""}


async def test_every_read_without_a_merchant_fails_in_the_database(rt, shop) -> None:
    """Row-level security is the net under every query: unset means an error, never all rows."""
    async with rt.db.begin_system() as tx:
        await tx.run("SET LOCAL ROLE perennial_app")
        with pytest.raises(Exception, match=r"app\.merchant_id|uuid"):
            await tx.fetch("SELECT id FROM customers")
