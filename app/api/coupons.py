"""/v1/coupons: promises of a discount."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.common import Change, Flag, Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.objects import Coupon
from app.api.pages import Created
from app.db.views import COUPON
from app.domain.discount import PERIODS_MAX, Duration
from app.services import catalog
from app.services.catalog import CreateCoupon, Update

router = APIRouter(prefix="/v1/coupons", tags=["coupons"], route_class=Endpoint)


class CouponCreate(Input):
    """Takes off either `percent_off`, or `amount_off` in a `currency`."""

    code: c.Code
    name: c.Name
    percent_off: c.Percentage | None = None
    amount_off: c.PositiveAmount | None = None
    currency: c.Currency | None = None
    duration: Duration = Duration.ONCE
    duration_in_periods: Annotated[int, Field(strict=True, ge=1, le=PERIODS_MAX)] | None = None
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
    """Create a coupon."""
    row = await catalog.create_coupon(ask.rt, ask.caller, body.command())
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
    cmd = Update(coupon_id, body.model_dump(exclude_unset=True), ask.expected_version())
    return ask.shown(COUPON, await catalog.update(ask.rt, ask.caller, COUPON, cmd))
