"""/v1/redemptions: who was given what, and what came of it."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.api import common as c
from app.api.common import ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.offer_objects import Redemption
from app.api.pages import Created
from app.db.views import REDEMPTION

router = APIRouter(prefix="/v1/redemptions", tags=["redemptions"], route_class=Endpoint)


class RedemptionList(ListOf[Redemption]):
    pass


class RedemptionsQuery(Created):
    coupon_id: c.CouponRef | None = None
    promotion_code_id: c.PromotionCodeRef | None = None
    offer_id: c.OfferRef | None = None
    customer_id: c.CustomerRef | None = None
    subscription_id: c.SubscriptionRef | None = None


@router.get("", operation_id="list_redemptions", response_model=RedemptionList)
async def list_redemptions(ask: Asked, query: Annotated[RedemptionsQuery, Query()]) -> Response:
    """List redemptions, the newest first."""
    return await ask.page(REDEMPTION, query)


@router.get("/{redemption_id}", operation_id="get_redemption", response_model=Redemption)
async def get_redemption(ask: Asked, redemption_id: c.RedemptionRef) -> Response:
    """Get a redemption."""
    return await ask.one(REDEMPTION, redemption_id)
