"""Plans, prices, features and coupons, as callers see them."""

from app.db.views.base import CREATED, View

ACTIVE = {"active": "t.active = {}"}

PLAN = View(
    object="plan",
    prefix="plan",
    table="plans",
    columns="""
        t.id, t.code, t.name, t.description, t.kind,
        ARRAY(SELECT a.plan_id FROM addon_plans a
         WHERE a.merchant_id = t.merchant_id AND a.addon_id = t.id
         ORDER BY a.plan_id) AS addon_for,
        t.family, t.rank, t.tax_code, t.public,
        (SELECT coalesce(json_agg(json_build_object(
                'feature_id', f.id, 'key', f.key, 'name', f.name, 'type', f.type,
                'unit', f.unit, 'per_unit', f.per_unit, 'value', g.value, 'reset', g.reset)
                ORDER BY g.position), '[]')
         FROM plan_features g
         JOIN features f ON f.merchant_id = g.merchant_id AND f.id = g.feature_id
         WHERE g.merchant_id = t.merchant_id AND g.plan_id = t.id) AS features,
        t.billing_settings, t.metadata, t.active, t.created_at, t.version
    """,
    filters={
        **CREATED,
        **ACTIVE,
        "code": "t.code = {}",
        "kind": "t.kind = {}",
        "family": "t.family = {}",
    },
    children={"features": ""},
)

FEATURE = View(
    object="feature",
    prefix="ftr",
    table="features",
    columns="""
        t.id, t.key, t.name, t.description, t.type, t.unit, t.per_unit, t.metadata, t.active,
        t.created_at, t.version
    """,
    filters={**CREATED, **ACTIVE, "key": "t.key = {}"},
)

PRICE = View(
    object="price",
    prefix="price",
    table="prices",
    columns="""
        t.id, t.plan_id, t.price_version, t.lookup_key, t.nickname, t.currency, t.type,
        t.interval_unit AS interval, t.interval_count, t.model, t.unit_amount_decimal, t.tiers,
        t.package_size, t.percentage_ppm AS percentage, t.event_amount, t.free_events,
        t.free_amount, t.timing, t.usage_type, t.meter_id, t.min_quantity, t.max_quantity,
        t.countries, t.tax_behaviour, t.setup_fee, t.trial_days, t.trial_amount,
        t.trial_requires_payment_method, t.trial_end_without_payment_method,
        t.metadata, t.active, t.created_at, t.version
    """,
    filters={
        **CREATED,
        **ACTIVE,
        "plan_id": "t.plan_id = {}",
        "currency": "t.currency = {}",
        "lookup_key": "t.lookup_key = {}",
        "type": "t.type = {}",
        "meter_id": "t.meter_id = {}",
    },
    references={"plan": "plan"},
)
