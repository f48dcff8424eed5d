"""/v1/invoice_series: how invoices and credit notes are numbered."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from app.api.answers import answer
from app.api.common import Change, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.invoice_objects import InvoiceSeries
from app.services import series
from app.services.series import NUMBER_MAX, UpdateSeries

router = APIRouter(prefix="/v1/invoice_series", tags=["invoices"], route_class=Endpoint)

DIGITS_MAX = 12
Name = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", examples=["default", "credit_notes"])
]


class SeriesUpdate(Change):
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9/_.-]{1,20}$", examples=["2030-"])] = "INV-"
    digits: Annotated[int, Field(strict=True, ge=1, le=DIGITS_MAX)] = 6
    next_number: Annotated[
        int,
        Field(strict=True, ge=1, le=NUMBER_MAX, description="It only grows; no gap after it."),
    ] = 1


class SeriesList(ListOf[InvoiceSeries]):
    pass


@router.get("", operation_id="list_invoice_series", response_model=SeriesList)
async def list_invoice_series(ask: Asked) -> Response:
    """List the numbering series, by name: all of them on one page."""
    found = await series.every(ask.rt, ask.caller)
    return answer({"object": "list", "data": found, "has_more": False, "next_cursor": None})


@router.patch("/{name}", operation_id="update_invoice_series", response_model=InvoiceSeries)
async def update_invoice_series(ask: Asked, name: Name, body: SeriesUpdate) -> Response:
    """Change how the next numbers look, or begin a series of your own."""
    cmd = UpdateSeries(name, **body.model_dump(exclude_unset=True))
    return answer(await series.update(ask.rt, ask.caller, cmd))
