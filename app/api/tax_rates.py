"""/v1/tax_rates: what each jurisdiction takes, of what, from when until when."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.common import Change, Flag, Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.pages import Created
from app.api.tax_objects import (
    CountryCode,
    Day,
    PostalPrefix,
    Region,
    TaxCode,
    TaxRate,
    TaxType,
)
from app.db.views import TAX_RATE
from app.domain.taxation import Level
from app.services import tax_rates
from app.services.tax_rates import CreateTaxRate, Update

router = APIRouter(prefix="/v1/tax_rates", tags=["tax_rates"], route_class=Endpoint)

TAX_CODES_MAX = 100
POSTAL_CODES_MAX = 500
PRIORITY_MAX = 100


class TaxRateCreate(Input):
    """Without a country, a rate is charged only where a subscription names it."""

    display_name: c.Name
    percentage: c.Percentage
    inclusive: Flag = False
    type: TaxType = "vat"
    country: CountryCode | None = None
    region: Region | None = None
    jurisdiction: c.Name | None = None
    level: Annotated[
        Level | None,
        Field(description="Whose tax it is. Without it: the region's where one is named."),
    ] = None
    priority: Annotated[
        int,
        Field(
            strict=True,
            ge=0,
            le=PRIORITY_MAX,
            description="Of one level and priority, the most specific rate applies alone; "
            "different levels and priorities add up.",
        ),
    ] = 0
    postal_codes: Annotated[
        list[PostalPrefix],
        Field(max_length=POSTAL_CODES_MAX, description="How they begin; none: all of them."),
    ] = Field(default_factory=list)
    tax_codes: Annotated[
        list[TaxCode], Field(max_length=TAX_CODES_MAX, description="None: all products.")
    ] = Field(default_factory=list)
    valid_from: Day | None = None
    valid_until: Annotated[Day | None, Field(description="The first day it is over.")] = None
    metadata: c.Metadata = Field(default_factory=dict)

    def command(self) -> CreateTaxRate:
        lists = {"postal_codes": tuple(self.postal_codes), "tax_codes": tuple(self.tax_codes)}
        return CreateTaxRate(**dict(self) | lists)


class TaxRateUpdate(Change):
    """A rate that has taxed an invoice never changes: end it, and make a new one."""

    display_name: c.Name = ""
    active: Flag = True
    valid_until: Annotated[Day | None, Field(description="The first day it is over.")] = None
    metadata: c.MetadataChange = Field(default_factory=dict)


class TaxRateList(ListOf[TaxRate]):
    pass


class TaxRatesQuery(Created):
    active: bool | None = None
    source: Literal["merchant", "tax_engine"] | None = None
    country: c.Country | None = None
    region: Region | None = None
    type: TaxType | None = None
    tax_code: TaxCode | None = None
    valid_on: Day | None = None


@router.post("", operation_id="create_tax_rate", status_code=201, response_model=TaxRate)
async def create_tax_rate(ask: Asked, body: TaxRateCreate) -> Response:
    """Create a tax rate."""
    row = await tax_rates.create(ask.rt, ask.caller, body.command())
    return ask.shown(TAX_RATE, row, 201)


@router.get("", operation_id="list_tax_rates", response_model=TaxRateList)
async def list_tax_rates(ask: Asked, query: Annotated[TaxRatesQuery, Query()]) -> Response:
    """List tax rates, the newest first."""
    return await ask.page(TAX_RATE, query)


@router.get("/{tax_rate_id}", operation_id="get_tax_rate", response_model=TaxRate)
async def get_tax_rate(ask: Asked, tax_rate_id: c.TaxRateRef) -> Response:
    """Get a tax rate."""
    return await ask.one(TAX_RATE, tax_rate_id)


@router.patch("/{tax_rate_id}", operation_id="update_tax_rate", response_model=TaxRate)
async def update_tax_rate(ask: Asked, tax_rate_id: c.TaxRateRef, body: TaxRateUpdate) -> Response:
    """Rename a tax rate, end it, or stop offering it."""
    cmd = Update(tax_rate_id, body.model_dump(exclude_unset=True), ask.expected_version())
    return ask.shown(TAX_RATE, await tax_rates.update(ask.rt, ask.caller, cmd))
