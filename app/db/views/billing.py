"""Subscriptions, invoices, payments and refunds, as callers see them: what lies inside comes with
them, in the same statement.
"""

from app.db.views.base import CREATED, View

SUBSCRIPTION = View(
    object="subscription",
    prefix="sub",
    table="subscriptions",
    columns="""
        t.id, t.customer_id, t.external_id, t.status, t.currency,
        t.interval_unit AS interval, t.interval_count, t.zone AS time_zone, t.anchor,
        t.period_start, t.period_end, t.period_index, t.collection_method, t.net_days,
        t.payment_method_id, t.start_at,
        t.trial_end, t.expires_at, t.cancel_at, t.cancel_at_period_end, t.canceled_at, t.ended_at,
        t.latest_invoice_id, t.test_clock_id, t.next_action_at, t.parked_at, t.parked_reason,
        t.cycles_left, t.automatic_tax, t.trial_end_without_payment_method, t.billing_settings,
        CASE WHEN t.paused_at IS NOT NULL THEN json_build_object(
            'paused_at', t.paused_at, 'invoices', t.pause_invoices,
            'resumes_at', t.resumes_at) END AS pause,
        (SELECT coalesce(json_agg(json_build_object(
                'id', h.id, 'type', h.type, 'due_at', h.due_at, 'phase', h.phase)
                ORDER BY h.due_at, h.id), '[]')
         FROM scheduled_changes h
         WHERE h.merchant_id = t.merchant_id AND h.subscription_id = t.id
           AND h.status = 'pending') AS scheduled_changes,
        (SELECT coalesce(json_agg(json_build_object(
                'id', i.id, 'price_id', i.price_id, 'quantity', i.quantity) ORDER BY i.position),
            '[]')
         FROM subscription_items i
         WHERE i.merchant_id = t.merchant_id AND i.subscription_id = t.id
           AND i.removed_at IS NULL) AS items,
        (SELECT coalesce(json_agg(json_build_object(
                'id', d.id, 'coupon_id', d.coupon_id,
                'periods_remaining', d.periods_remaining, 'ended_at', d.ended_at)
                ORDER BY d.position), '[]')
         FROM discounts d
         WHERE d.merchant_id = t.merchant_id AND d.subscription_id = t.id) AS discounts,
        ARRAY(SELECT r.tax_rate_id FROM subscription_tax_rates r
         WHERE r.merchant_id = t.merchant_id AND r.subscription_id = t.id
         ORDER BY r.position) AS tax_rate_ids,
        t.metadata, t.created_at, t.version
    """,
    filters={
        **CREATED,
        "customer_id": "t.customer_id = {}",
        "status": "t.status = {}",
        "external_id": "t.external_id = {}",
        "test_clock_id": "t.test_clock_id = {}",
        "price_id": """EXISTS (
            SELECT FROM subscription_items i
            WHERE i.merchant_id = t.merchant_id AND i.subscription_id = t.id
              AND i.removed_at IS NULL AND i.price_id = {})""",
    },
    references={
        "customer": "customer",
        "payment_method": "payment_method",
        "latest_invoice": "invoice",
        "test_clock": "test_clock",
    },
    children={"items": "si", "discounts": "dis", "scheduled_changes": "sch"},
)

