"""The schema, one file a noun. What the tables cannot say (roles, policies, triggers) stands in
`migrations/`.
"""

from app.db.tables.catalog import addon_plans, features, plan_features, plans, prices
from app.db.tables.common import metadata
from app.db.tables.customer import (
    balance_transactions,
    customer_balances,
    customers,
    gateway_accounts,
    payment_methods,
)
from app.db.tables.documents import document_logos, document_settings
from app.db.tables.dunning import dunning_policies, dunning_policy_plans, dunning_runs
from app.db.tables.gateway import disputes, gateway_customers, inbound_events, setup_sessions
from app.db.tables.invoice import (
    credit_note_lines,
    credit_notes,
    invoice_line_discounts,
    invoice_line_taxes,
    invoice_lines,
    invoice_series,
    invoice_subscriptions,
    invoices,
)
from app.db.tables.ledger import ledger_accounts, ledger_entries
from app.db.tables.offers import (
    coupons,
    offer_links,
    offers,
    promotion_codes,
    redemptions,
)
from app.db.tables.payment import payment_attempts, payments, refunds
from app.db.tables.payment_links import payment_links
from app.db.tables.platform import (
    api_keys,
    audit_log,
    events,
    idempotency_keys,
    merchants,
    test_clocks,
)
from app.db.tables.reconciliation import reconciliation_differences, reconciliations
from app.db.tables.schedule import (
    price_migration_items,
    price_migrations,
    subscription_schedules,
)
from app.db.tables.subscription import (
    discounts,
    pending_items,
    scheduled_changes,
    subscription_items,
    subscription_tax_rates,
    subscriptions,
)
from app.db.tables.tax import (
    customer_tax_ids,
    tax_engine_rates,
    tax_engines,
    tax_rates,
    tax_registrations,
)
from app.db.tables.usage import meters, usage_events
from app.db.tables.webhooks import (
    event_batches,
    event_counters,
    event_numbers,
    webhook_attempts,
    webhook_deliveries,
    webhook_endpoints,
    webhook_lanes,
)

__all__ = [
    "addon_plans",
    "api_keys",
    "audit_log",
    "balance_transactions",
    "coupons",
    "credit_note_lines",
    "credit_notes",
    "customer_balances",
    "customer_tax_ids",
    "customers",
    "discounts",
    "disputes",
    "document_logos",
    "document_settings",
    "dunning_policies",
    "dunning_policy_plans",
    "dunning_runs",
    "event_batches",
    "event_counters",
    "event_numbers",
    "events",
    "features",
    "gateway_accounts",
    "gateway_customers",
    "idempotency_keys",
    "inbound_events",
    "invoice_line_discounts",
    "invoice_line_taxes",
    "invoice_lines",
    "invoice_series",
    "invoice_subscriptions",
    "invoices",
    "ledger_accounts",
    "ledger_entries",
    "merchants",
    "metadata",
    "meters",
    "offer_links",
    "offers",
    "payment_attempts",
    "payment_links",
    "payment_methods",
    "payments",
    "pending_items",
    "plan_features",
    "plans",
    "price_migration_items",
    "price_migrations",
    "prices",
    "promotion_codes",
    "reconciliation_differences",
    "reconciliations",
    "redemptions",
    "refunds",
    "scheduled_changes",
    "setup_sessions",
    "subscription_items",
    "subscription_schedules",
    "subscription_tax_rates",
    "subscriptions",
    "tax_engine_rates",
    "tax_engines",
    "tax_rates",
    "tax_registrations",
    "test_clocks",
    "usage_events",
    "webhook_attempts",
    "webhook_deliveries",
    "webhook_endpoints",
    "webhook_lanes",
]
