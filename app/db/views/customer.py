"""Customers, their payment methods and their balances, as callers see them."""

from app.db.views.base import CREATED, View

CUSTOMER = View(
    object="customer",
    prefix="cus",
    table="customers",
    columns="""
        t.id, t.external_id, t.email, t.name, t.address, t.zone AS time_zone, t.language,
        t.tax_exempt, t.tax_exemption_note, t.default_payment_method_id, t.test_clock_id,
        t.metadata,
        (SELECT coalesce(
            json_agg(json_build_object('currency', b.currency, 'amount', b.balance)
                     ORDER BY b.currency),
            '[]')
         FROM customer_balances b
         WHERE b.merchant_id = t.merchant_id AND b.customer_id = t.id) AS balances,
        t.created_at, t.deleted_at, t.version
    """,
    filters={
        **CREATED,
        "email": "t.email = {}",
        "external_id": "t.external_id = {}",
        "test_clock_id": "t.test_clock_id = {}",
    },
    references={"default_payment_method": "payment_method", "test_clock": "test_clock"},
    shown="t.deleted_at IS NULL",
)

PAYMENT_LINK = View(
    object="payment_link",
    prefix="plink",
    table="payment_links",
    columns="""
        t.id, t.invoice_id, t.last_four, t.return_url, t.expires_at, t.created_at, t.revoked_at,
        t.version
    """,
    filters={**CREATED, "invoice_id": "t.invoice_id = {}"},
    references={"invoice": "invoice"},
)

PAYMENT_METHOD = View(
    object="payment_method",
    prefix="pm",
    table="payment_methods",
    columns="""
        t.id, t.customer_id, t.gateway_account_id, t.type, t.brand, t.last_four,
        t.expiry_month, t.expiry_year, t.fingerprint, t.mandate, t.is_usable, t.backup_order,
        t.metadata, t.created_at, t.detached_at, t.version
    """,
    filters={**CREATED, "customer_id": "t.customer_id = {}", "type": "t.type = {}"},
    references={"customer": "customer", "gateway_account": "gateway_account"},
    shown="t.detached_at IS NULL",
)

BALANCE_TRANSACTION = View(
    object="balance_transaction",
    prefix="bt",
    table="balance_transactions",
    columns="""
        t.id, t.customer_id, t.currency, t.amount, t.ending_balance, t.type, t.invoice_id,
        t.description, t.created_at
    """,
    filters={**CREATED, "customer_id": "t.customer_id = {}", "currency": "t.currency = {}"},
    references={"customer": "customer", "invoice": "invoice"},
)

GATEWAY_ACCOUNT = View(
    object="gateway_account",
    prefix="gwa",
    table="gateway_accounts",
    columns="""
        t.id, t.gateway, t.name, t.mode, t.is_default, t.credentials,
        t.webhook_secret_updated_at, t.previous_webhook_secret_expires_at, t.check_result,
        t.checked_at, t.created_at, t.disabled_at, t.version
    """,
    filters={**CREATED, "gateway": "t.gateway = {}", "is_default": "t.is_default = {}"},
)

INBOUND_EVENT = View(
    object="inbound_event",
    prefix="ine",
    table="inbound_events",
    columns="""
        t.id, t.gateway_account_id, t.gateway_event_id, t.type, t.kind, t.reference,
        t.our_reference, t.payment_reference, t.status, t.reason, t.detail, t.attempts,
        t.occurred_at, t.received_at, t.due_at, t.settled_at
    """,
    filters={
        "gateway_account_id": "t.gateway_account_id = {}",
        "status": "t.status = {}",
        "kind": "t.kind = {}",
        "type": "t.type = {}",
        "reference": "t.reference = {}",
        "received_gte": "t.received_at >= {}",
        "received_gt": "t.received_at > {}",
        "received_lte": "t.received_at <= {}",
        "received_lt": "t.received_at < {}",
    },
    references={"gateway_account": "gateway_account"},
)

SETUP_SESSION = View(
    object="setup_session",
    prefix="setup",
    table="setup_sessions",
    columns="""
        t.id, t.customer_id, t.gateway_account_id, t.status, t.flow, t.return_url, t.cancel_url,
        t.currency, t.amount_max, t.mandate_expires_at, t.description, t.make_default,
        t.payment_method_id, t.failure_code, t.failure_category, t.metadata, t.created_at,
        t.expires_at, t.ended_at, t.version
    """,
    filters={**CREATED, "customer_id": "t.customer_id = {}", "status": "t.status = {}"},
    references={
        "customer": "customer",
        "gateway_account": "gateway_account",
        "payment_method": "payment_method",
    },
)

DISPUTE = View(
    object="dispute",
    prefix="dp",
    table="disputes",
    columns="""
        t.id, t.gateway_account_id, t.gateway_reference, t.payment_id, t.invoice_id, t.customer_id,
        t.status, t.currency, t.amount, t.withdrawn, t.fee, t.reason, t.opened_at,
        t.evidence_due_by, t.closed_at, t.created_at, t.version
    """,
    filters={
        **CREATED,
        "status": "t.status = {}",
        "payment_id": "t.payment_id = {}",
        "customer_id": "t.customer_id = {}",
        "gateway_account_id": "t.gateway_account_id = {}",
    },
    references={
        "customer": "customer",
        "gateway_account": "gateway_account",
        "invoice": "invoice",
        "payment": "payment",
    },
)
