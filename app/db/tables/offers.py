"""Coupons, the codes and offers that give them away, and how often each was redeemed."""

from typing import Any

from sqlalchemy import ARRAY, Boolean, Column, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import UUID

from app.db.tables.common import (
    HOT,
    belongs_to,
    check,
    currency_check,
    document,
    instant,
    minor,
    number,
    of_merchant,
    one_of,
    small,
    string,
    tenant_table,
    uid,
)
from app.domain.discount import AppliesTo, Duration
from app.domain.offer import Segment


def _ids(name: str) -> Column[Any]:
    """Identifiers that a rule names; the service checks that they are there."""
    return Column(name, ARRAY(UUID(as_uuid=True)), nullable=False, server_default=text("'{}'"))


def _flag(name: str, *, default: bool = False) -> Column[Any]:
    return Column(name, Boolean, nullable=False, server_default=text(str(default).lower()))


LIMITS = "times_redeemed >= 0 AND (max_redemptions IS NULL OR times_redeemed <= max_redemptions)"
"""What a conditional update promises, said again."""

coupons = tenant_table(
    "coupons",
    uid("id"),
    string("code"),
    string("name"),
    number("percent_off_ppm", null=True),
    minor("amount_off", null=True),
    minor("fixed_price", null=True),
    string("currency", null=True),
    document("currency_options"),
    string("duration"),
    small("duration_in_periods", null=True),
    string("applies_to", default="everything"),
    _ids("plan_ids"),
    _ids("price_ids"),
    document("minimum_amounts"),
    _flag("first_time_only"),
    instant("valid_from", null=True),
    instant("redeem_by", null=True),
    number("max_redemptions", null=True),
    number("max_redemptions_per_customer", null=True),
    number("times_redeemed", default=0),
    document("metadata"),
    _flag("active", default=True),
    instant("created_at"),
    number("version", default=1),
    of_merchant(),
    UniqueConstraint("merchant_id", "code", name="uq_coupons_code"),
    one_of("duration", Duration),
    one_of("applies_to", AppliesTo),
    currency_check(),
    check("one_kind", "num_nonnulls(percent_off_ppm, amount_off, fixed_price) = 1"),
    check("fixed_has_currency", "(percent_off_ppm IS NULL) = (currency IS NOT NULL)"),
    check("repeating_has_count", "(duration = 'repeating') = (duration_in_periods IS NOT NULL)"),
    check("amount_off", "amount_off > 0"),
    check("fixed_price", "fixed_price >= 0"),
    check("percent_off", "percent_off_ppm BETWEEN 1 AND 1000000"),
    check("max_redemptions", "max_redemptions > 0"),
    check("max_redemptions_per_customer", "max_redemptions_per_customer > 0"),
    check("times_redeemed", LIMITS),
    check("redeemable", "valid_from < redeem_by"),
    postgresql_with={"fillfactor": HOT},
)

promotion_codes = tenant_table(
    "promotion_codes",
    uid("id"),
    uid("coupon_id"),
    string("code"),
    uid("customer_id", null=True),
    document("minimum_amounts"),
    _flag("first_time_only"),
    instant("expires_at", null=True),
    number("max_redemptions", null=True),
    number("times_redeemed", default=0),
    document("metadata"),
    _flag("active", default=True),
    instant("created_at"),
    number("version", default=1),
    belongs_to("coupons", "coupon_id"),
    belongs_to("customers", "customer_id"),
    Index("ix_promotion_codes_coupon_id", "merchant_id", "coupon_id"),
    Index(
        "uq_promotion_codes_code",
        "merchant_id",
        "code",
        unique=True,
        postgresql_where=text("active"),
    ),
    Index("ix_promotion_codes_code", "merchant_id", "code"),
    check("code", "code = upper(code)"),
    check("max_redemptions", "max_redemptions > 0"),
    check("times_redeemed", LIMITS),
    postgresql_with={"fillfactor": HOT},
)

offers = tenant_table(
    "offers",
    uid("id"),
    string("name"),
    string("description", null=True),
    uid("coupon_id", null=True),
    uid("price_id", null=True),
    small("trial_days", null=True),
    _ids("customer_ids"),
    string("segment", null=True),
    small("segment_days", null=True),
    uid("segment_plan_id", null=True),
    _flag("listed"),
    Column("countries", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    instant("start_at", null=True),
    instant("end_at", null=True),
    number("max_redemptions", null=True),
    number("max_redemptions_per_customer", null=True),
    number("times_redeemed", default=0),
    document("metadata"),
    _flag("active", default=True),
    instant("created_at"),
    number("version", default=1),
    of_merchant(),
    belongs_to("coupons", "coupon_id"),
    belongs_to("prices", "price_id"),
    belongs_to("plans", "segment_plan_id"),
    Index("ix_offers_coupon_id", "merchant_id", "coupon_id"),
    one_of("segment", Segment),
    check("gives", "num_nonnulls(coupon_id, price_id, trial_days) > 0"),
    check("trial_days", "trial_days BETWEEN 1 AND 730"),
    check("segment_days", "segment_days > 0"),
    check("max_redemptions", "max_redemptions > 0"),
    check("max_redemptions_per_customer", "max_redemptions_per_customer > 0"),
    check("times_redeemed", LIMITS),
    check("runs", "start_at < end_at"),
    postgresql_with={"fillfactor": HOT},
)

offer_links = tenant_table(
    "offer_links",
    uid("id"),
    uid("offer_id"),
    uid("customer_id", null=True),
    Column("token_hash", LargeBinary, nullable=False),
    string("last_four"),
    number("max_redemptions", null=True),
    number("times_redeemed", default=0),
    instant("expires_at"),
    instant("created_at"),
    instant("revoked_at", null=True),
    number("version", default=1),
    belongs_to("offers", "offer_id"),
    belongs_to("customers", "customer_id"),
    UniqueConstraint("merchant_id", "token_hash", name="uq_offer_links_token_hash"),
    Index("ix_offer_links_offer_id", "merchant_id", "offer_id"),
    check("max_redemptions", "max_redemptions > 0"),
    check("times_redeemed", LIMITS),
    check("token_hash", "octet_length(token_hash) = 32"),
    postgresql_with={"fillfactor": HOT},
)

redemptions = tenant_table(
    "redemptions",
    uid("id"),
    uid("coupon_id", null=True),
    uid("promotion_code_id", null=True),
    uid("offer_id", null=True),
    uid("offer_link_id", null=True),
    uid("customer_id"),
    uid("subscription_id", null=True),
    instant("created_at"),
    instant("released_at", null=True),
    number("version", default=1),
    belongs_to("coupons", "coupon_id"),
    belongs_to("promotion_codes", "promotion_code_id"),
    belongs_to("offers", "offer_id"),
    belongs_to("offer_links", "offer_link_id"),
    belongs_to("customers", "customer_id"),
    belongs_to("subscriptions", "subscription_id"),
    Index("ix_redemptions_customer_id", "merchant_id", "customer_id"),
    Index("ix_redemptions_coupon_id", "merchant_id", "coupon_id"),
    Index("ix_redemptions_subscription_id", "merchant_id", "subscription_id"),
    check("of_something", "num_nonnulls(coupon_id, offer_id) > 0"),
)
