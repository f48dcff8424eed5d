"""Links by which whoever holds one pays one invoice."""

from sqlalchemy import Column, Index, LargeBinary, UniqueConstraint

from app.db.tables.common import (
    HOT,
    belongs_to,
    check,
    instant,
    number,
    string,
    tenant_table,
    uid,
)

payment_links = tenant_table(
    "payment_links",
    uid("id"),
    uid("invoice_id"),
    Column("token_hash", LargeBinary, nullable=False),
    string("last_four"),
    string("return_url", null=True),
    uid("setup_session_id", null=True),
    instant("expires_at"),
    instant("created_at"),
    instant("revoked_at", null=True),
    number("acts", default=0),
    instant("acts_since", null=True),
    number("version", default=1),
    belongs_to("invoices", "invoice_id"),
    belongs_to("setup_sessions", "setup_session_id"),
    UniqueConstraint("merchant_id", "token_hash", name="uq_payment_links_token_hash"),
    Index("ix_payment_links_invoice_id", "merchant_id", "invoice_id"),
    check("token_hash", "octet_length(token_hash) = 32"),
    check("acts", "acts >= 0"),
    postgresql_with={"fillfactor": HOT},
)
