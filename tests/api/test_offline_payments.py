"""Payments recorded by hand, charges of a part, and refunds that no gateway makes, over HTTP."""

import pytest

from tests.api.conftest import Shop

pytestmark = pytest.mark.anyio


@pytest.fixture
async def invoice(shop: Shop) -> dict:
    """An invoice that was sent: 50.00, all of it due."""
    body = {
        "customer_id": shop["customer"],
        "currency": "USD",
        "items": [{"amount": 5000, "description": "Work"}],
        "collection_method": "send_invoice",
    }
    made = (await shop.api.post("/v1/invoices", body)).json()
    assert (made["status"], made["amount_remaining"]) == ("open", 5000)
    return made


async def test_a_transfer_is_recorded_shown_and_taken_back(shop: Shop, invoice: dict) -> None:
    api = shop.api
    came = {
        "invoice_id": invoice["id"],
        "method": "bank_transfer",
        "amount": 2000,
        "received_at": "2026-01-05T00:00:00Z",
        "reference": "BANK-4711",
        "note": "From Ada's other account",
    }
    payment = (await api.post("/v1/payments", came)).json()
    assert (payment["kind"], payment["status"]) == ("offline", "succeeded")
    assert {key: payment[key] for key in ("amount", "amount_captured", "amount_to_balance")} == {
        "amount": 2000,
        "amount_captured": 2000,
        "amount_to_balance": 0,
    }
    assert [payment[key] for key in ("offline_method", "reference", "note", "received_at")] == [
        came[key] for key in ("method", "reference", "note", "received_at")
    ]
    assert payment["payment_method_id"] is None
    due = (await api.get(f"/v1/invoices/{invoice['id']}")).json()
    assert (due["status"], due["amount_paid"], due["amount_remaining"]) == ("open", 2000, 3000)
    for query in ("kind=offline", "reference=BANK-4711"):
        listed = (await api.get(f"/v1/payments?{query}")).json()["data"]
        assert [one["id"] for one in listed] == [payment["id"]]
    path = f"/v1/payments/{payment['id']}/reverse"
    undone = (await api.post(path, {"reason": "Another Ada"}, 200)).json()
    assert (undone["status"], undone["reversal_reason"]) == ("reversed", "Another Ada")
    assert undone["amount_captured"] == 0
    again = await api.post(path, status=409)
    assert again.json()["code"] == "payment_reversed"
    due = (await api.get(f"/v1/invoices/{invoice['id']}")).json()
    assert (due["amount_paid"], due["amount_remaining"]) == (0, 5000)


async def test_what_cannot_be_recorded_says_why(shop: Shop, invoice: dict) -> None:
    api = shop.api
    came = {"invoice_id": invoice["id"], "method": "cheque", "reference": "CHQ-1"}
    too_much = (await api.post("/v1/payments", came | {"amount": 5001}, 422)).json()
    assert (too_much["code"], too_much["param"]) == ("payment_exceeds_remaining", "amount")
    for wrong in ({"amount": 0}, {"method": "barter"}, {"reference": ""}, {"amount": "1"}):
        await api.post("/v1/payments", came | wrong, 422)
    more = {"amount": 5500, "overpayment": "to_balance"}
    paid = (await api.post("/v1/payments", came | more)).json()
    assert paid["amount_to_balance"] == 500
    known = (await api.post("/v1/payments", came, 409)).json()
    assert known["code"] == "invoice_paid"
    refund = {"payment_id": paid["id"]}
    nowhere = (await api.post("/v1/refunds", refund, 422)).json()
    assert (nowhere["code"], nowhere["param"]) == ("refund_destination_required", "destination")
    made = (await api.post("/v1/refunds", refund | {"destination": "outside"})).json()
    assert (made["status"], made["amount"], made["destination"]) == ("succeeded", 5000, "outside")
    late = (await api.post(f"/v1/payments/{paid['id']}/reverse", status=409)).json()
    assert late["code"] == "payment_refunded"


async def test_recording_twice_with_one_key_is_recording_once(shop: Shop, invoice: dict) -> None:
    came = {"invoice_id": invoice["id"], "method": "cash", "amount": 100}
    key = {"Idempotency-Key": "till-7"}
    first = await shop.api.post("/v1/payments", came, headers=key)
    again = await shop.api.post("/v1/payments", came, headers=key)
    assert again.json() == first.json()
    due = (await shop.api.get(f"/v1/invoices/{invoice['id']}")).json()
    assert due["amount_paid"] == 100


async def test_a_part_is_charged_over_http(shop: Shop, simulator, administrator) -> None:
    simulator.clear_faults()
    api = shop.api
    customer = await api.new("customers", name="Grace")
    body = {"currency": "EUR", "items": [{"amount": 900, "description": "Work"}]}
    sent = {"customer_id": customer["id"], "collection_method": "send_invoice"}
    invoice = (await api.post("/v1/invoices", body | sent)).json()
    await api.new(
        "payment_methods",
        customer_id=customer["id"],
        gateway_reference="pm_sim_ok_part",
        make_default=True,
    )
    path = f"/v1/invoices/{invoice['id']}/pay"
    await api.post(path, {"amount": 901}, 422)
    await api.post(path, {"amount": 100, "paid_outside": True}, 422)
    part = (await api.post(path, {"amount": 400}, 200)).json()
    assert (part["status"], part["amount_paid"], part["amount_remaining"]) == ("open", 400, 500)
    whole = (await api.post(path, {}, 200)).json()
    assert (whole["status"], whole["amount_paid"]) == ("paid", 900)
    listed = (await api.get(f"/v1/payments?invoice_id={invoice['id']}")).json()["data"]
    assert [(one["status"], one["amount"]) for one in listed] == [
        ("succeeded", 500),
        ("succeeded", 400),
    ]


async def test_a_key_that_only_reads_records_nothing(shop: Shop, invoice: dict) -> None:
    key = await shop.api.new("api_keys", name="Reader", scopes=["payments:read"])
    came = {"invoice_id": invoice["id"], "method": "cash"}
    headers = {"Authorization": f"Bearer {key['secret']}"}
    refused = await shop.api.post("/v1/payments", came, 403, headers=headers)
    assert refused.json()["code"] == "insufficient_scope"
