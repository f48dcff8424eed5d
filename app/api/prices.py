"""/v1/prices: what a plan costs. A price never changes; a new price is a new version."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field, model_validator
from starlette.responses import Response

from app.api import common as c
from app.api.common import Amount, Change, Flag, Input, ListOf, UnitAmount
from app.api.endpoint import Asked, CatalogEndpoint
from app.api.objects import Price
from app.api.pages import Created
from app.db.views import PRICE
from app.domain.calendar import Unit
from app.domain.pricing import TIERS_MAX, PriceModel, TaxBehaviour, Timing, Usage
from app.services import catalog
from app.services.catalog import CreatePrice, TierAsked, Update

router = APIRouter(prefix="/v1/prices", tags=["prices"], route_class=CatalogEndpoint)

UNITS_MAX = 1_000_000_000
Units = Annotated[int, Field(strict=True, ge=1, le=UNITS_MAX)]
LookupKey = Annotated[c.Code, Field(description="A name of yours that moves to the newest price.")]


class TierInput(Input):
    """Units up to and including `up_to`; the last tier has no end."""

    up_to: Units | None = None
    unit_amount: Amount | None = None
    unit_amount_decimal: UnitAmount | None = None
    flat_amount: Annotated[Amount, Field(description="Due once when the tier is used.")] = 0

    def asked(self) -> TierAsked:
        return TierAsked(self.up_to, _unit_amount(self) or "0", self.flat_amount)

    @model_validator(mode="after")
    def _one_amount(self) -> "TierInput":
        _check_one_amount(self)
        return self


class PriceCreate(Input):
    """`unit_amount` for whole minor units, `unit_amount_decimal` for parts of them."""

    plan_id: c.PlanRef
    currency: c.Currency
    interval: Unit
    interval_count: Annotated[int, Field(strict=True, ge=1, le=365)] = 1
    model: PriceModel = PriceModel.PER_UNIT
    unit_amount: Amount | None = None
    unit_amount_decimal: UnitAmount | None = None
    tiers: Annotated[list[TierInput], Field(max_length=TIERS_MAX)] = Field(default_factory=list)
    package_size: Units | None = None
    timing: Timing = Timing.ADVANCE
    usage_type: Usage = Usage.LICENSED
    tax_behaviour: TaxBehaviour = TaxBehaviour.EXCLUSIVE
    setup_fee: Annotated[Amount, Field(description="Due once, with the first invoice.")] = 0
    trial_days: Annotated[int, Field(strict=True, ge=0, le=730)] = 0
    lookup_key: LookupKey | None = None
    transfer_lookup_key: Annotated[
        Flag, Field(description="Take the lookup key from the price that has it.")
    ] = False
    nickname: c.Name | None = None
    metadata: c.Metadata = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_amount(self) -> "PriceCreate":
        _check_one_amount(self)
        return self

    def command(self) -> CreatePrice:
        fields: dict[str, Any] = dict(self)
        fields["interval_unit"] = fields.pop("interval")
        del fields["unit_amount"]
        fields["unit_amount_decimal"] = _unit_amount(self)
        fields["tiers"] = tuple(tier.asked() for tier in self.tiers)
        return CreatePrice(**fields)


Priced = PriceCreate | TierInput


def _check_one_amount(priced: "Priced") -> None:
    if priced.unit_amount is not None and priced.unit_amount_decimal is not None:
        raise ValueError("Send unit_amount or unit_amount_decimal, not both.")


def _unit_amount(priced: Priced) -> str | None:
    if priced.unit_amount_decimal is not None:
        return priced.unit_amount_decimal
    return None if priced.unit_amount is None else str(priced.unit_amount)


class PriceUpdate(Change):
    """What is charged never changes: make a new price and deactivate this one."""

    nickname: c.Name | None = None
    lookup_key: LookupKey | None = None
    active: Flag = True
    metadata: c.MetadataChange = Field(default_factory=dict)


class PriceList(ListOf[Price]):
    pass


class PricesQuery(Created):
    active: bool | None = None
    plan_id: c.PlanRef | None = None
    currency: c.Currency | None = None
    lookup_key: c.Code | None = None


@router.post("", operation_id="create_price", status_code=201, response_model=Price)
async def create_price(ask: Asked, body: PriceCreate) -> Response:
    """Create a price: the next version of its plan's prices in this currency and interval."""
    row = await catalog.create_price(ask.rt, ask.caller, body.command())
    return ask.shown(PRICE, row, 201)


@router.get("", operation_id="list_prices", response_model=PriceList)
async def list_prices(ask: Asked, query: Annotated[PricesQuery, Query()]) -> Response:
    """List prices, the newest first."""
    return await ask.page(PRICE, query)


@router.get("/{price_id}", operation_id="get_price", response_model=Price)
async def get_price(ask: Asked, price_id: c.PriceRef) -> Response:
    """Get a price."""
    return await ask.one(PRICE, price_id)


@router.patch("/{price_id}", operation_id="update_price", response_model=Price)
async def update_price(ask: Asked, price_id: c.PriceRef, body: PriceUpdate) -> Response:
    """Rename a price, take it off the list or put it back; running subscriptions keep it."""
    cmd = Update(price_id, body.model_dump(exclude_unset=True), ask.expected_version())
    return ask.shown(PRICE, await catalog.update(ask.rt, ask.caller, PRICE, cmd))
