"""Credit notes and pending items, as callers see them."""

from app.db.views.base import CREATED, View

CREDIT_NOTE = View(
    object="credit_note",
    prefix="cn",
    table="credit_notes",
    columns="""
        t.id, t.invoice_id, t.customer_id, t.status, t.number, t.currency, t.reason, t.subtotal,
        t.discount_total, t.tax_total, t.tax_added, t.total, t.to_invoice, t.to_balance,
        t.to_refund, t.outside,
        (SELECT coalesce(json_agg(json_build_object(
                'id', l.id, 'invoice_line_id', l.invoice_line_id, 'description', l.description,
                'quantity', l.quantity, 'amount', l.amount, 'discount_amount', l.discount_amount,
                'tax_amount', l.tax_amount) ORDER BY l.position), '[]')
         FROM credit_note_lines l
         WHERE l.merchant_id = t.merchant_id AND l.credit_note_id = t.id) AS lines,
        t.metadata, t.created_at, t.voided_at, t.version
    """,
    filters={
        **CREATED,
        "invoice_id": "t.invoice_id = {}",
        "customer_id": "t.customer_id = {}",
        "status": "t.status = {}",
        "number": "t.number = {}",
    },
    references={"invoice": "invoice", "customer": "customer"},
    children={"lines": "cnl"},
)

CREDIT_NOTE_LINE = View(
    object="credit_note_line",
    prefix="cnl",
    table="credit_note_lines",
    columns="""
        t.id, t.credit_note_id, t.invoice_line_id, t.description, t.quantity, t.amount,
        t.discount_amount, t.tax_amount,
        (SELECT coalesce(json_agg(json_build_object(
                'discount_id', d ->> 0, 'amount', (d ->> 1)::bigint)), '[]')
         FROM json_array_elements(t.discounts) d) AS discounts,
        (SELECT coalesce(json_agg(json_build_object(
                'tax_rate_id', x ->> 0, 'percentage', (x ->> 3)::bigint,
                'inclusive', (x ->> 4)::boolean, 'reason', x ->> 5,
                'taxable_amount', (x ->> 1)::bigint, 'amount', (x ->> 2)::bigint)), '[]')
         FROM json_array_elements(t.taxes) x) AS taxes
    """,
    filters={"credit_note_id": "t.credit_note_id = {}"},
    references={"credit_note": "credit_note", "invoice_line": "invoice_line"},
    children={"discounts": "", "taxes": ""},
)

PENDING_ITEM = View(
    object="pending_item",
    prefix="pi",
    table="pending_items",
    columns="""
        t.id, t.customer_id, t.subscription_id, t.invoice_id, t.currency, t.kind, t.description,
        t.quantity, t.amount, t.period_start, t.period_end, t.price_id, t.subscription_item_id,
        t.reverses_line_id, t.tax_code, t.metadata, t.created_at, t.deleted_at, t.version
    """,
    filters={
        **CREATED,
        "customer_id": "t.customer_id = {}",
        "subscription_id": "t.subscription_id = {}",
        "invoice_id": "t.invoice_id = {}",
        "waiting": "(t.invoice_id IS NULL) = {}",
    },
    references={
        "customer": "customer",
        "subscription": "subscription",
        "invoice": "invoice",
        "price": "price",
    },
    shown="t.deleted_at IS NULL",
)
