"""Add-ons, metered prices, new versions of prices, and the events that tell of them."""

import asyncio

import pytest

pytestmark = pytest.mark.anyio

MONTHLY = {"currency": "EUR", "interval": "month"}
UNKNOWN = "plan_01k9zs8m4vf1xr7c2n5q0d3tyb"


@pytest.fixture
async def plan(api) -> dict:
    return await api.new("plans", code="pro", name="Pro", family="suite", rank=2)


@pytest.fixture
async def meter(api) -> dict:
    return await api.new("meters", name="Payments", event_name="payment", aggregation="sum")


async def events(api, type: str) -> list[dict]:
    return (await api.get("/v1/events", params={"type": type})).json()["data"]


# ── plans ────────────────────────────────────────────────────────────────────────────────────────


async def test_an_addon_names_the_plans_it_goes_with(api, plan) -> None:
    addon = await api.new(
        "plans", code="backup", name="Backup", kind="addon", addon_for=[plan["id"], plan["id"]]
    )
    assert (addon["kind"], addon["addon_for"]) == ("addon", [plan["id"]])
    path = f"/v1/plans/{addon['id']}"
    assert (await api.patch(path, {"addon_for": []})).json()["addon_for"] == []
    assert [p["code"] for p in (await api.get("/v1/plans?kind=addon")).json()["data"]] == ["backup"]
    assert [p["code"] for p in (await api.get("/v1/plans?family=suite")).json()["data"]] == ["pro"]


async def test_an_addon_goes_with_plans_that_are_there(api, plan) -> None:
    addon = await api.new("plans", code="backup", name="Backup", kind="addon")
    for sent, param in (
        ({"kind": "addon", "addon_for": [UNKNOWN]}, "addon_for[0]"),
        ({"kind": "addon", "addon_for": [plan["id"], addon["id"]]}, "addon_for[1]"),
        ({"kind": "plan", "addon_for": [plan["id"]]}, "addon_for"),
        ({"kind": "thing"}, "kind"),
        ({"billing_settings": {"upgrade": "never"}}, "billing_settings.upgrade"),
        ({"billing_settings": {"no_such_dial": 1}}, "billing_settings.no_such_dial"),
        ({"family": "a b"}, "family"),
        ({"tax_code": "ä"}, "tax_code"),
    ):
        body = {"code": "other", "name": "Other"} | sent
        assert (await api.post("/v1/plans", body, status=422)).json()["param"] == param


async def test_what_became_of_a_plan_is_told(api, plan) -> None:
    await api.new("features", key="seats", name="Seats", type="limit")
    path = f"/v1/plans/{plan['id']}"
    await api.patch(path, {"name": "Pro 2", "features": [{"key": "seats", "value": 5}]})
    await api.patch(path, {"features": [{"key": "seats", "value": 6}]})
    [made] = await events(api, "plan.created")
    assert made["data"]["object"] == plan
    last, first = await events(api, "plan.updated")
    assert first["data"]["previous_attributes"] == {"name": "Pro", "features": []}
    [before] = last["data"]["previous_attributes"]["features"]
    assert (before["value"], before["feature_id"][:4]) == (5, "ftr_")
    assert last["data"]["object"] == (await api.get(path)).json()


# ── prices ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_percentage_of_what_a_meter_counts(api, plan, meter) -> None:
    made = await api.new(
        "prices",
        plan_id=plan["id"],
        **MONTHLY,
        model="percentage",
        percentage="2.9",
        event_amount=30,
        free_amount=50_000,
        free_events=10,
        usage_type="metered",
        timing="arrears",
        meter_id=meter["id"],
    )
    assert (made["percentage"], made["event_amount"], made["meter_id"]) == ("2.9", 30, meter["id"])
    assert (made["free_amount"], made["free_events"]) == (50_000, 10)
    found = await api.get("/v1/prices", params={"meter_id": meter["id"]})
    assert [price["id"] for price in found.json()["data"]] == [made["id"]]


async def test_a_meter_that_is_not_there_measures_nothing(api, plan) -> None:
    body = {"plan_id": plan["id"], "unit_amount": 1, **MONTHLY}
    body |= {"usage_type": "metered", "timing": "arrears"}
    body["meter_id"] = "mtr_01k9zs8m4vf1xr7c2n5q0d3tyb"
    refused = (await api.post("/v1/prices", body, status=422)).json()
    assert (refused["code"], refused["param"]) == ("reference_not_found", "meter_id")