INVOICE = View(
    object="invoice",
    prefix="inv",
    table="invoices",
    columns="""
        t.id, t.customer_id, t.subscription_id,
        ARRAY(SELECT m.subscription_id FROM invoice_subscriptions m
         WHERE m.merchant_id = t.merchant_id AND m.invoice_id = t.id
         ORDER BY m.subscription_id) AS subscription_ids,
        t.status, t.number, t.currency,
        t.billing_reason, t.period_start, t.period_end, t.collection_method, t.subtotal,
        t.discount_total, t.tax_total, t.tax_added, t.total, t.balance_applied, t.amount_due,
        t.amount_paid, t.amount_credited,
        t.amount_due - t.amount_paid - t.amount_credited AS amount_remaining, t.due_at,
        t.description, t.finalize_at, t.finalized_at, t.paid_at, t.voided_at, t.test_clock_id,
        (SELECT coalesce(json_agg(json_build_object(
                'id', l.id, 'kind', l.kind, 'description', l.description,
                'subscription_item_id', l.subscription_item_id, 'price_id', l.price_id,
                'quantity', l.quantity, 'period_start', l.period_start,
                'period_end', l.period_end, 'amount', l.amount,
                'discount_amount', l.discount_amount, 'tax_amount', l.tax_amount,
                'reverses_line_id', l.reverses_line_id, 'subscription_id', l.subscription_id)
                ORDER BY l.position), '[]')
         FROM invoice_lines l
         WHERE l.merchant_id = t.merchant_id AND l.invoice_id = t.id) AS lines,
        t.metadata, t.created_at, t.version
    """,
    filters={
        **CREATED,
        "customer_id": "t.customer_id = {}",
        "subscription_id": """(t.subscription_id = {0} OR EXISTS (
            SELECT FROM invoice_subscriptions m
            WHERE m.merchant_id = t.merchant_id AND m.invoice_id = t.id
              AND m.subscription_id = {0}))""",
        "status": "t.status = {}",
        "number": "t.number = {}",
        "due_gte": "t.due_at >= {}",
        "due_lt": "t.due_at < {}",
    },
    references={
        "customer": "customer",
        "subscription": "subscription",
        "test_clock": "test_clock",
    },
    children={"lines": "il"},
)

INVOICE_LINE = View(
    object="invoice_line",
    prefix="il",
    table="invoice_lines",
    columns="""
        t.id, t.invoice_id, t.kind, t.description, t.subscription_item_id, t.price_id, t.quantity,
        t.period_start, t.period_end, t.amount, t.discount_amount, t.tax_amount,
        t.reverses_line_id, t.subscription_id,
        (SELECT coalesce(json_agg(json_build_object(
                'discount_id', d.discount_id, 'amount', d.amount) ORDER BY d.discount_id), '[]')
         FROM invoice_line_discounts d
         WHERE d.merchant_id = t.merchant_id AND d.line_id = t.id) AS discounts,
        (SELECT coalesce(json_agg(json_build_object(
                'tax_rate_id', x.tax_rate_id, 'percentage', x.rate_ppm,
                'inclusive', x.inclusive, 'reason', x.reason, 'taxable_amount', x.taxable_amount,
                'amount', x.amount) ORDER BY x.tax_rate_id), '[]')
         FROM invoice_line_taxes x
         WHERE x.merchant_id = t.merchant_id AND x.line_id = t.id) AS taxes
    """,
    filters={"invoice_id": "t.invoice_id = {}"},
    references={"price": "price", "invoice": "invoice"},
    children={"discounts": "", "taxes": ""},
)

PAYMENT = View(
    object="payment",
    prefix="pay",
    table="payments",
    columns="""
        t.id, t.invoice_id, t.customer_id, t.payment_method_id, t.status, t.currency, t.amount,
        t.amount_captured, t.amount_refunded, t.amount_refund_reserved, t.attempt_count,
        t.failure_code, t.failure_category, t.action_url, NULL::text AS hosted_url, t.due_at,
        t.postponed_reason, t.test_clock_id, t.created_at, t.succeeded_at,
        CASE WHEN t.offline_method IS NULL THEN 'gateway' ELSE 'offline' END AS kind,
        t.offline_method, t.reference, t.note, t.received_at, t.amount_to_balance, t.reversed_at,
        t.reversal_reason, t.version
    """,
    filters={
        **CREATED,
        "kind": "CASE WHEN t.offline_method IS NULL THEN 'gateway' ELSE 'offline' END = {}",
        "reference": "t.reference = {}",
        "customer_id": "t.customer_id = {}",
        "invoice_id": "t.invoice_id = {}",
        "status": "t.status = {}",
        "postponed": "(t.postponed_reason IS NOT NULL) = {}",
    },
    references={
        "customer": "customer",
        "invoice": "invoice",
        "payment_method": "payment_method",
    },
)

REFUND = View(
    object="refund",
    prefix="re",
    table="refunds",
    columns="""
        t.id, t.payment_id, t.invoice_id, t.status, t.currency, t.amount, t.destination, t.reason,
        t.failure_code, t.metadata, t.created_at, t.settled_at, t.version
    """,
    filters={
        **CREATED,
        "payment_id": "t.payment_id = {}",
        "invoice_id": "t.invoice_id = {}",
        "status": "t.status = {}",
    },
    references={"payment": "payment", "invoice": "invoice"},
)
