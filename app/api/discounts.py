"""/v1/customers/…/discounts: coupons on all that a customer subscribes to."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.common import Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.offer_objects import CustomerDiscount
from app.api.pages import Created
from app.api.promotion_codes import Typed
from app.db.views import DISCOUNT
from app.services import discounts
from app.services.discounts import CreateDiscount

router = APIRouter(prefix="/v1/customers", tags=["customers"], route_class=Endpoint)


class DiscountCreate(Input):
    """Names a coupon, or a promotion code for one."""

    coupon_id: c.CouponRef | None = None
    promotion_code: Typed | None = None
    start_at: Annotated[
        c.Instant | None, Field(description="Periods from then on are discounted.")
    ] = None
    end_at: Annotated[c.Instant | None, Field(description="Until before then.")] = None


class DiscountList(ListOf[CustomerDiscount]):
    pass


class DiscountsQuery(Created):
    coupon_id: c.CouponRef | None = None


@router.post(
    "/{customer_id}/discounts",
    operation_id="create_customer_discount",
    status_code=201,
    response_model=CustomerDiscount,
)
async def create_customer_discount(
    ask: Asked, customer_id: c.CustomerRef, body: DiscountCreate
) -> Response:
    """Give a customer a discount on every subscription: those that run, and those to come."""
    cmd = CreateDiscount(
        customer_id, body.coupon_id, body.promotion_code, body.start_at, body.end_at
    )
    return ask.shown(DISCOUNT, await discounts.create(ask.rt, ask.caller, cmd), 201)


@router.get(
    "/{customer_id}/discounts",
    operation_id="list_customer_discounts",
    response_model=DiscountList,
)
async def list_customer_discounts(
    ask: Asked, customer_id: c.CustomerRef, query: Annotated[DiscountsQuery, Query()]
) -> Response:
    """List a customer's discounts, those that ended too, the newest first."""
    return await ask.page(DISCOUNT, query, {"customer_id": customer_id})


@router.delete(
    "/{customer_id}/discounts/{discount_id}",
    operation_id="delete_customer_discount",
    response_model=CustomerDiscount,
)
async def delete_customer_discount(
    ask: Asked, customer_id: c.CustomerRef, discount_id: c.DiscountRef
) -> Response:
    """Take a discount from a customer; what was billed with it stays."""
    return ask.shown(DISCOUNT, await discounts.end(ask.rt, ask.caller, customer_id, discount_id))
