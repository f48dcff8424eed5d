"""Previews, simulations, explanations, the past and advice, over HTTP."""

import pytest

from tests.api.conftest import Api, Shop

pytestmark = pytest.mark.anyio

NOW, LATER = "2030-01-31T12:00:00Z", "2030-03-15T00:00:00Z"


async def count(administrator) -> dict[str, int]:
    tables = await administrator.fetch(
        "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'"
    )
    return {
        table["name"]: await administrator.fetchval(f"SELECT count(*) FROM {table['name']}")
        for table in tables
    }


async def test_a_preview_is_answered_and_nothing_is_stored(shop: Shop, administrator) -> None:
    before = await count(administrator)
    create = {
        "customer_id": shop["customer"],
        "items": [{"price_id": shop["price"], "quantity": 3}],
        "tax_rate_ids": [shop["tax_rate"]],
        "promotion_codes": [],
    }
    found = (await shop.api.post("/v1/invoices/preview", {"create": create}, 200)).json()
    [invoice] = found["invoices"]
    # 3 × 10.00 with 19 % on top.
    assert (invoice["subtotal"], invoice["tax_total"], invoice["total"]) == (3000, 570, 3570)
    assert invoice["lines"][0]["taxes"][0]["percentage"] == "19"
    assert found["next"]["total"] == 3570
    assert found["subscription"]["id"] is None
    assert await count(administrator) == before


async def test_a_change_and_a_cancellation_are_previewed(shop: Shop) -> None:
    about = {"subscription_id": shop["subscription"]}
    items = (await shop.api.get(f"/v1/subscriptions/{shop['subscription']}")).json()["items"]
    change = {"items": [{"id": items[0]["id"], "quantity": 5}], "when": "now"}
    found = (await shop.api.post("/v1/invoices/preview", about | {"change": change}, 200)).json()
    assert [line["quantity"] for line in found["invoices"][0]["lines"]] == [2, 5]
    cancel = {"when": "now", "credit": "full"}
    found = (await shop.api.post("/v1/invoices/preview", about | {"cancel": cancel}, 200)).json()
    assert found["subscription"]["status"] == "canceled"
    assert found["invoices"][0]["total"] < 0
    assert found["next"] is None
    later = (await shop.api.post("/v1/invoices/preview", about | {"at": LATER}, 200)).json()
    assert (later["invoices"], later["next"]["period_start"]) == ([], "2030-03-31T12:00:00Z")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"subscription_id": "sub_x"},
        {"at": NOW},
        {"create": {"items": []}},
        {"unknown": 1},
    ],
)
async def test_a_preview_of_nonsense_is_refused(shop: Shop, body: dict) -> None:
    answer = await shop.api.post("/v1/invoices/preview", body, 422)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_what_is_refused_for_real_is_refused_in_a_preview(shop: Shop) -> None:
    about = {"subscription_id": shop["subscription"]}
    for wrong in (
        {"change": {"items": [{"price_id": "price_01k9zs8m4vf1xr7c2n5q0d3tyb"}]}},
        {"at": "2020-01-01T00:00:00Z"},
        {"at": "2100-01-01T00:00:00Z"},
        {"change": {"items": [{"quantity": 2}]}, "cancel": {}},
    ):
        await shop.api.post("/v1/invoices/preview", about | wrong, 422)
    gone = {"subscription_id": "sub_01k9zs8m4vf1xr7c2n5q0d3tyb"}
    await shop.api.post("/v1/invoices/preview", gone, 422)


async def test_a_simulation_plays_its_script(shop: Shop, administrator) -> None:
    before = await count(administrator)
    items = (await shop.api.get(f"/v1/subscriptions/{shop['subscription']}")).json()["items"]
    body = {
        "subscription_id": shop["subscription"],
        "months": 6,
        "script": [
            {
                "at": "2030-03-10T00:00:00Z",
                "do": "change",
                "change": {"items": [{"id": items[0]["id"], "quantity": 4}], "when": "period_end"},
            },
            {"at": "2030-04-10T00:00:00Z", "do": "fail_payment", "times": 1},
            {
                "at": "2030-05-10T00:00:00Z",
                "do": "new_price",
                "price_id": shop["price"],
                "percent_change": "-50",
                "when": "period_end",
            },
            {"at": "2030-06-10T00:00:00Z", "do": "resume"},
            {"at": "2030-07-10T00:00:00Z", "do": "cancel", "cancel": {"when": "period_end"}},
        ],
    }
    found = (await shop.api.post("/v1/simulations", body, 200)).json()
    assert await count(administrator) == before
    assert [invoice["lines"][0]["quantity"] for invoice in found["invoices"]] == [2, 4, 4, 4, 4]
    assert [invoice["lines"][0]["amount"] for invoice in found["invoices"]] == [
        *(2000, 4000, 4000),
        *(2000, 2000),
    ]
    types = [each["type"] for each in found["timeline"]]
    assert {"script.change", "script.resume.refused", "payment.failed"} <= set(types)
    assert found["subscriptions"][0]["status"] == "canceled"
    assert found["balanced"] is True
    assert sum(month["billed"] for month in found["months"]) == sum(
        invoice["total"] for invoice in found["invoices"]
    )


