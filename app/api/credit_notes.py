"""/v1/credit_notes: what of an invoice comes back, and where it goes."""

from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import Field, model_validator
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer
from app.api.common import Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.invoice_objects import CreditNote, CreditNoteLine
from app.api.pages import Created, Listing
from app.db.views import CREDIT_NOTE, CREDIT_NOTE_LINE
from app.domain.credit_note import Status
from app.domain.issuing import Wanted, WantedLine
from app.services import credit_notes
from app.services.public import shown

router = APIRouter(prefix="/v1/credit_notes", tags=["credit notes"], route_class=Endpoint)

LINES_MAX = 100
QUANTITY_MAX = 10**9


class NoteLineCreate(Input):
    """Some of a line's amount before discounts and taxes, or some of its units; neither: all."""

    invoice_line_id: c.InvoiceLineRef
    amount: c.PositiveAmount | None = None
    quantity: Annotated[int, Field(strict=True, ge=1, le=QUANTITY_MAX)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.amount is not None and self.quantity is not None:
            raise ValueError("Give an amount or a quantity, not both.")
        return self


class CreditNoteCreate(Input):
    """What comes back: by lines, or as a total with tax; neither: everything that is left.

    It first takes off what is still due. The rest was paid and goes to the customer's balance,
    unless it is said to be refunded, or to be given back outside.
    """

    invoice_id: c.InvoiceRef
    lines: Annotated[list[NoteLineCreate], Field(max_length=LINES_MAX)] = Field(
        default_factory=list
    )
    amount: Annotated[
        c.PositiveAmount | None,
        Field(description="The total with tax, spread over what is left of the lines."),
    ] = None
    to_balance: c.Amount | None = None
    to_refund: Annotated[
        c.Amount | None,
        Field(
            description="Refunds made before without a credit note count first. Absent: just those."
        ),
    ] = None
    outside: c.Amount | None = None
    reason: c.Description | None = None
    metadata: c.Metadata = Field(default_factory=dict)

    def wanted(self) -> Wanted:
        return Wanted(
            tuple(WantedLine(li.invoice_line_id, li.amount, li.quantity) for li in self.lines),
            self.amount,
            self.to_balance,
            self.to_refund,
            self.outside,
            self.reason,
            self.metadata,
        )


class CreditNoteList(ListOf[CreditNote]):
    pass


class CreditNoteLineList(ListOf[CreditNoteLine]):
    pass


class CreditNotesQuery(Created):
    invoice_id: c.InvoiceRef | None = None
    customer_id: c.CustomerRef | None = None
    status: Status | None = None
    number: Annotated[str, Field(max_length=60)] | None = None


@router.post("", operation_id="create_credit_note", status_code=201, response_model=CreditNote)
async def create_credit_note(ask: Asked, body: CreditNoteCreate) -> Response:
    """Credit an invoice. 409 while a payment of what is due is in flight."""
    made = await credit_notes.create(ask.rt, ask.caller, body.invoice_id, body.wanted())
    return await ask.present(CREDIT_NOTE, made, 201)


@router.post("/preview", operation_id="preview_credit_note", response_model=CreditNote)
async def preview_credit_note(ask: Asked, body: CreditNoteCreate) -> Response:
    """What a credit note would be; nothing is written, and no number taken."""
    note = await credit_notes.preview(ask.rt, ask.caller, body.invoice_id, body.wanted())
    return answer(shown(CREDIT_NOTE, note.snapshot()))


@router.get("", operation_id="list_credit_notes", response_model=CreditNoteList)
async def list_credit_notes(ask: Asked, query: Annotated[CreditNotesQuery, Query()]) -> Response:
    """List credit notes, the newest first."""
    return await ask.page(CREDIT_NOTE, query)


@router.get("/{credit_note_id}", operation_id="get_credit_note", response_model=CreditNote)
async def get_credit_note(ask: Asked, credit_note_id: c.CreditNoteRef) -> Response:
    """Get a credit note with its lines."""
    return await ask.one(CREDIT_NOTE, credit_note_id)


@router.get(
    "/{credit_note_id}/lines",
    operation_id="list_credit_note_lines",
    response_model=CreditNoteLineList,
)
async def list_credit_note_lines(
    ask: Asked, credit_note_id: c.CreditNoteRef, query: Annotated[Listing, Query()]
) -> Response:
    """List a credit note's lines with their discounts and taxes, the last first."""
    return await ask.page(CREDIT_NOTE_LINE, query, {"credit_note_id": credit_note_id})


@router.post("/{credit_note_id}/void", operation_id="void_credit_note", response_model=CreditNote)
async def void_credit_note(ask: Asked, credit_note_id: c.CreditNoteRef) -> Response:
    """Take a credit note back, as long as nothing of it was refunded or used."""
    return await ask.present(
        CREDIT_NOTE, await credit_notes.void(ask.rt, ask.caller, credit_note_id)
    )
