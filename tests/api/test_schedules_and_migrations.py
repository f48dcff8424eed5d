"""Schedules and price migrations over HTTP: what is sent, what comes back, what is refused."""

import pytest

from app.api.price_migrations import PriceMigration, PriceMigrationItem
from app.api.schedule_objects import SubscriptionSchedule
from app.services import payments, price_moves, renewals

pytestmark = pytest.mark.anyio

FEBRUARY = "2030-02-28T12:00:00Z"
MARCH = "2030-03-31T12:00:00Z"


@pytest.fixture
async def prices(api, administrator, simulator) -> dict[str, str]:
    """A low, a middle and a high price, in euros a month."""
    simulator.clear_faults()
    await administrator.execute(
        "UPDATE gateway_accounts SET settings = json_build_object('base_url', $1::text)",
        simulator.url,
    )
    plan = await api.new("plans", code="pro", name="Pro")
    monthly = {"plan_id": plan["id"], "currency": "EUR", "interval": "month"}
    found = {"plan": plan["id"]}
    for name, amount in (("low", 1000), ("middle", 2000), ("high", 3000)):
        found[name] = (await api.new("prices", **monthly, unit_amount=amount))["id"]
    return found


async def customer(api) -> str:
    made = await api.new("customers", name="Ada")
    card = {"customer_id": made["id"], "gateway_reference": "pm_sim_ok", "make_default": True}
    await api.new("payment_methods", **card)
    return made["id"]


def phase(price: str, **fields) -> dict:
    return {"items": [{"price_id": price, "quantity": 1}], **fields}


async def test_a_subscription_is_created_in_phases_and_shows_where_it_is(api, prices, rt) -> None:
    sub = await api.new(
        "subscriptions",
        customer_id=await customer(api),
        phases=[phase(prices["low"], cycles=1), phase(prices["high"])],
    )
    assert [item["price_id"] for item in sub["items"]] == [prices["low"]]
    [waiting] = sub["scheduled_changes"]
    assert (waiting["phase"], waiting["due_at"]) == (2, FEBRUARY)
    path = f"/v1/subscriptions/{sub['id']}/schedule"
    shown = SubscriptionSchedule.model_validate_json((await api.get(path)).text)
    assert (shown.status, shown.current_phase, shown.version) == ("active", 1, 1)
    assert [item.price_id for item in shown.phases[1].items] == [prices["high"]]
    rt.clock.at = shown.phases[1].start_at
    await renewals.renew_due(rt)
    await payments.collect_due(rt)
    assert (await api.get(path)).json()["current_phase"] == 2
    now = (await api.get(f"/v1/subscriptions/{sub['id']}")).json()
    assert [item["price_id"] for item in now["items"]] == [prices["high"]]


async def test_a_schedule_is_put_replaced_and_released(api, prices) -> None:
    items = [{"price_id": prices["low"]}]
    sub = await api.new("subscriptions", customer_id=await customer(api), items=items)
    path = f"/v1/subscriptions/{sub['id']}/schedule"
    await api.get(path, 404)
    body = {
        "phases": [phase(prices["low"], ends_at=FEBRUARY), phase(prices["middle"], cycles=1)],
        "end_behaviour": "cancel",
    }
    put = (await api.call("PUT", path, json=body, status=200)).json()
    assert (put["ends_at"], put["end_behaviour"]) == (MARCH, "cancel")
    assert (await api.get(f"/v1/subscriptions/{sub['id']}")).json()["cancel_at"] == MARCH
    body["phases"].append(phase(prices["high"]))
    refused = await api.call("PUT", path, json=body, status=422)
    assert refused.json()["param"] == "phases[2]"
    body["end_behaviour"] = "release"
    await api.call("PUT", path, json=body, status=412, headers={"If-Match": '"7"'})
    again = (await api.call("PUT", path, json=body, status=200, headers={"If-Match": '"1"'})).json()
    assert (again["version"], len(again["phases"]), again["ends_at"]) == (2, 3, None)
    assert (await api.get(f"/v1/subscriptions/{sub['id']}")).json()["cancel_at"] is None
    change = {"items": [{"id": sub["items"][0]["id"], "quantity": 2}], "when": "now"}
    refused = await api.post(f"/v1/subscriptions/{sub['id']}/change", change, status=409)
    assert refused.json()["code"] == "subscription_scheduled_phases"
    released = (await api.call("DELETE", path, status=200)).json()
    assert (released["status"], released["current_phase"]) == ("released", None)
    await api.call("DELETE", path, status=404)
    await api.post(f"/v1/subscriptions/{sub['id']}/change", change, status=200)


