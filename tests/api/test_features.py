"""Features, what plans give of them, and what customers are entitled to."""

import pytest

pytestmark = pytest.mark.anyio

MONTHLY = {"currency": "EUR", "interval": "month", "unit_amount": 1000}


async def stocked(api) -> None:
    """Seats, storage for each seat, single sign-on and support."""
    await api.new("features", key="projects", name="Projects", type="limit")
    await api.new("features", key="storage", name="Storage", type="limit", unit="GB", per_unit=True)
    await api.new("features", key="sso", name="Single sign-on", type="boolean")
    await api.new("features", key="support", name="Support", type="config")


def gives(**values) -> list[dict]:
    return [{"key": key, "value": value} for key, value in values.items()]


async def test_a_feature_comes_back_as_it_was_sent(api) -> None:
    made = await api.new(
        "features", key="calls", name="Calls", type="limit", unit="call", metadata={"a": "b"}
    )
    assert made["id"].startswith("ftr_")
    assert (made["key"], made["type"], made["unit"], made["per_unit"], made["active"]) == (
        "calls",
        "limit",
        "call",
        False,
        True,
    )
    path = f"/v1/features/{made['id']}"
    assert (await api.get(path)).json() == made
    changed = (await api.patch(path, {"name": "API calls", "metadata": {"a": None}})).json()
    assert (changed["name"], changed["metadata"], changed["version"]) == ("API calls", {}, 2)
    assert (await api.get("/v1/features?key=calls")).json()["data"] == [changed]
    assert (await api.get("/v1/features?active=false")).json()["data"] == []
    taken = await api.post("/v1/features", {"key": "calls", "name": "x", "type": "limit"}, 409)
    assert taken.json()["code"] == "key_taken"


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"type": "boolean", "per_unit": True}, "per_unit"),
        ({"type": "number"}, "type"),
        ({"type": "limit", "key": "a b"}, "key"),
        ({"type": "limit", "unit": ""}, "unit"),
    ],
)
async def test_a_feature_that_makes_no_sense_is_refused(api, sent, param) -> None:
    body = {"key": "k", "name": "K"} | sent
    assert (await api.post("/v1/features", body, status=422)).json()["param"] == param


async def test_what_defines_a_feature_never_changes(api) -> None:
    made = await api.new("features", key="calls", name="Calls", type="limit")
    for field, value in {"key": "other", "type": "boolean", "per_unit": True}.items():
        refused = await api.patch(f"/v1/features/{made['id']}", {field: value}, status=422)
        assert refused.json()["errors"][0]["code"] == "unknown_parameter"


async def test_a_plan_gives_features_in_its_own_order(api) -> None:
    await stocked(api)
    given = [
        {"key": "storage", "value": 10},
        {"key": "projects", "value": "unlimited"},
        {"key": "sso", "value": True},
        {"key": "support", "value": "email"},
    ]
    plan = await api.new("plans", code="pro", name="Pro", features=given)
    assert [(f["key"], f["value"], f["reset"]) for f in plan["features"]] == [
        ("storage", 10, "never"),
        ("projects", "unlimited", "never"),
        ("sso", True, "never"),
        ("support", "email", "never"),
    ]
    by_id = [{"feature_id": plan["features"][1]["feature_id"], "value": 3, "reset": "period"}]
    changed = (await api.patch(f"/v1/plans/{plan['id']}", {"features": by_id})).json()
    assert [(f["key"], f["value"], f["reset"]) for f in changed["features"]] == [
        ("projects", 3, "period")
    ]
    assert (await api.get(f"/v1/plans/{plan['id']}")).json() == changed


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ([{"key": "nothing", "value": 1}], "features[0]"),
        ([{"feature_id": "ftr_01k9zs8m4vf1xr7c2n5q0d3tyb", "value": 1}], "features[0]"),
        ([{"key": "sso", "value": 1}], "features[0].value"),
        ([{"key": "projects", "value": True}], "features[0].value"),
        ([{"key": "projects", "value": "many"}], "features[0].value"),
        ([{"key": "projects", "value": -1}], "features[0].value"),
        ([{"key": "support", "value": ""}], "features[0].value"),
        ([{"key": "sso", "value": True, "reset": "period"}], "features[0].reset"),
        ([{"key": "sso", "value": True}] * 2, "features[1]"),
        ([{"value": 1}], "features[0]"),
        ([{"key": "sso"}], "features[0].value"),
        ({"sso": True}, "features"),
    ],
)
async def test_a_plan_cannot_give_what_makes_no_sense(api, given, param) -> None:
    await stocked(api)
    body = {"code": "pro", "name": "Pro", "features": given}
    refused = (await api.post("/v1/plans", body, status=422)).json()
    assert param in [error["param"] for error in refused["errors"]] or refused["param"] == param
    assert (await api.get("/v1/plans")).json()["data"] == []


