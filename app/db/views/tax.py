"""Tax rates, registrations and customers' tax ids, as callers see them."""

from app.db.views.base import CREATED, View

IN_FORCE = (
    "(t.valid_from IS NULL OR t.valid_from <= {0})"
    " AND (t.valid_until IS NULL OR t.valid_until > {0})"
)

TAX_RATE = View(
    object="tax_rate",
    prefix="txr",
    table="tax_rates",
    columns="""
        t.id, t.display_name, t.rate_ppm AS percentage, t.inclusive, t.type, t.country, t.region,
        t.jurisdiction, t.level, t.priority, t.postal_codes, t.tax_codes, t.valid_from,
        t.valid_until, t.source, t.metadata, t.active, t.created_at, t.version
    """,
    filters={
        **CREATED,
        "active": "t.active = {}",
        "source": "t.source = {}",
        "country": "t.country = {}",
        "region": "t.region = {}",
        "type": "t.type = {}",
        "tax_code": "t.tax_codes @> ARRAY[{}::text]",
        "valid_on": IN_FORCE,
    },
)

TAX_REGISTRATION = View(
    object="tax_registration",
    prefix="txreg",
    table="tax_registrations",
    columns="""
        t.id, t.country, t.region, t.number, t.scheme, t.home, t.valid_from, t.valid_until,
        t.metadata, t.created_at, t.version
    """,
    filters={
        **CREATED,
        "country": "t.country = {}",
        "region": "t.region = {}",
        "scheme": "t.scheme = {}",
        "valid_on": IN_FORCE,
    },
)

TAX_ID = View(
    object="tax_id",
    prefix="txi",
    table="customer_tax_ids",
    columns="""
        t.id, t.customer_id, t.type, t.value, t.normalized_value, t.country, t.status,
        t.created_at, t.version
    """,
    filters={**CREATED, "customer_id": "t.customer_id = {}", "type": "t.type = {}"},
    references={"customer": "customer"},
)
