"""The life of a subscription over HTTP: changed, paused, resumed, tried, canceled; and refused."""

import pytest

from tests.api.conftest import Api
from tests.api.test_billing import customer, gateway

pytestmark = pytest.mark.anyio

__all__ = ["gateway"]

LATER = "2030-02-10T12:00:00Z"
PAST = "2029-01-01T00:00:00Z"
UNKNOWN_ITEM = "si_01k9zs8m4vf1xr7c2n5q0d3tyb"
UNKNOWN_CHANGE = "sch_01k9zs8m4vf1xr7c2n5q0d3tyb"


async def price(api: Api, amount: int, **terms) -> str:
    plan = await api.new("plans", code=f"plan-{amount}-{len(terms)}", name=f"At {amount}")
    given = {"currency": "EUR", "interval": "month", "unit_amount": amount} | terms
    return (await api.new("prices", plan_id=plan["id"], **given))["id"]


async def subscribed(api: Api, amount: int = 1000, **options) -> dict:
    """An active subscription on 31 January 2030; the period has 28 days."""
    buyer = await customer(api)
    items = [{"price_id": await price(api, amount), "quantity": 2}]
    return await api.new("subscriptions", customer_id=buyer, items=items, **options)


async def act(api: Api, sub: dict, action: str, body=None, status: int = 200, **options) -> dict:
    address = f"/v1/subscriptions/{sub['id']}/{action}"
    return (await api.post(address, body or {}, status, **options)).json()


def faults(problem: dict) -> set[str | None]:
    """The fields that a problem is about."""
    return {problem["param"], *(error["param"] for error in problem["errors"])}


async def latest(api: Api, sub: dict) -> dict:
    read = await api.get(f"/v1/subscriptions/{sub['id']}?expand=latest_invoice")
    return read.json()["latest_invoice"]


async def test_more_is_billed_at_once_and_less_waits(api: Api, gateway) -> None:
    sub = await subscribed(api)
    [item] = sub["items"]
    more = await act(api, sub, "change", {"items": [{"id": item["id"], "quantity": 3}]})
    assert [i["quantity"] for i in more["items"]] == [3]
    assert more["scheduled_changes"] == []
    invoice = await latest(api, more)
    # Two at 10.00 back, three at 10.00 charged, at the period's very beginning.
    assert [line["amount"] for line in invoice["lines"]] == [-2000, 3000]
    assert (invoice["billing_reason"], invoice["total"]) == ("subscription_update", 1000)
    cheap = {"id": item["id"], "price_id": await price(api, 500)}
    less = await act(api, sub, "change", {"items": [cheap]})
    assert [i["price_id"] for i in less["items"]] == [item["price_id"]]
    [planned] = less["scheduled_changes"]
    assert (planned["type"], planned["due_at"]) == ("change", sub["period_end"])
    address = f"/v1/subscriptions/{sub['id']}/scheduled_changes/{planned['id']}"
    kept = (await api.call("DELETE", address, status=200)).json()
    assert kept["scheduled_changes"] == []
    assert (await api.call("DELETE", address, status=404)).json()["code"] == (
        "scheduled_change_not_found"
    )


