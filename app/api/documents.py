"""/v1/invoices/… and /v1/credit_notes/…/pdf, /html, /ubl; /v1/document_settings: what people get
to see.
"""

import base64
import binascii
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer, etag
from app.api.common import At, Change, Input, Output
from app.api.customers import AddressInput
from app.api.endpoint import Ask, Asked, Endpoint
from app.api.objects import Address
from app.db.views import DOCUMENT_SETTINGS
from app.documents.logo import BYTES_MAX
from app.documents.model import Document, Logo
from app.documents.words import LANGUAGES
from app.domain.errors import InvalidRequest
from app.services import document_settings, documents
from app.services.document_settings import UpdateDocumentSettings

router = APIRouter(prefix="/v1/invoices", tags=["documents"], route_class=Endpoint)
notes_router = APIRouter(prefix="/v1/credit_notes", tags=["documents"], route_class=Endpoint)
settings_router = APIRouter(
    prefix="/v1/document_settings", tags=["documents"], route_class=Endpoint
)

LOGO_CHARS_MAX: Final = (BYTES_MAX + 2) // 3 * 4
"""Base64 writes three bytes in four characters."""
BINARY: Final = {"type": "string", "format": "binary"}
DISPOSITION: Final = {"Content-Disposition": {"schema": {"type": "string"}}}


def _language(name: str) -> str:
    if name not in LANGUAGES:
        raise ValueError(f"Documents speak {', '.join(LANGUAGES)}.")
    return name


def _decoded(value: Any) -> Any:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except binascii.Error:
        raise ValueError("This is not base64.") from None


def _iban(text: str) -> str:
    """The account number without its spaces; its two check digits must fit (ISO 13616)."""
    compact = text.replace(" ", "").upper()
    digits = "".join(str(int(char, 36)) for char in compact[4:] + compact[:4])
    if int(digits) % 97 != 1:
        raise ValueError("This is not a valid IBAN.")
    return compact


Language = Annotated[
    str,
    AfterValidator(_language),
    WithJsonSchema({"type": "string", "enum": list(LANGUAGES)}),
]
Bytes = Annotated[
    bytes,
    BeforeValidator(_decoded),
    Field(min_length=1, max_length=BYTES_MAX),
    WithJsonSchema(
        {
            "type": "string",
            "contentEncoding": "base64",
            "minLength": 4,
            "maxLength": LOGO_CHARS_MAX,
            "description": "Base64 of at most 256 KiB.",
        }
    ),
]
Color = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$", examples=["#1d4ed8"])]
Iban = Annotated[
    str,
    Field(pattern=r"^[A-Z]{2}[0-9]{2}[A-Z0-9 ]{8,40}$", examples=["DE89370400440532013000"]),
    AfterValidator(_iban),
]
Bic = Annotated[
    str, Field(pattern=r"^[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?$", examples=["COBADEFFXXX"])
]
Short = Annotated[str, Field(min_length=1, max_length=200)]
Website = Annotated[
    str, Field(max_length=500, pattern=r"^https?://[^\s]+$", examples=["https://example.com"])
]
Text = Annotated[str, Field(min_length=1, max_length=2_000)]
ByLanguage = Annotated[
    dict[Language, Text | None],
    Field(
        description="By language; merged with what is there, null takes one out.",
        max_length=len(LANGUAGES),
        json_schema_extra={
            "propertyNames": {"enum": list(LANGUAGES)},
            "examples": [{"en": "Registered in Berlin, HRB 12345"}],
        },
    ),
]
MediaType = Literal["image/png", "image/svg+xml"]


class LogoInput(Input):
    """A picture. An SVG may draw, not more: no script, text, embedded picture or reference."""

    media_type: MediaType
    data: Bytes


class DocumentSettingsUpdate(Change):
    legal_name: Short | None = None
    address: Annotated[AddressInput, Field(description="Replaces the address as a whole.")] = (
        AddressInput()
    )
    tax_id: Annotated[
        Short | None, Field(description="VAT or other tax number, with its country's letters.")
    ] = None
    registration_number: Short | None = None
    email: c.Email | None = None
    phone: Short | None = None
    website: Website | None = None
    logo: LogoInput | None = None
    accent_color: Color | None = None
    footer: ByLanguage = Field(default_factory=dict)
    payment_instructions: ByLanguage = Field(default_factory=dict)
    account_holder: Short | None = None
    iban: Iban | None = None
    bic: Bic | None = None
    default_language: Language | None = None


