"""/v1/dunning_policies and /v1/dunning_runs over HTTP."""

import pytest

from app.db import tables
from app.runtime import Runtime
from app.services import test_clocks
from tests.api.conftest import Api, Shop

pytestmark = pytest.mark.anyio

DEFAULT_STEPS = [
    {"days": days, "hours": 0, "at": None, "attempt": True, "channels": None}
    for days in (1, 3, 5, 7)
]


async def turn(rt: Runtime, api: Api, clock: str, to: str) -> None:
    """Send a test clock forward, and let the worker take it there."""
    await api.post(f"/v1/test_clocks/{clock}/advance", {"frozen_at": to}, status=202)
    await test_clocks.advance_all(rt)


async def test_a_policy_that_says_nothing_is_what_merchants_begin_with(api: Api) -> None:
    made = await api.new("dunning_policies", code="plain", name="Plain")
    assert made["steps"] == DEFAULT_STEPS
    assert (made["final_action"], made["unpaid_invoice"]) == ("cancel", "keep_open")
    assert (made["channels"], made["attempts_max"]) == (["email"], 15)
    assert (made["overdue_action"], len(made["reminders"])) == ("keep", 2)
    assert made["id"].startswith("dpol_")


async def test_a_policy_is_changed_and_ended(api: Api) -> None:
    plan = await api.new("plans", code="pro", name="Pro")
    made = await api.new(
        "dunning_policies", code="a", name="A", plan_ids=[plan["id"]], is_default=True
    )
    path = f"/v1/dunning_policies/{made['id']}"
    changes = {"steps": [{"days": 2, "at": "09:00"}], "final_action": "unpaid", "segment": "vip"}
    changed = (await api.patch(path, changes)).json()
    [step] = changed["steps"]
    assert (step["days"], step["at"], step["attempt"]) == (2, "09:00", True)
    assert (changed["final_action"], changed["segment"], changed["version"]) == ("unpaid", "vip", 2)
    assert changed["plan_ids"] == [plan["id"]]
    ended = (await api.patch(path, {"active": False})).json()
    assert (ended["active"], ended["is_default"], ended["plan_ids"]) == (False, False, [])
    await api.patch(path, {"name": "B"}, status=412, headers={"If-Match": '"1"'})


async def test_the_default_passes_from_one_policy_to_the_next(api: Api) -> None:
    first = await api.new("dunning_policies", code="a", name="A", is_default=True)
    second = await api.new("dunning_policies", code="b", name="B", is_default=True)
    found = (await api.get("/v1/dunning_policies")).json()["data"]
    assert {p["id"]: p["is_default"] for p in found} == {first["id"]: False, second["id"]: True}


async def test_a_plan_has_the_policy_that_it_was_given_last(api: Api) -> None:
    plan = await api.new("plans", code="pro", name="Pro")
    first = await api.new("dunning_policies", code="a", name="A", plan_ids=[plan["id"]])
    second = await api.new("dunning_policies", code="b", name="B", plan_ids=[plan["id"]])
    first = (await api.get(f"/v1/dunning_policies/{first['id']}")).json()
    assert (first["plan_ids"], second["plan_ids"]) == ([], [plan["id"]])


@pytest.mark.parametrize(
    ("terms", "param"),
    [
        ({"steps": [{"days": 0}]}, "steps[0]"),
        ({"steps": [{"days": 3}, {"days": 2}]}, "steps[1]"),
        ({"steps": [{"days": 1, "hours": 2, "at": "09:00"}]}, "steps[0]"),
        ({"steps": [{"days": 1, "at": "25:00"}]}, "steps[0].at"),
        ({"reminders": [{"days": 1}]}, "reminders[0]"),
        ({"attempts_max": 99}, "attempts_max"),
        ({"final_action": "shout"}, "final_action"),
        ({"channels": ["E-Mail!"]}, "channels[0]"),
    ],
)
async def test_a_policy_that_makes_no_sense_is_refused(api: Api, terms: dict, param: str) -> None:
    body = {"code": "a", "name": "A", **terms}
    problem = (await api.post("/v1/dunning_policies", body, status=422)).json()
    assert param in {error["param"] for error in problem["errors"]}


async def test_a_segment_has_one_policy(api: Api) -> None:
    await api.new("dunning_policies", code="a", name="A", segment="vip")
    body = {"code": "b", "name": "B", "segment": "vip"}
    await api.post("/v1/dunning_policies", body, status=409)


async def test_a_declined_renewal_is_dunned_on_a_test_clock(shop: Shop, rt: Runtime) -> None:
    """To the end of it, by the API alone: no worker of the wall's time is needed."""
    api, made = shop.api, shop.ids
    clock = await api.new("test_clocks", frozen_at="2031-01-31T09:00:00Z")
    customer = await api.new("customers", test_clock_id=clock["id"])
    pay = {"customer_id": customer["id"], "make_default": True}
    await api.new("payment_methods", gateway_reference="pm_sim_ok_dun", **pay)
    sub = await api.new(
        "subscriptions", customer_id=customer["id"], items=[{"price_id": made["price"]}]
    )
    bad = "pm_sim_declined_insufficient_funds_dun"
    await api.new("payment_methods", gateway_reference=bad, **pay)
    await turn(rt, api, clock["id"], "2031-03-02T10:00:00Z")
    [run] = (await api.get(f"/v1/dunning_runs?customer_id={customer['id']}")).json()["data"]
    assert (run["status"], run["attempts"], run["step"]) == ("active", 2, 1)
    assert run["next_attempt_at"] == "2031-03-04T00:00:00Z"
    assert run["policy_id"] == made["dunning_policy"]
    path = f"/v1/dunning_runs/{run['id']}"
    assert (await api.post(f"{path}/pause", status=200)).json()["status"] == "paused"
    assert (await api.post(f"{path}/resume", status=200)).json()["status"] == "active"
    tried = (await api.post(f"{path}/retry", status=200)).json()
    assert (tried["attempts"], tried["last_category"]) == (3, "soft")
    await turn(rt, api, clock["id"], "2031-03-10T00:00:00Z")
    ended = (await api.get(f"{path}?expand=policy")).json()
    assert (ended["status"], ended["final_action"]) == ("exhausted", "cancel")
    assert ended["policy"]["code"] == "soft"
    sub = (await api.get(f"/v1/subscriptions/{sub['id']}")).json()
    assert sub["status"] == "canceled"
    await api.post(f"{path}/stop", status=409)


def test_the_tables_of_dunning_are_tenants() -> None:
    for table in (tables.dunning_policies, tables.dunning_policy_plans, tables.dunning_runs):
        assert next(iter(table.primary_key)).name == "merchant_id"