async def test_a_price_is_added_and_another_plan_takes_over(api: Api, gateway) -> None:
    sub = await subscribed(api)
    [item] = sub["items"]
    body = {
        "items": [
            {"id": item["id"], "price_id": await price(api, 5000)},
            {"price_id": await price(api, 300), "quantity": 4},
        ],
        "when": "now",
        "settlement": "none",
    }
    changed = await act(api, sub, "change", body)
    assert [i["quantity"] for i in changed["items"]] == [2, 4]
    assert changed["items"][0]["id"] == item["id"]
    assert changed["latest_invoice_id"] == sub["latest_invoice_id"]
    assert changed["version"] > sub["version"]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"items": []}, "invalid_request", "items"),
        ({"items": [{}]}, "invalid_request", "items[0]"),
        ({"items": [{"id": UNKNOWN_ITEM}]}, "subscription_item_not_found", "items[0].id"),
        ({"items": [{"id": "{item}", "is_removed": True}]}, "invalid_request", "items"),
        (
            {"items": [{"id": "{item}", "is_removed": True, "quantity": 1}]},
            "invalid_request",
            "items[0]",
        ),
        ({"items": [{"price_id": "{price}", "is_removed": True}]}, "invalid_request", "items[0]"),
        (
            {"items": [{"id": "{item}", "quantity": 3}, {"id": "{item}", "quantity": 4}]},
            "invalid_request",
            "items[1].id",
        ),
        ({"items": [{"id": "{item}", "quantity": -1}]}, "invalid_request", "items[0].quantity"),
        (
            {"items": [{"id": "{item}", "quantity": 3}], "when": "now", "at": LATER},
            "invalid_request",
            None,
        ),
        ({"items": [{"id": "{item}", "quantity": 3}], "at": PAST}, "invalid_request", "at"),
        (
            {"items": [{"id": "{item}", "quantity": 3}], "settlement": "later"},
            "invalid_request",
            "settlement",
        ),
        ({"items": [{"price_id": "{dollars}"}], "when": "now"}, "invalid_request", None),
    ],
)
async def test_a_change_that_makes_no_sense_says_why(
    api: Api, gateway, body: dict, code: str, param: str | None
) -> None:
    sub = await subscribed(api)
    known = {
        "{item}": sub["items"][0]["id"],
        "{price}": sub["items"][0]["price_id"],
        "{dollars}": await price(api, 700, currency="USD"),
    }
    body = {
        name: [{k: known.get(v, v) for k, v in item.items()} for item in value]
        if name == "items"
        else value
        for name, value in body.items()
    }
    problem = await act(api, sub, "change", body, 422)
    assert problem["code"] == code, problem
    if param is not None:
        assert param in faults(problem), problem
    assert problem["detail"]
    again = (await api.get(f"/v1/subscriptions/{sub['id']}")).json()
    assert again["version"] == sub["version"]


@pytest.mark.parametrize("action", ["change", "pause", "resume", "trial", "cancel", "keep"])
async def test_every_action_heeds_the_version_that_was_seen(api: Api, gateway, action: str) -> None:
    sub = await subscribed(api)
    bodies = {"change": {"items": [{"id": sub["items"][0]["id"], "quantity": 5}]}}
    stale = {"If-Match": '"0"'}
    problem = await act(api, sub, action, bodies.get(action), 412, headers=stale)
    assert problem["code"] == "stale"
    again = (await api.get(f"/v1/subscriptions/{sub['id']}")).json()
    assert again["version"] == sub["version"]


async def test_taking_a_change_back_heeds_the_version_too(api: Api, gateway) -> None:
    sub = await subscribed(api)
    body = {"items": [{"id": sub["items"][0]["id"], "quantity": 5}], "at": LATER}
    planned = await act(api, sub, "change", body, headers={"If-Match": f'"{sub["version"]}"'})
    [change] = planned["scheduled_changes"]
    address = f"/v1/subscriptions/{sub['id']}/scheduled_changes/{change['id']}"
    for version, status in ((sub["version"], 412), (planned["version"], 200)):
        await api.call("DELETE", address, status=status, headers={"If-Match": f'"{version}"'})


async def test_paused_and_resumed(api: Api, gateway) -> None:
    sub = await subscribed(api)
    paused = await act(api, sub, "pause", {"invoices": "void", "resumes_at": LATER})
    assert paused["status"] == "paused"
    assert paused["pause"] == {
        "paused_at": "2030-01-31T12:00:00Z",
        "invoices": "void",
        "resumes_at": LATER,
    }
    assert paused["next_action_at"] == LATER
    again = await act(api, sub, "pause", {}, 409)
    assert again["code"] == "subscription_paused"
    resumed = await act(api, sub, "resume")
    assert (resumed["status"], resumed["pause"]) == ("active", None)
    assert (await act(api, sub, "resume", {}, 409))["code"] == "subscription_not_paused"