class DocumentLogo(Output):
    media_type: str
    data: Annotated[str, Field(description="Base64.")]


class DocumentSettings(Output):
    id: Annotated[
        Annotated[str, c._id("dset")] | None,
        Field(description="Of this version; null while nothing was ever set."),
    ]
    object: Literal["document_settings"]
    legal_name: str | None
    address: Address
    tax_id: str | None
    registration_number: str | None
    email: str | None
    phone: str | None
    website: str | None
    logo: DocumentLogo | None
    accent_color: str | None
    footer: dict[str, str]
    payment_instructions: dict[str, str]
    account_holder: str | None
    iban: str | None
    bic: str | None
    default_language: str | None
    created_at: At | None
    version: c.Version


class DocumentQuery(Input):
    language: Annotated[
        Language | None, Field(description="Absent: the customer's, else the merchant's.")
    ] = None


class PdfQuery(DocumentQuery):
    einvoice: Annotated[
        bool, Field(description="With the EN 16931 e-invoice inside (Factur-X, ZUGFeRD).")
    ] = False


def _file(media_type: str, schema: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """How an operation documents that it answers with a file."""
    return {
        200: {
            "description": "The document.",
            "headers": DISPOSITION | {"ETag": {"schema": {"type": "string"}}},
            "content": {media_type: {"schema": schema}},
        },
        304: {"description": "Unchanged since the ETag that was sent as If-None-Match."},
    }


def _known(ask: Ask, tag: str) -> bool:
    known = ask.request.headers.get("if-none-match", "")
    return tag in [each.strip().removeprefix("W/") for each in known.split(",")]


def _headers(document: Document, tag: str, ending: str, *, inline: bool = False) -> dict[str, str]:
    placed = "inline" if inline else "attachment"
    number = document.number or document.kind.value
    name = "".join(
        char if char.isascii() and (char.isalnum() or char in "-_.") else "-" for char in number
    )
    return {
        "ETag": tag,
        "Content-Disposition": f'{placed}; filename="{name}.{ending}"',
        "Content-Language": document.language,
    }


async def _pdf(ask: Ask, document: Document, *, einvoice: bool) -> Response:
    tag = etag(documents.fingerprint(document, "facturx" if einvoice else "pdf"))
    headers = _headers(document, tag, "pdf")
    if _known(ask, tag):
        return Response(None, 304, headers)
    made = await documents.as_pdf(document, with_einvoice=einvoice)
    return Response(made, 200, headers, "application/pdf")


async def _html(ask: Ask, document: Document) -> Response:
    tag = etag(documents.fingerprint(document, "html"))
    headers = _headers(document, tag, "html", inline=True)
    if _known(ask, tag):
        return Response(None, 304, headers)
    page = await documents.as_html(document)
    headers["Content-Security-Policy"] = page.policy
    headers["Referrer-Policy"] = "no-referrer"
    return Response(page.body, 200, headers, "text/html")


async def _ubl(ask: Ask, document: Document) -> Response:
    tag = etag(documents.fingerprint(document, "ubl"))
    headers = _headers(document, tag, "xml")
    if _known(ask, tag):
        return Response(None, 304, headers)
    return Response(await documents.as_ubl(document), 200, headers, "application/xml")


@router.get(
    "/{invoice_id}/pdf",
    operation_id="get_invoice_pdf",
    response_class=Response,
    responses=_file("application/pdf", BINARY),
)
async def get_invoice_pdf(
    ask: Asked, invoice_id: c.InvoiceRef, query: Annotated[PdfQuery, Query()]
) -> Response:
    """Get an invoice as PDF/A-3; drafts and voided invoices say that they are. With `einvoice`
    422 (`einvoice_not_possible`) lists what EN 16931 needs and is not known.
    """
    document = await documents.for_invoice(ask.rt, ask.caller, invoice_id, query.language)
    return await _pdf(ask, document, einvoice=query.einvoice)


@router.get(
    "/{invoice_id}/html",
    operation_id="get_invoice_html",
    response_class=Response,
    responses=_file("text/html", {"type": "string"}),
)
async def get_invoice_html(
    ask: Asked, invoice_id: c.InvoiceRef, query: Annotated[DocumentQuery, Query()]
) -> Response:
    """Get an invoice as a page: it prints well, and needs no script and nothing from elsewhere."""
    document = await documents.for_invoice(ask.rt, ask.caller, invoice_id, query.language)
    return await _html(ask, document)


@router.get(
    "/{invoice_id}/ubl",
    operation_id="get_invoice_ubl",
    response_class=Response,
    responses=_file("application/xml", {"type": "string"}),
)
async def get_invoice_ubl(
    ask: Asked, invoice_id: c.InvoiceRef, query: Annotated[DocumentQuery, Query()]
) -> Response:
    """Get an invoice as EN 16931 e-invoice in UBL 2.1. 422 (`einvoice_not_possible`) lists what
    the standard needs and is not known.
    """
    document = await documents.for_invoice(ask.rt, ask.caller, invoice_id, query.language)
    return await _ubl(ask, document)


@notes_router.get(
    "/{credit_note_id}/pdf",
    operation_id="get_credit_note_pdf",
    response_class=Response,
    responses=_file("application/pdf", BINARY),
)
async def get_credit_note_pdf(
    ask: Asked, credit_note_id: c.CreditNoteRef, query: Annotated[PdfQuery, Query()]
) -> Response:
    """Get a credit note as PDF/A-3; a voided one says that it is. With `einvoice`
    422 (`einvoice_not_possible`) lists what EN 16931 needs and is not known.
    """
    document = await documents.for_credit_note(ask.rt, ask.caller, credit_note_id, query.language)
    return await _pdf(ask, document, einvoice=query.einvoice)


@notes_router.get(
    "/{credit_note_id}/html",
    operation_id="get_credit_note_html",
    response_class=Response,
    responses=_file("text/html", {"type": "string"}),
)
async def get_credit_note_html(
    ask: Asked, credit_note_id: c.CreditNoteRef, query: Annotated[DocumentQuery, Query()]
) -> Response:
    """Get a credit note as a page that prints well: no script, and nothing from elsewhere."""
    document = await documents.for_credit_note(ask.rt, ask.caller, credit_note_id, query.language)
    return await _html(ask, document)


@notes_router.get(
    "/{credit_note_id}/ubl",
    operation_id="get_credit_note_ubl",
    response_class=Response,
    responses=_file("application/xml", {"type": "string"}),
)
async def get_credit_note_ubl(
    ask: Asked, credit_note_id: c.CreditNoteRef, query: Annotated[DocumentQuery, Query()]
) -> Response:
    """Get a credit note as EN 16931 e-invoice in UBL 2.1. 422 (`einvoice_not_possible`) lists what
    the standard needs and is not known.
    """
    document = await documents.for_credit_note(ask.rt, ask.caller, credit_note_id, query.language)
    return await _ubl(ask, document)


@settings_router.get("", operation_id="get_document_settings", response_model=DocumentSettings)
async def get_document_settings(ask: Asked) -> Response:
    """Get how the merchant's documents look, and who they say it is."""
    return answer(await document_settings.get(ask.rt, ask.caller))


@settings_router.patch("", operation_id="update_document_settings", response_model=DocumentSettings)
async def update_document_settings(ask: Asked, body: DocumentSettingsUpdate) -> Response:
    """Change how documents look: fields that are not sent stay as they are, and documents issued
    before keep what was set then.
    """
    changes = body.model_dump(exclude_unset=True)
    if not changes:
        raise InvalidRequest("Say what to change: every change is kept as a version.")
    if "address" in changes:
        changes["address"] = body.address.model_dump()
    logo = None
    if body.logo is not None:
        logo = Logo(body.logo.media_type, body.logo.data)
        del changes["logo"]
    cmd = UpdateDocumentSettings(changes, logo, ask.expected_version())
    row = await document_settings.update(ask.rt, ask.caller, cmd)
    return ask.shown(DOCUMENT_SETTINGS, row)
