"""Invoices and credit notes as documents, put together from what was really billed.

The parties are shown as they were when the document was issued. What was not yet known then is
shown as it is now: a seller who fills in the address later need not void anything.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeVar
from uuid import UUID

import orjson

from app.db import documents as rows
from app.db import views
from app.db.base import Row
from app.db.views.base import Source
from app.documents import einvoice, facturx, html, pdf, words
from app.documents.html import Page
from app.documents.model import (
    Address,
    BankAccount,
    Branding,
    Corrected,
    Document,
    Kind,
    Line,
    Logo,
    Party,
    Period,
    Tax,
    TaxCategory,
)
from app.domain.errors import NotFound
from app.domain.invoice import Collection, Status
from app.runtime import Runtime
from app.services import document_settings, lookup
from app.services.caller import Caller
from app.services.document_settings import ADDRESS

Made = TypeVar("Made")

RENDERINGS_MAX: Final = 2
"""Documents made at once in a process: each keeps a core busy for some milliseconds."""
REVISION: Final = 1
"""Of the templates: raise it when the same document begins to look otherwise."""
CATEGORIES: Final[Mapping[str | None, TaxCategory]] = {
    "reverse_charge": TaxCategory.REVERSE_CHARGE,
    "intra_community": TaxCategory.INTRA_COMMUNITY,
    "export": TaxCategory.EXPORT,
    "exempt": TaxCategory.EXEMPT,
    "customer_exempt": TaxCategory.EXEMPT,
    "small_business": TaxCategory.EXEMPT,
    "not_registered": TaxCategory.OUTSIDE,
    "outside_scope": TaxCategory.OUTSIDE,
}
"""Why a rate is zero, as its line says; a zero without a reason is a rate of zero."""


async def for_invoice(
    rt: Runtime, caller: Caller, invoice_id: UUID, language: str | None = None
) -> Document:
    """The document of an invoice. Raises NotFound."""
    async with rt.db.read(caller.merchant_id) as reader:
        row = await rows.invoice(reader, caller.merchant_id, invoice_id)
        if row is None:
            raise lookup.missing(views.INVOICE)
        issued_at = row["finalized_at"] or row["created_at"]
        frame = await _frame(reader, caller, row, issued_at, language)
        lines = await rows.invoice_lines(reader, caller.merchant_id, invoice_id)
        taxes = await _taxes(reader, caller, [line["id"] for line in lines])
    is_draft = row["status"] == Status.DRAFT
    collection = row["collection_method"]
    return replace(
        frame,
        kind=Kind.DRAFT if is_draft else Kind.INVOICE,
        lines=tuple(_line(line, taxes[line["id"]].values()) for line in lines),
        credit_applied=row["balance_applied"],
        amount_credited=row["amount_credited"],
        amount_paid=row["amount_paid"],
        due_at=row["due_at"],
        paid_at=row["paid_at"],
        period=Period(row["period_start"], row["period_end"]),
        charged_automatically=collection == Collection.CHARGE_AUTOMATICALLY,
    )


async def for_credit_note(
    rt: Runtime, caller: Caller, credit_note_id: UUID, language: str | None = None
) -> Document:
    """The document of a credit note. Raises NotFound."""
    async with rt.db.read(caller.merchant_id) as reader:
        row = await rows.credit_note(reader, caller.merchant_id, credit_note_id)
        if row is None:
            raise NotFound("There is no such credit note.")
        frame = await _frame(reader, caller, row, row["created_at"], language)
        lines = await rows.credit_note_lines(reader, caller.merchant_id, credit_note_id)
        credited = [line["invoice_line_id"] for line in lines if line["invoice_line_id"]]
        taxes = await _taxes(reader, caller, credited)
    return replace(
        frame,
        kind=Kind.CREDIT_NOTE,
        lines=tuple(_credited(line, taxes[line["invoice_line_id"]]) for line in lines),
        corrects=Corrected(row["invoice_number"], row["invoice_issued_at"]),
        reason=row["reason"],
    )


async def as_pdf(document: Document, *, with_einvoice: bool = False) -> bytes:
    """The document as PDF, if asked for with its e-invoice inside. Raises InvalidRequest."""
    return await _made(facturx.render if with_einvoice else pdf.render, document)


async def as_html(document: Document) -> Page:
    """The document as a page, with its policy."""
    return await _made(html.render, document)


async def as_ubl(document: Document) -> bytes:
    """The document as UBL 2.1. Raises InvalidRequest, saying all that is missing."""
    return await _made(einvoice.ubl, document)


def fingerprint(document: Document, form: str) -> str:
    """What tells two renderings apart: the same one means the same bytes."""
    said = orjson.dumps([REVISION, form, asdict(document)], default=_plain)
    return hashlib.sha256(said).hexdigest()[:32]


def _plain(value: object) -> str:
    assert isinstance(value, bytes)
    return hashlib.sha256(value).hexdigest()


async def _made(render: Callable[[Document], Made], document: Document) -> Made:
    return await asyncio.get_running_loop().run_in_executor(_pool(), render, document)


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(RENDERINGS_MAX, "documents")


async def _frame(
    source: Source, caller: Caller, row: Row, issued_at: datetime, wish: str | None
) -> Document:
    """All but the lines and how it is paid: who, in which language, and what it comes to."""
    settings = await _settings(source, caller, issued_at)
    buyer = _customer(row)
    default = settings["default_language"]
    language = words.best(*filter(None, (wish, row["customer_language"], default)))
    return Document(
        kind=Kind.INVOICE,
        number=row["number"],
        language=language,
        zone=row["subscription_zone"] or row["customer_zone"],
        currency=row["currency"],
        seller=_seller(settings, row),
        buyer=buyer,
        issued_at=issued_at,
        lines=(),
        subtotal=row["subtotal"],
        discount_total=row["discount_total"],
        tax_total=row["tax_total"],
        tax_added=row["tax_added"],
        total=row["total"],
        voided_at=row["voided_at"],
        branding=await _branding(source, caller, settings, language),
        bank=_bank(settings),
        payment_instructions=_spoken(settings["payment_instructions"], language, default),
    )


async def _settings(source: Source, caller: Caller, at: datetime) -> dict[str, Any]:
    """The settings as they were then; what was not set then, as it is now."""
    now = document_settings.fields_of(await rows.settings(source, caller.merchant_id))
    then = document_settings.fields_of(await rows.settings_at(source, caller.merchant_id, at))
    return now | {key: value for key, value in then.items() if _says_something(value)}


def _says_something(value: Any) -> bool:
    return any(value.values()) if isinstance(value, dict) else bool(value)


def _seller(settings: Mapping[str, Any], row: Row) -> Party:
    return Party(
        name=settings["legal_name"] or row["merchant_name"],
        address=_address(settings["address"]),
        tax_id=settings["tax_id"] or row["merchant_tax_id"],
        registration_number=settings["registration_number"],
        email=settings["email"],
        phone=settings["phone"],
        website=settings["website"],
    )


def _customer(row: Row) -> Party:
    """Who bought, as it was when the document was issued; who is forgotten stays forgotten."""
    known: dict[str, Any] = {
        "name": row["customer_name"],
        "email": row["customer_email"],
        "address": orjson.loads(row["customer_address"]),
    }
    if row["customer_then"] is not None and row["customer_deleted_at"] is None:
        then = orjson.loads(row["customer_then"])
        if isinstance(then.get("address"), str):
            then["address"] = orjson.loads(then["address"])
        known |= {key: then[key] for key in known if _says_something(then.get(key))}
    name = known["name"] or known["email"] or ""
    return Party(name, _address(known["address"]), row["customer_tax_id"], email=known["email"])


def _address(fields: Mapping[str, str | None]) -> Address:
    return Address(**{key: fields.get(key) or None for key in ADDRESS})


async def _branding(
    source: Source, caller: Caller, settings: Mapping[str, Any], language: str
) -> Branding:
    logo = None
    if settings["logo_digest"] is not None:
        row = await rows.logo(source, caller.merchant_id, settings["logo_digest"])
        logo = None if row is None else Logo(row["media_type"], row["data"])
    return Branding(
        logo,
        settings["accent_color"] or Branding().accent_color,
        _spoken(settings["footer"], language, settings["default_language"]),
    )


def _spoken(texts: Mapping[str, str], *wishes: str | None) -> str | None:
    """A text in the first language that there is one in, or in any."""
    for wish in (*wishes, words.FALLBACK):
        if wish is not None and wish in texts:
            return texts[wish]
    return next(iter(texts.values()), None)


def _bank(settings: Mapping[str, Any]) -> BankAccount | None:
    if not settings["iban"]:
        return None
    return BankAccount(settings["iban"], settings["account_holder"], settings["bic"])


async def _taxes(
    source: Source, caller: Caller, line_ids: Sequence[UUID]
) -> defaultdict[UUID | None, dict[UUID, Tax]]:
    """The taxes of invoice lines, each by its rate."""
    found: defaultdict[UUID | None, dict[UUID, Tax]] = defaultdict(dict)
    for row in await rows.line_taxes(source, caller.merchant_id, line_ids):
        found[row["line_id"]][row["tax_rate_id"]] = _tax(row)
    return found


def _tax(row: Row) -> Tax:
    rate = row["rate_ppm"]
    category = TaxCategory.STANDARD
    if not rate:
        category = CATEGORIES.get(row["reason"], TaxCategory.ZERO)
    taxable, amount = row["taxable_amount"], row["amount"]
    return Tax(row["display_name"], rate, category, taxable, amount, row["inclusive"])


def _line(row: Row, taxes: Iterable[Tax]) -> Line:
    period = None
    if row["period_start"] is not None and row["period_start"] < row["period_end"]:
        period = Period(row["period_start"], row["period_end"])
    return Line(
        description=row["description"],
        amount=row["amount"],
        quantity=row["quantity"],
        kind=row["kind"] or "credit",
        period=period,
        discount_amount=row["discount_amount"],
        taxes=tuple(taxes),
    )


def _credited(row: Row, charged: Mapping[UUID, Tax]) -> Line:
    """A credit note's line; its taxes are those of the line that it credits, as far as it does."""
    return _line(
        row,
        [
            replace(charged[UUID(rate_id)], taxable=taxable, amount=amount)
            for rate_id, taxable, amount, *_ in orjson.loads(row["taxes"])
        ],
    )
