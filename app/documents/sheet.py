"""A document in its language: every label and figure as text, in the order in which they are read.

The PDF and the page only place what stands here, so that they say the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from babel import Locale

from app.documents import figures, words
from app.documents.model import Document, Kind, Line, Party, Period, Tax, TaxCategory

LETTER_COUNTRIES: Final = frozenset({"US", "CA", "MX", "CL", "CO", "PH", "VE"})
"""Where paper is not A4."""
TO: Final = " \N{EN DASH} "
DASH: Final = "\N{EN DASH}"
REASONS: Final = {
    TaxCategory.REVERSE_CHARGE: "reverse_charge",
    TaxCategory.INTRA_COMMUNITY: "intra_community",
    TaxCategory.EXPORT: "export",
    TaxCategory.EXEMPT: "exempt",
    TaxCategory.OUTSIDE: "outside",
}
"""Why no tax was charged, by category: the law wants it said in words."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """A document's language, with its currency and its time zone."""

    document: Document
    w: Any

    def money(self, amount: int) -> str:
        return figures.money(amount, self.document.currency, self.document.language)

    def rate(self, tax: Tax) -> str:
        return figures.percent(tax.rate_ppm, self.document.language)

    def tax(self, tax: Tax) -> str:
        """The name with its rate, or the name alone where it has the rate in it."""
        rate = self.rate(tax)
        return tax.name if rate in tax.name else f"{tax.name} {rate}"

    def span(self, period: Period) -> str:
        """A period by its first and its last day."""
        first, last = self.document.days(period)
        begin = figures.short_day(first, self.document.language)
        if first == last:
            return begin
        return f"{begin}{TO}{figures.short_day(last, self.document.language)}"


def build(document: Document) -> dict[str, Any]:
    """Everything that is to be read, by where it stands; texts, lists and flags only."""
    w = words.of(document.language)
    speaker = Speaker(document, w)
    lines = [_line(speaker, line) for line in document.lines]
    return {
        "language": document.language,
        "paper": "us-letter" if document.seller.address.country in LETTER_COUNTRIES else "a4",
        "accent": document.branding.accent_color,
        "title": w["credit_note"] if document.kind is Kind.CREDIT_NOTE else w["invoice"],
        "number": document.number,
        "status": _status(document, w),
        "notice": _notice(document, w),
        "facts": [list(fact) for fact in _facts(speaker)],
        "seller": _party(document.seller, w, document.language, contact=True),
        "buyer": _party(document.buyer, w, document.language, contact=False),
        "has_quantities": any(line["quantity"] for line in lines),
        "lines": lines,
        "totals": [list(total) for total in _totals(speaker)],
        "taxes": [list(row) for row in _taxes(speaker)],
        "notes": list(_notes(document, w)),
        "payment": [list(row) for row in _payment(document, w)],
        "payment_text": _payment_text(document, w),
        "link": document.payment_link if _is_payable(document) else None,
        "footer": document.branding.footer,
        "words": dict(w),
    }


def _status(document: Document, w: Any) -> str | None:
    match document.kind:
        case Kind.DRAFT:
            return str(w["draft"])
        case Kind.PREVIEW:
            return str(w["preview"])
        case Kind.INVOICE | Kind.CREDIT_NOTE if document.voided_at is not None:
            return str(w["void"])
        case Kind.INVOICE if document.paid_at is not None:
            return str(w["paid"])
        case _:
            return None


def _notice(document: Document, w: Any) -> str | None:
    if document.voided_at is not None:
        return str(w["void_notice"])
    return None if document.is_final else str(w["not_an_invoice"])


def _facts(speaker: Speaker) -> Iterator[tuple[str, str]]:
    document, w = speaker.document, speaker.w

    def day(at: Any) -> str:
        return figures.day(document.day(at), document.language)

    if document.number is not None:
        yield w["number"], document.number
    yield w["issued"], day(document.issued_at)
    if document.period is not None:
        yield w["period"], speaker.span(document.period)
    if document.due_at is not None and document.kind is not Kind.CREDIT_NOTE:
        yield w["due"], day(document.due_at)
    if document.paid_at is not None:
        yield w["paid_on"], day(document.paid_at)
    if document.voided_at is not None:
        yield w["voided_on"], day(document.voided_at)
    if document.reason is not None:
        yield w["reason"], document.reason


