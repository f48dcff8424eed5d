"""/v1/subscriptions: what runs, on which prices, until when."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.common import Change, Flag, Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.objects import Subscription
from app.api.pages import Created
from app.db.views import SUBSCRIPTION
from app.domain.invoice import Collection
from app.domain.subscription import Status
from app.services import subscriptions
from app.services.subscriptions import (
    DISCOUNTS_MAX,
    TAX_RATES_MAX,
    CreateSubscription,
    UpdateSubscription,
)

router = APIRouter(prefix="/v1/subscriptions", tags=["subscriptions"], route_class=Endpoint)

ITEMS_MAX = 20
Quantity = Annotated[int, Field(strict=True, ge=0, le=1_000_000_000)]


class ItemInput(Input):
    price_id: c.PriceRef
    quantity: Quantity = 1


class SubscriptionCreate(Input):
    """All prices have one currency and one interval."""

    customer_id: c.CustomerRef
    items: Annotated[list[ItemInput], Field(min_length=1, max_length=ITEMS_MAX)]
    coupon_ids: Annotated[list[c.CouponRef], Field(max_length=DISCOUNTS_MAX)] = Field(
        default_factory=list
    )
    tax_rate_ids: Annotated[list[c.TaxRateRef], Field(max_length=TAX_RATES_MAX)] = Field(
        default_factory=list
    )
    collection_method: Collection = Collection.CHARGE_AUTOMATICALLY
    net_days: Annotated[
        int, Field(strict=True, ge=0, le=365, description="Days to pay an invoice that is sent.")
    ] = 0
    payment_method_id: Annotated[
        c.PaymentMethodRef | None, Field(description="Absent: the customer's default.")
    ] = None
    start_at: Annotated[c.Instant | None, Field(description="Absent: now.")] = None
    trial_days: Annotated[
        Annotated[int, Field(strict=True, ge=0, le=730)] | None,
        Field(description="Absent: what the price says."),
    ] = None
    cancel_at: c.Instant | None = None
    cancel_at_period_end: Flag = False
    external_id: c.ExternalId | None = None
    metadata: c.Metadata = Field(default_factory=dict)

    def command(self) -> CreateSubscription:
        fields: dict[str, Any] = dict(self)
        fields["collection"] = fields.pop("collection_method")
        fields["items"] = tuple((item.price_id, item.quantity) for item in self.items)
        return CreateSubscription(**fields)


class SubscriptionUpdate(Change):
    payment_method_id: c.PaymentMethodRef | None = None
    cancel_at_period_end: Flag = False
    metadata: c.MetadataChange = Field(default_factory=dict)


class SubscriptionCancel(Input):
    when: Annotated[
        Literal["now", "period_end"],
        Field(description="Nothing that was paid in advance comes back."),
    ] = "period_end"


class SubscriptionList(ListOf[Subscription]):
    pass


class SubscriptionsQuery(Created):
    customer_id: c.CustomerRef | None = None
    status: Status | None = None
    external_id: c.ExternalId | None = None
    price_id: c.PriceRef | None = None
    test_clock_id: c.TestClockRef | None = None


@router.post("", operation_id="create_subscription", status_code=201, response_model=Subscription)
async def create_subscription(ask: Asked, body: SubscriptionCreate) -> Response:
    """Create a subscription and collect what is due at once.

    Without a payment that succeeds it stays `incomplete` and expires after 23 hours.
    """
    made = await subscriptions.create(ask.rt, ask.caller, body.command())
    return await ask.present(SUBSCRIPTION, made, 201)


@router.get("", operation_id="list_subscriptions", response_model=SubscriptionList)
async def list_subscriptions(ask: Asked, query: Annotated[SubscriptionsQuery, Query()]) -> Response:
    """List subscriptions, the newest first."""
    return await ask.page(SUBSCRIPTION, query)


@router.get("/{subscription_id}", operation_id="get_subscription", response_model=Subscription)
async def get_subscription(ask: Asked, subscription_id: c.SubscriptionRef) -> Response:
    """Get a subscription."""
    return await ask.one(SUBSCRIPTION, subscription_id)


@router.patch("/{subscription_id}", operation_id="update_subscription", response_model=Subscription)
async def update_subscription(
    ask: Asked, subscription_id: c.SubscriptionRef, body: SubscriptionUpdate
) -> Response:
    """Change how a subscription is paid, whether it ends with its period, or its metadata."""
    changes = body.model_dump(exclude_unset=True)
    cmd = UpdateSubscription(subscription_id, changes, ask.expected_version())
    return await ask.present(SUBSCRIPTION, await subscriptions.update(ask.rt, ask.caller, cmd))


@router.post(
    "/{subscription_id}/cancel", operation_id="cancel_subscription", response_model=Subscription
)
async def cancel_subscription(
    ask: Asked, subscription_id: c.SubscriptionRef, body: SubscriptionCancel
) -> Response:
    """Cancel a subscription now, or when its period is over."""
    at_period_end = body.when == "period_end"
    await subscriptions.cancel(ask.rt, ask.caller, subscription_id, at_period_end=at_period_end)
    return await ask.present(SUBSCRIPTION, subscription_id)


@router.post(
    "/{subscription_id}/keep", operation_id="keep_subscription", response_model=Subscription
)
async def keep_subscription(ask: Asked, subscription_id: c.SubscriptionRef) -> Response:
    """Take back a cancellation that has not happened yet."""
    await subscriptions.keep(ask.rt, ask.caller, subscription_id)
    return await ask.present(SUBSCRIPTION, subscription_id)


@router.post(
    "/{subscription_id}/unpark", operation_id="unpark_subscription", response_model=Subscription
)
async def unpark_subscription(ask: Asked, subscription_id: c.SubscriptionRef) -> Response:
    """Put a parked subscription back on the clock, once what parked it is mended."""
    await subscriptions.unpark(ask.rt, ask.caller, subscription_id)
    return await ask.present(SUBSCRIPTION, subscription_id)
