"""/v1/customers/{id}/tax_ids: the numbers by which tax offices know a customer."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field
from starlette.responses import Response

from app.api import common as c
from app.api.common import Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.pages import Created
from app.api.tax_objects import TaxId
from app.db.views import TAX_ID
from app.services import tax_ids
from app.services.tax_ids import AddTaxId
from app.taxes.numbers import TYPES

router = APIRouter(
    prefix="/v1/customers/{customer_id}/tax_ids", tags=["customers"], route_class=Endpoint
)


def _known(name: str) -> str:
    if name not in TYPES:
        raise ValueError(f"There is no such type of tax id. There are: {', '.join(TYPES)}.")
    return name


TaxIdType = Annotated[
    str,
    Field(max_length=20, json_schema_extra={"enum": list(TYPES)}, examples=["eu_vat"]),
    AfterValidator(_known),
]
TaxIdValue = Annotated[str, Field(min_length=1, max_length=50, examples=["DE136695976"])]


class TaxIdCreate(Input):
    type: TaxIdType
    value: TaxIdValue


class TaxIdList(ListOf[TaxId]):
    pass


class TaxIdsQuery(Created):
    type: TaxIdType | None = None


@router.post("", operation_id="create_tax_id", status_code=201, response_model=TaxId)
async def create_tax_id(ask: Asked, customer_id: c.CustomerRef, body: TaxIdCreate) -> Response:
    """Add a tax id to a customer: its form and check digits must be right."""
    cmd = AddTaxId(customer_id, body.type, body.value)
    return ask.shown(TAX_ID, await tax_ids.create(ask.rt, ask.caller, cmd), 201)


@router.get("", operation_id="list_tax_ids", response_model=TaxIdList)
async def list_tax_ids(
    ask: Asked, customer_id: c.CustomerRef, query: Annotated[TaxIdsQuery, Query()]
) -> Response:
    """List a customer's tax ids, the newest first."""
    return await ask.page(TAX_ID, query, {"customer_id": customer_id})


@router.delete("/{tax_id_id}", operation_id="delete_tax_id", response_model=TaxId)
async def delete_tax_id(ask: Asked, customer_id: c.CustomerRef, tax_id_id: c.TaxIdRef) -> Response:
    """Take a tax id from a customer. Invoices keep what they said."""
    version = ask.expected_version()
    row = await tax_ids.delete(ask.rt, ask.caller, customer_id, tax_id_id, version)
    return ask.shown(TAX_ID, row)
