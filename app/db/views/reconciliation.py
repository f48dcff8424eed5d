"""Comparisons with gateways' books, and what differs, as callers see them."""

from app.db.views.base import CREATED, View

RECONCILIATION = View(
    object="reconciliation",
    prefix="rec",
    table="reconciliations",
    columns="""
        t.id, t.gateway_account_id, t.status, t.window_start, t.window_end, t.charges_there,
        t.refunds_there, t.differences, t.detail, t.created_at, t.finished_at
    """,
    filters={
        **CREATED,
        "gateway_account_id": "t.gateway_account_id = {}",
        "status": "t.status = {}",
    },
    references={"gateway_account": "gateway_account"},
)

RECONCILIATION_DIFFERENCE = View(
    object="reconciliation_difference",
    prefix="diff",
    table="reconciliation_differences",
    columns="""
        t.id, t.reconciliation_id, t.gateway_account_id, t.kind, t.status, t.currency,
        t.amount_here, t.amount_there, t.gateway_reference, t.our_reference, t.payment_id,
        t.refund_id, t.repair, t.note, t.created_at, t.seen_at, t.resolved_at, t.version
    """,
    filters={
        **CREATED,
        "gateway_account_id": "t.gateway_account_id = {}",
        "reconciliation_id": "t.reconciliation_id = {}",
        "kind": "t.kind = {}",
        "status": "t.status = {}",
    },
    references={
        "reconciliation": "reconciliation",
        "gateway_account": "gateway_account",
        "payment": "payment",
        "refund": "refund",
    },
)
