"""A person's word on a refund, over HTTP."""

import pytest

pytestmark = pytest.mark.anyio


@pytest.fixture
async def refund(simulator, administrator, api) -> dict:
    """A refund whose outcome the gateway has not told yet."""
    simulator.clear_faults()
    await administrator.execute(
        "UPDATE gateway_accounts SET settings = json_build_object('base_url', $1::text)",
        simulator.url,
    )
    customer = await api.new("customers", name="Ada")
    method = {"gateway_reference": "pm_sim_ok", "make_default": True}
    await api.new("payment_methods", customer_id=customer["id"], **method)
    plan = await api.new("plans", code="pro", name="Pro")
    terms = {"currency": "EUR", "interval": "month", "unit_amount": 1000}
    price = await api.new("prices", plan_id=plan["id"], **terms)
    items = [{"price_id": price["id"]}]
    await api.new("subscriptions", customer_id=customer["id"], items=items)
    [payment] = (await api.get("/v1/payments")).json()["data"]
    simulator.set_fault("error_500_before", count=1, operations=["refund"])
    made = await api.new("refunds", payment_id=payment["id"], amount=400)
    assert made["status"] == "unknown"
    return made


async def test_a_person_s_word_is_not_taken_while_the_gateway_s_can_be_had(refund, api) -> None:
    path = f"/v1/refunds/{refund['id']}/resolve"
    answer = await api.post(path, {"outcome": "not_executed"}, status=409)
    assert answer.json()["code"] == "refund_being_looked_up"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_word_is_taken_once_and_answered_again(refund, api, administrator) -> None:
    await administrator.execute(
        "UPDATE refunds SET look_up_at = NULL, created_at = created_at - interval '9 days'"
    )
    path, key = f"/v1/refunds/{refund['id']}/resolve", {"Idempotency-Key": "once"}
    word = {"outcome": "not_executed"}
    first = await api.post(path, word, status=200, headers=key)
    again = await api.post(path, word, status=200, headers=key)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert first.json() == again.json()
    assert first.json()["status"] == "failed"
    second = await api.post(path, word, status=409)
    assert second.json()["code"] == "refund_failed"
    [payment] = (await api.get("/v1/payments")).json()["data"]
    whole = await api.new("refunds", payment_id=payment["id"])
    assert (whole["status"], whole["amount"]) == ("succeeded", 1000)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"outcome": "perhaps"}, "outcome"),
        ({"outcome": "succeeded"}, "gateway_reference"),
        ({"outcome": "not_executed", "gateway_reference": "re_1"}, "gateway_reference"),
        ({}, "outcome"),
    ],
)
async def test_a_word_that_makes_no_sense_is_refused(refund, api, body, param) -> None:
    answer = await api.post(f"/v1/refunds/{refund['id']}/resolve", body, status=422)
    assert param in answer.text


async def test_a_gateway_that_does_not_answer_is_said_to_be_away(
    refund, api, simulator, administrator
) -> None:
    await administrator.execute("UPDATE refunds SET look_up_at = NULL")
    simulator.set_fault("error_500_before", operations=["lookup"])
    path = f"/v1/refunds/{refund['id']}/resolve"
    for body in ({"outcome": "not_executed"}, {"outcome": "succeeded", "gateway_reference": "re"}):
        answer = await api.post(path, body, status=503)
        assert answer.json()["code"] == "gateway_unavailable"
