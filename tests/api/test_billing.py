"""Subscriptions, invoices, payments and refunds through the API, with the simulator behind them."""

import pytest

pytestmark = pytest.mark.anyio


@pytest.fixture
async def gateway(simulator, administrator, api):
    """The simulator without faults, as the merchant's account."""
    simulator.clear_faults()
    await administrator.execute(
        "UPDATE gateway_accounts SET settings = json_build_object('base_url', $1::text)",
        simulator.url,
    )
    return simulator


async def price(api, **fields) -> str:
    plan = await api.new("plans", code=f"plan-{len(fields)}", name="Pro")
    terms = {"currency": "EUR", "interval": "month", "unit_amount": 1000} | fields
    return (await api.new("prices", plan_id=plan["id"], **terms))["id"]


async def customer(api, token: str | None = "pm_sim_ok") -> str:
    made = await api.new("customers", name="Ada")
    if token is not None:
        await api.new(
            "payment_methods", customer_id=made["id"], gateway_reference=token, make_default=True
        )
    return made["id"]


async def test_a_subscription_is_created_billed_and_paid_in_one_call(api, gateway) -> None:
    item = {"price_id": await price(api), "quantity": 3}
    body = {"customer_id": await customer(api), "items": [item], "metadata": {"a": "1"}}
    made = (await api.post("/v1/subscriptions", body)).json()
    assert made["status"] == "active"
    assert made["items"][0] == item | {"id": made["items"][0]["id"]}
    assert (made["period_start"], made["period_end"]) == (
        "2030-01-31T12:00:00Z",
        "2030-02-28T12:00:00Z",
    )
    path = f"/v1/subscriptions/{made['id']}?expand=latest_invoice,customer,payment_method"
    read = (await api.get(path)).json()
    invoice = read["latest_invoice"]
    assert read["customer"]["name"] == "Ada"
    assert (invoice["status"], invoice["total"], invoice["amount_remaining"]) == ("paid", 3000, 0)
    assert [(line["quantity"], line["amount"]) for line in invoice["lines"]] == [(3, 3000)]
    lines = (await api.get(f"/v1/invoices/{invoice['id']}/lines?expand=price")).json()["data"]
    assert [line["price"]["id"] for line in lines] == [item["price_id"]]
    (payment,) = (await api.get(f"/v1/payments?invoice_id={invoice['id']}")).json()["data"]
    assert (payment["status"], payment["amount_captured"]) == ("succeeded", 3000)
    assert (await api.get("/v1/ledger/trial_balance")).json()["balanced"]


async def test_a_declined_payment_is_402_with_the_reason(api, gateway) -> None:
    declined = await customer(api, "pm_sim_declined_insufficient_funds")
    body = {"customer_id": declined, "items": [{"price_id": await price(api)}]}
    made = (await api.post("/v1/subscriptions", body)).json()
    assert made["status"] == "incomplete"
    path = f"/v1/invoices/{made['latest_invoice_id']}"
    key = {"Idempotency-Key": "pay-1"}
    problem = (await api.post(f"{path}/pay", status=402, headers=key)).json()
    assert (problem["code"], problem["decline_code"]) == ("payment_declined", "insufficient_funds")
    again = await api.post(f"{path}/pay", status=402, headers=key)
    assert again.headers["idempotent-replayed"] == "true"
    good = await api.new("payment_methods", customer_id=declined, gateway_reference="pm_sim_ok_new")
    paid = await api.post(f"{path}/pay", {"payment_method_id": good["id"]}, status=200)
    assert paid.json()["status"] == "paid"
    assert (await api.get(f"/v1/subscriptions/{made['id']}")).json()["status"] == "active"
    await api.post(f"{path}/pay", status=409)


@pytest.mark.parametrize(
    ("action", "sent", "status", "afterwards"),
    [
        ("pay", {"paid_outside": True}, "paid", {"pay": 409, "void": 409}),
        ("void", {}, "void", {"pay": 409, "mark_uncollectible": 409}),
        ("mark_uncollectible", {}, "uncollectible", {"mark_uncollectible": 409, "void": 200}),
    ],
)
async def test_an_open_invoice_is_closed(api, gateway, action, sent, status, afterwards) -> None:
    body = {"customer_id": await customer(api, None), "items": [{"price_id": await price(api)}]}
    terms = {"collection_method": "send_invoice", "net_days": 14}
    made = (await api.post("/v1/subscriptions", body | terms)).json()
    path = f"/v1/invoices/{made['latest_invoice_id']}"
    assert (await api.get(path)).json()["status"] == "open"
    assert (await api.post(f"{path}/{action}", sent, status=200)).json()["status"] == status
    for further, answer in afterwards.items():
        await api.post(f"{path}/{further}", status=answer)
    assert (await api.get("/v1/ledger/trial_balance")).json()["balanced"]


