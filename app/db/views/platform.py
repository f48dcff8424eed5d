"""API keys, events, test clocks and ledger entries, as callers see them."""

from app.db.views.base import CREATED, View

API_KEY = View(
    object="api_key",
    prefix="key",
    table="api_keys",
    columns="""
        t.id, t.name, t.kind, t.prefix, t.last_four, t.scopes, t.created_at, t.expires_at,
        t.last_used_at, t.revoked_at
    """,
    filters={**CREATED, "kind": "t.kind = {}"},
)

EVENT = View(
    object="event",
    prefix="evt",
    table="events",
    columns="""
        t.id, t.type, t.object AS object_type, t.object_id, t.object_version,
        (SELECT n.number FROM event_numbers n
          WHERE n.merchant_id = t.merchant_id AND n.event_id = t.id) AS sequence,
        t.data, t.previous, t.created_at
    """,
    filters={
        **CREATED,
        "type": "t.type = {}",
        "object_id": "t.object_id = {}",
    },
)

TEST_CLOCK = View(
    object="test_clock",
    prefix="clock",
    table="test_clocks",
    columns="t.id, t.name, t.frozen_at, t.target_at, t.status, t.detail, t.created_at, t.version",
    filters={**CREATED, "status": "t.status = {}"},
)

LEDGER_ENTRY = View(
    object="ledger_entry",
    prefix="le",
    table="ledger_entries",
    columns="""
        t.id, t.source, t.source_id, t.debit, t.credit, t.currency, t.amount, t.effective_at
    """,
    filters={
        "source": "t.source = {}",
        "source_id": "t.source_id = {}",
        "currency": "t.currency = {}",
        "account": "{} IN (t.debit, t.credit)",
        "effective_gte": "t.effective_at >= {}",
        "effective_gt": "t.effective_at > {}",
        "effective_lte": "t.effective_at <= {}",
        "effective_lt": "t.effective_at < {}",
    },
)
