"""/v1/catalog: what a shop's own page shows to anyone. For publishable keys, from any origin."""

import hashlib
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from app.api import common as c
from app.api.answers import MEDIA_TYPE
from app.api.catalog_objects import FeatureReset, FeatureType, FeatureUnit, FeatureValue, Tier
from app.api.common import MinorUnits, Output, open_enum
from app.api.endpoint import ANY_ORIGIN, Asked, BrowserEndpoint
from app.domain.pricing import PriceModel
from app.services import storefront
from app.services.public import dump

PATH: Final = "/v1/catalog"
CACHED: Final = {"Cache-Control": "public, max-age=60", "Vary": "Authorization"}
"""The key says whose catalogue it is: whoever keeps an answer keeps it for that key alone."""
PREFLIGHT_SECONDS: Final = 86_400
ETAG_CHARS: Final = 32

router = APIRouter(tags=["catalog"], route_class=BrowserEndpoint)


class CatalogFeature(Output):
    key: c.Code
    name: str
    type: FeatureType
    unit: FeatureUnit
    per_unit: bool
    value: FeatureValue
    reset: FeatureReset


class CatalogTrial(Output):
    days: int
    amount: Annotated[MinorUnits, Field(description="Due when it starts; 0: it is free.")]
    requires_payment_method: bool


class CatalogPrice(Output):
    id: c.PriceId
    nickname: str | None
    currency: c.Currency
    type: Annotated[str, open_enum("recurring", "one_time")]
    interval: Annotated[str | None, open_enum("day", "week", "month", "year")]
    interval_count: int | None
    timing: Annotated[str, open_enum("advance", "arrears")]
    usage_type: Annotated[str, open_enum("licensed", "metered")]
    tax_behaviour: Annotated[str, open_enum("exclusive", "inclusive")]
    setup_fee: MinorUnits
    min_quantity: int
    max_quantity: int | None
    model: Annotated[str, open_enum(*PriceModel)]
    unit_amount_decimal: c.UnitAmount | None
    tiers: list[Tier]
    package_size: int | None
    percentage: c.Percentage | None
    event_amount: MinorUnits
    free_events: int
    free_amount: MinorUnits
    trial: CatalogTrial | None


class CatalogPlan(Output):
    id: c.PlanId
    code: c.Code
    name: str
    description: str | None
    family: str | None
    rank: int
    features: list[CatalogFeature]
    prices: list[CatalogPrice]


class CatalogAddon(CatalogPlan):
    addon_for: Annotated[
        list[c.PlanId], Field(description="The plans it goes with; none: all of them.")
    ]


class CatalogDiscount(Output):
    name: str
    percent_off: c.Percentage | None
    amount_off: MinorUnits | None
    fixed_price: MinorUnits | None
    currency: c.Currency | None
    currency_options: dict[str, Any]
    duration: Annotated[str, open_enum("once", "repeating", "forever")]
    duration_in_periods: int | None


class CatalogOffer(Output):
    id: c.OfferId
    name: str
    description: str | None
    price_id: c.PriceId | None
    trial_days: int | None
    end_at: datetime | None
    discount: CatalogDiscount | None


class PaymentOption(Output):
    gateway: Annotated[str, open_enum("simulator", "stripe", "paypal", "razorpay", "authorizenet")]
    name: str
    is_default: bool


class Catalog(Output):
    """What is sold there, the lowest rank first."""

    object: Literal["catalog"]
    country: c.Country | None
    currency: c.Currency | None
    plans: list[CatalogPlan]
    addons: list[CatalogAddon]
    offers: list[CatalogOffer]
    payment_options: list[PaymentOption]


class CatalogQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    country: Annotated[
        c.Country | None,
        Field(description="Prices made for it win over those that hold everywhere."),
    ] = None
    currency: c.Currency | None = None


@router.get(
    PATH,
    operation_id="get_catalog",
    response_model=Catalog,
    responses={304: {"description": "Unchanged since the ETag that was sent."}},
)
async def get_catalog(ask: Asked, query: Annotated[CatalogQuery, Query()]) -> Response:
    """Get all that a page needs to sell: plans, prices, trials, add-ons, offers, ways to pay.

    It may be kept for a minute, and asked again with the ETag as `If-None-Match`.
    """
    shown = await storefront.catalogue(ask.rt, ask.caller, query.country, query.currency)
    body = dump(shown)
    tag = f'"{hashlib.sha256(body).hexdigest()[:ETAG_CHARS]}"'
    headers = CACHED | {"ETag": tag}
    known = ask.request.headers.get("if-none-match", "")
    if tag in (part.strip().removeprefix("W/") for part in known.split(",")):
        return Response(None, 304, headers)
    return Response(body, 200, headers, MEDIA_TYPE)


async def _preflight(_: Request) -> Response:
    """What browsers ask before they send a key from a page of another origin."""
    headers = ANY_ORIGIN | {
        "Access-Control-Allow-Methods": "GET",
        "Access-Control-Allow-Headers": "Authorization, If-None-Match",
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }
    return Response(None, 204, headers)


router.add_route(PATH, _preflight, methods=["OPTIONS"], include_in_schema=False)
