"""Every noun that can be read, by name and by the prefix of its identifiers."""

from collections.abc import Mapping
from typing import Final

from app.db.views.base import View, one, page, some
from app.db.views.billing import INVOICE, INVOICE_LINE, PAYMENT, REFUND, SUBSCRIPTION
from app.db.views.catalog import COUPON, PLAN, PRICE
from app.db.views.customer import (
    BALANCE_TRANSACTION,
    CUSTOMER,
    GATEWAY_ACCOUNT,
    PAYMENT_METHOD,
)
from app.db.views.platform import API_KEY, EVENT, LEDGER_ENTRY, TEST_CLOCK
from app.db.views.tax import TAX_ID, TAX_RATE, TAX_REGISTRATION

ALL: Final = (
    API_KEY,
    BALANCE_TRANSACTION,
    COUPON,
    CUSTOMER,
    EVENT,
    GATEWAY_ACCOUNT,
    INVOICE,
    INVOICE_LINE,
    LEDGER_ENTRY,
    PAYMENT,
    PAYMENT_METHOD,
    PLAN,
    PRICE,
    REFUND,
    SUBSCRIPTION,
    TAX_ID,
    TAX_RATE,
    TAX_REGISTRATION,
    TEST_CLOCK,
)
BY_OBJECT: Final[Mapping[str, View]] = {view.object: view for view in ALL}
BY_PREFIX: Final[Mapping[str, View]] = {view.prefix: view for view in ALL}

__all__ = [
    "API_KEY",
    "BALANCE_TRANSACTION",
    "BY_OBJECT",
    "BY_PREFIX",
    "COUPON",
    "CUSTOMER",
    "EVENT",
    "GATEWAY_ACCOUNT",
    "INVOICE",
    "INVOICE_LINE",
    "LEDGER_ENTRY",
    "PAYMENT",
    "PAYMENT_METHOD",
    "PLAN",
    "PRICE",
    "REFUND",
    "SUBSCRIPTION",
    "TAX_ID",
    "TAX_RATE",
    "TAX_REGISTRATION",
    "TEST_CLOCK",
    "View",
    "one",
    "page",
    "some",
]
