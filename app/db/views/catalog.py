"""Plans, prices, coupons, as callers see them."""

from app.db.views.base import CREATED, View

ACTIVE = {"active": "t.active = {}"}

PLAN = View(
    object="plan",
    prefix="plan",
    table="plans",
    columns="""
        t.id, t.code, t.name, t.description, t.rank, t.features, t.metadata, t.active,
        t.created_at, t.version
    """,
    filters={**CREATED, **ACTIVE, "code": "t.code = {}"},
)

PRICE = View(
    object="price",
    prefix="price",
    table="prices",
    columns="""
        t.id, t.plan_id, t.price_version, t.lookup_key, t.nickname, t.currency,
        t.interval_unit AS interval, t.interval_count, t.model, t.unit_amount_decimal, t.tiers,
        t.package_size, t.timing, t.usage_type, t.tax_behaviour, t.setup_fee, t.trial_days,
        t.metadata, t.active, t.created_at, t.version
    """,
    filters={
        **CREATED,
        **ACTIVE,
        "plan_id": "t.plan_id = {}",
        "currency": "t.currency = {}",
        "lookup_key": "t.lookup_key = {}",
    },
    references={"plan": "plan"},
)

COUPON = View(
    object="coupon",
    prefix="cpn",
    table="coupons",
    columns="""
        t.id, t.code, t.name, t.percent_off_ppm AS percent_off, t.amount_off, t.currency,
        t.duration, t.duration_in_periods, t.metadata, t.active, t.created_at, t.version
    """,
    filters={**CREATED, **ACTIVE, "code": "t.code = {}"},
)
