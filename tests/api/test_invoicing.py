"""Invoices by hand, drafts, pending items, credit notes and numbering over HTTP."""

import pytest

from tests.api.conftest import Api, Shop

pytestmark = pytest.mark.anyio

WORK = {"amount": 1500, "description": "Work"}


async def billed(shop: Shop, status: int = 201, **options) -> dict:
    """An invoice of the shop's customer, by hand."""
    body = {"customer_id": shop["customer"], "currency": "EUR", "items": [WORK]} | options
    return (await shop.api.post("/v1/invoices", body, status)).json()


async def numbered(api: Api) -> dict[str, dict]:
    listed = (await api.get("/v1/invoice_series")).json()
    return {series["series"]: series for series in listed["data"]}


async def test_an_invoice_by_hand_over_http(shop: Shop) -> None:
    invoice = await billed(shop, description="Spring", tax_rate_ids=[shop["tax_rate"]])
    # 15.00 and 19 %: 17.85; a credit of 1.00 from before pays of it first.
    assert (invoice["total"], invoice["tax_total"], invoice["billing_reason"]) == (
        1785,
        285,
        "manual",
    )
    assert (invoice["status"], invoice["subscription_id"]) == ("paid", None)
    assert invoice["lines"][0]["kind"] == "one_off"
    listed = await shop.api.get(f"/v1/pending_items?invoice_id={invoice['id']}")
    assert [item["amount"] for item in listed.json()["data"]] == [1500]


async def test_a_draft_is_changed_made_final_or_thrown_away(shop: Shop) -> None:
    api = shop.api
    draft = await billed(shop, auto_finalize=False, metadata={"team": "blue"})
    assert (draft["status"], draft["number"], draft["metadata"]) == (
        "draft",
        None,
        {"team": "blue"},
    )
    change = {"add_items": [WORK], "description": "Two", "metadata": {"team": "red"}}
    changed = (await api.patch(f"/v1/invoices/{draft['id']}", change)).json()
    assert (changed["total"], changed["description"], changed["metadata"]) == (
        3000,
        "Two",
        {"team": "red"},
    )
    stale = {"If-Match": f'"{draft["version"]}"'}
    await api.patch(f"/v1/invoices/{draft['id']}", {"net_days": 3}, 412, headers=stale)
    final = (await api.post(f"/v1/invoices/{draft['id']}/finalize", status=200)).json()
    assert final["status"] == "paid"
    again = await api.post(f"/v1/invoices/{draft['id']}/finalize", status=409)
    assert again.json()["code"] == "invoice_paid"
    refused = await api.patch(f"/v1/invoices/{draft['id']}", {"net_days": 3}, 409)
    assert "metadata" in refused.json()["detail"]
    kept = await api.patch(f"/v1/invoices/{draft['id']}", {"metadata": {"team": None}})
    assert kept.json()["metadata"] == {}
    other = await billed(shop, auto_finalize=False)
    gone = await api.call("DELETE", f"/v1/invoices/{other['id']}", status=200)
    assert gone.json()["id"] == other["id"]
    await api.get(f"/v1/invoices/{other['id']}", 404)


async def test_items_wait_are_changed_and_taken_back(shop: Shop) -> None:
    api = shop.api
    item = await api.new("pending_items", customer_id=shop["customer"], currency="EUR", **WORK)
    assert (item["invoice_id"], item["amount"]) == (None, 1500)
    path = f"/v1/pending_items/{item['id']}"
    changed = await api.patch(path, {"amount": 900, "metadata": {"a": "b"}})
    assert (changed.json()["amount"], changed.json()["metadata"]) == (900, {"a": "b"})
    assert (await api.call("DELETE", path, status=200)).json()["deleted_at"] is not None
    await api.patch(path, {"amount": 1}, 404)
    listed = await api.get(f"/v1/pending_items?customer_id={shop['customer']}&waiting=true")
    assert listed.json()["data"] == []
    for body in (
        {"currency": "EUR", "description": "Nothing"},
        {"currency": "EUR", "amount": 0, "description": "Nothing"},
        {"amount": 5, "description": "In which currency?"},
        {"currency": "EUR", "amount": 5},
        {"currency": "EUR", "price_id": shop["price"]},
        {"currency": "USD", "subscription_id": shop["subscription"], **WORK},
        {"currency": "EUR", "period_start": "2031-01-01T00:00:00Z", **WORK},
    ):
        await api.post("/v1/pending_items", {"customer_id": shop["customer"]} | body, 422)
    on_final = {"customer_id": shop["customer"], "invoice_id": shop["invoice"], **WORK}
    assert (await api.post("/v1/pending_items", on_final, 409)).json()["code"] == "invoice_paid"


