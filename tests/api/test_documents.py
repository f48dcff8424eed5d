"""Documents over HTTP: what a merchant sets, and what its customers get to see."""

import base64
import io
from datetime import timedelta

import pytest
from facturx import get_facturx_xml_from_pdf
from lxml import html as parser
from pypdf import PdfReader

from app.documents.model import TaxCategory
from app.services import documents
from app.services.caller import Caller
from tests.documents.schematron import faults
from tests.documents.test_pdf import SVG

pytestmark = pytest.mark.anyio

SETTINGS = "/v1/document_settings"
SELLER = {
    "legal_name": "Muster Software GmbH",
    "address": {
        "line1": "Hauptstraße 1",
        "postal_code": "10115",
        "city": "Berlin",
        "country": "DE",
    },
    "tax_id": "DE 123 456 788",
    "registration_number": "HRB 12345 B",
    "accent_color": "#1d4ed8",
    "iban": "DE89 3704 0044 0532 0130 00",
    "footer": {"en": "Registered in Berlin", "de": "Sitz der Gesellschaft: Berlin"},
    "payment_instructions": {"en": "By transfer, please."},
    "default_language": "en",
}


async def sold(api, **customer) -> str:
    """An open invoice over 10.00 EUR and 19 % of VAT, to be transferred."""
    given = {"name": "Ada", "address": {"city": "Amsterdam", "country": "NL"}}
    buyer = await api.new("customers", **given | customer)
    plan = await api.new("plans", code="pro", name="Pro")
    price = await api.new(
        "prices", plan_id=plan["id"], currency="EUR", interval="month", unit_amount=1000
    )
    rate = await api.new("tax_rates", display_name="VAT", percentage="19", country="DE")
    made = await api.new(
        "subscriptions",
        customer_id=buyer["id"],
        items=[{"price_id": price["id"]}],
        tax_rate_ids=[rate["id"]],
        collection_method="send_invoice",
        net_days=14,
    )
    return made["latest_invoice_id"]


def read(answer) -> str:
    pages = PdfReader(io.BytesIO(answer.content)).pages
    return "\n".join(page.extract_text() for page in pages)


async def test_settings_begin_empty_and_keep_what_is_not_sent(api) -> None:
    first = (await api.get(SETTINGS)).json()
    assert (first["version"], first["legal_name"], first["logo"]) == (0, None, None)
    logo = {"media_type": "image/svg+xml", "data": base64.b64encode(SVG).decode()}
    set_once = (await api.patch(SETTINGS, SELLER | {"logo": logo})).json()
    assert set_once["logo"] == logo
    assert set_once["iban"] == "DE89370400440532013000"
    changed = await api.patch(SETTINGS, {"phone": "+49 30 1", "footer": {"en": None}})
    assert changed.json()["version"] == 2
    assert changed.headers["etag"] == '"2"'
    kept = (await api.get(SETTINGS)).json()
    assert kept == changed.json()
    assert kept["footer"] == {"de": SELLER["footer"]["de"]}
    assert (kept["phone"], kept["logo"], kept["legal_name"]) == (
        "+49 30 1",
        logo,
        SELLER["legal_name"],
    )
    assert (await api.patch(SETTINGS, {"logo": None})).json()["logo"] is None


async def test_settings_are_changed_only_from_the_version_that_was_seen(api) -> None:
    await api.patch(SETTINGS, {"phone": "1"}, headers={"If-Match": '"0"'})
    stale = await api.patch(SETTINGS, {"phone": "2"}, 412, headers={"If-Match": '"0"'})
    assert stale.json()["code"] == "stale"


async def test_a_change_of_settings_is_in_the_audit_log(api, administrator) -> None:
    await api.patch(SETTINGS, {"phone": "1"})
    detail = await administrator.fetchval(
        "SELECT detail::text FROM audit_log WHERE action = 'document_settings.updated'"
    )
    assert "phone" in detail


