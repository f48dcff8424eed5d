"""Payments over HTTP: what the customer is to do, giving up on it, and a person's word."""

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
    yield simulator
    simulator.clear_faults()


@pytest.fixture
async def waiting(gateway, api) -> dict:
    """A payment that waits for its customer."""
    customer = await api.new("customers", name="Ada")
    await api.new(
        "payment_methods",
        customer_id=customer["id"],
        gateway_reference="pm_sim_requires_action",
        make_default=True,
    )
    plan = await api.new("plans", code="pro", name="Pro")
    price = await api.new(
        "prices", plan_id=plan["id"], currency="EUR", interval="month", unit_amount=1000
    )
    items = [{"price_id": price["id"]}]
    await api.new("subscriptions", customer_id=customer["id"], items=items)
    [payment] = (await api.get("/v1/payments")).json()["data"]
    assert payment["status"] == "requires_action"
    return payment


async def test_the_shop_s_page_is_told_what_the_customer_is_to_do(waiting, api) -> None:
    action = (await api.get(f"/v1/payments/{waiting['id']}/action")).json()
    assert (action["object"], action["payment_id"]) == ("payment_action", waiting["id"])
    assert action["status"] == "requires_action"
    assert action["action_url"] == waiting["action_url"]
    assert action["client_secret"] in action["action_url"]


async def test_a_payment_that_is_given_up_waits_for_a_method(waiting, api) -> None:
    path = f"/v1/payments/{waiting['id']}"
    given_up = (await api.post(f"{path}/cancel", status=200)).json()
    assert given_up["status"] == "requires_payment_method"
    again = await api.post(f"{path}/cancel", status=409)
    assert again.json()["code"] == "payment_requires_payment_method"
    action = (await api.get(f"{path}/action")).json()
    assert (action["status"], action["action_url"]) == ("requires_payment_method", None)
    assert action["client_secret"] is None


async def test_giving_up_twice_with_one_key_is_giving_up_once(waiting, api) -> None:
    path, key = f"/v1/payments/{waiting['id']}/cancel", {"Idempotency-Key": "once"}
    first = await api.post(path, status=200, headers=key)
    again = await api.post(path, status=200, headers=key)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert first.json() == again.json()


async def test_a_person_s_word_is_not_taken_while_the_gateway_s_can_be_had(waiting, api) -> None:
    path = f"/v1/payments/{waiting['id']}/resolve"
    answer = await api.post(path, {"outcome": "not_executed"}, status=409)
    assert answer.json()["code"] == "payment_being_looked_up"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"outcome": "perhaps"}, "outcome"),
        ({"outcome": "succeeded"}, "gateway_reference"),
        ({"outcome": "not_executed", "gateway_reference": "ch_1"}, "gateway_reference"),
        ({}, "outcome"),
    ],
)
async def test_a_word_that_makes_no_sense_is_refused(waiting, api, body, param) -> None:
    answer = await api.post(f"/v1/payments/{waiting['id']}/resolve", body, status=422)
    assert param in answer.text


async def test_a_gateway_that_does_not_answer_is_said_to_be_away(waiting, api, simulator) -> None:
    simulator.set_fault("error_500_before", operations=["void", "lookup"])
    path = f"/v1/payments/{waiting['id']}"
    for answer in (
        await api.post(f"{path}/cancel", status=503),
        await api.get(f"{path}/action", status=503),
    ):
        assert answer.json()["code"] == "gateway_unavailable"
