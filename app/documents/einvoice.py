"""Documents as EN 16931 e-invoices: CII (as in Factur-X and ZUGFeRD) and UBL 2.1.

Terms are the standard's: BT are its fields, BG its groups, BR its rules. Amounts are without tax,
so lines with the tax inside are taken apart; every sum then holds to the unit (BR-CO-10 to 16).
What the standard needs and the document lacks is said, all of it, before anything is written.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from threading import Lock
from typing import Any, Final

from app.documents import figures, text, words
from app.documents.model import Document, Kind, Line, Party, Tax, TaxCategory
from app.documents.sheet import REASONS
from app.domain.currency import EXPONENTS
from app.domain.errors import InvalidRequest, Problem
from app.domain.money import WHOLE_PPM, Rounding, divide

CODE: Final = "einvoice_not_possible"
DECIMALS_MAX: Final = 2
"""BR-DEC: amounts have at most two decimals, whatever the currency has."""
INVOICE, CREDIT_NOTE = "380", "381"
"""UNTDID 1001."""
UNIT: Final = "C62"
"""UN/ECE Recommendation 20: one."""
DISCOUNT: Final = "95"
"""UNTDID 5189."""
CARD, TRANSFER, SEPA, OTHER = "48", "30", "58", "ZZZ"
"""UNTDID 4461."""
EXEMPTIONS: Final[Mapping[TaxCategory, str]] = {
    TaxCategory.REVERSE_CHARGE: "VATEX-EU-AE",
    TaxCategory.INTRA_COMMUNITY: "VATEX-EU-IC",
    TaxCategory.EXPORT: "VATEX-EU-G",
    TaxCategory.OUTSIDE: "VATEX-EU-O",
}
NEEDS_BUYER_TAX_ID: Final = frozenset({TaxCategory.REVERSE_CHARGE, TaxCategory.INTRA_COMMUNITY})
OUTSIDE: Final = Tax("", 0, TaxCategory.OUTSIDE, 0, 0)
_library: Final = Lock()
"""The library completes its tables while it works: one thread at a time."""
SEPARATORS: Final = re.compile(r"[\s./-]")
VAT_NUMBER: Final = re.compile(r"[A-Z]{2}[A-Z0-9+*]{2,}")
NO_VAT_NUMBER: Final = "The {} needs a VAT number that begins with its country (BR-CO-9)."
UNTAXED: Final = "A line without any tax beside taxed ones: give it a tax rate, of 0 % if need be."


def cii(document: Document) -> bytes:
    """The document as Cross Industry Invoice. Raises InvalidRequest where the standard needs more.

    Blocks for some milliseconds: call it in a thread.
    """
    return _written(document, "factur-x")


def ubl(document: Document) -> bytes:
    """The document as UBL 2.1 Invoice or CreditNote. Raises InvalidRequest as `cii` does."""
    return _written(document, "ubl-2.1")


def _written(document: Document, flavor: str) -> bytes:
    document = text.clean(document)
    missing = tuple(problems(document))
    if missing:
        raise InvalidRequest.of(missing, code=CODE)
    # Late: it brings half a second of libraries that a process without e-invoices can do without.
    from facturx import generate_xml

    fields = _fields(document)
    with _library:
        xml: bytes = generate_xml(fields, flavor, "en16931", check_xsd=False, check_schematron="")
    return xml


def problems(document: Document) -> Iterator[Problem]:
    """Everything that EN 16931 asks for and the document does not have."""
    if not document.is_final or document.number is None:
        yield Problem("Only an issued document that was not voided can be an e-invoice.", "status")
    yield from _problems_of_parties(document)
    rates = {(tax.category, tax.rate_ppm) for tax in _vat(document)}
    if len(rates) > 1 and any(category is TaxCategory.OUTSIDE for category, _ in rates):
        yield Problem("What is not subject to VAT cannot stand beside what is (BR-O-11).", "lines")
    mixed = any(line.taxes for line in document.lines)
    for place, line in enumerate(document.lines):
        if len({(tax.category, tax.rate_ppm) for tax in line.taxes}) > 1:
            yield Problem("A line can have one rate of VAT; this one has more.", f"lines[{place}]")
        if mixed and not line.taxes and line.net:
            yield Problem(UNTAXED, f"lines[{place}]")
        if not line.description:
            yield Problem("A line needs a description (BR-25).", f"lines[{place}].description")
    if any(amount % _step(document.currency) for amount in _amounts(document)):
        yield Problem("Amounts can have two decimals at most (BR-DEC).", "currency")


def _problems_of_parties(document: Document) -> Iterator[Problem]:
    seller, buyer, categories = document.seller, document.buyer, _categories(document)
    if not seller.name:
        yield Problem("The seller needs a legal name (BR-06).", "seller.legal_name")
    if not seller.address.country:
        yield Problem("The seller's address needs a country (BR-09).", "seller.address.country")
    if TaxCategory.OUTSIDE in categories:
        if not (seller.registration_number or seller.tax_id):
            yield Problem("The seller needs an identifier (BR-CO-26).", "seller.tax_id")
    elif _vat_number(seller) is None:
        yield Problem(NO_VAT_NUMBER.format("seller"), "seller.tax_id")
    if not buyer.name:
        yield Problem("The buyer needs a name (BR-07).", "buyer.name")
    if not buyer.address.country:
        yield Problem("The buyer's address needs a country (BR-11).", "buyer.address.country")
    if categories & NEEDS_BUYER_TAX_ID and _vat_number(buyer) is None:
        yield Problem(NO_VAT_NUMBER.format("buyer"), "buyer.tax_id")


def _vat_number(party: Party) -> str | None:
    """A party's VAT number without what people put between; None where it has no country."""
    number = SEPARATORS.sub("", party.tax_id or "").upper()
    return number if VAT_NUMBER.fullmatch(number) else None


