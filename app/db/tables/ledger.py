"""The append-only double-entry ledger. One row moves one amount between two accounts."""

from sqlalchemy import ForeignKeyConstraint, Index

from app.db.tables.common import (
    check,
    currency_check,
    instant,
    minor,
    of_merchant,
    one_of,
    string,
    tenant_table,
    uid,
)
from app.domain.ledger import Source

ledger_accounts = tenant_table(
    "ledger_accounts",
    string("code"),
    string("currency"),
    instant("created_at"),
    of_merchant(),
    currency_check(),
    key=("code", "currency"),
)

ledger_entries = tenant_table(
    "ledger_entries",
    uid("id"),
    string("source"),
    uid("source_id"),
    string("debit"),
    string("credit"),
    string("currency"),
    minor("amount"),
    instant("effective_at"),
    ForeignKeyConstraint(
        ["merchant_id", "debit", "currency"],
        ["ledger_accounts.merchant_id", "ledger_accounts.code", "ledger_accounts.currency"],
        name="fk_ledger_entries_debit",
    ),
    ForeignKeyConstraint(
        ["merchant_id", "credit", "currency"],
        ["ledger_accounts.merchant_id", "ledger_accounts.code", "ledger_accounts.currency"],
        name="fk_ledger_entries_credit",
    ),
    Index("ix_ledger_entries_source_id", "merchant_id", "source_id"),
    one_of("source", Source),
    check("amount", "amount > 0"),
    check("two_accounts", "debit <> credit"),
)
