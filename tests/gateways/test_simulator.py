"""The simulator itself: strict at the door, honest in its books, and predictable in its faults."""

import asyncio
from typing import Any

import httpx
import pytest

from app import ids
from app.simulator.behaviour import AFTER_DECLINES, STEMS
from tests.simulator import ROOT, SECRET, SimulatorProcess


def body(token: str = "pm_sim_ok", **changes: Any) -> dict[str, Any]:
    reference = ids.show("att", ids.new_id())
    charge = {"reference": reference, "amount": 1000, "currency": "EUR", "payment_method": token}
    return charge | changes


def charge(
    simulator: SimulatorProcess, content: dict[str, Any], key: str | None = None
) -> httpx.Response:
    headers = {"Idempotency-Key": key or str(content["reference"])}
    return simulator.client.post("/v1/charges", json=content, headers=headers)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": -5}, "amount"),
        ({"amount": 10.5}, "amount"),
        ({"amount": "1000"}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": 10**13}, "amount"),
        ({"currency": "eur"}, "currency"),
        ({"currency": "EURO"}, "currency"),
        ({"reference": ""}, "reference"),
        ({"reference": "x" * 41}, "reference"),
        ({"card_number": "4242424242424242"}, "card_number"),
        ({"payment_method": "4242424242424242"}, "payment_method"),
        ({"ammount": 5}, "ammount"),
    ],
)
def test_what_it_does_not_understand_it_refuses(
    simulator: SimulatorProcess, changes: dict[str, Any], param: str
) -> None:
    answer = charge(simulator, body(**changes), key=ids.show("att", ids.new_id()))
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert "4242424242424242" not in answer.text


def test_every_call_needs_the_secret_and_every_charge_a_key(simulator: SimulatorProcess) -> None:
    keyless = simulator.client.post("/v1/charges", json=body())
    assert keyless.status_code == 400
    assert keyless.json()["error"]["code"] == "idempotency_key_required"
    for path in ("/v1/charges?reference=x", "/v1/ledger", "/v1/faults", "/v1/account"):
        for secret in ("", "Bearer wrong", f"Basic {SECRET}"):
            answer = simulator.client.get(path, headers={"Authorization": secret})
            assert answer.status_code == 401


def test_a_replay_says_so_and_another_body_is_refused(simulator: SimulatorProcess) -> None:
    content = body()
    first, again = charge(simulator, content), charge(simulator, content)
    other = charge(simulator, content | {"amount": 1001})

    assert first.content == again.content
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert other.status_code == 422
    assert other.json()["error"]["code"] == "idempotency_key_reused"


async def test_a_key_that_is_still_running_is_a_conflict(simulator: SimulatorProcess) -> None:
    content = body()
    headers = {"Idempotency-Key": content["reference"], "Authorization": f"Bearer {SECRET}"}
    simulator.set_fault("latency", delay_ms=200)
    async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as client:
        answers = await asyncio.gather(
            *(client.post("/v1/charges", json=content, headers=headers) for _ in range(5))
        )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert simulator.charged(content["reference"]) == 1000


def test_a_token_can_succeed_after_some_declines(simulator: SimulatorProcess) -> None:
    token = f"pm_sim_succeeds_after_2_declines_{ids.show('cus', ids.new_id())}"
    answers = [charge(simulator, body(token)).json()["status"] for _ in range(4)]
    assert answers == ["declined", "declined", "succeeded", "succeeded"]


@pytest.mark.parametrize(
    ("token", "status"),
    [
        ("pm_sim_ok_4711", "succeeded"),
        ("pm_sim_declined_fraud_4711", "declined"),
        ("pm_sim_okay", "declined"),
        ("pm_unknown", "declined"),
    ],
)
def test_a_token_with_a_suffix_behaves_like_its_stem(
    simulator: SimulatorProcess, token: str, status: str
) -> None:
    assert charge(simulator, body(token)).json()["status"] == status


