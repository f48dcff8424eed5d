"""/v1/tax_rates: taxes that subscriptions may carry."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.common import Change, Flag, Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.objects import TaxRate
from app.api.pages import Created
from app.db.views import TAX_RATE
from app.services import catalog
from app.services.catalog import CreateTaxRate, Update

router = APIRouter(prefix="/v1/tax_rates", tags=["tax_rates"], route_class=Endpoint)


class TaxRateCreate(Input):
    display_name: c.Name
    percentage: c.Percentage
    inclusive: Flag = False
    country: c.Country | None = None
    jurisdiction: c.Name | None = None
    metadata: c.Metadata = Field(default_factory=dict)

    def command(self) -> CreateTaxRate:
        return CreateTaxRate(**dict(self))


class TaxRateUpdate(Change):
    """A rate that has taxed an invoice never changes: make a new one."""

    display_name: c.Name = ""
    active: Flag = True
    metadata: c.MetadataChange = Field(default_factory=dict)


class TaxRateList(ListOf[TaxRate]):
    pass


class TaxRatesQuery(Created):
    active: bool | None = None
    country: c.Country | None = None


@router.post("", operation_id="create_tax_rate", status_code=201, response_model=TaxRate)
async def create_tax_rate(ask: Asked, body: TaxRateCreate) -> Response:
    """Create a tax rate."""
    row = await catalog.create_tax_rate(ask.rt, ask.caller, body.command())
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
    """Rename a tax rate, or stop offering it."""
    cmd = Update(tax_rate_id, body.model_dump(exclude_unset=True), ask.expected_version())
    return ask.shown(TAX_RATE, await catalog.update(ask.rt, ask.caller, TAX_RATE, cmd))