async def test_a_pause_at_the_period_s_end_is_a_scheduled_change(api: Api, gateway) -> None:
    sub = await subscribed(api)
    planned = await act(api, sub, "pause", {"when": "period_end"})
    assert planned["status"] == "active"
    [change] = planned["scheduled_changes"]
    assert (change["type"], change["due_at"]) == ("pause", sub["period_end"])


@pytest.mark.parametrize(
    "body",
    [
        {"resumes_at": PAST},
        {"unused": "credit", "invoices": "keep"},
        {"unused": "credit", "when": "period_end"},
        {"invoices": "burn"},
        {"until": LATER},
    ],
)
async def test_a_pause_that_makes_no_sense_says_why(api: Api, gateway, body: dict) -> None:
    problem = await act(api, await subscribed(api), "pause", body, 422)
    assert problem["detail"]


async def test_a_trial_is_made_longer_and_ended(api: Api, gateway) -> None:
    sub = await subscribed(api, trial_days=7)
    assert (sub["status"], sub["trial_end"]) == ("trialing", "2030-02-07T12:00:00Z")
    longer = await act(api, sub, "trial", {"trial_end": LATER})
    assert (longer["trial_end"], longer["period_end"], longer["anchor"]) == (LATER, LATER, LATER)
    await act(api, sub, "trial", {"trial_end": PAST}, 422)
    assert (await act(api, sub, "pause", {}, 409))["code"] == "subscription_trialing"
    ended = await act(api, sub, "trial")
    assert ended["trial_end"] == "2030-01-31T12:00:01Z"
    running = await subscribed(api, 1100)
    assert (await act(api, running, "trial", {}, 409))["code"] == "subscription_not_trialing"


async def test_the_boundaries_are_moved_as_previewed(api: Api, gateway) -> None:
    sub = await subscribed(api)
    to = {"billing_anchor": "2030-03-14T12:00:00Z"}
    ask = {"subscription_id": sub["id"], "move": to}
    seen = (await api.post("/v1/invoices/preview", ask, 200)).json()
    moved = await act(api, sub, "billing_anchor", to)
    assert (moved["anchor"], moved["period_end"]) == (to["billing_anchor"], to["billing_anchor"])
    # 14 of the 28 days from 14 February to 14 March, of 20.00.
    assert (await latest(api, moved))["total"] == 1000
    assert [invoice["total"] for invoice in seen["invoices"]] == [1000]
    problem = await act(api, moved, "billing_anchor", {"billing_anchor": PAST}, 422)
    assert faults(problem) == {"billing_anchor"}
    both = {"move": to, "cancel": {"when": "now"}}
    await api.post("/v1/invoices/preview", {"subscription_id": sub["id"], **both}, 422)


async def test_one_invoice_for_several_is_shown_as_that(api: Api, gateway) -> None:
    await api.patch("/v1/billing_settings", {"invoice_consolidation": "customer"})
    first = await subscribed(api)
    items = [{"price_id": await price(api, 333)}]
    body = {"customer_id": first["customer_id"], "items": items}
    second = (await api.post("/v1/subscriptions", body)).json()
    query = {"subscription_id": first["id"], "at": "2030-02-20T00:00:00Z"}
    next_ = (await api.post("/v1/invoices/preview", query, 200)).json()["next"]
    assert (next_["total"], len(next_["lines"])) == (2333, 2)
    assert {line["subscription_id"] for line in next_["lines"]} == {first["id"], second["id"]}


