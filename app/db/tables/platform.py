"""Merchants and their keys, idempotency, events in and out, test clocks, and the audit log."""

from sqlalchemy import (
    Column,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY

from app.db.tables.common import (
    HOT,
    check,
    document,
    instant,
    number,
    of_merchant,
    one_of,
    small,
    string,
    tenant_table,
    uid,
)

merchants = tenant_table(
    "merchants",
    uid("id"),
    string("name"),
    string("mode"),
    string("default_currency"),
    string("zone", default="UTC"),
    document("settings"),
    document("billing_settings"),
    instant("created_at"),
    number("version", default=1),
    one_of("mode", ("test", "live")),
)

api_keys = tenant_table(
    "api_keys",
    uid("id"),
    string("name", null=True),
    string("kind"),
    string("prefix"),
    string("last_four"),
    Column("hash", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    instant("created_at"),
    instant("expires_at", null=True),
    instant("last_used_at", null=True),
    instant("revoked_at", null=True),
    of_merchant(),
    Index("uq_api_keys_hash", "hash", unique=True),
    one_of("kind", ("secret", "publishable")),
    check("hash", "octet_length(hash) = 32"),
    postgresql_with={"fillfactor": HOT},
)

idempotency_keys = tenant_table(
    "idempotency_keys",
    uid("id"),
    string("key"),
    Column("request_hash", LargeBinary, nullable=False),
    string("resource", null=True),
    small("response_status", null=True),
    Column("response_body", LargeBinary, nullable=True),
    document("response_headers"),
    instant("created_at"),
    instant("lease_until"),
    instant("finished_at", null=True),
    instant("expires_at"),
    of_merchant(),
    UniqueConstraint("merchant_id", "key", name="uq_idempotency_keys_key"),
    Index("ix_idempotency_keys_expires_at", "expires_at"),
    check("finished", "(finished_at IS NULL) = (response_status IS NULL)"),
    postgresql_with={"fillfactor": HOT},
)

events = tenant_table(
    "events",
    uid("id"),
    string("type"),
    string("object"),
    uid("object_id"),
    number("object_version"),
    document("data", default=None),
    document("previous", null=True, default=None),
    instant("created_at"),
    Index("ix_events_object_id", "merchant_id", "object_id"),
)

test_clocks = tenant_table(
    "test_clocks",
    uid("id"),
    string("name", null=True),
    instant("frozen_at"),
    instant("target_at", null=True),
    string("status"),
    string("detail", null=True),
    instant("lease_until", null=True),
    instant("created_at"),
    number("version", default=1),
    of_merchant(),
    one_of("status", ("ready", "advancing", "internal_failure")),
    check("target", "(status = 'ready') = (target_at IS NULL)"),
)

audit_log = tenant_table(
    "audit_log",
    uid("id"),
    string("actor"),
    string("action"),
    string("object"),
    uid("object_id", null=True),
    document("detail"),
    string("request_id", null=True),
    instant("created_at"),
    of_merchant(),
)