@pytest.mark.parametrize(
    ("bad", "param"),
    [
        ({"accent_color": "red"}, "accent_color"),
        ({"iban": "DE89370400440532013001"}, "iban"),
        ({"default_language": "xx"}, "default_language"),
        ({"footer": {"xx": "?"}}, None),
        ({"website": "javascript:alert(1)"}, "website"),
        ({"logo": {"media_type": "image/png", "data": "???"}}, "logo.data"),
        ({"logo": {"media_type": "image/png", "data": "R0lGODlh"}}, "logo.data"),
        ({"logo": {"media_type": "image/gif", "data": "R0lGODlh"}}, "logo.media_type"),
        ({"unknown": 1}, "unknown"),
        ({}, None),
    ],
)
async def test_settings_that_make_no_sense_are_refused(api, bad, param) -> None:
    refused = (await api.patch(SETTINGS, bad, 422)).json()
    assert param in (None, refused["param"])
    assert (await api.get(SETTINGS)).json()["version"] == 0


async def test_an_invoice_as_pdf_in_the_customers_language(api) -> None:
    await api.patch(SETTINGS, SELLER)
    invoice = await sold(api, language="de-AT")
    answer = await api.get(f"/v1/invoices/{invoice}/pdf")
    assert answer.headers["content-type"] == "application/pdf"
    number = (await api.get(f"/v1/invoices/{invoice}")).json()["number"]
    assert answer.headers["content-disposition"] == f'attachment; filename="{number}.pdf"'
    assert answer.headers["content-language"] == "de"
    found = read(answer)
    for word in (
        "Rechnung",
        number,
        "Muster Software GmbH",
        "Ada",
        "11,90",
        "Sitz der",
        "Zu zahlen",
    ):
        assert word in found
    english = await api.get(f"/v1/invoices/{invoice}/pdf?language=en")
    assert "By transfer, please." in read(english)
    assert "DE89 3704 0044 0532 0130 00" in read(english)
    await api.get(f"/v1/invoices/{invoice}/pdf?language=xx", 422)


async def test_what_has_not_changed_is_not_sent_again(api) -> None:
    invoice = await sold(api)
    for form in ("pdf", "html"):
        path = f"/v1/invoices/{invoice}/{form}"
        first, again = await api.get(path), await api.get(path)
        assert first.content == again.content
        known = {"If-None-Match": first.headers["etag"]}
        assert (await api.get(path, 304, headers=known)).content == b""
        other = await api.get(f"{path}?language=nl", headers=known)
        assert other.headers["etag"] != first.headers["etag"]
    await api.patch(SETTINGS, {"legal_name": "Filled in later"})
    path = f"/v1/invoices/{invoice}/pdf"
    assert "Filled in later" in read(await api.get(path, headers=known))


async def test_an_issued_invoice_keeps_the_names_of_its_day(api, rt) -> None:
    await api.patch(SETTINGS, SELLER)
    invoice = await sold(api)
    buyer = (await api.get(f"/v1/invoices/{invoice}")).json()["customer_id"]
    before = await api.get(f"/v1/invoices/{invoice}/pdf")
    rt.clock.at += timedelta(days=1)
    await api.patch(SETTINGS, {"legal_name": "Renamed SE", "phone": "+49 30 99"})
    await api.patch(f"/v1/customers/{buyer}", {"name": "Ada Byron"})
    after = read(await api.get(f"/v1/invoices/{invoice}/pdf"))
    assert "Muster Software GmbH" in after
    assert "Renamed" not in after
    assert "Byron" not in after
    assert "+49 30 99" in after  # not known on that day
    assert "Ada" in read(before)


async def test_an_invoice_as_a_page_with_a_strict_policy(api) -> None:
    await api.patch(SETTINGS, SELLER)
    invoice = await sold(api, name="<b>Ada</b>")
    answer = await api.get(f"/v1/invoices/{invoice}/html?language=es")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src")
    tree = parser.fromstring(answer.content)
    assert (tree.get("lang"), tree.findtext(".//h1")) == ("es", "Factura")
    assert "<b>Ada</b>" in tree.text_content()