async def test_a_subscription_is_canceled_kept_and_canceled_now(api, gateway) -> None:
    body = {"customer_id": await customer(api), "items": [{"price_id": await price(api)}]}
    made = (await api.post("/v1/subscriptions", body)).json()
    path = f"/v1/subscriptions/{made['id']}"
    assert (await api.post(f"{path}/cancel", status=200)).json()["cancel_at_period_end"]
    assert not (await api.post(f"{path}/keep", status=200)).json()["cancel_at_period_end"]
    gone = (await api.post(f"{path}/cancel", {"when": "now"}, status=200)).json()
    assert (gone["status"], gone["next_action_at"]) == ("canceled", None)
    await api.post(f"{path}/cancel", {"when": "now"}, status=409)
    await api.call("DELETE", f"/v1/customers/{made['customer_id']}", status=200)


async def test_a_customer_with_a_running_subscription_stays(api, gateway) -> None:
    body = {"customer_id": await customer(api), "items": [{"price_id": await price(api)}]}
    made = (await api.post("/v1/subscriptions", body)).json()
    kept = await api.call("DELETE", f"/v1/customers/{made['customer_id']}", status=409)
    assert kept.json()["code"] == "customer_has_subscriptions"


async def test_a_subscription_is_changed_only_from_the_version_that_was_seen(api, gateway) -> None:
    body = {"customer_id": await customer(api), "items": [{"price_id": await price(api)}]}
    body["metadata"] = {"a": "1", "b": "2"}
    made = (await api.post("/v1/subscriptions", body)).json()
    path = f"/v1/subscriptions/{made['id']}"
    tag = (await api.get(path)).headers["etag"]
    changed = await api.patch(path, {"metadata": {"a": None, "c": "3"}}, headers={"If-Match": tag})
    assert changed.json()["metadata"] == {"b": "2", "c": "3"}
    stale = await api.patch(
        path, {"cancel_at_period_end": True}, status=412, headers={"If-Match": tag}
    )
    assert stale.json()["code"] == "stale"


async def test_a_payment_is_refunded_up_to_what_was_captured(api, gateway) -> None:
    body = {"customer_id": await customer(api), "items": [{"price_id": await price(api)}]}
    made = (await api.post("/v1/subscriptions", body)).json()
    (payment,) = (await api.get("/v1/payments")).json()["data"]
    key = {"Idempotency-Key": "refund-1"}
    refund = {"payment_id": payment["id"], "amount": 400, "reason": "goodwill"}
    first = (await api.post("/v1/refunds", refund, headers=key)).json()
    again = (await api.post("/v1/refunds", refund, headers=key)).json()
    assert (first["status"], first["id"]) == ("succeeded", again["id"])
    too_much = await api.post("/v1/refunds", refund | {"amount": 601}, status=422)
    assert too_much.json()["param"] == "amount"
    for bad in (0, -1, "5", 1.5):
        await api.post("/v1/refunds", refund | {"amount": bad}, status=422)
    rest = (await api.post("/v1/refunds", {"payment_id": payment["id"]})).json()
    assert rest["amount"] == 600
    path = f"/v1/refunds?payment_id={payment['id']}&expand=payment"
    listed = (await api.get(path)).json()["data"]
    assert [item["payment"]["amount_refunded"] for item in listed] == [1000, 1000]
    assert made["latest_invoice_id"] == payment["invoice_id"]


async def test_a_test_clock_is_sent_forward(api, gateway, rt) -> None:
    from app.services import test_clocks

    clock = await api.new("test_clocks", frozen_at="2030-01-31T00:00:00Z", name="Try")
    made = await api.new("customers", test_clock_id=clock["id"])
    await api.new(
        "payment_methods",
        customer_id=made["id"],
        gateway_reference="pm_sim_ok",
        make_default=True,
    )
    items = [{"price_id": await price(api)}]
    await api.new("subscriptions", customer_id=made["id"], items=items)
    path = f"/v1/test_clocks/{clock['id']}"
    target = {"frozen_at": "2030-04-01T00:00:00Z"}
    assert (await api.post(f"{path}/advance", target, status=202)).json()["status"] == "advancing"
    await api.post(f"{path}/advance", target, status=409)
    await test_clocks.advance_all(rt)
    assert (await api.get(path)).json()["status"] == "ready"
    invoices = (await api.get(f"/v1/invoices?customer_id={made['id']}")).json()["data"]
    assert [invoice["period_start"] for invoice in invoices] == [
        "2030-03-31T00:00:00Z",
        "2030-02-28T00:00:00Z",
        "2030-01-31T00:00:00Z",
    ]
    await api.post(f"{path}/advance", {"frozen_at": "2030-01-01T00:00:00Z"}, status=422)


async def test_a_payment_method_in_use_stays_attached(api, gateway) -> None:
    ada = await customer(api)
    card = (await api.get(f"/v1/payment_methods?customer_id={ada}")).json()["data"][0]["id"]
    body = {"customer_id": ada, "items": [{"price_id": await price(api)}]}
    await api.post("/v1/subscriptions", body | {"payment_method_id": card})
    kept = await api.post(f"/v1/payment_methods/{card}/detach", status=409)
    assert kept.json()["code"] == "payment_method_in_use"