def _step(currency: str) -> int:
    """The smallest part of an amount that two decimals can say, in minor units."""
    step: int = 10 ** max(0, EXPONENTS[currency] - DECIMALS_MAX)
    return step


def _amounts(document: Document) -> Iterator[int]:
    for line in document.lines:
        yield from (line.amount, line.discount_amount)
        for tax in line.taxes:
            yield from (tax.taxable, tax.amount)
    yield from (document.credit_applied, document.amount_paid, document.amount_credited)


def _vat_of(line: Line, document: Document) -> Tax:
    """The line's VAT. A line of nothing is treated as its neighbours; no tax at all is outside."""
    for candidate in (line, *document.lines):
        if candidate.taxes:
            return candidate.taxes[0]
    return OUTSIDE


def _vat(document: Document) -> list[Tax]:
    return [_vat_of(line, document) for line in document.lines]


def _categories(document: Document) -> frozenset[TaxCategory]:
    return frozenset(tax.category for tax in _vat(document))


def _fields(document: Document) -> dict[str, Any]:
    """The document by the standard's field numbers."""
    outside = TaxCategory.OUTSIDE in _categories(document)
    prepaid = document.total - document.amount_due
    is_credit = document.kind is Kind.CREDIT_NOTE
    net = sum(line.net for line in document.lines)
    fields: dict[str, Any] = {
        "BT-1": document.number,
        "BT-2": document.day(document.issued_at),
        "BT-3": CREDIT_NOTE if is_credit else INVOICE,
        "BT-5": document.currency,
        "BG-1": [{"BT-22": note} for note in document.notes],
        "BG-4": _seller(document.seller, outside=outside),
        "BG-7": _buyer(document.buyer, outside=outside),
        "BG-13": _party(document.buyer),
        "BG-23": list(_breakdown(document)),
        "BG-25": [_line(document, place) for place in range(len(document.lines))],
        "BT-106": _amount(document, net),
        "BT-109": _amount(document, net),
        "BT-110": _amount(document, document.tax_total),
        "BT-112": _amount(document, document.total),
        "BT-115": _amount(document, document.amount_due),
        **_payment(document),
    }
    if prepaid:
        fields["BT-113"] = _amount(document, prepaid)
    if document.period is not None:
        fields["BT-73"], fields["BT-74"] = document.days(document.period)
    if document.corrects is not None:
        fields["BG-3"] = [
            {
                "BT-25": document.corrects.number,
                "BT-26": document.day(document.corrects.issued_at),
            }
        ]
    if document.reason is not None:
        fields["BG-1"].append({"BT-22": document.reason})
    return fields


def _amount(document: Document, minor: int) -> str:
    """An amount with at most two decimals; the ones cut off are zeros, which `problems` saw to."""
    amount = figures.major(minor, document.currency)
    places = min(DECIMALS_MAX, EXPONENTS[document.currency])
    return str(amount.quantize(Decimal(1).scaleb(-places)))


def _rate(tax: Tax) -> str:
    """A rate in percent, without needless zeros."""
    percent = Decimal(tax.rate_ppm).scaleb(-4)
    return f"{percent.normalize():f}"


