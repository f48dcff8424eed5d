"""What callers get of coupons, the codes and offers that give them away, and redemptions."""

from typing import Annotated, Literal

from pydantic import Field

from app.api import common as c
from app.api.catalog_objects import Price
from app.api.common import At, Documents, Expanded, MinorUnits, Output, Version, open_enum
from app.api.objects import Customer, Subscription

Amounts = Annotated[
    dict[c.Currency, MinorUnits],
    Field(description="Minor units, by currency.", examples=[{"USD": 600}]),
]
Times = Annotated[int, Field(description="How often it was redeemed.", examples=[3])]
Most = Annotated[int | None, Field(description="Null: as often as one likes.")]
DurationWord = Annotated[str, open_enum("once", "repeating", "forever")]


class CouponGift(Output):
    """What a coupon gives, as all the world may know."""

    name: str
    percent_off: c.Percentage | None
    amount_off: MinorUnits | None
    fixed_price: Annotated[
        MinorUnits | None, Field(description="What a unit costs instead: an introductory price.")
    ]
    currency: c.Currency | None
    currency_options: Amounts
    duration: DurationWord
    duration_in_periods: int | None


class Coupon(CouponGift):
    id: c.CouponId
    object: Literal["coupon"]
    code: c.Code
    applies_to: Annotated[str, open_enum("everything", "plans", "addons")]
    plan_ids: list[c.PlanId]
    price_ids: list[c.PriceId]
    minimum_amounts: Amounts
    first_time_only: bool
    valid_from: At | None
    redeem_by: At | None
    max_redemptions: Most
    max_redemptions_per_customer: Most
    times_redeemed: Times
    metadata: Documents
    active: bool
    created_at: At
    version: Version


class PromotionCode(Output):
    id: c.PromotionCodeId
    object: Literal["promotion_code"]
    coupon_id: c.CouponId
    coupon: Coupon | None = Expanded
    code: Annotated[str, Field(examples=["WELCOME10"])]
    customer_id: c.CustomerId | None
    customer: Customer | None = Expanded
    minimum_amounts: Amounts
    first_time_only: bool
    expires_at: At | None
    max_redemptions: Most
    times_redeemed: Times
    metadata: Documents
    active: bool
    created_at: At
    version: Version


class PromotionCodeCheck(Output):
    object: Literal["promotion_code_check"]
    code: str
    valid: bool
    reason: Annotated[
        str | None,
        open_enum(
            "promotion_code_not_found",
            "promotion_code_inactive",
            "promotion_code_expired",
            "promotion_code_exhausted",
            "promotion_code_first_time_only",
            "promotion_code_not_for_customer",
            "promotion_code_minimum_amount",
            "promotion_code_not_applicable",
            "coupon_inactive",
            "coupon_not_yet_valid",
            "coupon_expired",
            "coupon_exhausted",
            "coupon_already_redeemed",
            "coupon_first_time_only",
            "currency_mismatch",
            "price_not_found",
        ),
    ]
    message: Annotated[str | None, Field(description="The reason, for people.")]
    promotion_code_id: c.PromotionCodeId | None
    coupon: Annotated[CouponGift | None, Field(description="What a valid code gives.")]


class CustomerDiscount(Output):
    id: c.DiscountId
    object: Literal["customer_discount"]
    customer_id: c.CustomerId | None
    subscription_id: c.SubscriptionId | None
    subscription_item_id: c.SubscriptionItemId | None
    coupon_id: c.CouponId
    coupon: Coupon | None = Expanded
    promotion_code_id: c.PromotionCodeId | None
    promotion_code: PromotionCode | None = Expanded
    offer_id: c.OfferId | None
    offer: "Offer | None" = Expanded
    periods_remaining: Annotated[int | None, Field(description="Null: for ever.")]
    start_at: At | None
    end_at: At | None
    created_at: At
    ended_at: At | None


class Offer(Output):
    id: c.OfferId
    object: Literal["offer"]
    name: str
    description: str | None
    coupon_id: c.CouponId | None
    coupon: Coupon | None = Expanded
    price_id: c.PriceId | None
    price: Price | None = Expanded
    trial_days: int | None
    customer_ids: list[c.CustomerId]
    segment: Annotated[str | None, open_enum("canceled_within_days", "never_subscribed", "on_plan")]
    segment_days: int | None
    segment_plan_id: c.PlanId | None
    listed: bool
    countries: list[c.Country]
    start_at: At | None
    end_at: At | None
    max_redemptions: Most
    max_redemptions_per_customer: Most
    times_redeemed: Times
    metadata: Documents
    active: bool
    created_at: At
    version: Version


class OfferLink(Output):
    id: c.OfferLinkId
    object: Literal["offer_link"]
    offer_id: c.OfferId
    offer: Offer | None = Expanded
    customer_id: c.CustomerId | None
    customer: Customer | None = Expanded
    last_four: Annotated[str, Field(description="Of its token.")]
    max_redemptions: Most
    times_redeemed: Times
    expires_at: At
    created_at: At
    revoked_at: At | None
    version: Version


class NewOfferLink(OfferLink):
    token: Annotated[
        str | None, Field(description="Shown this once, in the answer to creation.")
    ] = None


class OfferGift(Output):
    object: Literal["offer_gift"]
    offer_id: c.OfferId
    name: str
    description: str | None
    available: bool
    reason: Annotated[
        str | None,
        open_enum("offer_expired", "offer_exhausted", "offer_link_exhausted", "coupon_expired"),
    ]
    coupon: CouponGift | None
    price_id: c.PriceId | None
    trial_days: int | None
    expires_at: At | None


class OfferClaim(Output):
    object: Literal["offer_claim"]
    offer_id: c.OfferId
    offer_token: Annotated[
        str, Field(description="To be sent, by the shop's backend, when it subscribes someone.")
    ]
    expires_at: At


class Redemption(Output):
    id: c.RedemptionId
    object: Literal["redemption"]
    coupon_id: c.CouponId | None
    coupon: Coupon | None = Expanded
    promotion_code_id: c.PromotionCodeId | None
    promotion_code: PromotionCode | None = Expanded
    offer_id: c.OfferId | None
    offer: Offer | None = Expanded
    offer_link_id: c.OfferLinkId | None
    customer_id: c.CustomerId
    customer: Customer | None = Expanded
    subscription_id: c.SubscriptionId | None
    subscription: Subscription | None = Expanded
    created_at: At
    released_at: Annotated[
        At | None, Field(description="Given back: its subscription never came to be.")
    ]
    version: Version
