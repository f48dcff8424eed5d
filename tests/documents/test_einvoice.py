"""EN 16931: what we write passes the standard's XSD and Schematron; what is missing is said."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from app.documents import einvoice
from app.documents.model import Address, Document, Kind, TaxCategory
from app.domain.errors import InvalidRequest
from tests.documents.samples import BUYER, DUE, SELLER, credit_note, document, line, tax
from tests.documents.schematron import faults

CASES = {
    "standard, discounted, with a credit line and two rates": document(
        line(quantity=7, discount_amount=490),
        line(-1_500, description="Unused time on <Basic> & more"),
        line(1_000, quantity=3, taxes=(tax(1_000, 70_000),)),
        credit_applied=1_000,
    ),
    "reverse charge": document(line(taxes=(tax(4_900, 0, TaxCategory.REVERSE_CHARGE),))),
    "intra-community": document(line(taxes=(tax(4_900, 0, TaxCategory.INTRA_COMMUNITY),))),
    "export": document(line(taxes=(tax(4_900, 0, TaxCategory.EXPORT),))),
    "exempt": document(line(taxes=(tax(4_900, 0, TaxCategory.EXEMPT),))),
    "zero": document(line(taxes=(tax(4_900, 0, TaxCategory.ZERO),))),
    "outside scope": document(line(taxes=())),
    "outside scope without a register": document(
        line(taxes=()), seller=replace(SELLER, registration_number=None)
    ),
    "tax inside, discounted": document(
        # 119.00 with 10 % off is 107.10: 90.00 and 17.10 of tax
        line(11_900, discount_amount=1_190, taxes=(tax(9_000, inclusive=True),))
    ),
    "a discount taken back": document(
        line(10_000), line(-1_000, discount_amount=-100, taxes=(tax(-900),))
    ),
    "given away for a trial": document(line(0, taxes=()), line(900)),
    "credit note": credit_note(line(2_500)),
    "credit note under reverse charge": credit_note(
        line(2_500, taxes=(tax(2_500, 0, TaxCategory.REVERSE_CHARGE),))
    ),
    "yen": document(line(1_000, taxes=(tax(1_000, 100_000),)), currency="JPY"),
    "dinar in whole cents": document(line(1_230, taxes=(tax(1_230, 0),)), currency="KWD"),
    "paid by card": document(amount_paid=5_831, paid_at=DUE, charged_automatically=True, bank=None),
    "German": document(line(taxes=(tax(4_900, 0, TaxCategory.EXEMPT),)), language="de"),
}
RAM = {"ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100"}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_conforms_as_cii_and_as_ubl(case: Document) -> None:
    assert faults(einvoice.cii(case)) == []
    assert faults(einvoice.ubl(case)) == []


def test_the_rules_see_what_is_wrong() -> None:
    """Were they blind, the test above would pass on anything."""
    right = einvoice.cii(document())
    wrong = right.replace(b"GrandTotalAmount>58.31<", b"GrandTotalAmount>58.32<")
    assert wrong != right
    assert any("BR-CO-15" in fault for fault in faults(wrong))
    ubl = einvoice.ubl(document()).replace(b">58.31</cbc:TaxInc", b">58.32</cbc:TaxInc")
    assert any("BR-CO-15" in fault for fault in faults(ubl))


def amount(xml: bytes, name: str) -> Decimal:
    [found] = etree.fromstring(xml).xpath(
        f"//ram:SpecifiedTradeSettlementHeaderMonetarySummation/ram:{name}", namespaces=RAM
    )
    return Decimal(found.text)


def test_the_balance_that_paid_is_prepaid_and_not_a_discount() -> None:
    # 49.00 + 19 % = 58.31; 10.00 of credit leave 48.31
    xml = einvoice.cii(document(credit_applied=1_000))
    assert amount(xml, "TaxBasisTotalAmount") == Decimal("49.00")
    assert amount(xml, "TotalPrepaidAmount") == Decimal("10.00")
    assert amount(xml, "DuePayableAmount") == Decimal("48.31")


def test_a_credit_note_names_the_invoice_that_it_corrects() -> None:
    cii, ubl = einvoice.cii(credit_note()), einvoice.ubl(credit_note())
    assert b"<ram:TypeCode>381</ram:TypeCode>" in cii
    assert b"<ram:IssuerAssignedID>INV-2026-0042</ram:IssuerAssignedID>" in cii
    assert b"CreditNoteTypeCode>381<" in ubl
    assert b"INV-2026-0042" in ubl


def test_reverse_charge_says_so_in_code_and_in_words() -> None:
    xml = einvoice.ubl(document(line(taxes=(tax(4_900, 0, TaxCategory.REVERSE_CHARGE),))))
    assert b"VATEX-EU-AE" in xml
    assert b"Reverse charge" in xml


rates = st.sampled_from([70_000, 190_000, 55_000, 0])


@st.composite
def documents(draw) -> Document:
    """Invoices over several lines, some below zero, taxed on top or inside at several rates."""
    lines = []
    for _ in range(draw(st.integers(1, 6))):
        value = draw(st.integers(-100_000, 1_000_000))
        share = draw(st.integers(0, 100))
        off = abs(value) * share // 100 * (-1 if value < 0 else 1)
        rate = draw(rates)
        left = value - off
        if draw(st.booleans()):
            inside = (abs(left) * rate * 2 + 1_000_000 + rate) // (2 * (1_000_000 + rate))
            inside = -inside if left < 0 else inside
            parts = (tax(left - inside, rate, inclusive=True, amount=inside),)
        else:
            parts = (tax(left, rate),)
        quantity = draw(st.integers(0, 12))
        lines.append(line(value, quantity=quantity, discount_amount=off, taxes=parts))
    return document(*lines)


@settings(max_examples=60, deadline=None)
@given(documents())
def test_every_sum_holds_to_the_cent(made: Document) -> None:
    xml = einvoice.cii(made)
    assert amount(xml, "GrandTotalAmount") == Decimal(made.total) / 100
    assert amount(xml, "TaxTotalAmount") == Decimal(made.tax_total) / 100
    assert amount(xml, "LineTotalAmount") == Decimal(sum(each.net for each in made.lines)) / 100
    assert faults(xml) == []


@pytest.mark.parametrize(
    ("changed", "params"),
    [
        ({"kind": Kind.DRAFT, "number": None}, ["status"]),
        ({"voided_at": DUE}, ["status"]),
        ({"seller": replace(SELLER, tax_id=None)}, ["seller.tax_id"]),
        ({"seller": replace(SELLER, tax_id="12345")}, ["seller.tax_id"]),
        (
            {"buyer": replace(BUYER, name="", address=Address())},
            ["buyer.name", "buyer.address.country"],
        ),
        (
            {"seller": replace(SELLER, name="", address=Address(), tax_id=None)},
            ["seller.legal_name", "seller.address.country", "seller.tax_id"],
        ),
    ],
)
def test_what_is_missing_is_listed_whole(changed, params) -> None:
    with pytest.raises(InvalidRequest) as refused:
        einvoice.cii(document(**changed))
    assert refused.value.code == "einvoice_not_possible"
    assert [problem.param for problem in refused.value.problems] == params


@pytest.mark.parametrize(
    ("lines", "param"),
    [
        ([line(taxes=(tax(4_900), tax(4_900, 50_000)))], "lines[0]"),
        ([line(), line(taxes=())], "lines[1]"),
        ([line(description=" ")], "lines[0].description"),
    ],
)
def test_lines_that_the_standard_cannot_say_are_refused(lines, param) -> None:
    with pytest.raises(InvalidRequest) as refused:
        einvoice.ubl(document(*lines))
    assert refused.value.param == param


def test_a_third_decimal_is_refused_and_not_rounded() -> None:
    with pytest.raises(InvalidRequest, match="two decimals"):
        einvoice.cii(document(line(1_234, taxes=(tax(1_234, 0),)), currency="KWD"))


def test_reverse_charge_needs_the_buyers_number() -> None:
    reverse = line(taxes=(tax(4_900, 0, TaxCategory.REVERSE_CHARGE),))
    with pytest.raises(InvalidRequest) as refused:
        einvoice.cii(document(reverse, buyer=replace(BUYER, tax_id=None)))
    assert refused.value.param == "buyer.tax_id"