def _party(party: Party, w: Any, language: str, *, contact: bool) -> dict[str, Any]:
    address = party.address
    place = " ".join(filter(None, (address.postal_code, address.city)))
    country = address.country and Locale.parse(language).territories.get(address.country)
    rows = [address.line1, address.line2, place, address.state, country or address.country]
    if party.tax_id:
        rows.append(f"{w['tax_id']}: {party.tax_id}")
    if party.registration_number:
        rows.append(f"{w['registration_number']}: {party.registration_number}")
    if contact:
        rows += [party.email, party.phone, party.website]
    elif party.email:
        rows.append(party.email)
    return {"name": party.name, "rows": [row for row in rows if row]}


def _line(speaker: Speaker, line: Line) -> dict[str, Any]:
    each = ""
    if line.quantity and line.amount % line.quantity == 0:
        each = speaker.money(line.amount // line.quantity)
    quantity = figures.whole(line.quantity, speaker.document.language)
    taxes = [speaker.rate(tax) for tax in line.taxes]
    return {
        "description": line.description,
        "period": speaker.span(line.period) if line.period else "",
        "quantity": f"{quantity} {line.unit}" if line.unit else quantity,
        "unit_price": each,
        "discount": speaker.money(-line.discount_amount) if line.discount_amount else "",
        "tax": " + ".join(taxes) if taxes else DASH,
        "amount": speaker.money(line.amount),
    }


def _totals(speaker: Speaker) -> Iterator[tuple[str, str, bool]]:
    """Label, amount, and whether it is one of the two that matter most."""
    document, w, money = speaker.document, speaker.w, speaker.money
    yield w["subtotal"], money(document.subtotal), False
    if document.discount_total:
        yield w["discount"], money(-document.discount_total), False
    on_top = [tax for tax in document.taxes if not tax.inclusive]
    if on_top and (document.discount_total or len(document.taxes) > len(on_top)):
        yield w["total_without_tax"], money(document.total - document.tax_total), False
    for tax in on_top:
        yield speaker.tax(tax), money(tax.amount), False
    yield w["total"], money(document.total), True
    for tax in document.taxes:
        if tax.inclusive:
            yield w["includes"].format(tax=speaker.tax(tax)), money(tax.amount), False
    if document.kind is Kind.CREDIT_NOTE:
        return
    taken = (
        (w["credit_applied"], document.credit_applied),
        (w["credited"], document.amount_credited),
        (w["amount_paid"], document.amount_paid),
    )
    for label, amount in taken:
        if amount:
            yield label, money(-amount), False
    yield w["amount_due"], money(0 if document.voided_at else document.amount_due), True


def _taxes(speaker: Speaker) -> Iterator[tuple[str, str, str, str]]:
    for tax in speaker.document.taxes:
        yield tax.name, speaker.rate(tax), speaker.money(tax.taxable), speaker.money(tax.amount)


def _notes(document: Document, w: Any) -> Iterator[str]:
    if document.corrects is not None:
        date = figures.day(document.day(document.corrects.issued_at), document.language)
        yield w["corrects"].format(number=document.corrects.number, date=date)
    for category, key in REASONS.items():
        if category in document.categories:
            yield w[key]
    yield from document.notes


def _is_payable(document: Document) -> bool:
    return document.kind is Kind.INVOICE and document.is_final and document.amount_due > 0


def _payment_text(document: Document, w: Any) -> str | None:
    if document.kind is Kind.CREDIT_NOTE and document.is_final:
        return str(w["credit_terms"])
    if not _is_payable(document):
        return None
    if document.charged_automatically:
        return str(w["charged_automatically"])
    return document.payment_instructions


def _payment(document: Document, w: Any) -> Iterator[tuple[str, str]]:
    """Where a transfer goes, while one is awaited."""
    if not _is_payable(document) or document.charged_automatically or document.bank is None:
        return
    bank = document.bank
    if bank.holder:
        yield w["account_holder"], bank.holder
    yield w["iban"], " ".join(bank.iban[at : at + 4] for at in range(0, len(bank.iban), 4))
    if bank.bic:
        yield w["bic"], bank.bic
    if document.number:
        yield w["reference"], document.number
