"""Coupons, the codes and offers that give them away, and what came of both, as callers see them."""

from app.db.views.base import CREATED, View

ACTIVE = {"active": "t.active = {}"}

COUPON = View(
    object="coupon",
    prefix="cpn",
    table="coupons",
    columns="""
        t.id, t.code, t.name, t.percent_off_ppm AS percent_off, t.amount_off, t.fixed_price,
        t.currency, t.currency_options, t.duration, t.duration_in_periods, t.applies_to,
        t.plan_ids, t.price_ids, t.minimum_amounts, t.first_time_only, t.valid_from, t.redeem_by,
        t.max_redemptions, t.max_redemptions_per_customer, t.times_redeemed, t.metadata, t.active,
        t.created_at, t.version
    """,
    filters={**CREATED, **ACTIVE, "code": "t.code = {}"},
)

PROMOTION_CODE = View(
    object="promotion_code",
    prefix="promo",
    table="promotion_codes",
    columns="""
        t.id, t.coupon_id, t.code, t.customer_id, t.minimum_amounts, t.first_time_only,
        t.expires_at, t.max_redemptions, t.times_redeemed, t.metadata, t.active, t.created_at,
        t.version
    """,
    filters={
        **CREATED,
        **ACTIVE,
        "code": "t.code = upper({})",
        "coupon_id": "t.coupon_id = {}",
        "customer_id": "t.customer_id = {}",
    },
    references={"coupon": "coupon", "customer": "customer"},
)

OFFER = View(
    object="offer",
    prefix="offer",
    table="offers",
    columns="""
        t.id, t.name, t.description, t.coupon_id, t.price_id, t.trial_days, t.customer_ids,
        t.segment, t.segment_days, t.segment_plan_id, t.listed, t.countries, t.start_at, t.end_at,
        t.max_redemptions, t.max_redemptions_per_customer, t.times_redeemed, t.metadata, t.active,
        t.created_at, t.version
    """,
    filters={**CREATED, **ACTIVE, "coupon_id": "t.coupon_id = {}", "price_id": "t.price_id = {}"},
    references={"coupon": "coupon", "price": "price"},
)

OFFER_LINK = View(
    object="offer_link",
    prefix="link",
    table="offer_links",
    columns="""
        t.id, t.offer_id, t.customer_id, t.last_four, t.max_redemptions, t.times_redeemed,
        t.expires_at, t.created_at, t.revoked_at, t.version
    """,
    filters={**CREATED, "offer_id": "t.offer_id = {}", "customer_id": "t.customer_id = {}"},
    references={"offer": "offer", "customer": "customer"},
)

REDEMPTION = View(
    object="redemption",
    prefix="rdm",
    table="redemptions",
    columns="""
        t.id, t.coupon_id, t.promotion_code_id, t.offer_id, t.offer_link_id, t.customer_id,
        t.subscription_id, t.created_at, t.released_at, t.version
    """,
    filters={
        **CREATED,
        "coupon_id": "t.coupon_id = {}",
        "promotion_code_id": "t.promotion_code_id = {}",
        "offer_id": "t.offer_id = {}",
        "customer_id": "t.customer_id = {}",
        "subscription_id": "t.subscription_id = {}",
    },
    references={
        "coupon": "coupon",
        "promotion_code": "promotion_code",
        "offer": "offer",
        "customer": "customer",
        "subscription": "subscription",
    },
)

DISCOUNT = View(
    object="customer_discount",
    prefix="dis",
    table="discounts",
    columns="""
        t.id, t.customer_id, t.subscription_id, t.item_id AS subscription_item_id, t.coupon_id,
        t.promotion_code_id, t.offer_id, t.periods_remaining, t.start_at, t.end_at, t.created_at,
        t.ended_at
    """,
    filters={
        **CREATED,
        "customer_id": "t.customer_id = {}",
        "subscription_id": "t.subscription_id = {}",
        "coupon_id": "t.coupon_id = {}",
    },
    references={"coupon": "coupon", "promotion_code": "promotion_code", "offer": "offer"},
)