def _seller(party: Party, *, outside: bool) -> dict[str, Any]:
    fields = _party(party)
    if not outside:
        fields["vat_identifier"] = _vat_number(party)
    elif not party.registration_number:
        fields["identifiers"] = {None: party.tax_id}  # BR-O-02: it may not stand as VAT number
    return fields


def _buyer(party: Party, *, outside: bool) -> dict[str, Any]:
    fields = _party(party)
    number = _vat_number(party)
    if number is not None and not outside:
        fields["vat_identifier"] = number
    return fields


def _party(party: Party) -> dict[str, Any]:
    address = party.address
    fields: dict[str, Any] = {
        "name": party.name,
        "legal_identifier": party.registration_number,
        "addr_l1": address.line1,
        "addr_l2": address.line2,
        "postcode": address.postal_code,
        "city": address.city,
        "country_subdivision": address.state,
        "country_code": address.country,
    }
    if party.email:
        fields |= {"einvoicing_addr": party.email, "einvoicing_addr_schemeid": "EM"}
    contact = {"name": party.name, "email": party.email, "phone": party.phone}
    if party.email or party.phone:
        fields["contacts"] = [{key: value for key, value in contact.items() if value}]
    return {key: value for key, value in fields.items() if value}


def _line(document: Document, place: int) -> dict[str, Any]:
    """A line. Its price is for its whole quantity, so that no division ever rounds it."""
    line = document.lines[place]
    tax = _vat_of(line, document)
    inside = sum(part.rate_ppm for part in line.taxes if part.inclusive)
    off = divide(line.discount_amount * WHOLE_PPM, WHOLE_PPM + inside, Rounding.HALF_AWAY)
    gross = line.net + off
    quantity = abs(line.quantity) or 1
    fields: dict[str, Any] = {
        "BT-126": str(place + 1),
        "BT-129": str(-quantity if gross < 0 else quantity),
        "BT-130": UNIT,
        "BT-131": _amount(document, line.net),
        "BT-146": _amount(document, abs(gross)),
        "BT-149": str(quantity),
        "BT-151": tax.category.value,
        "BT-153": line.description,
    }
    if tax.category is not TaxCategory.OUTSIDE:
        fields["BT-152"] = _rate(tax)
    if line.period is not None:
        fields["BT-134"], fields["BT-135"] = document.days(line.period)
    if off:
        reason = words.of(document.language)["discount"]
        part = {"amount": _amount(document, abs(off)), "reason": reason}
        # What takes a discount back adds to the line: the standard calls that a charge.
        fields |= {"BG-27": [part | {"reason_code": DISCOUNT}]} if off > 0 else {"BG-28": [part]}
    return fields


def _breakdown(document: Document) -> Iterator[dict[str, Any]]:
    """The VAT of each category and rate over all lines (BG-23)."""
    sums: dict[tuple[TaxCategory, int], list[int]] = {}
    for line, vat in zip(document.lines, _vat(document), strict=True):
        both = sums.setdefault((vat.category, vat.rate_ppm), [0, 0])
        both[0] += line.net
        both[1] += sum(tax.amount for tax in line.taxes)
    w = words.of(document.language)
    for (category, rate_ppm), (taxable, amount) in sums.items():
        fields = {
            "BT-116": _amount(document, taxable),
            "BT-117": _amount(document, amount),
            "BT-118": category.value,
        }
        if category is not TaxCategory.OUTSIDE:
            fields["BT-119"] = _rate(Tax("", rate_ppm, category, 0, 0))
        if category in REASONS:
            fields["BT-120"] = w[REASONS[category]]
        if category in EXEMPTIONS:
            fields["BT-121"] = EXEMPTIONS[category]
        yield fields


def _payment(document: Document) -> dict[str, Any]:
    """When and how it is paid; a credit note only says that nothing is."""
    w = words.of(document.language)
    if document.kind is Kind.CREDIT_NOTE:
        return {"BT-20": w["credit_terms"]}
    fields: dict[str, Any] = {"BT-9": document.day(document.due_at or document.issued_at)}
    if document.charged_automatically:
        return fields | {"BT-20": w["charged_automatically"]}
    if document.bank is None:
        return fields
    fields |= {
        "BT-81": SEPA if document.currency == "EUR" else TRANSFER,
        "BT-83": document.number,
        "BT-84": document.bank.iban,
        "BT-85": document.bank.holder,
        "BT-86": document.bank.bic,
    }
    return {key: value for key, value in fields.items() if value}