async def test_a_new_version_takes_the_place_of_the_old_one(api, plan) -> None:
    old = await api.new(
        "prices",
        plan_id=plan["id"],
        **MONTHLY,
        unit_amount=1900,
        lookup_key="pro-monthly",
        trial_days=14,
        countries=["DE"],
        min_quantity=2,
        metadata={"team": "blue"},
    )
    new = (await api.post(f"/v1/prices/{old['id']}/versions", {"unit_amount": 2400})).json()
    assert (new["price_version"], new["unit_amount_decimal"]) == (2, "2400")
    same = {"plan_id", "currency", "interval", "lookup_key", "trial_days", "countries"}
    same |= {"min_quantity", "metadata", "model", "timing", "nickname"}
    assert {name: new[name] for name in same} == {name: old[name] for name in same}
    before = (await api.get(f"/v1/prices/{old['id']}")).json()
    assert (before["active"], before["lookup_key"]) == (False, None)
    assert before["unit_amount_decimal"] == "1900"
    told = [e["data"]["object"]["id"] for e in await events(api, "price.created")]
    assert told == [new["id"], old["id"]]
    [archived] = await events(api, "price.updated")
    assert archived["data"]["previous_attributes"] == {"active": True, "lookup_key": "pro-monthly"}


async def test_a_new_version_of_another_model_brings_its_own_amounts(api, plan) -> None:
    old = await api.new("prices", plan_id=plan["id"], **MONTHLY, unit_amount=1900)
    tiers = [{"up_to": 5, "flat_amount": 100}, {"flat_amount": 200}]
    new = await api.new(f"prices/{old['id']}/versions", model="stairstep", tiers=tiers)
    assert (new["model"], new["unit_amount_decimal"], len(new["tiers"])) == ("stairstep", None, 2)
    flat = await api.new(f"prices/{new['id']}/versions", model="flat", unit_amount_decimal="9.5")
    assert (flat["price_version"], flat["unit_amount_decimal"], flat["tiers"]) == (3, "9.5", [])


async def test_a_version_that_makes_no_sense_changes_nothing(api, plan) -> None:
    old = await api.new("prices", plan_id=plan["id"], **MONTHLY, unit_amount=1, lookup_key="k")
    path = f"/v1/prices/{old['id']}/versions"
    for sent, param in (
        ({"model": "graduated"}, "tiers"),
        ({"package_size": 5}, "package_size"),
        ({"unit_amount": 1, "unit_amount_decimal": "1"}, None),
        ({"currency": "USD"}, "currency"),
        ({"interval": "year"}, "interval"),
        ({"countries": ["QQ"]}, "countries"),
        ({"unit_amount": -1}, "unit_amount"),
    ):
        refused = (await api.post(path, sent, status=422)).json()
        assert param is None or refused["param"] == param
    assert (await api.get(f"/v1/prices/{old['id']}")).json() == old


async def test_an_archived_price_has_a_version_in_its_place_already(api, plan) -> None:
    old = await api.new("prices", plan_id=plan["id"], **MONTHLY, unit_amount=1)
    path = f"/v1/prices/{old['id']}/versions"
    answers = await asyncio.gather(
        *(
            api.client.post(
                path, json={"unit_amount": n}, headers={"Authorization": f"Bearer {api.key}"}
            )
            for n in (2, 3)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    refused = (await api.post(path, {"unit_amount": 4}, status=409)).json()
    assert refused["code"] == "price_inactive"


async def test_a_one_time_price_is_a_version_among_its_own(api, plan) -> None:
    once = {"plan_id": plan["id"], "currency": "EUR", "type": "one_time", "unit_amount": 5}
    first, second = await api.new("prices", **once), await api.new("prices", **once)
    monthly = await api.new("prices", plan_id=plan["id"], **MONTHLY, unit_amount=5)
    assert [p["price_version"] for p in (first, second, monthly)] == [1, 2, 1]
    listed = (await api.get("/v1/prices?type=one_time")).json()["data"]
    assert [price["id"] for price in listed] == [second["id"], first["id"]]


async def test_a_version_is_made_once_per_idempotency_key(api, plan) -> None:
    old = await api.new("prices", plan_id=plan["id"], **MONTHLY, unit_amount=1)
    path, headers = f"/v1/prices/{old['id']}/versions", {"Idempotency-Key": "once"}
    first = await api.post(path, {"unit_amount": 2}, headers=headers)
    again = await api.post(path, {"unit_amount": 2}, headers=headers)
    assert again.json() == first.json()
    assert len((await api.get("/v1/prices")).json()["data"]) == 2