async def test_a_cancellation_is_planned_taken_back_and_done_with_credit(api: Api, gateway) -> None:
    sub = await subscribed(api)
    planned = await act(api, sub, "cancel")
    assert (planned["cancel_at_period_end"], planned["status"]) == (True, "active")
    kept = await act(api, sub, "keep")
    assert (kept["cancel_at_period_end"], kept["canceled_at"]) == (False, None)
    dated = await act(api, sub, "cancel", {"at": LATER})
    assert dated["cancel_at"] == LATER
    ended = await act(api, sub, "cancel", {"when": "now", "credit": "full"})
    assert (ended["status"], ended["ended_at"]) == ("canceled", "2030-01-31T12:00:00Z")
    buyer = (await api.get(f"/v1/customers/{sub['customer_id']}")).json()
    assert buyer["balances"] == [{"currency": "EUR", "amount": 2000}]
    for action in ("cancel", "keep", "pause"):
        assert (await act(api, sub, action, {}, 409))["code"] == "subscription_canceled"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"when": "now", "at": LATER}, 422),
        ({"when": "period_end", "credit": "prorated"}, 422),
        ({"credit": "full"}, 422),
        ({"at": LATER, "credit": "full"}, 422),
        ({"at": PAST}, 409),
        ({"when": "soon"}, 422),
    ],
)
async def test_a_cancellation_that_makes_no_sense_says_why(
    api: Api, gateway, body: dict, status: int
) -> None:
    problem = await act(api, await subscribed(api), "cancel", body, status)
    assert problem["detail"]


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"trial_days": 7, "trial_end": LATER}, None),
        ({"trial_end": PAST}, "trial_end"),
        ({"cancel_at": PAST}, "cancel_at"),
        ({"billing_anchor": "2031-01-01T00:00:00Z"}, "billing_anchor"),
        ({"cycles": 0}, "cycles"),
        ({"billing_settings": {"no_dial": "x"}}, "no_dial"),
        ({"billing_settings": {"upgrade": "never"}}, "upgrade"),
        ({"coupon_ids": ["cpn_01k9zs8m4vf1xr7c2n5q0d3tyb"]}, "coupon_ids[0]"),
        ({"promotion_codes": ["NOPE"]}, "promotion_codes[0]"),
    ],
)
async def test_a_beginning_that_makes_no_sense_says_why(
    api: Api, gateway, options: dict, param: str | None
) -> None:
    body = {
        "customer_id": await customer(api),
        "items": [{"price_id": await price(api, 1000)}],
    }
    problem = (await api.post("/v1/subscriptions", body | options, 422)).json()
    if param is not None:
        assert param in faults(problem), problem


async def test_its_own_billing_settings_are_shown_and_apply(api: Api, gateway) -> None:
    await api.patch("/v1/billing_settings", {"settlement": "none"})
    own = {"settlement": "invoice_now", "proration_basis": "day"}
    sub = await subscribed(api, billing_settings=own)
    assert sub["billing_settings"] == own
    plain = await subscribed(api, 1100)
    for given, lines in ((sub, 2), (plain, 1)):
        body = {"items": [{"id": given["items"][0]["id"], "quantity": 9}]}
        changed = await act(api, given, "change", body)
        assert len((await latest(api, changed))["lines"]) == lines


async def test_what_happened_is_told_with_what_was_before(api: Api, gateway) -> None:
    sub = await subscribed(api)
    body = {"items": [{"id": sub["items"][0]["id"], "quantity": 7}]}
    await act(api, sub, "change", body)
    await act(api, sub, "pause")
    events = (await api.get("/v1/events?limit=20")).json()["data"]
    [paused] = [e for e in events if e["type"] == "subscription.paused"]
    assert paused["data"]["object"]["pause"]["paused_at"] == "2030-01-31T12:00:00Z"
    [updated] = [e for e in events if e["type"] == "subscription.updated"]
    before = updated["data"]["previous_attributes"]["items"]
    assert [item["quantity"] for item in before] == [2]
    assert updated["data"]["object"]["items"][0]["quantity"] == 7
