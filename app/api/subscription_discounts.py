"""/v1/subscriptions/…/discounts: coupons on what runs already."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.discounts import DiscountCreate
from app.api.endpoint import Asked, Endpoint
from app.api.objects import Subscription
from app.db.views import SUBSCRIPTION
from app.services import subscription_discounts
from app.services.subscription_discounts import GrantDiscount

router = APIRouter(prefix="/v1/subscriptions", tags=["subscriptions"], route_class=Endpoint)


class SubscriptionDiscountCreate(DiscountCreate):
    """Names a coupon, or a promotion code for one, from the next bill on."""

    item_id: Annotated[
        c.SubscriptionItemRef | None, Field(description="Absent: on all that it is for.")
    ] = None


@router.post(
    "/{subscription_id}/discounts",
    operation_id="create_subscription_discount",
    status_code=201,
    response_model=Subscription,
)
async def create_subscription_discount(
    ask: Asked, subscription_id: c.SubscriptionRef, body: SubscriptionDiscountCreate
) -> Response:
    """Give a subscription a discount from its next bill on."""
    cmd = GrantDiscount(subscription_id, expected_version=ask.expected_version(), **dict(body))
    done = await subscription_discounts.grant(ask.rt, ask.caller, cmd)
    return await ask.present(SUBSCRIPTION, done, 201)


@router.delete(
    "/{subscription_id}/discounts/{discount_id}",
    operation_id="delete_subscription_discount",
    response_model=Subscription,
)
async def delete_subscription_discount(
    ask: Asked, subscription_id: c.SubscriptionRef, discount_id: c.DiscountRef
) -> Response:
    """Take a discount from a subscription; what was billed with it stays."""
    done = await subscription_discounts.take_off(
        ask.rt, ask.caller, subscription_id, discount_id, ask.expected_version()
    )
    return await ask.present(SUBSCRIPTION, done)
