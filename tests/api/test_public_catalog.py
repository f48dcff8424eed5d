"""The public catalogue: what a page of anyone's shows, and the walls around it."""

import re

import pytest

from app.api.endpoint import Endpoint

pytestmark = pytest.mark.anyio

MONTHLY = {"interval": "month", "unit_amount": 1000}
PLAN_FIELDS = {"id", "code", "name", "description", "family", "rank", "features", "prices"}
PRICE_FIELDS = {
    "id",
    "nickname",
    "currency",
    "type",
    "interval",
    "interval_count",
    "timing",
    "usage_type",
    "tax_behaviour",
    "setup_fee",
    "min_quantity",
    "max_quantity",
    "model",
    "unit_amount_decimal",
    "tiers",
    "package_size",
    "percentage",
    "event_amount",
    "free_events",
    "free_amount",
    "trial",
}
PUBLIC = (
    r"/v1/catalog|/v1/offers/redeem/|/v1/setup_sessions/\{setup_session_id\}/(open|complete)$"
    r"|/v1/gateways/\{gateway\}/\{gateway_account_id\}/webhooks$|/v1/pay/\{"
)
"""All that publishable keys reach: an offer's link, or a session's token, goes with them. Gateways'
deliveries need no key, they are proved by their signatures; nor does who holds a payment link.
"""
SECRET = "not for the public"


@pytest.fixture
async def public(api) -> dict:
    """The headers of a publishable key."""
    made = (await api.post("/v1/api_keys", {"kind": "publishable"})).json()
    return {"Authorization": f"Bearer {made['secret']}"}


async def stocked(api) -> dict[str, str]:
    """Two plans and an add-on, with a price of its own for Germany and one in dollars."""
    await api.new("features", key="seats", name="Seats", type="limit", metadata={"x": SECRET})
    ids = {}
    for code, rank in (("pro", 2), ("basic", 1)):
        plan = await api.new(
            "plans",
            code=code,
            name=code.title(),
            rank=rank,
            features=[{"key": "seats", "value": 5 * rank}],
            billing_settings={"upgrade": "period_end"},
            tax_code="txcd_secret",
            metadata={"margin": SECRET},
        )
        ids[code] = plan["id"]
    fields = {"plan_id": ids["pro"], "metadata": {"x": SECRET}, "lookup_key": "internal"}
    ids["eur"] = (await api.new("prices", currency="EUR", **MONTHLY, **fields))["id"]
    fields |= {"lookup_key": None}
    german = {"countries": ["DE"], "trial_days": 14, "trial_amount": 100}
    ids["german"] = (await api.new("prices", currency="EUR", **MONTHLY, **fields, **german))["id"]
    ids["usd"] = (await api.new("prices", currency="USD", **MONTHLY, **fields))["id"]
    fields["plan_id"] = ids["basic"]
    ids["basic-eur"] = (await api.new("prices", currency="EUR", **MONTHLY, **fields))["id"]
    addon = await api.new(
        "plans", code="backup", name="Backup", kind="addon", addon_for=[ids["pro"]]
    )
    ids["backup"] = addon["id"]
    await api.new("prices", plan_id=addon["id"], currency="EUR", **MONTHLY)
    return ids


def prices(shown: dict) -> dict[str, list[str]]:
    return {plan["code"]: [price["id"] for price in plan["prices"]] for plan in shown["plans"]}


async def test_a_page_gets_all_that_it_needs_to_sell(api, public) -> None:
    ids = await stocked(api)
    shown = (await api.get("/v1/catalog?country=DE&currency=EUR", headers=public)).json()
    assert [plan["code"] for plan in shown["plans"]] == ["basic", "pro"]
    assert prices(shown) == {"basic": [ids["basic-eur"]], "pro": [ids["german"]]}
    pro = shown["plans"][1]
    assert [(f["key"], f["value"]) for f in pro["features"]] == [("seats", 10)]
    trial = pro["prices"][0]["trial"]
    assert trial == {"days": 14, "amount": 100, "requires_payment_method": False}
    [addon] = shown["addons"]
    assert (addon["code"], addon["addon_for"]) == ("backup", [ids["pro"]])
    assert shown["offers"] == []
    assert [option["gateway"] for option in shown["payment_options"]] == ["simulator"]


async def test_the_country_and_the_currency_choose_the_prices(api, public) -> None:
    ids = await stocked(api)
    everywhere = {"basic": [ids["basic-eur"]], "pro": [ids["eur"], ids["usd"]]}
    for asked, expected in (
        ("", everywhere),
        ("?country=FR", everywhere),
        ("?currency=USD", {"pro": [ids["usd"]]}),
        ("?country=DE", {"basic": [ids["basic-eur"]], "pro": [ids["german"], ids["usd"]]}),
        ("?currency=INR", {}),
    ):
        shown = (await api.get(f"/v1/catalog{asked}", headers=public)).json()
        assert prices(shown) == expected, asked