async def test_a_credit_note_over_http_looked_at_before(shop: Shop) -> None:
    api = shop.api
    invoice = await billed(shop, tax_rate_ids=[shop["tax_rate"]])
    body = {"invoice_id": invoice["id"], "amount": 595, "to_refund": 595, "reason": "Goodwill"}
    seen = (await api.post("/v1/credit_notes/preview", body, 200)).json()
    assert (seen["number"], seen["total"], seen["tax_total"]) == (None, 595, 95)
    note = await api.new("credit_notes", **body)
    assert note["number"] == "CN-000002"
    volatile = ("id", "number", "lines", "created_at")
    assert {k: v for k, v in seen.items() if k not in volatile} == {
        k: v for k, v in note.items() if k not in volatile
    }
    lines = (await api.get(f"/v1/credit_notes/{note['id']}/lines")).json()["data"]
    assert [(li["amount"], li["taxes"][0]["amount"]) for li in lines] == [(500, 95)]
    assert lines[0]["invoice_line_id"] == invoice["lines"][0]["id"]
    pdf = await api.get(f"/v1/credit_notes/{note['id']}/pdf")
    assert pdf.content.startswith(b"%PDF")
    page = await api.get(f"/v1/credit_notes/{note['id']}/html")
    assert note["number"] in page.text
    refused = await api.post(f"/v1/credit_notes/{note['id']}/void", status=409)
    assert refused.json()["code"] == "credit_note_refunded"
    rest = await api.new("credit_notes", invoice_id=invoice["id"])
    assert rest["total"] == 1785 - 595
    again = await api.post("/v1/credit_notes", {"invoice_id": invoice["id"]}, 409)
    assert again.json()["code"] == "nothing_to_credit"
    voided = (await api.post(f"/v1/credit_notes/{rest['id']}/void", status=200)).json()
    assert voided["status"] == "void"
    events = (await api.get("/v1/events?type=credit_note.created")).json()["data"]
    assert [e["data"]["object"]["id"] for e in events[:2]] == [rest["id"], note["id"]]


async def test_a_credit_note_says_what_is_wrong(shop: Shop) -> None:
    api = shop.api
    invoice = await billed(shop)
    line = {"invoice_line_id": invoice["lines"][0]["id"]}
    for body, code in (
        ({"amount": 1501}, "credit_exceeds_invoice"),
        ({"lines": [line | {"amount": 1501}]}, "credit_exceeds_line"),
        ({"lines": [line | {"quantity": 2}]}, "credit_exceeds_line"),
        ({"lines": [line | {"amount": 1, "quantity": 1}]}, "invalid_request"),
        ({"amount": 100, "to_refund": 101}, "credit_exceeds_paid"),
        ({"amount": 100, "to_balance": 99}, "credit_goes_nowhere"),
        ({"amount": 0}, "invalid_request"),
    ):
        refused = await api.post("/v1/credit_notes", {"invoice_id": invoice["id"]} | body, 422)
        assert refused.json()["code"] == code, body
    draft = await billed(shop, auto_finalize=False)
    refused = await api.post("/v1/credit_notes", {"invoice_id": draft["id"]}, 409)
    assert refused.json()["code"] == "invoice_draft"


async def test_a_voided_invoice_waits_again_when_asked(shop: Shop) -> None:
    api = shop.api
    sent = await billed(shop, collection_method="send_invoice", net_days=14, take_pending=False)
    assert sent["status"] == "open"
    await api.post(f"/v1/invoices/{sent['id']}/void", {"rebill": True}, 200)
    waiting = (await api.get("/v1/pending_items?waiting=true")).json()["data"]
    assert [item["amount"] for item in waiting] == [1500]


async def test_numbers_are_the_merchants_to_shape(shop: Shop) -> None:
    api = shop.api
    before = (await numbered(api))["default"]
    assert (before["prefix"], before["first_number"]) == ("INV-", 1)
    change = {"prefix": "2031/", "digits": 4, "next_number": 100}
    changed = (await api.patch("/v1/invoice_series/default", change)).json()
    assert (changed["first_number"], changed["next_number"]) == (100, 100)
    assert (await billed(shop))["number"] == "2031/0100"
    refused = await api.patch("/v1/invoice_series/default", {"next_number": 100}, 409)
    assert refused.json()["code"] == "number_was_given"
    await api.patch("/v1/invoice_series/credit_notes", {"prefix": "GS-"})
    await api.patch("/v1/invoice_series/b2b", {"prefix": "B-"})
    assert (await billed(shop, series="b2b"))["number"] == "B-000001"
    note = await api.new("credit_notes", invoice_id=(await billed(shop))["id"])
    assert note["number"] == "GS-000002"
    unknown = await billed(shop, 422, series="c2c")
    assert unknown["code"] == "series_not_found"
    await api.patch("/v1/invoice_series/Default", {"digits": 4}, 404)
