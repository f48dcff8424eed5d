"""Every noun that can be read, by name and by the prefix of its identifiers."""

from collections.abc import Mapping
from typing import Final

from app.db.views.base import View, one, page, some
from app.db.views.billing import INVOICE, INVOICE_LINE, PAYMENT, REFUND, SUBSCRIPTION
from app.db.views.catalog import FEATURE, PLAN, PRICE
from app.db.views.customer import (
    BALANCE_TRANSACTION,
    CUSTOMER,
    DISPUTE,
    GATEWAY_ACCOUNT,
    INBOUND_EVENT,
    PAYMENT_LINK,
    PAYMENT_METHOD,
    SETUP_SESSION,
)
from app.db.views.documents import DOCUMENT_SETTINGS
from app.db.views.dunning import DUNNING_POLICY, DUNNING_RUN
from app.db.views.invoicing import CREDIT_NOTE, CREDIT_NOTE_LINE, PENDING_ITEM
from app.db.views.offers import (
    COUPON,
    DISCOUNT,
    OFFER,
    OFFER_LINK,
    PROMOTION_CODE,
    REDEMPTION,
)
from app.db.views.platform import API_KEY, EVENT, LEDGER_ENTRY, TEST_CLOCK
from app.db.views.reconciliation import RECONCILIATION, RECONCILIATION_DIFFERENCE
from app.db.views.schedules import (
    PRICE_MIGRATION,
    PRICE_MIGRATION_ITEM,
    SUBSCRIPTION_SCHEDULE,
)
from app.db.views.tax import TAX_ID, TAX_RATE, TAX_REGISTRATION
from app.db.views.usage import METER, USAGE_EVENT
from app.db.views.webhooks import DELIVERY, DELIVERY_SUMMARY, WEBHOOK_ENDPOINT

ALL: Final = (
    API_KEY,
    BALANCE_TRANSACTION,
    COUPON,
    CREDIT_NOTE,
    CREDIT_NOTE_LINE,
    CUSTOMER,
    DELIVERY,
    DISCOUNT,
    DISPUTE,
    DOCUMENT_SETTINGS,
    DUNNING_POLICY,
    DUNNING_RUN,
    EVENT,
    FEATURE,
    GATEWAY_ACCOUNT,
    INBOUND_EVENT,
    INVOICE,
    INVOICE_LINE,
    LEDGER_ENTRY,
    METER,
    OFFER,
    OFFER_LINK,
    PAYMENT,
    PAYMENT_LINK,
    PAYMENT_METHOD,
    PENDING_ITEM,
    PLAN,
    PRICE,
    PRICE_MIGRATION,
    PROMOTION_CODE,
    RECONCILIATION,
    RECONCILIATION_DIFFERENCE,
    REDEMPTION,
    REFUND,
    SETUP_SESSION,
    SUBSCRIPTION,
    SUBSCRIPTION_SCHEDULE,
    TAX_ID,
    TAX_RATE,
    TAX_REGISTRATION,
    TEST_CLOCK,
    USAGE_EVENT,
    WEBHOOK_ENDPOINT,
)
BY_OBJECT: Final[Mapping[str, View]] = {view.object: view for view in ALL}
BY_PREFIX: Final[Mapping[str, View]] = {view.prefix: view for view in ALL}

__all__ = [
    "API_KEY",
    "BALANCE_TRANSACTION",
    "BY_OBJECT",
    "BY_PREFIX",
    "COUPON",
    "CREDIT_NOTE",
    "CREDIT_NOTE_LINE",
    "CUSTOMER",
    "DELIVERY",
    "DELIVERY_SUMMARY",
    "DISCOUNT",
    "DISPUTE",
    "DOCUMENT_SETTINGS",
    "DUNNING_POLICY",
    "DUNNING_RUN",
    "EVENT",
    "FEATURE",
    "GATEWAY_ACCOUNT",
    "INBOUND_EVENT",
    "INVOICE",
    "INVOICE_LINE",
    "LEDGER_ENTRY",
    "METER",
    "OFFER",
    "OFFER_LINK",
    "PAYMENT",
    "PAYMENT_LINK",
    "PAYMENT_METHOD",
    "PENDING_ITEM",
    "PLAN",
    "PRICE",
    "PRICE_MIGRATION",
    "PRICE_MIGRATION_ITEM",
    "PROMOTION_CODE",
    "RECONCILIATION",
    "RECONCILIATION_DIFFERENCE",
    "REDEMPTION",
    "REFUND",
    "SETUP_SESSION",
    "SUBSCRIPTION",
    "SUBSCRIPTION_SCHEDULE",
    "TAX_ID",
    "TAX_RATE",
    "TAX_REGISTRATION",
    "TEST_CLOCK",
    "USAGE_EVENT",
    "WEBHOOK_ENDPOINT",
    "View",
    "one",
    "page",
    "some",
]
