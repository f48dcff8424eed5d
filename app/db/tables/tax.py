"""Tax rates, where merchants are registered, the numbers tax offices know customers by, and what
outside tax engines said.
"""

from sqlalchemy import Boolean, Column, Date, Index, SmallInteger, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.db.tables.common import (
    belongs_to,
    check,
    document,
    instant,
    number,
    of_merchant,
    one_of,
    string,
    tenant_table,
    uid,
)
from app.domain.tax_engine import REASONS, FailPolicy, FailureKind
from app.domain.tax_id import Status
from app.domain.taxation import Level, Scheme

REGION_OF_COUNTRY = "region ~ '^[A-Z]{2}-[A-Z0-9]{1,3}$' AND left(region, 2) = country"
IN_ORDER = "valid_from < valid_until"

tax_rates = tenant_table(
    "tax_rates",
    uid("id"),
    string("display_name"),
    number("rate_ppm"),
    Column("inclusive", Boolean, nullable=False),
    string("type", default="vat"),
    string("country", null=True),
    string("region", null=True),
    string("jurisdiction", null=True),
    string("level", default="country"),
    Column("priority", SmallInteger, nullable=False, server_default=text("0")),
    Column("postal_codes", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("tax_codes", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("valid_from", Date, nullable=True),
    Column("valid_until", Date, nullable=True),
    document("metadata"),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    instant("created_at"),
    number("version", default=1),
    string("source", default="merchant"),
    of_merchant(),
    one_of("level", Level),
    one_of("source", ("merchant", "tax_engine")),
    check("rate", "rate_ppm BETWEEN 0 AND 1000000"),
    check("priority", "priority BETWEEN 0 AND 100"),
    check("region", f"region IS NULL OR ({REGION_OF_COUNTRY})"),
    check("validity", IN_ORDER),
    Index(
        "uq_tax_rates_tax_engine",
        *("merchant_id", "country", "jurisdiction", "display_name", "rate_ppm"),
        unique=True,
        postgresql_where=text("source = 'tax_engine'"),
    ),
)

tax_registrations = tenant_table(
    "tax_registrations",
    uid("id"),
    string("country"),
    string("region", null=True),
    string("number", null=True),
    string("scheme"),
    Column("home", Boolean, nullable=False),
    Column("valid_from", Date, nullable=True),
    Column("valid_until", Date, nullable=True),
    document("metadata"),
    instant("created_at"),
    number("version", default=1),
    of_merchant(),
    one_of("scheme", Scheme),
    check("country", "country ~ '^[A-Z]{2}$'"),
    check("region", f"region IS NULL OR ({REGION_OF_COUNTRY})"),
    check("home_is_no_one_stop_shop", "NOT (home AND scheme = 'oss')"),
    check("validity", IN_ORDER),
)

customer_tax_ids = tenant_table(
    "customer_tax_ids",
    uid("id"),
    uid("customer_id"),
    string("type"),
    string("value"),
    string("normalized_value"),
    string("country", null=True),
    string("status"),
    instant("created_at"),
    number("version", default=1),
    belongs_to("customers", "customer_id"),
    one_of("status", Status),
    UniqueConstraint(
        "merchant_id", "customer_id", "type", "normalized_value", name="uq_customer_tax_ids_value"
    ),
    Index("ix_customer_tax_ids_customer_id", "merchant_id", "customer_id"),
)

tax_engines = tenant_table(
    "tax_engines",
    uid("id"),
    string("kind"),
    string("url"),
    string("fail_policy"),
    number("ttl_seconds"),
    instant("created_at"),
    number("version", default=1),
    of_merchant(),
    one_of("fail_policy", FailPolicy),
    check("ttl_seconds", "ttl_seconds BETWEEN 60 AND 2592000"),
    key=(),
)

tax_engine_rates = tenant_table(
    "tax_engine_rates",
    string("fingerprint"),
    string("tax_code"),
    Column("day", Date, nullable=False),
    string("country"),
    document("rates", default="[]"),
    string("reason", null=True),
    string("failure", null=True),
    string("detail", null=True),
    instant("asked_at"),
    instant("expires_at"),
    of_merchant(),
    one_of("reason", REASONS),
    one_of("failure", FailureKind),
    Index("ix_tax_engine_rates_expires_at", "expires_at"),
    key=("fingerprint", "tax_code", "day"),
)