def test_the_vault_makes_tokens_and_forgets_them(simulator: SimulatorProcess) -> None:
    token = simulator.payment_method("pm_sim_declined_expired")
    assert charge(simulator, body(token)).json()["decline_code"] == "expired"

    assert simulator.client.delete(f"/v1/payment_methods/{token}").is_success

    assert charge(simulator, body(token)).json()["decline_code"] == "invalid_payment_method"
    unknown = {"behaves_like": "pm_sim_whatever"}
    assert simulator.client.post("/v1/payment_methods", json=unknown).status_code == 400


def test_the_token_that_times_out_has_moved_money_and_answers_a_replay(
    simulator: SimulatorProcess,
) -> None:
    content = body("pm_sim_timeout")
    with pytest.raises(httpx.ReadTimeout):
        simulator.client.post(
            "/v1/charges",
            json=content,
            headers={"Idempotency-Key": content["reference"]},
            timeout=0.5,
        )
    assert simulator.charged(content["reference"]) == 1000
    assert charge(simulator, content).status_code == 201


def test_a_counted_fault_strikes_so_often_and_no_more(simulator: SimulatorProcess) -> None:
    simulator.set_fault("error_500_before", count=2)
    assert [charge(simulator, body()).status_code for _ in range(4)] == [500, 500, 201, 201]


def test_a_fault_can_be_limited_to_one_token(simulator: SimulatorProcess) -> None:
    simulator.set_fault("decline", payment_method="pm_sim_ok_poor", decline_code="fraud")
    assert charge(simulator, body("pm_sim_ok_poor")).status_code == 402
    assert charge(simulator, body("pm_sim_ok_rich")).status_code == 201


def test_the_same_seed_brings_the_same_faults_in_any_order(simulator: SimulatorProcess) -> None:
    contents = [body() for _ in range(40)]

    def struck(seed: int, order: list[dict[str, Any]]) -> set[str]:
        simulator.set_fault("error_429", probability=0.5, seed=seed)
        refused = (item for item in order if charge(simulator, item).status_code == 429)
        return {str(item["reference"]) for item in refused}

    first = struck(1, contents)
    assert 5 < len(first) < 35
    assert struck(1, contents[::-1]) == first
    assert struck(2, contents) != first


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "thunder"},
        {"kind": "decline"},
        {"kind": "latency", "delay_ms": 30_001},
        {"kind": "error_429", "probability": 1.1},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(
    simulator: SimulatorProcess, fault: dict[str, Any]
) -> None:
    answer = simulator.client.put("/v1/faults", json={"faults": [fault]})
    assert answer.status_code == 400
    assert simulator.request("GET", "/v1/faults")["faults"] == []


def test_the_ledger_pages_through_everything_once(simulator: SimulatorProcess) -> None:
    references = [body() for _ in range(7)]
    for content in references:
        charge(simulator, content)
    seen: list[str] = []
    cursor: str | None = "0"
    while cursor is not None:
        params = {"limit": 3, "after": cursor}
        page = simulator.request("GET", "/v1/ledger", params=params)["transactions"]
        assert len(page["data"]) <= 3
        seen += [row["reference"] for row in page["data"]]
        cursor = page["next_cursor"]
    assert seen[-7:] == [content["reference"] for content in references]
    assert [row["reference"] for row in simulator.ledger()["transactions"]] == seen


def test_the_books_are_in_minor_units_by_currency(simulator: SimulatorProcess) -> None:
    before = simulator.ledger()["totals"].get("KWD", {"charged": 0, "charges": 0})
    charge(simulator, body(amount=12_345, currency="KWD"))
    after = simulator.ledger()["totals"]["KWD"]
    assert after["charged"] - before["charged"] == 12_345
    assert after["charges"] - before["charges"] == 1


def test_the_manual_names_every_token_and_every_fault() -> None:
    manual = (ROOT / "docs" / "simulator.md").read_text()
    from app.simulator.faults import Kind

    missing = [word for word in [*STEMS, *Kind] if f"`{word}`" not in manual]
    assert not missing
    assert AFTER_DECLINES.match("pm_sim_succeeds_after_3_declines")