async def test_a_change_may_release_the_schedule_itself(api, prices) -> None:
    sub = await api.new(
        "subscriptions",
        customer_id=await customer(api),
        phases=[phase(prices["low"], cycles=1), phase(prices["high"])],
    )
    change = {
        "items": [{"id": sub["items"][0]["id"], "quantity": 2}], "when": "now", "release": True,
    }  # fmt: skip
    changed = (await api.post(f"/v1/subscriptions/{sub['id']}/change", change, status=200)).json()
    assert changed["scheduled_changes"] == []
    assert changed["items"][0]["quantity"] == 2


async def test_items_or_phases_say_what_is_subscribed_to(api, prices) -> None:
    who = {"customer_id": await customer(api)}
    for body in (
        who,
        {**who, "items": [{"price_id": prices["low"]}], "phases": [phase(prices["low"])]},
    ):
        refused = await api.post("/v1/subscriptions", body, status=422)
        assert refused.json()["param"] == "items"


async def test_a_migration_is_worked_out_carried_out_and_read(api, prices, rt) -> None:
    for _ in range(3):
        items = [{"price_id": prices["low"], "quantity": 2}]
        await api.new("subscriptions", customer_id=await customer(api), items=items)
    made = await api.new(
        "price_migrations",
        from_price_id=prices["low"],
        to_price_id=prices["middle"],
        when="now",
        settlement="none",
        filters={"metadata": {}},
    )
    planned = PriceMigration.model_validate(made)
    assert planned.status == "ready"
    assert planned.estimate is not None
    [euros] = planned.estimate.amounts
    assert (euros.before, euros.after, euros.charged) == (6000, 12000, 0)
    path = f"/v1/price_migrations/{planned.id}"
    assert (await api.post(f"{path}/execute", status=200)).json()["status"] == "running"
    again = await api.post(f"{path}/execute", status=409)
    assert again.json()["code"] == "price_migration_running"
    await price_moves.run_due(rt)
    done = (await api.get(path)).json()
    assert (done["status"], done["moved"], done["failed"], done["pending"]) == (
        "completed", 3, 0, 0,
    )  # fmt: skip
    page = (await api.get(f"{path}/items", params={"status": "moved", "limit": 2})).json()
    assert len(page["data"]) == 2
    PriceMigrationItem.model_validate(page["data"][0])
    rest = (await api.get(f"{path}/items", params={
        "status": "moved", "limit": 2, "cursor": page["next_cursor"],
    })).json()  # fmt: skip
    assert [len(rest["data"]), rest["has_more"]] == [1, False]
    params = {"cannot_move": True}
    assert (await api.get(f"{path}/items", params=params)).json()["data"] == []
    [event] = (await api.get("/v1/events", params={"type": "price_migration.completed"})).json()[
        "data"
    ]
    assert event["object_id"] == planned.id
    assert event["data"]["object"]["estimate"] == done["estimate"]
    assert (await api.get("/v1/price_migrations")).json()["data"] == [done]


async def test_a_migration_can_be_stopped_before_it_begins(api, prices) -> None:
    wanted = {"from_plan_id": prices["plan"], "to_price_id": prices["high"]}
    made = await api.new("price_migrations", **wanted)
    path = f"/v1/price_migrations/{made['id']}"
    assert (await api.post(f"{path}/cancel", status=200)).json()["status"] == "canceled"
    refused = await api.post(f"{path}/execute", status=409)
    assert refused.json()["code"] == "price_migration_canceled"


async def test_a_migration_that_makes_no_sense_is_refused(api, prices) -> None:
    low, high = prices["low"], prices["high"]
    for body in (
        {"to_price_id": high},
        {"from_price_id": low, "from_plan_id": prices["plan"], "to_price_id": high},
        {"from_price_id": low, "to_price_id": low},
        {"from_price_id": low, "to_price_id": high, "at": "2000-01-01T00:00:00Z"},
        {"from_price_id": low, "to_price_id": high, "when": "now", "at": MARCH},
    ):
        await api.post("/v1/price_migrations", body, status=422)


async def test_the_same_request_twice_is_done_once(api, prices) -> None:
    body = {"from_price_id": prices["low"], "to_price_id": prices["high"]}
    key = {"Idempotency-Key": "once"}
    first, second = [
        (await api.post("/v1/price_migrations", body, headers=key)).json() for _ in range(2)
    ]
    assert first["id"] == second["id"]
    items = [{"price_id": prices["low"]}]
    sub = await api.new("subscriptions", customer_id=await customer(api), items=items)
    path, key = f"/v1/subscriptions/{sub['id']}/schedule", {"Idempotency-Key": "phases"}
    put = {"phases": [phase(prices["low"], cycles=1), phase(prices["high"])]}
    answers = [
        (await api.call("PUT", path, json=put, status=200, headers=key)).json() for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert answers[0]["version"] == 1