async def test_an_invoice_as_an_einvoice(api) -> None:
    await api.patch(SETTINGS, SELLER)
    invoice = await sold(api)
    ubl = await api.get(f"/v1/invoices/{invoice}/ubl")
    assert ubl.headers["content-type"] == "application/xml"
    assert faults(ubl.content) == []
    factur_x = await api.get(f"/v1/invoices/{invoice}/pdf?einvoice=true")
    _, cii = get_facturx_xml_from_pdf(factur_x.content, check_schematron=False)
    assert faults(cii) == []
    assert b"DE123456788" in cii


async def test_what_an_einvoice_lacks_is_listed(api) -> None:
    invoice = await sold(api, address={})
    for path in ("ubl", "pdf?einvoice=true"):
        refused = (await api.get(f"/v1/invoices/{invoice}/{path}", 422)).json()
        assert refused["code"] == "einvoice_not_possible"
        missing = [fault["param"] for fault in refused["errors"]]
        assert missing == ["seller.address.country", "seller.tax_id", "buyer.address.country"]


async def test_a_voided_invoice_says_so_and_is_no_einvoice(api) -> None:
    await api.patch(SETTINGS, SELLER)
    invoice = await sold(api)
    await api.post(f"/v1/invoices/{invoice}/void", status=200)
    found = read(await api.get(f"/v1/invoices/{invoice}/pdf"))
    assert "This document was voided." in found
    refused = await api.get(f"/v1/invoices/{invoice}/ubl", 422)
    assert refused.json()["param"] == "status"


async def test_another_merchants_invoice_is_not_there(api, other) -> None:
    invoice = await sold(api)
    for form in ("pdf", "html", "ubl"):
        await other.get(f"/v1/invoices/{invoice}/{form}", 404)
    assert (await other.get(SETTINGS)).json()["version"] == 0


async def test_reverse_charge_on_a_line_reaches_the_document(api, administrator) -> None:
    await api.patch(SETTINGS, SELLER)
    invoice = await sold(api)
    await administrator.execute(
        "UPDATE invoice_line_taxes SET rate_ppm = 0, amount = 0, reason = 'reverse_charge'"
    )
    page = await api.get(f"/v1/invoices/{invoice}/html?language=nl")
    assert "Btw verlegd" in page.text


async def test_a_credit_note_is_a_document_too(api, rt, administrator) -> None:
    from uuid import UUID

    await api.patch(SETTINGS, SELLER)
    invoice = await sold(api)
    note = await administrator.fetchval(
        """
        WITH note AS (
            INSERT INTO credit_notes (merchant_id, id, invoice_id, customer_id, status, series,
                series_number, number, currency, reason, subtotal, discount_total, tax_total,
                tax_added, total, to_balance, to_refund, outside, created_at, version)
            SELECT merchant_id, gen_random_uuid(), id, customer_id, 'issued', 'cn', 1, 'CN-1',
                currency, 'Goodwill', 500, 0, 95, 95, 595, 0, 0, 595, finalized_at, 1
              FROM invoices RETURNING merchant_id, id)
        INSERT INTO credit_note_lines (merchant_id, id, credit_note_id, invoice_line_id, position,
            description, quantity, amount, discount_amount, tax_amount, taxes)
        SELECT note.merchant_id, gen_random_uuid(), note.id, l.id, 0, 'Half of it', 1, 500, 0, 95,
            json_build_array(json_build_array(t.tax_rate_id, 500, 95))
          FROM note JOIN invoice_lines l USING (merchant_id)
          JOIN invoice_line_taxes t ON t.merchant_id = l.merchant_id AND t.line_id = l.id
        RETURNING credit_note_id
        """
    )
    caller = Caller(UUID(api.merchant), False, None, frozenset(), "req_test")
    made = await documents.for_credit_note(rt, caller, note)
    assert (made.number, made.total, made.amount_due) == ("CN-1", 595, 595)
    assert [tax.category for tax in made.taxes] == [TaxCategory.STANDARD]
    number = (await api.get(f"/v1/invoices/{invoice}")).json()["number"]
    assert made.corrects is not None
    assert made.corrects.number == number
    assert faults(await documents.as_ubl(made)) == []
    _, cii = get_facturx_xml_from_pdf(
        await documents.as_pdf(made, with_einvoice=True), check_schematron=False
    )
    assert faults(cii) == []