@pytest.mark.parametrize(
    "body",
    [
        {"months": 37},
        {"months": 1, "until": LATER},
        {"script": [{"do": "dance", "at": LATER}]},
        {"script": [{"do": "resume"}]},
        {"script": [{"do": "resume", "at": "2029-01-01T00:00:00Z"}]},
        {"script": [{"do": "new_price", "at": LATER, "price_id": "price_x"}]},
        {"script": [{"do": "fail_payment", "at": LATER, "times": 0}]},
        {"script": [{"do": "fail_payment", "at": LATER, "decline": "perhaps"}]},
    ],
)
async def test_a_script_of_nonsense_is_refused(shop: Shop, body: dict) -> None:
    await shop.api.post("/v1/simulations", body, 422)


async def test_a_simulation_names_the_methods_of_its_payments(shop: Shop) -> None:
    body = {
        "subscription_id": shop["subscription"],
        "months": 2,
        "script": [
            {
                "at": NOW,
                "do": "fail_payment",
                "payment_method_id": shop["payment_method"],
                "decline": "hard",
            }
        ],
    }
    found = (await shop.api.post("/v1/simulations", body, 200)).json()
    methods = {each["type"]: each["payment_method_id"] for each in found["timeline"]}
    assert methods["payment.failed"] == shop["payment_method"]
    assert methods["script.fail_payment"] is None
    # It will not work again: in the second month it is not asked.
    assert [each["type"] for each in found["timeline"]].count("payment.failed") == 1
    body["script"][0]["payment_method_id"] = "pm_01k9zs8m4vf1xr7c2n5q0d3tyb"
    refused = (await shop.api.post("/v1/simulations", body, 422)).json()
    assert refused["code"] == "payment_method_not_found"


async def test_new_customers_are_simulated_too(shop: Shop) -> None:
    create = {"customer_id": shop["customer"], "items": [{"price_id": shop["price"]}]}
    script = [{"do": "subscribe", "at": "2030-02-10T00:00:00Z", "create": create}]
    found = (await shop.api.post("/v1/simulations", {"months": 2, "script": script}, 200)).json()
    new = [invoice for invoice in found["invoices"] if invoice["subscription_id"] == "new_1"]
    assert [invoice["total"] for invoice in new] == [1000, 1000]


async def test_a_line_explains_itself_and_is_verified(shop: Shop) -> None:
    path = f"/v1/invoices/{shop['invoice']}/lines/{shop['line']}/explanation"
    found = (await shop.api.get(path)).json()
    assert (found["verified"], found["differences"]) == (None, [])
    assert found["steps"][0]["formula"] == "2 × 1000 = 2000"
    assert found["inputs"]["coupons"][0]["percent_off"] == "10"
    assert {event["type"] for event in found["events"]} >= {"invoice.finalized"}
    assert (await shop.api.get(f"{path}?verify=true")).json()["verified"] is True
    await shop.api.get(f"{path}?verify=perhaps", 422)
    other = f"/v1/invoices/{shop['invoice']}/lines/il_01k9zs8m4vf1xr7c2n5q0d3tyb/explanation"
    await shop.api.get(other, 404)


