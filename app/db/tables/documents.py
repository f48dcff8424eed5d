"""How a merchant's invoices look. Versions are kept, so that issued documents stay as they were."""

from sqlalchemy import Column, ForeignKeyConstraint, LargeBinary, UniqueConstraint

from app.db.tables.common import (
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

LOGO_BYTES_MAX = 262_144

document_logos = tenant_table(
    "document_logos",
    string("digest"),
    string("media_type"),
    Column("data", LargeBinary, nullable=False),
    instant("created_at"),
    of_merchant(),
    one_of("media_type", ("image/png", "image/svg+xml")),
    check("data", f"octet_length(data) BETWEEN 1 AND {LOGO_BYTES_MAX}"),
    key=("digest",),
)

document_settings = tenant_table(
    "document_settings",
    uid("id"),
    number("version"),
    string("legal_name", null=True),
    document("address"),
    string("tax_id", null=True),
    string("registration_number", null=True),
    string("email", null=True),
    string("phone", null=True),
    string("website", null=True),
    string("logo_digest", null=True),
    string("accent_color", null=True),
    document("footer"),
    document("payment_instructions"),
    string("account_holder", null=True),
    string("iban", null=True),
    string("bic", null=True),
    string("default_language", null=True),
    instant("created_at"),
    of_merchant(),
    ForeignKeyConstraint(
        ["merchant_id", "logo_digest"],
        ["document_logos.merchant_id", "document_logos.digest"],
        name="fk_document_settings_logo",
    ),
    UniqueConstraint("merchant_id", "version", name="uq_document_settings_version"),
    check("accent_color", "accent_color ~ '^#[0-9a-f]{6}$'"),
    check("version", "version >= 1"),
)
