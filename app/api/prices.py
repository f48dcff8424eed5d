"""/v1/prices: what a plan costs. A price never changes; a new price is a new version."""

from collections.abc import Iterable
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, model_validator
from starlette.responses import Response

from app.api import common as c
from app.api.catalog_objects import Price
from app.api.common import Amount, Change, Flag, Input, ListOf, UnitAmount
from app.api.endpoint import Asked, Endpoint
from app.api.pages import Created
from app.db.views import PRICE
from app.domain.calendar import Unit
from app.domain.pricing import (
    TIERS_MAX,
    PriceModel,
    PriceType,
    TaxBehaviour,
    Timing,
    TrialEnd,
    Usage,
)
from app.services import prices
from app.services.prices import CreatePrice, NewVersion, TierAsked, UpdatePrice

router = APIRouter(prefix="/v1/prices", tags=["prices"], route_class=Endpoint)

UNITS_MAX = 1_000_000_000
COUNTRIES_MAX = 250
Units = Annotated[int, Field(strict=True, ge=1, le=UNITS_MAX)]
Count = Annotated[int, Field(strict=True, ge=0, le=UNITS_MAX)]
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


class Priced(BaseModel):
    """What is charged. `unit_amount` is in whole minor units, `unit_amount_decimal` in parts."""

    model: PriceModel = PriceModel.PER_UNIT
    unit_amount: Amount | None = None
    unit_amount_decimal: UnitAmount | None = None
    tiers: Annotated[list[TierInput], Field(max_length=TIERS_MAX)] = Field(default_factory=list)
    package_size: Units | None = None
    percentage: Annotated[
        c.Percentage | None, Field(description="Of a metered amount in minor units.")
    ] = None
    event_amount: Annotated[
        Amount, Field(description="Due for each event, on top of the percentage.")
    ] = 0
    free_events: Annotated[
        Count, Field(description="Events of a period that cost no event_amount.")
    ] = 0
    free_amount: Annotated[
        Amount, Field(description="The part of a period's amount without a percentage.")
    ] = 0
    setup_fee: Annotated[Amount, Field(description="Due once, with the first invoice.")] = 0
    min_quantity: Count = 0
    max_quantity: Units | None = None
    countries: Annotated[
        list[c.Country],
        Field(max_length=COUNTRIES_MAX, description="Where it is offered; none: everywhere."),
    ] = Field(default_factory=list)
    trial_days: Annotated[int, Field(strict=True, ge=0, le=730)] = 0
    trial_amount: Annotated[Amount, Field(description="Due when the trial starts.")] = 0
    trial_requires_payment_method: Flag = False
    trial_end_without_payment_method: Annotated[
        TrialEnd | None, Field(description="null: as the billing settings say.")
    ] = None
    nickname: c.Name | None = None

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        _check_one_amount(self)
        return self


class PriceCreate(Priced, Input):
    """A price of a plan. Which amounts belong to it is said by `model`."""

    plan_id: c.PlanRef
    currency: c.Currency
    type: PriceType = PriceType.RECURRING
    interval: Annotated[Unit | None, Field(description="Of recurring prices.")] = None
    interval_count: Annotated[int, Field(strict=True, ge=1, le=365)] = 1
    timing: Timing = Timing.ADVANCE
    usage_type: Usage = Usage.LICENSED
    meter_id: Annotated[c.MeterRef | None, Field(description="Of metered prices.")] = None
    tax_behaviour: TaxBehaviour = TaxBehaviour.EXCLUSIVE
    lookup_key: LookupKey | None = None
    transfer_lookup_key: Annotated[
        Flag, Field(description="Take the lookup key from the price that has it.")
    ] = False
    metadata: c.Metadata = Field(default_factory=dict)

    def command(self) -> CreatePrice:
        fields = _command_fields(self, type(self).model_fields)
        fields["interval_unit"] = fields.pop("interval")
        return CreatePrice(**fields)


class PriceVersionCreate(Priced, Change):
    """What the new version says otherwise. Another `model` brings its own amounts."""

    metadata: c.MetadataChange = Field(default_factory=dict)

    def changes(self) -> dict[str, Any]:
        """The fields that were sent."""
        return _command_fields(self, self.model_fields_set)


def _command_fields(priced: Priced, names: Iterable[str]) -> dict[str, Any]:
    """These fields as commands call them."""
    fields = {name: getattr(priced, name) for name in names}
    if {"unit_amount", "unit_amount_decimal"} & fields.keys():
        fields.pop("unit_amount", None)
        fields["unit_amount_decimal"] = _unit_amount(priced)
    if "tiers" in fields:
        fields["tiers"] = tuple(tier.asked() for tier in priced.tiers)
    if "countries" in fields:
        fields["countries"] = frozenset(priced.countries)
    return fields


def _check_one_amount(priced: Priced | TierInput) -> None:
    if priced.unit_amount is not None and priced.unit_amount_decimal is not None:
        raise ValueError("Send unit_amount or unit_amount_decimal, not both.")


def _unit_amount(priced: Priced | TierInput) -> str | None:
    if priced.unit_amount_decimal is not None:
        return priced.unit_amount_decimal
    return None if priced.unit_amount is None else str(priced.unit_amount)


class PriceUpdate(Change):
    """What is charged never changes: make a new version, or a new price and archive this one."""

    nickname: c.Name | None = None
    lookup_key: LookupKey | None = None
    active: Annotated[Flag, Field(description="Whether it can be subscribed to anew.")] = True
    metadata: c.MetadataChange = Field(default_factory=dict)


class PriceList(ListOf[Price]):
    pass


class PricesQuery(Created):
    active: bool | None = None
    plan_id: c.PlanRef | None = None
    currency: c.Currency | None = None
    lookup_key: c.Code | None = None
    type: PriceType | None = None
    meter_id: c.MeterRef | None = None


@router.post("", operation_id="create_price", status_code=201, response_model=Price)
async def create_price(ask: Asked, body: PriceCreate) -> Response:
    """Create a price: the next version of its plan's prices in this currency and interval."""
    row = await prices.create(ask.rt, ask.caller, body.command())
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
    cmd = UpdatePrice(price_id, body.model_dump(exclude_unset=True), ask.expected_version())
    return ask.shown(PRICE, await prices.update(ask.rt, ask.caller, cmd))


@router.post(
    "/{price_id}/versions",
    operation_id="create_price_version",
    status_code=201,
    response_model=Price,
)
async def create_price_version(
    ask: Asked, price_id: c.PriceRef, body: PriceVersionCreate
) -> Response:
    """Put a new version in a price's place: same plan, currency and interval, other amounts.

    It takes over the lookup key; the old one is archived, and its subscribers keep it.
    """
    cmd = NewVersion(price_id, body.changes(), ask.expected_version())
    return ask.shown(PRICE, await prices.create_version(ask.rt, ask.caller, cmd), 201)