async def test_an_inactive_feature_is_kept_but_not_given_anew(api) -> None:
    await stocked(api)
    plan = await api.new("plans", code="pro", name="Pro", features=gives(sso=True))
    feature = plan["features"][0]["feature_id"]
    await api.patch(f"/v1/features/{feature}", {"active": False})
    assert (await api.get(f"/v1/plans/{plan['id']}")).json()["features"] == plan["features"]
    body = {"code": "basic", "name": "Basic", "features": gives(sso=True)}
    await api.post("/v1/plans", body, status=422)


async def test_another_merchants_feature_cannot_be_given(api, other) -> None:
    theirs = await other.new("features", key="sso", name="SSO", type="boolean")
    for name in ({"key": "sso"}, {"feature_id": theirs["id"]}):
        body = {"code": "pro", "name": "Pro", "features": [name | {"value": True}]}
        await api.post("/v1/plans", body, status=422)


async def subscribed(api, customer: str, features: list[dict], rank=0, **more) -> dict:
    """A subscription to a plan of its own."""
    code = f"plan-{len((await api.get('/v1/plans')).json()['data'])}"
    plan = await api.new("plans", code=code, name=code, features=features, rank=rank)
    price = await api.new("prices", plan_id=plan["id"], **MONTHLY)
    item = {"price_id": price["id"], "quantity": more.pop("quantity", 1)}
    return await api.new("subscriptions", customer_id=customer, items=[item], **more)


async def test_entitlements_are_added_up_over_what_runs(api) -> None:
    await stocked(api)
    customer = (await api.new("customers"))["id"]
    trial = {"trial_days": 14}
    # 5 seats of 10 GB and 3 projects; and 1 of 50 GB, 4 projects and better support: 100 GB, 7.
    first = await subscribed(
        api,
        customer,
        gives(storage=10, projects=3, sso=False, support="email"),
        quantity=5,
        **trial,
    )
    second = await subscribed(
        api, customer, gives(storage=50, projects=4, sso=True, support="phone"), rank=3, **trial
    )
    waiting = await subscribed(api, customer, gives(projects=100))
    assert [first["status"], waiting["status"]] == ["trialing", "incomplete"]
    path = f"/v1/customers/{customer}/entitlements"
    listed = (await api.get(path)).json()
    assert (listed["object"], listed["has_more"]) == ("list", False)
    assert {e["key"]: e["value"] for e in listed["data"]} == {
        "projects": 7,
        "sso": True,
        "storage": 100,
        "support": "phone",
    }
    storage = next(e for e in listed["data"] if e["key"] == "storage")
    assert {(s["subscription_id"], s["quantity"], s["value"]) for s in storage["sources"]} == {
        (first["id"], 5, 50),
        (second["id"], 1, 50),
    }
    own = (await api.get(f"/v1/subscriptions/{first['id']}/entitlements")).json()["data"]
    assert {e["key"]: e["value"] for e in own}["projects"] == 3
    await api.post(f"/v1/subscriptions/{second['id']}/cancel", {"when": "now"}, status=200)
    left = {e["key"]: e["value"] for e in (await api.get(path)).json()["data"]}
    assert left == {"projects": 3, "sso": False, "storage": 50, "support": "email"}


async def test_who_subscribed_to_nothing_is_entitled_to_nothing(api, other) -> None:
    customer = (await api.new("customers"))["id"]
    assert (await api.get(f"/v1/customers/{customer}/entitlements")).json()["data"] == []
    await other.get(f"/v1/customers/{customer}/entitlements", 404)
    await api.get("/v1/customers/cus_01k9zs8m4vf1xr7c2n5q0d3tyb/entitlements", 404)
    await api.get("/v1/subscriptions/sub_01k9zs8m4vf1xr7c2n5q0d3tyb/entitlements", 404)
