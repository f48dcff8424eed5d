"""What callers get: one model a noun. They document; answers are written without passing them.

A field `customer` beside `customer_id` is there only when it was asked for with `expand`.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from app.api import common as c
from app.api.catalog_objects import Price
from app.api.common import At, Documents, Expanded, MinorUnits, Output, Version, open_enum
from app.domain import balance
from app.domain.invoice import BillingReason, LineKind
from app.domain.ledger import Source
from app.domain.payment import OfflineMethod
from app.domain.refund import Destination
from app.domain.subscription import Status


class Address(Output):
    line1: str | None
    line2: str | None
    city: str | None
    state: str | None
    postal_code: str | None
    country: str | None


class CurrencyAmount(Output):
    currency: c.Currency
    amount: MinorUnits


class Merchant(Output):
    id: c.MerchantId
    object: Literal["merchant"]
    name: c.Name
    mode: Annotated[str, open_enum("test", "live")]
    default_currency: c.Currency
    time_zone: c.TimeZone
    created_at: At
    version: Version
    secret_key: Annotated[
        str | None, Field(description="The first key, shown this once, in the answer to creation.")
    ]


class ApiKey(Output):
    id: c.ApiKeyId
    object: Literal["api_key"]
    name: str | None
    kind: Annotated[str, open_enum("secret", "publishable")]
    prefix: Annotated[str, Field(examples=["sk_test_"])]
    last_four: str
    scopes: list[str]
    secret: Annotated[
        str | None, Field(description="The key itself, shown this once, in the answer to creation.")
    ]
    created_at: At
    expires_at: At | None
    last_used_at: Annotated[At | None, Field(description="To the minute.")]
    revoked_at: At | None


class GatewayCredential(Output):
    """A credential that is set: a secret one is never shown."""

    name: Annotated[str, Field(examples=["secret_key"])]
    value: Annotated[str | None, Field(description="Of what is no secret.")]
    last_four: Annotated[str | None, Field(description="Of a secret that is long enough.")]
    updated_at: At


class GatewayAccount(Output):
    id: c.GatewayAccountId
    object: Literal["gateway_account"]
    gateway: Annotated[str, open_enum("simulator", "stripe", "paypal", "razorpay", "authorizenet")]
    name: str
    mode: Annotated[str, open_enum("test", "live")]
    is_default: bool
    credentials: list[GatewayCredential]
    webhook_url: Annotated[
        str, Field(description="To be entered at the gateway: its webhooks go there.")
    ]
    webhook_secret_updated_at: Annotated[
        At | None, Field(description="Null: there is none yet, and no webhook is believed.")
    ]
    previous_webhook_secret_expires_at: Annotated[
        At | None, Field(description="Until then the secret before counts too.")
    ]
    check_result: Annotated[str, open_enum("valid", "refused", "unreachable")] | None
    checked_at: At | None
    created_at: At
    disabled_at: At | None
    version: Version


class TestClock(Output):
    id: c.TestClockId
    object: Literal["test_clock"]
    name: str | None
    frozen_at: At
    target_at: At | None
    status: Annotated[str, open_enum("ready", "advancing", "internal_failure")]
    detail: str | None
    created_at: At
    version: Version


class Customer(Output):
    id: c.CustomerId
    object: Literal["customer"]
    external_id: str | None
    email: str | None
    name: str | None
    address: Address
    time_zone: str
    language: str | None
    tax_exempt: Annotated[str, open_enum("none", "exempt", "reverse")]
    tax_exemption_note: str | None
    default_payment_method_id: c.PaymentMethodId | None
    default_payment_method: "PaymentMethod | None" = Expanded
    test_clock_id: c.TestClockId | None
    test_clock: TestClock | None = Expanded
    balances: Annotated[
        list[CurrencyAmount], Field(description="Credit that pays the next invoices.")
    ]
    metadata: Documents
    created_at: At
    deleted_at: At | None
    version: Version


class PaymentMethod(Output):
    id: c.PaymentMethodId
    object: Literal["payment_method"]
    customer_id: c.CustomerId
    customer: Customer | None = Expanded
    gateway_account_id: c.GatewayAccountId
    gateway_account: GatewayAccount | None = Expanded
    type: Annotated[str, open_enum("card", "wallet", "bank_account", "mandate")]
    brand: str | None
    last_four: str | None
    expiry_month: int | None
    expiry_year: int | None
    fingerprint: Annotated[
        str | None, Field(description="The same for the same card, where the gateway says so.")
    ]
    mandate: Annotated[Documents, Field(description="What a mandate allows.")]
    is_usable: Annotated[
        bool, Field(description="False: the gateway has let go of it, or it is paused there.")
    ]
    backup_order: Annotated[
        int | None, Field(description="Its place among the customer's back-ups; null: it is none.")
    ]
    metadata: Documents
    created_at: At
    detached_at: At | None
    version: Version


class BalanceTransaction(Output):
    id: c.BalanceTransactionId
    object: Literal["balance_transaction"]
    customer_id: c.CustomerId
    customer: Customer | None = Expanded
    currency: c.Currency
    amount: Annotated[int, Field(description="Signed, in minor units.", examples=[-500])]
    ending_balance: MinorUnits
    type: Annotated[str, open_enum(*balance.Type)]
    invoice_id: c.InvoiceId | None
    invoice: "Invoice | None" = Expanded
    description: str | None
    created_at: At


class SubscriptionItem(Output):
    id: c.SubscriptionItemId
    price_id: c.PriceId
    quantity: int


class Discount(Output):
    id: c.DiscountId
    coupon_id: c.CouponId
    periods_remaining: int | None
    ended_at: At | None


class Pause(Output):
    paused_at: At
    invoices: Annotated[str, open_enum("none", "keep", "draft", "void")]
    resumes_at: At | None


class ScheduledChange(Output):
    id: c.ScheduledChangeId
    type: Annotated[str, open_enum("change", "pause")]
    due_at: At
    phase: int | None


class Subscription(Output):
    id: c.SubscriptionId
    object: Literal["subscription"]
    customer_id: c.CustomerId
    customer: Customer | None = Expanded
    external_id: str | None
    status: Annotated[str, open_enum(Status.ACTIVE, *Status)]
    currency: c.Currency
    interval: Annotated[str, open_enum("day", "week", "month", "year")]
    interval_count: int
    time_zone: str
    anchor: At
    period_start: At | None
    period_end: At | None
    period_index: int
    items: list[SubscriptionItem]
    discounts: list[Discount]
    tax_rate_ids: list[c.TaxRateId]
    collection_method: Annotated[str, open_enum("charge_automatically", "send_invoice")]
    net_days: int
    payment_method_id: c.PaymentMethodId | None
    payment_method: PaymentMethod | None = Expanded
    start_at: At
    trial_end: At | None
    expires_at: At | None
    cancel_at: At | None
    cancel_at_period_end: bool
    canceled_at: At | None
    ended_at: At | None
    latest_invoice_id: c.InvoiceId | None
    latest_invoice: "Invoice | None" = Expanded
    test_clock_id: c.TestClockId | None
    test_clock: TestClock | None = Expanded
    next_action_at: At | None
    parked_at: At | None
    parked_reason: str | None
    pause: Pause | None
    scheduled_changes: list[ScheduledChange]
    cycles_left: Annotated[int | None, Field(description="Periods until it ends; null: goes on.")]
    automatic_tax: bool
    trial_end_without_payment_method: Annotated[
        str | None, open_enum("cancel", "pause", "create_invoice")
    ]
    billing_settings: Documents
    metadata: Documents
    created_at: At
    version: Version


class LineDiscount(Output):
    discount_id: c.DiscountId
    amount: MinorUnits


class LineTax(Output):
    tax_rate_id: c.TaxRateId
    percentage: c.Percentage
    inclusive: bool
    reason: Annotated[str | None, Field(description="Why a rate is zero here.")]
    taxable_amount: MinorUnits
    amount: MinorUnits


class Line(Output):
    id: c.InvoiceLineId
    kind: Annotated[str, open_enum(*LineKind)]
    description: str
    subscription_item_id: c.SubscriptionItemId | None
    price_id: c.PriceId | None
    quantity: int
    period_start: At
    period_end: At
    amount: MinorUnits
    discount_amount: MinorUnits
    tax_amount: MinorUnits
    reverses_line_id: Annotated[
        c.InvoiceLineId | None, Field(description="The line that a credit takes back.")
    ]
    subscription_id: Annotated[
        c.SubscriptionId | None,
        Field(description="Which one it is for, on an invoice for several subscriptions."),
    ]


class InvoiceLine(Line):
    object: Literal["invoice_line"]
    invoice_id: c.InvoiceId
    invoice: "Invoice | None" = Expanded
    price: Price | None = Expanded
    discounts: list[LineDiscount]
    taxes: list[LineTax]


class Invoice(Output):
    id: c.InvoiceId
    object: Literal["invoice"]
    customer_id: c.CustomerId
    customer: Customer | None = Expanded
    subscription_id: c.SubscriptionId | None
    subscription: Subscription | None = Expanded
    subscription_ids: Annotated[
        list[c.SubscriptionId],
        Field(description="Which ones it is for, where it is for several; otherwise empty."),
    ]
    status: Annotated[str, open_enum("draft", "open", "paid", "void", "uncollectible")]
    number: Annotated[str | None, Field(examples=["INV-000001"])]
    currency: c.Currency
    billing_reason: Annotated[str, open_enum(*BillingReason)]
    period_start: At
    period_end: At
    collection_method: Annotated[str, open_enum("charge_automatically", "send_invoice")]
    subtotal: MinorUnits
    discount_total: MinorUnits
    tax_total: MinorUnits
    tax_added: Annotated[int, Field(description="The part of the tax that comes on top.")]
    total: MinorUnits
    balance_applied: MinorUnits
    amount_due: MinorUnits
    amount_paid: MinorUnits
    amount_credited: Annotated[int, Field(description="What credit notes took off.")]
    amount_remaining: MinorUnits
    due_at: At
    description: str | None
    finalize_at: Annotated[At | None, Field(description="When a draft is finalized by itself.")]
    finalized_at: At | None
    paid_at: At | None
    voided_at: At | None
    test_clock_id: c.TestClockId | None
    test_clock: TestClock | None = Expanded
    lines: list[Line]
    metadata: Documents
    created_at: At
    version: Version


class Payment(Output):
    id: c.PaymentId
    object: Literal["payment"]
    invoice_id: c.InvoiceId
    invoice: Invoice | None = Expanded
    customer_id: c.CustomerId
    customer: Customer | None = Expanded
    payment_method_id: c.PaymentMethodId | None
    payment_method: PaymentMethod | None = Expanded
    status: Annotated[
        str,
        open_enum(
            "succeeded",
            "scheduled",
            "requires_payment_method",
            "requires_action",
            "processing",
            "unknown",
            "failed",
            "canceled",
            "reversed",
        ),
    ]
    kind: Annotated[
        str,
        open_enum("gateway", "offline"),
        Field(description="offline: it came outside of any gateway, and was recorded by hand."),
    ]
    currency: c.Currency
    amount: MinorUnits
    amount_captured: MinorUnits
    amount_refunded: MinorUnits
    amount_refund_reserved: MinorUnits
    attempt_count: int
    failure_code: Annotated[str | None, Field(examples=["insufficient_funds"])]
    failure_category: str | None
    action_url: Annotated[
        str | None, Field(description="The gateway's page where the customer confirms it.")
    ]
    hosted_url: Annotated[
        str | None,
        Field(
            description="In the event `payment.action_required` alone: a payment link to the page "
            "here, good for thirty days. Whoever has it sees the invoice, and may pay it."
        ),
    ]
    due_at: At | None
    postponed_reason: Annotated[
        str | None,
        Field(
            description="Why it could not be tried when it was due, as where its gateway account "
            "does not open: it is tried every hour until it can be."
        ),
    ]
    test_clock_id: c.TestClockId | None
    created_at: At
    succeeded_at: At | None
    offline_method: Annotated[str, open_enum(*OfflineMethod)] | None
    reference: Annotated[
        str | None, Field(description="Of what was recorded: the bank's, the payer's or yours.")
    ]
    note: str | None
    received_at: Annotated[At | None, Field(description="When what was recorded had come.")]
    amount_to_balance: Annotated[
        MinorUnits, Field(description="What was more than remained, and became credit.")
    ]
    reversed_at: At | None
    reversal_reason: str | None
    version: Version


class Refund(Output):
    id: c.RefundId
    object: Literal["refund"]
    payment_id: c.PaymentId
    payment: Payment | None = Expanded
    invoice_id: c.InvoiceId
    invoice: Invoice | None = Expanded
    status: Annotated[str, open_enum("succeeded", "processing", "unknown", "failed")]
    currency: c.Currency
    amount: MinorUnits
    destination: Annotated[str, open_enum(*Destination)]
    reason: str | None
    failure_code: str | None
    metadata: Documents
    created_at: At
    settled_at: At | None
    version: Version


class EventData(Output):
    object: Annotated[
        dict[str, Any],
        Field(description="The object as it was then, without what lies inside it."),
    ]
    previous_attributes: Annotated[
        dict[str, Any] | None, Field(description="What its changed fields were before.")
    ]


class Event(Output):
    id: c.EventId
    object: Literal["event"]
    type: Annotated[str, Field(examples=["invoice.paid"])]
    object_id: str
    object_version: Annotated[
        int, Field(description="Grows with each change of the object: ignore older ones.")
    ]
    sequence: Annotated[
        int | None,
        Field(
            description="The merchant's events are numbered from 1, without gaps, those of an "
            "object in the order of its changes. Null for a moment, until it is numbered.",
            examples=[4711],
        ),
    ]
    data: EventData
    created_at: At


class LedgerEntry(Output):
    id: c.LedgerEntryId
    object: Literal["ledger_entry"]
    source: Annotated[str, open_enum(*Source)]
    source_id: str
    debit: Annotated[str, Field(examples=["receivable"])]
    credit: Annotated[str, Field(examples=["revenue"])]
    currency: c.Currency
    amount: MinorUnits
    effective_at: At


class AccountBalance(Output):
    account: Annotated[str, Field(examples=["receivable"])]
    currency: c.Currency
    debits: MinorUnits
    credits: MinorUnits
    balance: Annotated[int, Field(description="Debits less credits, in minor units.")]


class TrialBalance(Output):
    object: Literal["trial_balance"]
    accounts: list[AccountBalance]
    totals: Annotated[
        list[CurrencyAmount], Field(description="Per currency: zero, or the books are wrong.")
    ]
    balanced: bool
