"""The page, the words and the figures."""

import base64
import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime
from string import Formatter

import pytest
from lxml import html as parser

from app.documents import figures, html, sheet, words
from app.documents.model import Branding, Kind, Logo, Period, TaxCategory
from app.documents.words import LANGUAGES
from app.domain.currency import EXPONENTS
from tests.documents.samples import BUYER, DUE, credit_note, document, line, tax

SPACE = "\u00a0"
NARROW = "\u202f"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_word_with_the_same_places(language) -> None:
    english, said = words.of("en"), words.of(language)
    assert list(said) == list(english)
    assert all(said.values())
    for key, value in said.items():
        places = {name for _, name, _, _ in Formatter().parse(value) if name}
        wanted = {name for _, name, _, _ in Formatter().parse(english[key]) if name}
        assert places == wanted, key


@pytest.mark.parametrize(
    ("amount", "currency", "language", "text"),
    [
        (123_456_789, "EUR", "en", "€1,234,567.89"),
        (123_456_789, "EUR", "de", f"1.234.567,89{SPACE}€"),
        (123_456_789, "EUR", "fr", f"1{NARROW}234{NARROW}567,89{SPACE}€"),
        (123_456_789, "EUR", "nl", f"€{SPACE}1.234.567,89"),
        (123_456_789, "INR", "hi", "₹12,34,567.89"),
        (1_234_567, "JPY", "ja", "\uffe51,234,567"),
        (1_234_567, "KWD", "en", f"KWD{SPACE}1,234.567"),
        (-5, "EUR", "en", "-€0.05"),
        (0, "KWD", "de", f"0,000{SPACE}KWD"),
        (-7, "JPY", "de", f"-7{SPACE}¥"),
        (100_000, "ISK", "en", f"ISK{SPACE}100,000"),
        (10**15, "USD", "en", "$10,000,000,000,000.00"),
    ],
)
def test_money_is_written_as_people_write_it(amount, currency, language, text) -> None:
    assert figures.money(amount, currency, language) == text


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_currency_has_the_decimals_of_iso_4217(language) -> None:
    """Babel's own digits differ from the standard for a dozen currencies."""
    for currency in EXPONENTS:
        digits = re.sub(r"\D", "", figures.money(1_234_567, currency, language))
        assert digits == "1234567", currency


def test_rates_keep_their_decimals() -> None:
    assert figures.percent(88_750, "en") == "8.875%"
    assert figures.percent(190_000, "de") == f"19{SPACE}%"


def test_dates_are_those_of_the_documents_time_zone() -> None:
    at = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    tokyo = document(issued_at=at, zone="Asia/Tokyo", language="ja")
    assert ["発行日", "2027年1月1日"] in sheet.build(tokyo)["facts"]
    new_york = document(issued_at=at, zone="America/New_York")
    assert ["Date of issue", "December 31, 2026"] in sheet.build(new_york)["facts"]


def test_a_period_ends_on_its_last_day() -> None:
    made = document(zone="UTC")
    first, end = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    assert [day.day for day in made.days(Period(first, end))] == [1, 28]
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert [day.day for day in made.days(Period(first, noon))] == [1, 1]


def totals(**fields) -> dict[str, str]:
    return {label: value for label, value, _ in sheet.build(document(**fields))["totals"]}


def test_what_is_due_follows_from_what_was_taken_off() -> None:
    # 49.00 + 9.31 tax = 58.31; less 10.00 credit and 8.31 paid leaves 40.00
    assert totals(credit_applied=1_000, amount_paid=831) == {
        "Subtotal": "€49.00",
        "VAT 19%": "€9.31",
        "Total": "€58.31",
        "Credit applied": "-€10.00",
        "Paid": "-€8.31",
        "Amount due": "€40.00",
    }


def test_tax_inside_is_named_below_the_total() -> None:
    made = document(line(11_900, taxes=(tax(10_000, inclusive=True),)))
    said = sheet.build(made)["totals"]
    assert said[-2] == ["Includes VAT 19%", "€19.00", False]


@pytest.mark.parametrize(
    ("fields", "status", "notice"),
    [
        ({"kind": Kind.DRAFT, "number": None}, "draft", "not_an_invoice"),
        ({"kind": Kind.PREVIEW, "number": None}, "preview", "not_an_invoice"),
        ({"voided_at": DUE}, "void", "void_notice"),
        ({"paid_at": DUE}, "paid", None),
        ({}, None, None),
    ],
)
def test_it_says_what_it_is(fields, status, notice) -> None:
    w = words.of("nl")
    said = sheet.build(document(language="nl", **fields))
    assert said["status"] == (w[status] if status else None)
    assert said["notice"] == (w[notice] if notice else None)


def test_why_there_is_no_tax_is_said_in_words() -> None:
    made = document(line(taxes=(tax(4_900, 0, TaxCategory.REVERSE_CHARGE),)), language="de")
    assert "Steuerschuldnerschaft des Leistungsempfängers." in sheet.build(made)["notes"]


def test_a_credit_note_names_its_invoice_and_asks_for_nothing() -> None:
    said = sheet.build(credit_note())
    assert "Corrects invoice INV-2026-0042 of January 31, 2026" in said["notes"]
    assert said["title"] == "Credit note"
    assert said["payment"] == []
    assert "Amount due" not in [label for label, _, _ in said["totals"]]


def test_the_page_is_accessible_and_has_no_script() -> None:
    page = html.render(document(language="fr", payment_link="https://pay.example.com/1"))
    tree = parser.fromstring(page.body)
    assert tree.get("lang") == "fr"
    assert [h.text for h in tree.iter("h1")] == ["Facture"]
    assert tree.xpath("count(//table/thead/tr/th[@scope='col'])") >= 5
    assert all(th.get("scope") for th in tree.iter("th"))
    assert not list(tree.iter("script", "link", "iframe", "object", "form"))
    assert not tree.xpath("//@style | //@onclick | //@src[not(starts-with(., 'data:'))]")
    assert tree.xpath("//a/@href") == ["https://pay.example.com/1"]


def test_the_policy_allows_the_pages_own_style_alone() -> None:
    page = html.render(document(branding=Branding(accent_color="#1d4ed8")))
    style = parser.fromstring(page.body).findtext(".//style")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert "#1d4ed8" in style
    assert page.policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    assert "unsafe" not in page.policy
    assert "script-src" not in page.policy


def test_what_callers_wrote_is_text_on_the_page() -> None:
    hostile = '<img src=x onerror="a()">{{ 7*7 }}'
    made = document(
        line(description=hostile),
        buyer=replace(BUYER, name="</title><script>x</script>"),
        payment_link="javascript:alert(1)",
        branding=Branding(Logo("image/svg+xml", b"<svg/>"), footer="</style><b>"),
    )
    body = html.render(made).body
    tree = parser.fromstring(body)
    assert hostile in tree.text_content()
    assert not list(tree.iter("script", "b"))
    assert b"javascript:" not in body
    assert [image.get("src")[:26] for image in tree.iter("img")] == ["data:image/svg+xml;base64,"]


@pytest.mark.parametrize(
    ("wishes", "language"),
    [
        ((None, "de-AT"), "de"),
        (("pt", "nl"), "nl"),
        ((None,), "en"),
        (("JA",), "ja"),
        (("xx",), "en"),
    ],
)
def test_the_first_language_that_we_speak_is_taken(wishes, language) -> None:
    assert words.best(*wishes) == language
