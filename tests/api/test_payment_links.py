"""Payment links over HTTP: the merchant's side, the storefront's JSON, and the page for people."""

import re

import pytest

from app.api.body import PUBLIC_BYTES_MAX
from tests.api.conftest import Api, Shop

pytestmark = pytest.mark.anyio


@pytest.fixture
async def open_invoice(shop: Shop, simulator) -> dict:
    """An invoice that was sent: 50.00, to a customer whose card works."""
    simulator.clear_faults()
    customer = await shop.api.new("customers", name="Grace <b>Hopper</b>")
    card = {"gateway_reference": "pm_sim_ok_link", "brand": "visa", "last_four": "4242"}
    method = await shop.api.new(
        "payment_methods", customer_id=customer["id"], make_default=True, **card
    )
    body = {
        "customer_id": customer["id"],
        "currency": "EUR",
        "items": [{"amount": 5000, "description": "Work & <i>play</i>"}],
        "collection_method": "send_invoice",
    }
    return await shop.api.new("invoices", **body) | {"method": method["id"]}


async def linked(api: Api, invoice: dict, **options) -> tuple[dict, str]:
    made = await api.new("payment_links", invoice_id=invoice["id"], **options)
    assert made["url"].startswith("http://127.0.0.1:8000/pay/pl_")
    return made, made["url"].rpartition("/")[2]


async def test_a_storefront_shows_and_pays_an_invoice(
    shop: Shop, open_invoice: dict, client
) -> None:
    made, token = await linked(shop.api, open_invoice, return_url="https://shop.example/thanks")
    assert made["last_four"] == token[-4:]
    assert (await shop.api.get(f"/v1/payment_links/{made['id']}")).json().get("url") is None
    got = await client.get(f"/v1/pay/{token}")
    assert got.headers["access-control-allow-origin"] == "*"
    assert got.headers["referrer-policy"] == "no-referrer"
    page = got.json()
    assert (page["status"], page["is_payable"], page["amount_remaining"]) == ("open", True, 5000)
    assert [line["description"] for line in page["lines"]] == ["Work & <i>play</i>"]
    [method] = page["payment_methods"]
    assert (method["brand"], method["last_four"], method["is_default"]) == ("visa", "4242", True)
    assert method["payment_method_id"] == open_invoice["method"]
    assert [one["flow"] for one in page["gateways"]] == ["client_secret"]
    assert page["return_url"] == "https://shop.example/thanks"
    pdf = await client.get(f"/v1/pay/{token}/pdf")
    assert pdf.content.startswith(b"%PDF")
    paid = await client.post(
        f"/v1/pay/{token}/pay", json={"payment_method_id": method["payment_method_id"]}
    )
    assert (paid.status_code, paid.json()["status"]) == (200, "succeeded")
    page = (await client.get(f"/v1/pay/{token}")).json()
    assert (page["status"], page["payment_methods"], page["gateways"]) == ("paid", [], [])
    assert page["payment"]["status"] == "succeeded"
    again = await client.post(
        f"/v1/pay/{token}/pay", json={"payment_method_id": method["payment_method_id"]}
    )
    assert (again.status_code, again.json()["code"]) == (409, "invoice_paid")
    assert again.headers["access-control-allow-origin"] == "*"


async def test_a_new_method_is_begun_from_the_storefront(
    shop: Shop, open_invoice: dict, client
) -> None:
    _, token = await linked(shop.api, open_invoice)
    missing = await client.post(f"/v1/pay/{token}/complete", json={})
    assert (missing.status_code, missing.json()["code"]) == (404, "setup_session_not_found")
    begun = await client.post(f"/v1/pay/{token}/setup", json={})
    assert begun.status_code == 200, begun.text
    assert (begun.json()["flow"], begun.json()["status"]) == ("client_secret", "open")
    assert begun.json()["client_secret"]
    done = await client.post(f"/v1/pay/{token}/complete", json={})
    assert (done.status_code, done.json()["payment"]) == (200, None)


async def test_what_a_link_does_not_open(
    shop: Shop, other: Api, open_invoice: dict, client
) -> None:
    made, token = await linked(shop.api, open_invoice)
    # The other merchant cannot link to it, and its identifier in the token opens nothing.
    theirs = await other.post("/v1/payment_links", {"invoice_id": open_invoice["id"]}, 422)
    assert theirs.json()["code"] == "reference_not_found"
    for wrong in (token[:-1] + ("A" if token[-1] != "A" else "B"), "pl_x", "%00", "x" * 200):
        for path in (f"/v1/pay/{wrong}", f"/pay/{wrong}"):
            assert (await client.get(path)).status_code in {404, 422}
    await shop.api.post(f"/v1/payment_links/{made['id']}/revoke", status=200)
    ended = await client.get(f"/v1/pay/{token}")
    assert (ended.status_code, ended.json()["code"]) == (404, "payment_link_revoked")
    for wrong in ({}, {"payment_method_id": "pm_x"}, {"amount": 1}):
        assert (await client.post(f"/v1/pay/{token}/pay", json=wrong)).status_code == 422
    page = await client.get(f"/pay/{token}?language=de")
    assert (page.status_code, "gilt nicht mehr" in page.text) == (404, True)
    assert "Work" not in page.text


async def test_the_page_pays_without_a_script(shop: Shop, open_invoice: dict, client) -> None:
    _, token = await linked(shop.api, open_invoice)
    page = await client.get(f"/pay/{token}")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'" in policy
    assert "script" not in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert "<script" not in page.text
    assert "&lt;i&gt;play" in page.text
    assert "Pay with Visa •••• 4242" in page.text
    assert not re.search(r'(?:src|href|action)="https?://', page.text), "nothing from elsewhere"
    german = await client.get(f"/pay/{token}?language=de")
    assert "Bezahlen mit Visa" in german.text
    form = {"payment_method_id": open_invoice["method"]}
    wrong = await client.post(f"/pay/{token}/pay", data={"payment_method_id": "pm_x"})
    assert wrong.status_code == 409
    large = await client.post(f"/pay/{token}/pay", data={"payment_method_id": "x" * 5_000})
    assert large.status_code == 409
    paid = await client.post(f"/pay/{token}/pay", data=form)
    assert (paid.status_code, paid.headers["location"]) == (303, f"/pay/{token}")
    after = await client.get(f"/pay/{token}")
    assert "<form" not in after.text
    assert "Paid" in after.text


async def test_a_page_of_another_origin_may_ask(client) -> None:
    asked = await client.options("/v1/pay/pl_x/pay", headers={"Origin": "https://shop.example"})
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-headers"] == "Content-Type"


@pytest.mark.parametrize("path", ["/v1/pay/pl_x/pay", "/v1/pay/pl_x/complete"])
async def test_strangers_send_no_large_body(client, path: str) -> None:
    """It would be looked at from end to end, while nobody else is answered."""
    large = {"parameters": {"a": "4" * PUBLIC_BYTES_MAX}}
    refused = await client.post(path, json=large)
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
    assert refused.headers["access-control-allow-origin"] == "*"