async def test_what_is_archived_or_hidden_is_not_shown(api, public) -> None:
    ids = await stocked(api)
    await api.patch(f"/v1/prices/{ids['german']}", {"active": False})
    await api.patch(f"/v1/plans/{ids['basic']}", {"active": False})
    shown = (await api.get("/v1/catalog?country=DE&currency=EUR", headers=public)).json()
    assert prices(shown) == {"pro": [ids["eur"]]}
    await api.patch(f"/v1/plans/{ids['pro']}", {"public": False})
    shown = (await api.get("/v1/catalog", headers=public)).json()
    # The add-on goes with nothing that is shown.
    assert (shown["plans"], shown["addons"]) == ([], [])
    assert ids["pro"] not in str(shown)


async def test_nothing_internal_leaks(api, public) -> None:
    await stocked(api)
    answer = await api.get("/v1/catalog", headers=public)
    for inside in (SECRET, "internal", "txcd", "period_end", "metadata", "version", "settings"):
        assert inside not in answer.text, inside
    shown = answer.json()
    for plan in shown["plans"]:
        assert plan.keys() == PLAN_FIELDS
        for price in plan["prices"]:
            assert price.keys() == PRICE_FIELDS
    assert all(addon.keys() == PLAN_FIELDS | {"addon_for"} for addon in shown["addons"])
    assert [option.keys() for option in shown["payment_options"]] == [
        {"gateway", "name", "is_default"}
    ]


async def test_each_merchants_key_shows_its_own(api, other, public) -> None:
    await stocked(other)
    assert (await api.get("/v1/catalog", headers=public)).json()["plans"] == []


async def test_a_publishable_key_reaches_nothing_else(app, api, public, shop) -> None:
    tried = 0
    for route in app.routes:
        if not isinstance(route, Endpoint) or re.match(PUBLIC, route.path):
            continue
        path = re.sub(r"\{(\w+?)(_id)?\}", lambda m: shop.ids.get(m[1], "x"), route.path)
        for method in route.methods:
            answer = await api.client.request(method, path, headers=public)
            assert answer.status_code in {401, 403}, f"{method} {path}: {answer.status_code}"
            assert "access-control-allow-origin" not in answer.headers
            tried += 1
    assert tried > 50
    for method in ("POST", "PATCH", "PUT", "DELETE"):
        answer = await api.client.request(method, "/v1/catalog", headers=public, json={})
        assert answer.status_code == 405


async def test_browsers_of_any_origin_may_ask(api, public) -> None:
    origin = {"Origin": "https://shop.example"}
    asked = origin | {
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    preflight = await api.client.request("OPTIONS", "/v1/catalog", headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-credentials" not in preflight.headers
    answer = await api.get("/v1/catalog", headers=public | origin)
    assert answer.headers["access-control-allow-origin"] == "*"
    # A page can also read why it was refused.
    for path, headers, status in (
        ("/v1/catalog", {}, 401),
        ("/v1/catalog?country=Germany", public, 422),
        ("/v1/catalog?nothing=1", public, 422),
    ):
        refused = await api.client.get(path, headers=headers | origin)
        assert refused.status_code == status
        assert refused.headers["access-control-allow-origin"] == "*"
        assert refused.headers["cache-control"] == "no-store"
    elsewhere = await api.client.request("OPTIONS", "/v1/customers", headers=asked)
    assert "access-control-allow-origin" not in elsewhere.headers


async def test_an_answer_may_be_kept_for_a_minute_and_is_known_again(api, public) -> None:
    await stocked(api)
    first = await api.get("/v1/catalog", headers=public)
    assert first.headers.get_list("cache-control") == ["public, max-age=60"]
    assert first.headers["vary"] == "Authorization"
    tag = first.headers["etag"]
    for known in (tag, f'"other", W/{tag}'):
        same = await api.get("/v1/catalog", 304, headers=public | {"If-None-Match": known})
        assert (same.content, same.headers["etag"]) == (b"", tag)
    await api.new("plans", code="free", name="Free")
    assert (await api.get("/v1/catalog", headers=public)).headers["etag"] == tag
    plan = (await api.get("/v1/plans?code=free")).json()["data"][0]["id"]
    await api.new("prices", plan_id=plan, currency="EUR", **MONTHLY)
    changed = await api.get("/v1/catalog", headers=public | {"If-None-Match": tag})
    assert changed.headers["etag"] != tag


async def test_public_offers_stand_beside_the_plans(api, public) -> None:
    ids = await stocked(api)
    coupon = await api.new("coupons", code="HI", name="Welcome", percent_off="12.5")
    await api.new("offers", name="Welcome offer", coupon_id=coupon["id"], listed=True)
    await api.new("offers", name="For Germany", trial_days=30, listed=True, countries=["DE"])
    await api.new("offers", name="By link only", price_id=ids["usd"])
    shown = (await api.get("/v1/catalog?country=FR", headers=public)).json()
    [offer] = shown["offers"]
    assert (offer["name"], offer["discount"]["percent_off"]) == ("Welcome offer", "12.5")
    assert coupon["id"] not in str(shown)
    assert len((await api.get("/v1/catalog?country=DE", headers=public)).json()["offers"]) == 2
