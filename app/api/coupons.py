"""/v1/coupons: promises of a discount."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.common import Change, Flag, Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.offer_objects import Coupon
from app.api.pages import Created
from app.db.views import COUPON
from app.domain.discount import PERIODS_MAX, AppliesTo, Duration
from app.services import coupons
from app.services.coupons import CreateCoupon, UpdateCoupon

router = APIRouter(prefix="/v1/coupons", tags=["coupons"], route_class=Endpoint)

IDS_MAX = 100
"""Plans or prices one rule may name; longer lists belong into a plan of their own."""
CURRENCIES_MAX = 200
COUNT_MAX = 10**9

Count = Annotated[int, Field(strict=True, ge=1, le=COUNT_MAX)]
Amounts = Annotated[
    dict[c.Currency, c.Amount],
    Field(
        max_length=CURRENCIES_MAX,
        description="Minor units, by currency.",
        examples=[{"USD": 600}],
    ),
]


class CouponCreate(Input):
    """Takes off `percent_off`, or `amount_off`, or makes a unit cost `fixed_price`; just one."""

    code: c.Code
    name: c.Name
    percent_off: c.Percentage | None = None
    amount_off: c.PositiveAmount | None = None
    fixed_price: Annotated[
        c.Amount | None, Field(description="What a unit costs instead: an introductory price.")
    ] = None
    currency: c.Currency | None = None
    currency_options: Annotated[
        Amounts, Field(description="The amount or the price in further currencies.")
    ] = Field(default_factory=dict)
    duration: Duration = Duration.ONCE
    duration_in_periods: Annotated[int, Field(strict=True, ge=1, le=PERIODS_MAX)] | None = None
    applies_to: AppliesTo = AppliesTo.EVERYTHING
    plan_ids: Annotated[
        list[c.PlanRef], Field(max_length=IDS_MAX, description="Only lines of these plans.")
    ] = Field(default_factory=list)
    price_ids: Annotated[
        list[c.PriceRef], Field(max_length=IDS_MAX, description="Only lines of these prices.")
    ] = Field(default_factory=list)
    minimum_amounts: Annotated[
        Amounts,
        Field(description="An invoice's lines that it is for must come to this, before discounts."),
    ] = Field(default_factory=dict)
    first_time_only: Annotated[
        Flag, Field(description="For customers who have not paid an invoice yet.")
    ] = False
    valid_from: c.Instant | None = None
    redeem_by: c.Instant | None = None
    max_redemptions: Count | None = None
    max_redemptions_per_customer: Count | None = None
    metadata: c.Metadata = Field(default_factory=dict)

    def command(self) -> CreateCoupon:
        return CreateCoupon(**dict(self))


class CouponUpdate(Change):
    name: c.Name = ""
    active: Flag = True
    metadata: c.MetadataChange = Field(default_factory=dict)


class CouponList(ListOf[Coupon]):
    pass


class CouponsQuery(Created):
    active: bool | None = None
    code: c.Code | None = None


@router.post("", operation_id="create_coupon", status_code=201, response_model=Coupon)
async def create_coupon(ask: Asked, body: CouponCreate) -> Response:
    """Create a coupon. What it gives, to whom and how often, never changes."""
    row = await coupons.create(ask.rt, ask.caller, body.command())
    return ask.shown(COUPON, row, 201)


@router.get("", operation_id="list_coupons", response_model=CouponList)
async def list_coupons(ask: Asked, query: Annotated[CouponsQuery, Query()]) -> Response:
    """List coupons, the newest first."""
    return await ask.page(COUPON, query)


@router.get("/{coupon_id}", operation_id="get_coupon", response_model=Coupon)
async def get_coupon(ask: Asked, coupon_id: c.CouponRef) -> Response:
    """Get a coupon."""
    return await ask.one(COUPON, coupon_id)


@router.patch("/{coupon_id}", operation_id="update_coupon", response_model=Coupon)
async def update_coupon(ask: Asked, coupon_id: c.CouponRef, body: CouponUpdate) -> Response:
    """Rename a coupon, or stop offering it; discounts that run keep running."""
    cmd = UpdateCoupon(coupon_id, body.model_dump(exclude_unset=True), ask.expected_version())
    return ask.shown(COUPON, await coupons.update(ask.rt, ask.caller, cmd))