async def test_a_subscription_as_it_was(shop: Shop, rt) -> None:
    path = f"/v1/subscriptions/{shop['subscription']}"
    rt.clock.at = rt.clock.at.replace(hour=13)
    await shop.api.post(f"{path}/cancel", {"when": "now"}, 200)
    now = (await shop.api.get(path)).json()
    then = (await shop.api.get(f"{path}?as_of={NOW}")).json()
    assert (now["status"], then["status"]) == ("canceled", "active")
    assert then["items"] == now["items"]
    assert then["as_of"] == NOW
    early = await shop.api.get(f"{path}?as_of=2029-01-01T00:00:00Z", 404)
    assert early.json()["code"] == "not_there_yet"
    future = await shop.api.get(f"{path}?as_of=2040-01-01T00:00:00Z", 422)
    assert future.json()["code"] == "as_of_in_future"
    await shop.api.get(f"{path}?as_of=yesterday", 422)
    await shop.api.get(f"/v1/invoices/{shop['invoice']}?as_of={NOW}", 422)


async def test_credit_and_entitlements_as_they_were(shop: Shop, rt) -> None:
    path = f"/v1/customers/{shop['customer']}"
    before = (await shop.api.get(f"{path}/balances")).json()["balances"]
    rt.clock.at = rt.clock.at.replace(hour=13)
    moved = {"amount": 700, "currency": "EUR"}
    await shop.api.post(f"{path}/balance_transactions", moved)
    await shop.api.post(f"/v1/subscriptions/{shop['subscription']}/cancel", {"when": "now"}, 200)
    after = (await shop.api.get(f"{path}/balances")).json()["balances"]
    assert after == (await shop.api.get(path)).json()["balances"]
    assert after[0]["amount"] == sum(b["amount"] for b in before) + 700
    assert (await shop.api.get(f"{path}/balances?as_of={NOW}")).json()["balances"] == before
    entitled = f"{path}/entitlements"
    assert (await shop.api.get(entitled)).json()["data"] == []
    [seats] = (await shop.api.get(f"{entitled}?as_of={NOW}")).json()["data"]
    assert (seats["key"], seats["value"]) == ("seats", 5)
    of_sub = f"/v1/subscriptions/{shop['subscription']}/entitlements?as_of={NOW}"
    assert (await shop.api.get(of_sub)).json()["data"] == [seats]
    await shop.api.get(f"{path}/balances?as_of=2029-01-01T00:00:00Z", 404)


async def test_advice_finds_the_cheaper_plan(shop: Shop) -> None:
    plan = await shop.api.new("plans", code="team", name="Team", rank=1)
    flat = {"plan_id": plan["id"], "currency": "EUR", "interval": "month", "model": "flat"}
    price = await shop.api.new("prices", **flat, unit_amount=1500)
    path = f"/v1/subscriptions/{shop['subscription']}/advice"
    found = (await shop.api.get(path)).json()
    [item] = found["items"]
    assert (item["best_price_id"], found["saving"]) == (price["id"], 500)
    option = item["options"][0]
    assert (option["direction"], option["features_lost"]) == ("up", ["seats"])
    await shop.api.get(f"{path}?periods=0", 422)
    await shop.api.get("/v1/subscriptions/sub_01k9zs8m4vf1xr7c2n5q0d3tyb/advice", 404)


async def test_another_merchant_sees_nothing_of_it(shop: Shop, other: Api) -> None:
    sub, invoice, customer = shop["subscription"], shop["invoice"], shop["customer"]
    for path in (
        f"/v1/invoices/{invoice}/lines/{shop['line']}/explanation",
        f"/v1/subscriptions/{sub}?as_of={NOW}",
        f"/v1/subscriptions/{sub}/advice",
        f"/v1/subscriptions/{sub}/entitlements?as_of={NOW}",
        f"/v1/customers/{customer}/balances",
        f"/v1/customers/{customer}/entitlements?as_of={NOW}",
    ):
        await other.get(path, 404)
    create = {"customer_id": customer, "items": [{"price_id": shop["price"]}]}
    repriced = {"do": "new_price", "at": LATER, "price_id": shop["price"], "unit_amount": "1"}
    for path, body in (
        ("/v1/invoices/preview", {"subscription_id": sub}),
        ("/v1/invoices/preview", {"create": create}),
        ("/v1/simulations", {"subscription_id": sub}),
        ("/v1/simulations", {"customer_id": customer}),
        ("/v1/simulations", {"script": [{"do": "subscribe", "at": LATER, "create": create}]}),
        ("/v1/simulations", {"script": [repriced]}),
    ):
        await other.post(path, body, 422)
    nothing = (await other.post("/v1/simulations", {}, 200)).json()
    assert (nothing["invoices"], nothing["subscriptions"]) == ([], [])
